/** One run, from the command line to the exit code; readable from top to bottom. */
import { OperationError, type Plugin } from "./plugin.ts";
import type { Host } from "./host.ts";
import { earlyFlags } from "./early_flags.ts";
import {
  type ErrorReport,
  EXIT_BUG,
  EXIT_PROBLEMS,
  finalReport,
  reportOf,
  SignalError,
} from "./errors.ts";
import { createLog, type LogLevel, logLevelOf, type RunLog } from "./log.ts";
import { createOutput, type Output } from "./output.ts";
import { createProgressLine, type ProgressLine } from "./progress.ts";
import { createRedactor, type Redactor } from "./redact.ts";
import {
  buildCommandTree,
  type CommandEntry,
  type CommandTree,
  findCommand,
  type FoundCommand,
  splitLeadingFlags,
} from "./command_tree.ts";
import type { CommandLine } from "./input.ts";
import type { UserPlugins } from "./loader.ts";
import type { Commands } from "./perform.ts";
import type { Audit } from "./audit/audit.ts";

/** What a test may hand in instead of what the program ships. */
export interface RunOptions {
  readonly plugins?: readonly Plugin[];
}

/** Everything that lasts for one run. */
export interface Run {
  readonly host: Host;
  readonly log: RunLog;
  readonly output: Output;
  readonly progress: ProgressLine;
  readonly redactor: Redactor;
  readonly signal: AbortSignal;
  /** The run's name, the same in its log, its result and the audit. */
  readonly id: () => string;
  /** Whether the result is printed as JSON. */
  readonly json: boolean;
  readonly state: {
    command: string | undefined;
    /** What the target is called, where it is one of a file. */
    target?: string | undefined;
    level: LogLevel;
    /** How many programs have the terminal; INT is theirs then. */
    terminalHeld: number;
    audit: Audit | undefined;
  };
  /** Ends the process at once with an error: for what no orderly end can stop. */
  abandon(error: unknown): never;
}

const GRACE_MILLISECONDS = 10_000;

/**
 * Runs one command line.
 *
 * @param args the words after the program's name
 * @returns the exit code, by the table in `errors.ts`
 */
export async function run(
  args: readonly string[],
  host: Host,
  options: RunOptions = {},
): Promise<number> {
  let user: UserPlugins | undefined;
  // 1. How the run speaks is settled first, so that every error is told that way.
  const ending = new AbortController();
  const run = startRun(args, host, ending.signal);
  const stopListening = listen(run, ending);
  try {
    // 2. The version is answered before anything else is loaded.
    const { leading, rest } = splitLeadingFlags(args);
    if (
      leading.includes("--version") || leading.includes("-V") ||
      (rest[0] === "version" && rest.length === 1)
    ) return await tellVersion(run);
    // 3. Help, or a command.
    const { builtIns, readCommandLine, readPlainWords } = await import("./command_line.ts");
    if (rest[0] === "version") {
      readPlainWords([...leading, ...rest.slice(1)], { name: "version", env: host.env });
      return await tellVersion(run);
    }
    const plugins = options.plugins ?? builtIns;
    if (rest[0] === "__complete") {
      const { answerShell } = await import("./completion/answer.ts");
      return await answerShell({ run, words: rest.slice(1), builtIns: plugins });
    }
    const tree = buildCommandTree(plugins);
    if (rest.length === 0 || rest[0] === "help") {
      run.state.command = "help";
      const words = readPlainWords([...leading, ...rest.slice(1)], { name: "help", env: host.env });
      user = await loadEarly(run, { args, builtIns: plugins, lenient: true });
      if (user !== undefined) (await import("./user_plugins.ts")).warnOfBroken(user, run);
      const { help } = await import("./help.ts");
      const known = { tree: user?.tree ?? tree, builtIns: plugins };
      run.output.result("help", await help(words, known), run.log.warnings);
      return 0;
    }
    let found = tryFindCommand(tree, args);
    if (found === undefined || found.entry.path === "plugin run" || goesOn(found, leading)) {
      user = await loadEarly(run, { args, builtIns: plugins, lenient: false });
      const { findUserCommand } = await import("./user_plugins.ts");
      found = findUserCommand(user, { found, tree, args });
    }
    const { entry, words } = found;
    run.state.command = entry.path;
    const line = readCommandLine(words, { entry, env: {} });
    if (line.asks === "version") return await tellVersion(run);
    if (line.asks === "help") {
      const { commandHelp } = await import("./help.ts");
      const text = commandHelp(entry, user?.tree ?? tree);
      run.output.result("help", { data: { text }, text }, run.log.warnings);
      return 0;
    }
    return await runCommand(run, {
      entry,
      words,
      line,
      tree,
      plugins,
      user: (loaded) => user ??= loaded,
    });
  } catch (error) {
    const report = finalReport(error, run.signal);
    // What else went wrong is the signal's doing.
    const own = reportOf(error);
    if (own.kind !== report.kind) run.log.debug(own.message);
    return fail(run, report);
  } finally {
    await user?.close();
    run.progress.clear();
    stopListening();
  }
}

