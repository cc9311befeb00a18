/** Starts other programs on the real machine. */
import type { HostPrograms, ProgramFile, SpawnedProgram, SpawnOptions } from "../host.ts";
import { OperationError, type ProgramExit } from "../plugin.ts";
import { allowedBits } from "./permissions.ts";
import { widenOutput } from "./pipe.ts";

const HEAD_BYTES = 256;

/** The file at a path; see `HostPrograms`. */
export function find(path: string): ProgramFile | undefined {
  try {
    const info = Deno.statSync(path);
    if (!info.isFile) return undefined;
    return { realPath: Deno.realPathSync(path), executable: (allowedBits(info) & 1) !== 0 };
  } catch (error) {
    const { NotFound, NotADirectory, PermissionDenied, FilesystemLoop } = Deno.errors;
    const absent = [NotFound, NotADirectory, PermissionDenied, FilesystemLoop];
    if (absent.some((kind) => error instanceof kind)) return undefined;
    throw error;
  }
}

/** Starts a program; see `HostPrograms`. */
export const spawn: HostPrograms["spawn"] = async (path, options) => {
  requireFormat(path);
  const secretFile = options.secretFile && await writeSecret(options.secretFile.contents);
  let child: Deno.ChildProcess;
  try {
    child = start(path, options, secretFile?.path);
  } catch (error) {
    secretFile?.remove();
    throw notStarted(path, error);
  }
  const exit = ended(child, () => secretFile?.remove());
  return {
    stdout: options.stdout === "stream" ? child.stdout : empty(),
    stderr: options.stderr === "stream" ? child.stderr : empty(),
    exit,
    fed: options.stdin instanceof ReadableStream
      ? feed(child.stdin, options.stdin, exit)
      : Promise.resolve(),
    kill: killer(child, { exit, group: options.group }),
    widen: () => options.stdout === "stream" && widenOutput(child.pid),
  };
};

function start(
  path: string,
  options: SpawnOptions,
  secretPath: string | undefined,
): Deno.ChildProcess {
  const { stdin, stdout, stderr, secretFile, user } = options;
  const piped = (way: "stream" | "inherit") => way === "stream" ? "piped" : "inherit";
  return new Deno.Command(path, {
    args: [...options.args],
    clearEnv: true,
    env: {
      ...options.env,
      ...(secretFile === undefined || secretPath === undefined
        ? {}
        : { [secretFile.variable]: secretPath }),
    },
    stdin: stdin === "inherit" ? "inherit" : stdin === "none" ? "null" : "piped",
    stdout: piped(stdout),
    stderr: piped(stderr),
    detached: options.group,
    // This process's directory may be closed to that user.
    ...(user === undefined ? {} : { ...user, cwd: "/" }),
  }).spawn();
}

async function ended(child: Deno.ChildProcess, cleanUp: () => void): Promise<ProgramExit> {
  const { code, signal } = await child.status;
  cleanUp();
  return signal === null ? { code } : { code, signal };
}

function killer(
  child: Deno.ChildProcess,
  { exit, group }: { exit: Promise<ProgramExit>; group: boolean },
): SpawnedProgram["kill"] {
  let over = false;
  exit.finally(() => over = true);
  return (signal) => {
    // Its number may be another program's by now.
    if (over) return;
    try {
      Deno.kill(group ? -child.pid : child.pid, signal);
    } catch (error) {
      // It has just ended.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  };
}

function empty(): ReadableStream<Uint8Array> {
  return new ReadableStream({ start: (controller) => controller.close() });
}

/** Passes a stream on to a program, for as long as it reads. */
async function feed(
  stdin: WritableStream<Uint8Array>,
  source: ReadableStream<Uint8Array>,
  exit: Promise<ProgramExit>,
): Promise<void> {
  const reader = source.getReader();
  const writer = stdin.getWriter();
  let wanted = true;
  const stop = async () => {
    if (!wanted) return;
    wanted = false;
    await reader.cancel();
  };
  // A source that gives nothing for now must not be waited for when nobody reads it.
  const stopped = exit.then(stop);
  // A source that fails at the very moment in which the program ends: who waits for it is told.
  stopped.catch(() => {});
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (!await taken(writer, () => writer.write(value))) return await stop();
    }
    if (!wanted) return await stopped;
    wanted = false;
    await taken(writer, () => writer.close());
  } catch (error) {
    // Its input stays open until it has ended: half of the data must not be taken for all of it.
    wanted = false;
    exit.then(() => taken(writer, () => writer.abort()));
    throw error;
  }
}

/** Does a step with a program's input; false when the program reads no more. */
async function taken(
  writer: WritableStreamDefaultWriter<Uint8Array>,
  step: () => Promise<void>,
): Promise<boolean> {
  try {
    await step();
    return true;
  } catch (error) {
    if (isBrokenPipe(error)) return false;
    // In Deno 2.6 a write to nobody is done, and what comes after it refused.
    const broken = await writer.closed.then(() => false, isBrokenPipe);
    if (!broken) throw error;
    return false;
  }
}

function isBrokenPipe(error: unknown): boolean {
  return error instanceof Deno.errors.BrokenPipe;
}

async function writeSecret(contents: string): Promise<{ path: string; remove(): void }> {
  const path = await Deno.makeTempFile({ prefix: "observatory-" });
  // Made for this user alone, by its mode 0600.
  await Deno.writeTextFile(path, contents);
  return { path, remove: () => Deno.removeSync(path) };
}

/** Refuses what one version of the runtime gives to a shell, and another does not start. */
function requireFormat(path: string): void {
  const head = headOf(path);
  if (head === undefined || head.startsWith("#!") || head.includes("\0")) return;
  throw new OperationError(
    `Cannot start "${path}": ${
      head === "" ? "the file is empty" : 'it is a script without a first line such as "#!/bin/sh"'
    }`,
    {
      code: "program_not_started",
      ...(head === "" ? {} : { hint: 'Add a first line such as "#!/bin/sh"' }),
      details: { path },
    },
  );
}

/** How a file begins; undefined where it cannot be read, which does not keep it from being run. */
function headOf(path: string): string | undefined {
  try {
    using file = Deno.openSync(path);
    const head = new Uint8Array(HEAD_BYTES);
    return new TextDecoder("latin1").decode(head.subarray(0, file.readSync(head) ?? 0));
  } catch {
    return undefined;
  }
}

function notStarted(path: string, error: unknown): OperationError {
  const [code, reason] = reasonOf(path, error);
  return new OperationError(`Cannot start "${path}": ${reason}`, {
    code,
    cause: error,
    details: { path },
  });
}

function reasonOf(path: string, error: unknown): [code: string, reason: string] {
  if (error instanceof Deno.errors.NotFound) {
    const interpreter = /^#!\s*(\S+)/.exec(headOf(path) ?? "")?.[1];
    if (interpreter !== undefined) {
      return ["program_not_started", `there is no "${interpreter}", which its first line names`];
    }
    return headOf(path) === undefined
      ? ["program_missing", "there is no such file"]
      : ["program_not_started", "the loader that it needs is not installed on this machine"];
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return ["program_not_started", "it is not executable for this user"];
  }
  const message = error instanceof Error ? error.message : String(error);
  if (message.includes("os error 8")) {
    return ["program_not_started", "it is no program for this machine"];
  }
  if (message.includes("os error 7)")) {
    return ["arguments_too_long", "its arguments are more than the system takes"];
  }
  return ["program_not_started", message];
}
