/** Programs that a fake machine has, for tests of what starts them. */
import type { HostPrograms, SpawnedProgram, SpawnOptions } from "./host.ts";
import { OperationError, type ProgramExit } from "./plugin.ts";

/** What a fake program is given. */
export interface FakeProgramInput {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** All of its input; it may read it or not. */
  stdin(): Promise<Uint8Array>;
  /** Aborted when it is sent a signal; it ends by itself then, as a real one that handles signals. */
  readonly signal: AbortSignal;
}

/** What a fake program does in the end. */
export interface FakeProgramOutput {
  readonly stdout?: string | Uint8Array | ReadableStream<Uint8Array>;
  readonly stderr?: string | Uint8Array;
  /** By default 0. */
  readonly code?: number;
}

/** A fake program: from its input to its output. */
export type FakeProgram = (
  input: FakeProgramInput,
) => FakeProgramOutput | Promise<FakeProgramOutput>;

const SIGNAL_NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15, SIGKILL: 9 } as const;

/** The programs of a fake machine, by path; a name alone stands for one in /usr/bin. */
export function fakePrograms(programs: Readonly<Record<string, FakeProgram>>): HostPrograms {
  const byPath = new Map(
    Object.entries(programs).map(([name, program]) => [
      name.includes("/") ? name : `/usr/bin/${name}`,
      program,
    ]),
  );
  return {
    find: (path) =>
      Promise.resolve(byPath.has(path) ? { realPath: path, executable: true } : undefined),
    spawn(path, options) {
      const program = byPath.get(path);
      if (program !== undefined) return Promise.resolve(start(program, options));
      return Promise.reject(
        new OperationError(`Cannot start "${path}": there is no such file`, {
          code: "program_missing",
          details: { path },
        }),
      );
    },
  };
}

function start(program: FakeProgram, options: SpawnOptions): SpawnedProgram {
  const { args, stdin, secretFile } = options;
  const stop = new AbortController();
  let sent: keyof typeof SIGNAL_NUMBERS | undefined;
  let read: Promise<Uint8Array> | undefined;
  const source = stdin instanceof ReadableStream ? stdin : undefined;
  const env = secretFile === undefined
    ? options.env
    : { ...options.env, [secretFile.variable]: "/tmp/secret" };
  const all = () =>
    read ??= source === undefined ? Promise.resolve(new Uint8Array()) : bytes(source);
  const output = (async () => await program({ args, env, stdin: all, signal: stop.signal }))();
  const killed = new Promise<FakeProgramOutput>((resolve) => {
    stop.signal.addEventListener("abort", () => resolve({}), { once: true });
  });
  const ended = Promise.race([output, killed]);
  const exit = ended.then(async ({ code = 0 }): Promise<ProgramExit> => {
    if (read === undefined) await source?.cancel();
    return sent === undefined ? { code } : { code: 128 + SIGNAL_NUMBERS[sent], signal: sent };
  });
  return {
    stdout: outputStream(ended.then(({ stdout }) => options.stdout === "stream" ? stdout : "")),
    stderr: outputStream(ended.then(({ stderr }) => options.stderr === "stream" ? stderr : "")),
    exit,
    fed: exit.then(async () => void await read),
    kill(signal) {
      sent ??= signal;
      stop.abort();
    },
    widen: () => false,
  };
}

async function bytes(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const chunks = await Array.fromAsync(stream, (chunk) => chunk.slice());
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

function outputStream(
  output: Promise<string | Uint8Array | ReadableStream<Uint8Array> | undefined>,
): ReadableStream<Uint8Array> {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  output.then(async (value = "") => {
    const bytes = typeof value === "string" ? value : value instanceof Uint8Array && value.slice();
    const stream = value instanceof ReadableStream ? value : new Blob([bytes || ""]).stream();
    // Whoever reads it may stop early, and is told of a failure by the stream itself.
    await stream.pipeTo(writable).catch(() => {});
  });
  return readable;
}