interface EarlyLoading {
  readonly args: readonly string[];
  readonly builtIns: readonly Plugin[];
  /** Whether what is wrong is passed over: help is given in any case. */
  readonly lenient: boolean;
}

/** Loads the users' plugins before a command is known: it may be one of theirs. */
async function loadEarly(
  run: Run,
  { args, builtIns, lenient }: EarlyLoading,
): Promise<UserPlugins | undefined> {
  const { pluginFlags } = await import("./early_flags.ts");
  const { readConfiguration } = await import("./read_configuration.ts");
  const { loadUserPlugins } = await import("./user_plugins.ts");
  const flags = pluginFlags(args);
  try {
    const configuration = await readConfiguration(run.host, flags);
    return await loadUserPlugins({ run, configuration, builtIns, flags });
  } catch (error) {
    if (!lenient || !(error instanceof OperationError)) throw error;
    run.log.warn(`Cannot load plugins: ${error.message}`);
    return undefined;
  }
}

function tryFindCommand(tree: CommandTree, args: readonly string[]): FoundCommand | undefined {
  try {
    return findCommand(tree, args);
  } catch (error) {
    if (error instanceof OperationError && error.code === "unknown_command") return undefined;
    throw error;
  }
}

/** Whether a word follows that the command does not take: the name may go on, as a user's command. */
function goesOn({ entry, words }: FoundCommand, leading: readonly string[]): boolean {
  const next = words[leading.length];
  return next !== undefined && !next.startsWith("-") &&
    Object.keys(entry.command.args ?? {}).length === 0;
}

async function tellVersion(run: Run): Promise<number> {
  const { versionResult } = await import("./version.ts");
  run.output.result("version", await versionResult(run.host), run.log.warnings);
  return 0;
}

function startRun(args: readonly string[], host: Host, signal: AbortSignal): Run {
  const early = earlyFlags(args, host);
  const redactor = createRedactor();
  const redact = (text: string) => redactor.text(text);
  const state: Run["state"] = {
    command: undefined,
    level: early.level ?? "info",
    terminalHeld: 0,
    audit: undefined,
  };
  const target = () => state.target;
  const progress = createProgressLine({
    stream: host.stderr,
    enabled: early.level !== "warn" && early.logFormat === "text",
    now: host.now,
    redact,
    report: (text, state) => log.progress(text, state),
  });
  let runId: string | undefined;
  const id = () => runId ??= crypto.randomUUID();
  const log = createLog({
    stream: host.stderr,
    format: early.logFormat,
    level: () => early.level ?? state.level,
    colour: early.colour,
    redact,
    now: host.now,
    runId: id,
    command: () => state.command,
    target,
    beforeLine: progress.hide,
  });
  const run: Run = {
    host,
    log,
    output: createOutput({
      stdout: host.stdout,
      json: early.json,
      target,
      redact,
      runId: id,
      warn: log.warn,
    }),
    progress,
    redactor,
    signal,
    id,
    json: early.json,
    state,
    abandon: (error) => host.exit(fail(run, reportOf(error))),
  };
  return run;
}

