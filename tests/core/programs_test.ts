import assert from "assert";
import { join } from "node:path";
import { SignalError } from "../../core/errors.ts";
import { systemHost } from "../../core/host.ts";
import type { Program } from "../../core/plugin.ts";
import type { ConnectionParameters } from "../../core/postgres/connection_parameters.ts";
import { createPrograms, type Programs } from "../../core/programs.ts";
import { fakeHost } from "../../core/testing.ts";

const PARAMETERS: ConnectionParameters = {
  hosts: [{ host: "db", port: 5433 }],
  database: "app",
  user: "me",
  password: "s3cr3t",
  sslmode: "prefer",
  applicationName: "observatory",
};

interface TestPrograms extends Programs, AsyncDisposable {
  readonly ending: AbortController;
  readonly state: { terminalHeld: number };
}

/** The programs of one run, ended after the test. */
function programs(
  host = systemHost(),
  parameters: ConnectionParameters = PARAMETERS,
): TestPrograms {
  const ending = new AbortController();
  const state = { terminalHeld: 0 };
  const log = { debug() {}, info() {}, success() {}, warn() {} };
  const made = createPrograms({
    host,
    log,
    signal: ending.signal,
    state,
    parameters: () => parameters,
  });
  return { ...made, ending, state, [Symbol.asyncDispose]: () => made.close() };
}

function shell(run: Programs, script: string, options = {}): Promise<Program> {
  return run.exec("sh", { args: ["-c", script], ...options });
}

/** The rest of a stream, as text. */
async function text(stream: ReadableStream<Uint8Array>): Promise<string> {
  const chunks = await Array.fromAsync(stream, (chunk) => chunk.slice());
  return await new Blob(chunks).text();
}

async function outputOf(program: Program): Promise<string> {
  const [output, errors, exit] = await Promise.all([
    text(program.stdout),
    text(program.stderr),
    program.exit,
  ]);
  assert.deepEqual({ errors, exit }, { errors: "", exit: { code: 0 } });
  return output;
}

async function inDirectory(test: (directory: string) => Promise<void>): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "observatory-programs-" });
  try {
    await test(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Whether a process is there and has not ended. */
async function lives(pid: number): Promise<boolean> {
  try {
    return !/^State:\s*Z/m.test(await Deno.readTextFile(`/proc/${pid}/status`));
  } catch (error) {
    // The latter when it ends while it is read.
    if (error instanceof Deno.errors.NotFound) return false;
    if (error instanceof Error && error.message.includes("os error 3")) return false;
    throw error;
  }
}

/** Reads a stream up to its first line. */
async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let line = "";
  while (!line.includes("\n")) {
    const { done, value } = await reader.read();
    assert(!done, `the stream ended after "${line}"`);
    line += decoder.decode(value, { stream: true });
  }
  reader.releaseLock();
  return line.trim();
}

Deno.test("exec: streams and the code of the end come apart", async () => {
  await using run = programs();
  const program = await shell(run, "echo out; echo err >&2; exit 3");
  assert.equal(await text(program.stdout), "out\n");
  assert.equal(await text(program.stderr), "err\n");
  assert.deepEqual(await program.exit, { code: 3 });
});

Deno.test("exec: a program that a signal ended is told by the signal, and by 128 plus its number", async () => {
  await using run = programs();
  for (const [name, number] of [["KILL", 9], ["TERM", 15], ["INT", 2]] as const) {
    const program = await shell(run, `kill -${name} $$`);
    assert.deepEqual(await program.exit, { code: 128 + number, signal: `SIG${name}` });
    await Promise.all([program.stdout.cancel(), program.stderr.cancel()]);
  }
});

Deno.test("exec: bytes go through a program exactly, from a stream to a stream", async () => {
  await using run = programs();
  const piece = crypto.getRandomValues(new Uint8Array(65_000));
  const pieces = 400;
  let given = 0;
  const stdin = new ReadableStream<Uint8Array>({
    pull(controller) {
      // Pieces of all sizes, empty ones too.
      if (given++ < pieces) controller.enqueue(piece.subarray(0, (given * 7919) % 65_001));
      else controller.close();
    },
  });
  const program = await run.exec("cat", { stdin });
  let piecesSeen = 0;
  let wanted = new Uint8Array(0);
  for await (const chunk of program.stdout) {
    for (let rest = chunk; rest.length > 0;) {
      while (wanted.length === 0) wanted = piece.subarray(0, (++piecesSeen * 7919) % 65_001);
      const length = Math.min(rest.length, wanted.length);
      assert(equal(rest.subarray(0, length), wanted.subarray(0, length)));
      rest = rest.subarray(length);
      wanted = wanted.subarray(length);
    }
  }
  assert.deepEqual(await program.exit, { code: 0 });
  assert.equal(await text(program.stderr), "");
  assert.deepEqual({ piecesSeen, left: wanted.length }, { piecesSeen: pieces, left: 0 });
});

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

Deno.test("exec: without input a program reads an end at once", async () => {
  await using run = programs();
  assert.equal(await outputOf(await run.exec("cat")), "");
});

Deno.test("exec: a program that stops reading early does not fail the run, and its source is cancelled", async () => {
  await using run = programs();
  for (const script of ["head -c 10 >/dev/null; exit 7", "exit 7"]) {
    let pulled = 0;
    const cancelled = Promise.withResolvers<void>();
    const stdin = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled++;
        controller.enqueue(new Uint8Array(65_536));
      },
      cancel: () => cancelled.resolve(),
    });
    const program = await shell(run, script, { stdin });
    assert.deepEqual(await program.exit, { code: 7 });
    await cancelled.promise;
    assert(pulled < 20, `${pulled} pieces were taken for a program that reads none`);
    await Promise.all([program.stdout.cancel(), program.stderr.cancel()]);
  }
});

