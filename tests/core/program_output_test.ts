/** What programs write, as their reader gets it. */
import assert from "assert";
import { systemHost } from "../../core/host.ts";
import type { SpawnedProgram } from "../../core/host.ts";
import { programOutput } from "../../core/program_output.ts";

const { programs } = systemHost();
const NEVER = new Promise<never>(() => {});

/** Started, and ended after the test. */
async function shell(script: string): Promise<SpawnedProgram & AsyncDisposable> {
  const program = await programs.spawn("/bin/sh", {
    args: ["-c", script],
    env: { PATH: "/usr/bin:/bin" },
    stdin: "none",
    stdout: "stream",
    stderr: "stream",
    group: true,
  });
  return {
    ...program,
    async [Symbol.asyncDispose]() {
      program.kill("SIGKILL");
      await program.exit;
      for (const stream of [program.stdout, program.stderr]) {
        if (!stream.locked) await stream.cancel();
      }
    },
  };
}

/** A byte stream of so many bytes, each its place modulo 251. */
function counting(total: number, most: number): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    type: "bytes",
    pull(controller) {
      const view = controller.byobRequest?.view;
      assert(view instanceof Uint8Array);
      const count = Math.min(view.length, most, total - at);
      for (let index = 0; index < count; index++) view[index] = (at + index) % 251;
      at += count;
      if (count === 0) controller.close();
      controller.byobRequest?.respond(count);
    },
  });
}

function expectCounting(bytes: Uint8Array, from: number): number {
  for (const [index, byte] of bytes.entries()) {
    if (byte !== (from + index) % 251) assert.fail(`Byte ${from + index} is ${byte}`);
  }
  return from + bytes.length;
}

Deno.test("output: a program whose pipe was widened goes on before it is read", {
  ignore: Deno.build.os !== "linux",
}, async () => {
  await using program = await shell("head -c 1000000 /dev/zero; echo over >&2");
  assert.equal(program.widen(), true);
  const { value } = await program.stderr.getReader().read();
  assert.equal(new TextDecoder().decode(value), "over\n");
  let size = 0;
  for await (const chunk of program.stdout) size += chunk.length;
  assert.equal(size, 1_000_000);
});

Deno.test("output: of a program that is over no pipe is widened", async () => {
  await using program = await shell("exit 3");
  await program.exit;
  assert.equal(program.widen(), false);
});

Deno.test("output: the bytes are the program's, into a buffer and without one; much of them widens the pipe once", async () => {
  for (const most of [4096, 65_536, 1 << 20]) {
    for (const mode of [undefined, "byob"] as const) {
      let widened = 0;
      const output = programOutput(counting(600_001, most), {
        signal: new AbortController().signal,
        over: NEVER,
        widen: () => ++widened > 0,
      });
      let at = 0;
      if (mode === undefined) {
        for await (const chunk of output) at = expectCounting(chunk, at);
      } else {
        const reader = output.getReader({ mode });
        for (let buffer = new ArrayBuffer(200_000);;) {
          const { done, value } = await reader.read(new Uint8Array(buffer));
          if (done) break;
          at = expectCounting(value, at);
          buffer = value.buffer;
        }
      }
      assert.deepEqual({ at, widened }, { at: 600_001, widened: 1 });
    }
  }
});

Deno.test("output: a program that writes little keeps its pipe", async () => {
  let widened = 0;
  const output = programOutput(counting(200_000, 4096), {
    signal: new AbortController().signal,
    over: NEVER,
    widen: () => ++widened > 0,
  });
  assert.equal((await new Response(output).bytes()).length, 200_000);
  assert.equal(widened, 0);
});

Deno.test("output: it fails with the program's end, whoever waits for it and however", async () => {
  for (const type of ["bytes", undefined] as const) {
    const over = Promise.withResolvers<never>();
    let cancelled = false;
    const cancel = () => void (cancelled = true);
    const pull = () => NEVER;
    const source: ReadableStream<Uint8Array> = type === undefined
      ? new ReadableStream({ pull, cancel })
      : new ReadableStream({ type, pull, cancel });
    const { signal } = new AbortController();
    const reader = programOutput(source, { signal, over: over.promise }).getReader();
    const reading = reader.read();
    over.reject(new Error("it was ended"));
    await assert.rejects(reading, { message: "it was ended" });
    assert(cancelled);
  }
});

Deno.test("output: an end after the run's is none", async () => {
  const ending = new AbortController();
  const { signal } = ending;
  const reader = programOutput(counting(10, 10), { signal, over: NEVER }).getReader();
  assert.equal((await reader.read()).value?.length, 10);
  ending.abort(new Error("the run is over"));
  await assert.rejects(reader.read(), { message: "the run is over" });
});
