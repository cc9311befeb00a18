/** The web client on the runtime of the compiled program, which is an older one. */
import assert from "assert";
import { join } from "node:path";
import { PROJECT } from "../../tasks/build.ts";
import { compiledProgram, findRuntime } from "../compiled_program.ts";
import { skipWhenMissing } from "../skip.ts";
import { bytesOf, sha256 } from "./parts.ts";

const { missing } = await compiledProgram();

/** Compiles a module of this directory, as the program is. */
async function compile(module: string, output: string): Promise<void> {
  const runtime = await findRuntime();
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["compile", "--quiet", "--allow-all", "--no-check", "--output", output, module],
    cwd: join(PROJECT, "tests", "s3"),
    env: runtime === undefined ? {} : { DENORT_BIN: runtime },
    stdin: "null",
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}

/** Gives the bytes to everybody who asks, in pieces of all sizes, with pauses between some of them. */
function serve(bytes: Uint8Array): Deno.TcpListener & AsyncDisposable {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  async function answer(connection: Deno.Conn): Promise<void> {
    using _ = connection;
    await connection.read(new Uint8Array(4096));
    const head = `HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n\r\n`;
    await connection.write(new TextEncoder().encode(head));
    for (let rest = bytes; rest.length > 0;) {
      const piece = rest.subarray(0, 1 + Math.floor(Math.random() ** 3 * 200_000));
      rest = rest.subarray(await connection.write(piece));
      if (Math.random() < 0.05) await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }
  const serving = (async () => {
    const answers: Promise<void>[] = [];
    for await (const connection of listener) answers.push(answer(connection));
    await Promise.all(answers);
  })();
  return Object.assign(listener, {
    async [Symbol.asyncDispose]() {
      listener.close();
      await serving;
    },
  });
}

Deno.test({
  name: "webClient: a slow reader gets every byte on the compiled program's runtime",
  ignore: skipWhenMissing("the web client on the compiled program's runtime", missing),
  async fn() {
    const directory = await Deno.makeTempDir();
    try {
      // Its sockets read twice at once into one buffer, when they were stopped and went on too soon.
      const reader = join(directory, "reader");
      await compile("slow_reader.ts", reader);
      const bytes = bytesOf(10_000_000);
      await using server = serve(bytes);
      const { stdout, stderr } = await new Deno.Command(reader, {
        args: [String(server.addr.port), "6"],
      }).output();
      assert.deepEqual(
        new TextDecoder().decode(stdout).split("\n"),
        Array(6).fill(sha256(bytes)),
        new TextDecoder().decode(stderr),
      );
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  },
});
