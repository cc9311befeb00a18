/** The programs that one run starts, and ends with itself. */
import {
  connectionEnvironment,
  type Environment,
  withConnection,
  withoutSecrets,
} from "./connection_environment.ts";
import { SignalError } from "./errors.ts";
import type { EndingSignal, Host, SpawnedProgram } from "./host.ts";
import { type Log, OperationError, type Program, type ProgramOptions } from "./plugin.ts";
import type { ConnectionParameters } from "./postgres/connection_parameters.ts";
import { programOutput } from "./program_output.ts";

/** What programs are started with. */
export interface ProgramsOptions {
  readonly host: Host;
  readonly log: Log;
  /** Aborted when the run is to end. */
  readonly signal: AbortSignal;
  /** The run's connection; asked for only where a program is given it. */
  parameters(): ConnectionParameters;
  /** How many programs have the terminal: while there is one, INT is none of the run's business. */
  readonly state: { terminalHeld: number };
}

/** The programs of one run. */
export interface Programs {
  /** Starts a program; see `Context.exec`. */
  exec(program: string, options?: ProgramOptions): Promise<Program>;
  /** Ends those that still run; resolves when they have ended. */
  close(): Promise<void>;
}

const GRACE_MILLISECONDS = 5000;
/** How long a program is given to end at INT before it gets TERM. */
const INTERRUPT_MILLISECONDS = 1000;

/** How long the signal that ended a program may take to this process. */
const SIGNAL_MILLISECONDS = 50;

/** Where programs are looked for when PATH is not set. */
export const USUAL_PATH = "/usr/local/bin:/usr/bin:/bin";

/** Makes the starter of programs for one run. */
export function createPrograms(options: ProgramsOptions): Programs {
  const running = new Set<Program>();
  return {
    async exec(program, programOptions = {}) {
      const started = await exec(program, programOptions, options);
      running.add(started);
      const forget = () => void running.delete(started);
      started.exit.then(forget, forget);
      return started;
    },
    async close() {
      await Promise.all([...running].map((program) => program.stop()));
    },
  };
}

async function exec(
  name: string,
  options: ProgramOptions,
  run: ProgramsOptions,
): Promise<Program> {
  const { host, signal, state } = run;
  signal.throwIfAborted();
  const { terminal = false, stdin = "none", stdout = "stream", stderr = "stream" } = options;
  const { env, passwordFile } = environmentOf(options, run);
  const path = await findProgram(name, { host, path: env["PATH"] });
  signal.throwIfAborted();
  if (terminal) state.terminalHeld++;
  let spawned: SpawnedProgram;
  try {
    spawned = await host.programs.spawn(path, {
      args: options.args ?? [],
      env,
      stdin,
      stdout,
      stderr,
      // What reads from the terminal must be in the group that the terminal belongs to.
      group: !terminal && !(stdin === "inherit" && host.inputIsTerminal),
      ...(options.user === undefined ? {} : { user: options.user }),
      ...(passwordFile === undefined
        ? {}
        : { secretFile: { variable: "PGPASSFILE", contents: passwordFile } }),
    });
  } catch (error) {
    if (terminal) state.terminalHeld--;
    throw error;
  }
  return supervise(spawned, { name, terminal, interrupt: options.interrupt ?? false, run });
}

function environmentOf(
  { connect = false, env = {} }: ProgramOptions,
  { host, parameters }: ProgramsOptions,
): { env: Environment; passwordFile?: string } {
  if (connect === false) return { env: { ...withoutSecrets(host.env), ...env } };
  const database = connect === true ? undefined : connect.database;
  const connection = connectionEnvironment(parameters(), database);
  const { passwordFile } = connection;
  return {
    env: { ...withConnection(host.env, connection), ...env },
    ...(passwordFile === undefined ? {} : { passwordFile }),
  };
}

/** Ties a program to its run: it ends with it, and its streams tell of it. */
function supervise(
  spawned: SpawnedProgram,
  { name, terminal, interrupt, run }: {
    name: string;
    terminal: boolean;
    interrupt: boolean;
    run: ProgramsOptions;
  },
): Program {
  const { signal, state, log } = run;
  let stopped: Promise<void> | undefined;
  const usual = interrupt ? "SIGINT" : "SIGTERM";
  const stop = (first: EndingSignal = usual) => stopped ??= end(spawned, first);
  const onAbort = () => {
    // A program at the terminal is told what the run is told.
    const reason: unknown = signal.reason;
    const hangup = terminal && reason instanceof SignalError && reason.signal === "SIGHUP";
    stop(hangup ? "SIGHUP" : usual);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  // Half of its input must not be worked on as if it were all.
  let failure: { readonly error: unknown } | undefined;
  const fed = spawned.fed.catch((error: unknown) => {
    failure = { error };
    return stop();
  });
  const over = (async () => {
    const exit = await spawned.exit;
    log.debug(`"${name}" has ended with code ${exit.code}`);
    await fed;
    // The same INT of the terminal may reach this process a little later.
    if (terminal && exit.code === 130) await pause(SIGNAL_MILLISECONDS);
    if (terminal) state.terminalHeld--;
    signal.removeEventListener("abort", onAbort);
    signal.throwIfAborted();
    if (failure !== undefined) throw failure.error;
    return exit;
  })();
  // Whoever reads its output first may wait for this later.
  over.catch(() => {});
  return {
    stdout: programOutput(spawned.stdout, { signal, over, widen: spawned.widen }),
    stderr: programOutput(spawned.stderr, { signal, over }),
    exit: over,
    stop: () => stop(),
  };
}

/** Ends a program: politely first. */
async function end(spawned: SpawnedProgram, first: EndingSignal): Promise<void> {
  spawned.kill(first);
  const timers = [setTimeout(() => spawned.kill("SIGKILL"), GRACE_MILLISECONDS)];
  if (first === "SIGINT") {
    timers.push(setTimeout(() => spawned.kill("SIGTERM"), INTERRUPT_MILLISECONDS));
  }
  await spawned.exit;
  timers.forEach((timer) => clearTimeout(timer));
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/**
 * The file of a program: a path as it is, a name by PATH.
 *
 * @throws OperationError `program_missing`, or `program_not_started` where what is there cannot be run
 */
export async function findProgram(
  name: string,
  { host, path = USUAL_PATH }: { readonly host: Host; readonly path: string | undefined },
): Promise<string> {
  const candidates = name.includes("/")
    ? [name]
    : path.split(":").map((directory) => `${directory || "."}/${name}`);
  let unfit: string | undefined;
  for (const candidate of name === "" ? [] : candidates) {
    const file = await host.programs.find(candidate);
    if (file?.executable) return candidate;
    if (file !== undefined) unfit ??= candidate;
  }
  if (unfit !== undefined) {
    throw new OperationError(`Cannot start "${name}": "${unfit}" is not executable for this user`, {
      code: "program_not_started",
      hint: "Make it executable with chmod +x",
      details: { program: name },
    });
  }
  throw new OperationError(
    name.includes("/")
      ? `Cannot start "${name}": there is no such file`
      : `Cannot start "${name}": it is in no directory of PATH`,
    { code: "program_missing", details: { program: name } },
  );
}