/** The first signal asks the run to end; a second one ends it at once. */
function listen(run: Run, ending: AbortController): () => void {
  let grace: ReturnType<typeof setTimeout> | undefined;
  const stopUnhandled = run.host.onUnhandled((error) => {
    // What nobody waited for: the state of the run is unknown, so it goes no further.
    run.host.exit(fail(run, { ...reportOf(error), kind: "bug", exit: EXIT_BUG }));
  });
  const stop = run.host.onSignal((name) => {
    if (name === "SIGINT" && run.state.terminalHeld > 0) return;
    const error = new SignalError(name);
    if (ending.signal.aborted) return run.host.exit(fail(run, reportOf(error)));
    run.log.warn(`${name} received: cancelling; a second signal ends at once`);
    ending.abort(error);
    grace = setTimeout(() => {
      run.log.error(`Still busy ${GRACE_MILLISECONDS / 1000} s after ${name}: ending now`);
      run.host.exit(fail(run, reportOf(error)));
    }, GRACE_MILLISECONDS);
  });
  return () => {
    stop();
    stopUnhandled();
    clearTimeout(grace);
  };
}

function fail(run: Run, report: ErrorReport): number {
  run.progress.clear();
  run.state.audit?.abandon(report);
  if (report.kind !== "signal") report.message.split("\n").forEach((line) => run.log.error(line));
  // The excerpt and the hint belong to the error line above them, not to the log's format.
  const more = [report.excerpt, report.hint && `Hint: ${report.hint}`].filter((text) => text);
  for (const text of more) run.log.note(`${text}`);
  run.output.failure(run.state.command, report, run.log.warnings);
  return report.exit;
}

interface CalledByLine {
  readonly entry: CommandEntry;
  readonly words: readonly string[];
  readonly line: CommandLine;
  readonly tree: CommandTree;
  /** The built-in ones. */
  readonly plugins: readonly Plugin[];
  /** Keeps the users' plugins to the end of the run; gives those that are loaded already. */
  readonly user: (loaded: UserPlugins | undefined) => UserPlugins | undefined;
}

async function runCommand(
  run: Run,
  { entry, words, line, tree, plugins, user }: CalledByLine,
): Promise<number> {
  const { host, log } = run;
  const { command, path } = entry;
  // 4. Configuration, and its secrets to the redactor before a line is written.
  const { createAudit, perform, readConfiguration } = await import("./operation.ts");
  const configuration = await readConfiguration(host, line.flags);
  for (const secret of configuration.secrets()) run.redactor.add(secret);
  for (const name of configuration.publicNames()) run.redactor.addPublicName(name);
  run.state.level = logLevelOf(configuration.get("LOG_LEVEL"));
  run.state.target = configuration.target?.name;
  if (configuration.target !== undefined) log.info(configuration.target.notice);
  log.runStarts();
  for (const warning of configuration.warnings) log.warn(warning);
  // 5. Flags and arguments, with all their problems at once; `.env` may give values too.
  const { flagVariables, readCommandLine } = await import("./command_line.ts");
  const env = flagVariables(command, (name) => configuration.get(name));
  const more = Object.values(env).some((value) => value !== undefined);
  const input = (more ? readCommandLine(words, { entry, env }) : line).input();
  const dryRun = input.hostFlags["dry-run"] === true;
  const source = { run, configuration, builtIns: plugins, flags: line.flags };
  const { judgeBroken, loadFor, pluginsOf, refuseBroken } = await import("./user_plugins.ts");
  const users = user(undefined) ?? user(await loadFor(entry, source));
  if (users !== undefined) judgeBroken(users, entry, run);
  const shared = { answered: false };
  if (command.effect !== "read" && !dryRun) {
    const file = input.hostFlags["audit-log"];
    run.state.audit = createAudit({ run, configuration, shared, file });
  }
  const commands: Commands = {
    run,
    tree: users?.tree ?? tree,
    plugins: [...plugins, ...users?.plugins ?? []],
    about: pluginsOf(source, users),
    allow: (called) => users && refuseBroken(users, called),
    configuration,
    wait: Math.max(0, input.hostFlags.wait ?? 60),
    shared,
    closers: [],
    audit: run.state.audit,
  };
  try {
    // 9. The result, written while the database is still open: its rows may come from there.
    return await perform({ entry, input, dryRun, words }, commands, async (result) => {
      if (dryRun) log.info("Dry run: nothing was changed");
      const { problems = [] } = result;
      await run.output.result(path, result, log.warnings);
      for (const problem of problems) log.warn(problem);
      return problems.length > 0 ? EXIT_PROBLEMS : 0;
    });
  } finally {
    for (const close of commands.closers) await close();
  }
}