Deno.test("exec: a source that gives nothing for now is not waited for when the program has ended", async () => {
  await using run = programs();
  let cancelled = false;
  const stdin = new ReadableStream<Uint8Array>({ cancel: () => void (cancelled = true) });
  const program = await shell(run, "exit 4", { stdin });
  assert.deepEqual(await program.exit, { code: 4 });
  assert(cancelled);
  await Promise.all([program.stdout.cancel(), program.stderr.cancel()]);
});

Deno.test("exec: input that fails is never taken for complete: the program is ended, and the failure told", () =>
  inDirectory(async (directory) => {
    await using run = programs();
    const complete = join(directory, "complete");
    const failure = new Error("the download broke off");
    let given = 0;
    const stdin = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (given++ === 0) controller.enqueue(new TextEncoder().encode("half\n"));
        else controller.error(failure);
      },
    });
    const program = await shell(run, `cat >/dev/null && : > "${complete}"`, { stdin });
    await assert.rejects(program.exit, failure);
    await assert.rejects(text(program.stdout), failure);
    await assert.rejects(text(program.stderr), failure);
    await assert.rejects(Deno.stat(complete), Deno.errors.NotFound);
  }));

Deno.test("exec: a reader that goes away ends the program as in a pipeline", async () => {
  await using run = programs();
  const program = await run.exec("yes");
  assert.match(await firstLine(program.stdout), /^y\n/);
  await program.stdout.cancel();
  assert.deepEqual(await program.exit, { code: 141, signal: "SIGPIPE" });
  await program.stderr.cancel();
});

Deno.test("exec: nothing is taken from a program before it is read", async () => {
  let pulled = 0;
  const stdout = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulled++;
      controller.enqueue(new Uint8Array(65_536));
    },
  }, { highWaterMark: 0 });
  await using run = programs(fakeHost({ programs: { endless: () => ({ stdout }) } }));
  const program = await run.exec("endless");
  const reader = program.stdout.getReader();
  for (let count = 0; count < 10; count++) await reader.read();
  // Each of the two streams in between may hold one piece.
  assert(pulled <= 12, `${pulled} pieces were taken for 10`);
  await reader.cancel();
});

Deno.test("exec: a program gets the environment without the database's secrets, and what it is given", async () => {
  const env = {
    PATH: Deno.env.get("PATH"),
    DATABASE_URL: "postgres://me:s3cr3t@db",
    DB_PASSWORD: "s3cr3t",
    PGPASSWORD: "s3cr3t",
    DB_HOST: "db",
    AWS_SECRET_ACCESS_KEY: "for the cloud",
    ODD: "a\nb=$c 'd' \"é\"",
  };
  await using run = programs({ ...systemHost(), env });
  const output = await outputOf(
    await run.exec("env", { args: ["-0"], env: { DB_HOST: "other", NEW: "" } }),
  );
  assert.deepEqual(
    Object.fromEntries(
      output.split("\0").slice(0, -1).map((line) => {
        const equals = line.indexOf("=");
        return [line.slice(0, equals), line.slice(equals + 1)];
      }),
    ),
    {
      PATH: env.PATH,
      DB_HOST: "other",
      AWS_SECRET_ACCESS_KEY: "for the cloud",
      ODD: env.ODD,
      NEW: "",
    },
  );
});

