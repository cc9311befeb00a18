/**
 * The program from outside: run from its sources and as one compiled file, in a
 * clean environment, with its streams caught. What it prints as JSON is held
 * against the published schemas, whatever the test looks at.
 */

import { join } from "node:path";
import { PROJECT } from "../tasks/build.ts";
import { compiledProgram } from "./compiled_program.ts";
import type { Printed } from "./schemas.ts";
import { skipWhenMissing } from "./skip.ts";

/** How the program is run: by `deno run`, or compiled. */
export type Kind = "sources" | "compiled";

/** How a run is made. */
export interface RunOptions {
  /** By default from its sources. */
  readonly kind?: Kind;
  /** The environment beside `PATH` and `HOME`; nothing else of the machine's gets through. */
  readonly env?: Readonly<Record<string, string>>;
  /** By default an empty directory, removed afterwards. */
  readonly cwd?: string;
  /** What standard input gives before it ends; by default it is empty. */
  readonly stdin?: string | Uint8Array<ArrayBuffer>;
  /**
   * Whether the run has a terminal, 100 columns wide, for all three streams:
   * everything it writes is then in `stdout`, with the terminal's line ends.
   */
  readonly terminal?: boolean;
  /** Milliseconds after which the run is killed and fails; by default 60,000. */
  readonly timeoutMs?: number;
}