Deno.test("exec: with the connection a program gets its variables, and what it is given beside", async () => {
  const env = { PATH: Deno.env.get("PATH"), PGSERVICE: "elsewhere", PGPASSWORD: "old" };
  await using run = programs({ ...systemHost(), env });
  const script =
    'echo "$PGHOST $PGPORT $PGDATABASE $PGUSER $PGPASSWORD $PGAPPNAME ${PGSERVICE-no}"';
  assert.equal(
    await outputOf(await shell(run, script, { connect: true, env: { PGAPPNAME: "dump" } })),
    "db 5433 app me s3cr3t dump no\n",
  );
  assert.equal(
    await outputOf(await shell(run, script, { connect: { database: "other" } })),
    "db 5433 other me s3cr3t observatory no\n",
  );
});

Deno.test("exec: hosts of different passwords come as a password file, which goes with the program", async () => {
  const { password: _, ...rest } = PARAMETERS;
  await using run = programs(systemHost(), {
    ...rest,
    hosts: [
      { host: "a", port: 1, password: "one:\\" },
      { host: "/tmp", port: 2, password: "two" },
      { host: "c", port: 3 },
    ],
  });
  const program = await shell(
    run,
    'echo "$PGPASSFILE ${PGPASSWORD-none}"; stat -c %a "$PGPASSFILE"; cat "$PGPASSFILE"',
    { connect: true },
  );
  const [first = "", ...lines] = (await outputOf(program)).split("\n");
  const [path = "", password] = first.split(" ");
  assert.equal(password, "none");
  assert.deepEqual(lines, [
    "600",
    "a:1:app:me:one\\:\\\\",
    "/tmp:2:app:me:two",
    "localhost:2:app:me:two",
    "",
  ]);
  await assert.rejects(Deno.stat(path), Deno.errors.NotFound);
});

Deno.test("exec: a program is found by PATH, where what is not executable is passed over", () =>
  inDirectory(async (directory) => {
    const [one, two] = [join(directory, "one"), join(directory, "two")];
    await Deno.mkdir(join(one, "a directory"), { recursive: true });
    await Deno.mkdir(two);
    await Deno.writeTextFile(join(one, "tool"), "#!/bin/sh\necho one\n", { mode: 0o644 });
    await Deno.writeTextFile(join(two, "tool"), '#!/bin/sh\necho two "$@"\n', { mode: 0o755 });
    await Deno.writeTextFile(join(two, "a directory"), "#!/bin/sh\necho named\n", { mode: 0o755 });
    const env = { PATH: `${one}:/nowhere:${one}/tool:${two}` };
    await using run = programs({ ...systemHost(), env });
    assert.equal(await outputOf(await run.exec("tool", { args: ["a b", ""] })), "two a b \n");
    assert.equal(await outputOf(await run.exec("a directory")), "named\n");
    assert.equal(await outputOf(await run.exec(`${two}/tool`)), "two\n");
    await assert.rejects(run.exec("tool", { env: { PATH: one } }), {
      code: "program_not_started",
      message: `Cannot start "tool": "${one}/tool" is not executable for this user`,
    });
  }));

Deno.test("exec: a program that cannot be started is told with the reason", () =>
  inDirectory(async (directory) => {
    await using run = programs();
    const made = async (name: string, contents: string, mode = 0o755) => {
      const path = join(directory, name);
      await Deno.writeTextFile(path, contents, { mode });
      return path;
    };
    const rejects = (program: string, code: string, reason: string) =>
      assert.rejects(run.exec(program), {
        name: "OperationError",
        kind: "failed",
        code,
        message: `Cannot start "${program}": ${reason}`,
      });
    await rejects("no-such-program", "program_missing", "it is in no directory of PATH");
    await rejects("", "program_missing", "it is in no directory of PATH");
    await rejects(`${directory}/gone`, "program_missing", "there is no such file");
    await rejects(directory, "program_missing", "there is no such file");
    const closed = await made("closed", "#!/bin/sh\n", 0o644);
    await rejects(closed, "program_not_started", `"${closed}" is not executable for this user`);
    await rejects(
      await made("plain", "echo hello\n"),
      "program_not_started",
      'it is a script without a first line such as "#!/bin/sh"',
    );
    await rejects(await made("empty", ""), "program_not_started", "the file is empty");
    await rejects(
      await made("lost", "#! /no/such/shell -e\n"),
      "program_not_started",
      'there is no "/no/such/shell", which its first line names',
    );
    await assert.rejects(run.exec("sh", { args: ["x".repeat(200_000)] }), {
      code: "arguments_too_long",
      message: 'Cannot start "/usr/bin/sh": its arguments are more than the system takes',
    });
  }));