/** What a run left. */
export interface RunResult {
  /** The exit code; 128 + n when signal n ended it. */
  readonly code: number;
  readonly signal: Deno.Signal | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A run that goes on. */
export interface Run {
  readonly pid: number;
  /** What it has written so far. */
  readonly stdout: string;
  readonly stderr: string;
  /** Sends text or bytes to its standard input, which stays open until {@link endInput}. */
  write(input: string | Uint8Array<ArrayBuffer>): Promise<void>;
  endInput(): Promise<void>;
  kill(signal: Deno.Signal): void;
  /**
   * Waits until the pattern is found in what it has written to either stream.
   *
   * @throws Error with what was written, when the run ends or its time is up before
   */
  until(pattern: RegExp): Promise<void>;
  /**
   * Waits for its end.
   *
   * @throws Error with what was written, when its time is up, or it is not what the schemas say
   */
  result(): Promise<RunResult>;
}

/**
 * Runs the program to its end.
 *
 * @throws Error with what was written, when it takes longer than allowed
 */
export async function runProgram(
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  const run = await startProgram(args, options);
  if (options.stdin === undefined) await run.endInput();
  return await run.result();
}

/** Starts the program, for tests that speak to it or send it signals while it runs. */
export async function startProgram(
  args: readonly string[],
  options: RunOptions = {},
): Promise<Run> {
  const { command, env } = await programOf(options.kind ?? "sources");
  return await startCommand([...command, ...args], { ...options, env: { ...env, ...options.env } });
}

/** Starts any command likewise. */
export async function startCommand(
  command: readonly string[],
  options: Omit<RunOptions, "kind"> = {},
): Promise<Run> {
  const home = await Deno.makeTempDir({ prefix: "observatory-run-" });
  const line = options.terminal === true ? terminalLine(command) : command;
  const child = new Deno.Command(line[0] ?? "", {
    args: line.slice(1),
    cwd: options.cwd ?? home,
    clearEnv: true,
    env: {
      PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin",
      HOME: home,
      ...(options.terminal === true ? { TERM: "xterm", SHELL: "/bin/sh" } : {}),
      ...options.env,
    },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const given = { args: command, env: options.env ?? {} };
  const run = follow(child, { home, timeoutMs: options.timeoutMs ?? 60_000, given });
  if (options.stdin !== undefined) {
    await run.write(options.stdin);
    await run.endInput();
  }
  return run;
}

/**
 * Registers one test for each way to run the program.
 *
 * @param options.missing why it cannot run here; undefined when it can
 */
export function forEachKind(
  name: string,
  test: (kind: Kind) => Promise<void>,
  { missing }: { readonly missing?: string | undefined } = {},
): void {
  const skipped = skipWhenMissing(name, missing);
  for (const kind of ["sources", "compiled"] as const) {
    const title = `${name} (${kind})`;
    Deno.test({
      name: title,
      ignore: skipped || kind === "compiled" && compiled.missing !== undefined,
      fn: () => test(kind),
    });
  }
}

const compiled = await compiledProgram();
skipWhenMissing("tests of the compiled program", compiled.missing);

/** The ways to run the program that can be had here. */
export const kinds: readonly Kind[] = compiled.path === undefined
  ? ["sources"]
  : ["sources", "compiled"];

/** What users run: the compiled program, where it can be had. */
export const usersKind: Kind = kinds.at(-1) ?? "sources";

/**
 * Registers one test with the program as users run it: for long ones, where both ways would take
 * twice as long and tell no more.
 *
 * @param options.missing why it cannot run here; undefined when it can
 */
export function forUsersKind(
  name: string,
  test: (kind: Kind) => Promise<void>,
  { missing }: { readonly missing?: string | undefined } = {},
): void {
  Deno.test({ name, ignore: skipWhenMissing(name, missing), fn: () => test(usersKind) });
}

/** The command that runs the program, and the environment that it cannot do without. */
export async function programOf(
  kind: Kind,
): Promise<{ command: readonly string[]; env: Readonly<Record<string, string>> }> {
  if (kind === "compiled") {
    if (compiled.path === undefined) {
      throw new Error(`Cannot run the compiled program: ${compiled.missing}`);
    }
    return { command: [compiled.path], env: {} };
  }
  const command = [
    Deno.execPath(),
    "run",
    "--quiet",
    "--allow-all",
    "--no-prompt",
    "--v8-flags=--disallow-code-generation-from-strings",
    "--config",
    join(PROJECT, "deno.json"),
    join(PROJECT, "main.ts"),
  ];
  // The run has another home, and would find Deno's cache empty there.
  return { command, env: { DENO_DIR: await denoDirectory(), DENO_NO_UPDATE_CHECK: "1" } };
}

let denoDirectoryFound: Promise<string> | undefined;

/** Where Deno keeps what it has downloaded. */
function denoDirectory(): Promise<string> {
  denoDirectoryFound ??= (async () => {
    const { stdout } = await new Deno.Command(Deno.execPath(), { args: ["info", "--json"] })
      .output();
    const { denoDir }: { denoDir: string } = JSON.parse(new TextDecoder().decode(stdout));
    return denoDir;
  })();
  return denoDirectoryFound;
}

/** Why runs with a terminal cannot be made here, or undefined when they can. */
export async function terminalMissing(): Promise<string | undefined> {
  try {
    const { stdout } = await new Deno.Command("script", { args: ["--version"] }).output();
    if (new TextDecoder().decode(stdout).includes("util-linux")) return undefined;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return "the program script of util-linux, which gives a run a terminal, is not installed";
}

/** The line that runs a command on a terminal of its own. */
function terminalLine(command: readonly string[]): string[] {
  const quoted = command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
  const line = `stty cols 100 rows 30; exec ${quoted}`;
  return ["script", "--quiet", "--return", "--command", line, "/dev/null"];
}

/** Holds what was printed against the schemas, which are read when something is. */
async function held(printed: Printed): Promise<void> {
  const { args, env } = printed;
  const asks = args.some((arg) => arg === "--json" || arg.startsWith("--log-format"));
  if (!asks && env["LOG_FORMAT"] === undefined) return;
  const { requireDescribed } = await import("./schemas.ts");
  requireDescribed(printed);
}

/** Catches what a child writes, and keeps its time. */
function follow(
  child: Deno.ChildProcess,
  { home, timeoutMs, given }: {
    readonly home: string;
    readonly timeoutMs: number;
    readonly given: { readonly args: readonly string[]; readonly env: Printed["env"] };
  },
): Run {
  const written = { stdout: "", stderr: "" };
  const stdin = child.stdin.getWriter();
  let inputEnded = false;
  let ended = false;
  let late = false;
  let wake = Promise.withResolvers<void>();
  function changed(): void {
    wake.resolve();
    wake = Promise.withResolvers();
  }
  async function gather(name: "stdout" | "stderr"): Promise<void> {
    for await (const text of child[name].pipeThrough(new TextDecoderStream())) {
      written[name] += text;
      changed();
    }
  }
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
    changed();
  }, timeoutMs);
  const end = (async () => {
    const [status] = await Promise.all([child.status, gather("stdout"), gather("stderr")]);
    clearTimeout(timer);
    await endInput();
    await Deno.remove(home, { recursive: true });
    ended = true;
    changed();
    return status;
  })();
  /** The program may end before it has read everything; that is its right. */
  async function unlessGone(work: Promise<void>): Promise<void> {
    await work.catch((error: unknown) => {
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
      inputEnded = true;
    });
  }
  async function endInput(): Promise<void> {
    if (inputEnded) return;
    inputEnded = true;
    await unlessGone(stdin.close());
  }
  function failure(message: string): Error {
    return new Error(`${message}; stdout: ${written.stdout}; stderr: ${written.stderr}`);
  }
  return {
    pid: child.pid,
    get stdout() {
      return written.stdout;
    },
    get stderr() {
      return written.stderr;
    },
    write: (input) =>
      unlessGone(stdin.write(typeof input === "string" ? new TextEncoder().encode(input) : input)),
    endInput,
    kill: (signal) => child.kill(signal),
    async until(pattern) {
      while (!pattern.test(written.stdout) && !pattern.test(written.stderr)) {
        if (late || ended) throw failure(`The run ended before it wrote ${pattern}`);
        await wake.promise;
      }
    },
    async result() {
      const status = await end;
      if (late) throw failure(`The run took longer than ${timeoutMs} ms`);
      await held({ ...given, ...written });
      return { code: status.code, signal: status.signal, ...written };
    },
  };
}