Deno.test("exec: a run that is to end takes its programs along, with all that they have started", async () => {
  const run = programs();
  const program = await shell(run, "sleep 60 & echo $! $$; wait");
  const pids = (await firstLine(program.stdout)).split(" ").map(Number);
  assert.deepEqual(await Promise.all(pids.map(lives)), [true, true]);
  const reason = new SignalError("SIGINT");
  run.ending.abort(reason);
  await assert.rejects(program.exit, reason);
  // What was written until then must not be taken for all of it.
  await assert.rejects(text(program.stdout), reason);
  await assert.rejects(text(program.stderr), reason);
  for (const pid of pids) {
    for (let tries = 0; tries < 500 && await lives(pid); tries++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert(!await lives(pid), `process ${pid} still runs`);
  }
  await assert.rejects(run.exec("true"), reason);
  await run.close();
});

Deno.test("exec: a program that does not heed TERM is killed", async () => {
  await using run = programs();
  const program = await shell(
    run,
    "trap '' TERM; echo ready; for each in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5; done",
  );
  assert.equal(await firstLine(program.stdout), "ready");
  await program.stop();
  assert.deepEqual(await program.exit, { code: 137, signal: "SIGKILL" });
  await Promise.all([program.stdout.cancel(), program.stderr.cancel()]);
});

Deno.test("exec: a program that is stopped may still tell how it ended", async () => {
  await using run = programs();
  const program = await shell(
    run,
    "trap 'echo bye; exit 9' TERM; echo ready; for each in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 0.5; done",
  );
  assert.equal(await firstLine(program.stdout), "ready");
  await Promise.all([program.stop(), program.stop()]);
  assert.deepEqual(await program.exit, { code: 9 });
  assert.equal(await text(program.stdout), "bye\n");
  await program.stop();
  await program.stderr.cancel();
});

Deno.test("close: ends what still runs, and waits for it", async () => {
  const run = programs();
  const program = await shell(run, "echo $$; exec sleep 60");
  const pid = Number(await firstLine(program.stdout));
  await run.close();
  assert.equal(await lives(pid), false);
  assert.deepEqual(await program.exit, { code: 143, signal: "SIGTERM" });
  await Promise.all([program.stdout.cancel(), program.stderr.cancel()]);
  await run.close();
});

Deno.test("terminal: the run holds back from INT while a program has it, and passes HUP on", async () => {
  const sent: string[] = [];
  const host = fakeHost({
    programs: { editor: ({ signal }) => ended(signal), failing: () => ({ code: 130 }) },
  });
  const spawn = host.programs.spawn;
  await using run = programs({
    ...host,
    programs: {
      ...host.programs,
      async spawn(path, options) {
        assert.equal(options.group, false);
        const program = await spawn(path, options);
        return {
          ...program,
          kill(signal) {
            sent.push(signal);
            program.kill(signal);
          },
        };
      },
    },
  });
  await assert.rejects(run.exec("none", { terminal: true }), { code: "program_missing" });
  assert.equal(run.state.terminalHeld, 0);
  const failing = await run.exec("failing", { terminal: true, stdin: "inherit" });
  assert.equal(run.state.terminalHeld, 1);
  assert.deepEqual(await failing.exit, { code: 130 });
  assert.equal(run.state.terminalHeld, 0);
  const editor = await run.exec("editor", { terminal: true, stdin: "inherit" });
  assert.equal(run.state.terminalHeld, 1);
  const reason = new SignalError("SIGHUP");
  run.ending.abort(reason);
  await assert.rejects(editor.exit, reason);
  assert.equal(run.state.terminalHeld, 0);
  assert.deepEqual(sent, ["SIGHUP"]);
});

function ended(signal: AbortSignal): Promise<Record<string, never>> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve({})));
}

Deno.test("exec: a source that has failed when its program ends, unread, fails nothing else", async () => {
  await using run = programs();
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const stdin = new ReadableStream<Uint8Array>({
    start(given) {
      controller = given;
      // More than a pipe holds: the program reads none of it.
      given.enqueue(new Uint8Array(4 * 1024 * 1024));
    },
  });
  const program = await shell(run, "sleep 0.3", { stdin });
  await new Promise((resolve) => setTimeout(resolve, 100));
  controller?.error(new Error("the source has failed"));
  // Whatever nobody waits for would end the test's process.
  await program.exit.catch((error) => assert.equal(error.message, "the source has failed"));
  await new Promise((resolve) => setTimeout(resolve, 50));
});
