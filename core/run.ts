/** One run, from the command line to the exit code; readable from top to bottom. */
import type { Command, Context, Plugin, Result } from "./plugin.ts";
import { ENDING_SIGNALS, type Host } from "./host.ts";
import { type ErrorReport, EXIT_BUG, EXIT_PROBLEMS, reportOf, SignalError } from "./errors.ts";
import { createLog, type LogLevel, type RunLog } from "./log.ts";
import { createOutput, type Output } from "./output.ts";
import { createProgressLine, type ProgressLine } from "./progress.ts";
import { createRedactor, type Redactor } from "./redact.ts";
import { type CommandEntry, splitLeadingFlags } from "./command_tree.ts";
import type { HostFlagValues } from "./global_flags.ts";
import type { CommandInput } from "./input.ts";

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
  readonly state: { command: string | undefined; level: LogLevel };
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
  // 1. The version is answered before anything else is loaded.
  const { leading, rest } = splitLeadingFlags(args);
  if (
    leading.includes("--version") || leading.includes("-V") ||
    (rest[0] === "version" && rest.length === 1)
  ) {
    const { versionText } = await import("./version.ts");
    host.stdout.write(await versionText(host, { json: args.includes("--json") }));
    return 0;
  }
  // 2. How the run speaks is settled next, so that every error is told that way.
  const ending = new AbortController();
  const run = startRun(args, host, ending.signal);
  const stopListening = listen(run, ending);
  try {
    // 3. Help, or a command.
    const { buildCommandTree, findCommand } = await import("./command_tree.ts");
    const { builtIns } = await import("../plugins/mod.ts");
    const tree = buildCommandTree(options.plugins ?? builtIns);
    if (asksForHelp(leading, rest)) {
      const { help } = await import("./help.ts");
      run.state.command = "help";
      run.output.result("help", help(rest.slice(1), { tree, builtIns }), run.log.warnings);
      return 0;
    }
    const { entry, words } = findCommand(tree, args);
    run.state.command = entry.path;
    if (words.includes("--help") || words.includes("-h")) {
      const { commandHelp } = await import("./help.ts");
      const text = commandHelp(entry, tree);
      run.output.result("help", { data: { text }, text }, run.log.warnings);
      return 0;
    }
    return await runCommand(run, { entry, words, plugins: options.plugins ?? builtIns });
  } catch (error) {
    return fail(run, reportOf(error));
  } finally {
    run.progress.clear();
    stopListening();
  }
}

function asksForHelp(leading: readonly string[], rest: readonly string[]): boolean {
  return rest.length === 0 || rest[0] === "help" || leading.includes("--help") ||
    leading.includes("-h");
}

function startRun(args: readonly string[], host: Host, signal: AbortSignal): Run {
  const early = earlyFlags(args, host);
  const redactor = createRedactor();
  const redact = (text: string) => redactor.text(text);
  const state: Run["state"] = { command: undefined, level: early.level ?? "info" };
  const progress = createProgressLine({
    stream: host.stderr,
    enabled: early.level !== "warn" && early.logFormat === "text",
    now: host.now,
    redact,
  });
  const log = createLog({
    stream: host.stderr,
    format: early.logFormat,
    level: () => early.level ?? state.level,
    colour: early.colour,
    redact,
    now: host.now,
    runId: crypto.randomUUID(),
    command: () => state.command,
    beforeLine: progress.clear,
  });
  return {
    host,
    log,
    output: createOutput({ stdout: host.stdout, json: early.json, redact }),
    progress,
    redactor,
    signal,
    state,
  };
}

/** Reads what decides the form of the output, however wrong the rest of the line may be. */
function earlyFlags(args: readonly string[], host: Host) {
  const value = (name: string) => {
    const index = args.findIndex((word) => word === name || word.startsWith(`${name}=`));
    const word = args[index];
    return word === undefined
      ? undefined
      : word === name
      ? args[index + 1]
      : word.slice(name.length + 1);
  };
  const { NO_COLOR, FORCE_COLOR, TERM, LOG_FORMAT } = host.env;
  const color = value("--color") ?? (NO_COLOR ? "never" : FORCE_COLOR ? "always" : "auto");
  const level: LogLevel | undefined = args.includes("--quiet") || args.includes("-q")
    ? "warn"
    : args.includes("--verbose")
    ? "debug"
    : undefined;
  return {
    json: args.includes("--json"),
    level,
    logFormat: (value("--log-format") ?? LOG_FORMAT) === "json" ? "json" as const : "text" as const,
    colour: color === "always" || (color === "auto" && host.stderr.isTerminal && TERM !== "dumb"),
  };
}

/** The first signal asks the run to end; a second one ends it at once. */
function listen(run: Run, ending: AbortController): () => void {
  let grace: ReturnType<typeof setTimeout> | undefined;
  const stopUnhandled = run.host.onUnhandled((error) => {
    // What nobody waited for: the state of the run is unknown, so it goes no further.
    run.host.exit(fail(run, { ...reportOf(error), kind: "bug", exit: EXIT_BUG }));
  });
  const stop = run.host.onSignal((name) => {
    const code = 128 + ENDING_SIGNALS[name];
    if (ending.signal.aborted) return run.host.exit(code);
    run.log.warn(`${name} received: cancelling; a second signal ends at once`);
    ending.abort(new SignalError(name));
    grace = setTimeout(() => {
      run.log.error(`Still busy ${GRACE_MILLISECONDS / 1000} s after ${name}: ending now`);
      run.host.exit(code);
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
  if (report.kind !== "signal") report.message.split("\n").forEach((line) => run.log.error(line));
  // The excerpt and the hint belong to the error line above them, not to the log's format.
  const more = [report.excerpt, report.hint && `Hint: ${report.hint}`].filter((text) => text);
  for (const text of more) run.log.note(`${text}`);
  run.output.failure(run.state.command, report, run.log.warnings);
  return report.exit;
}

interface Called {
  readonly entry: CommandEntry;
  readonly words: readonly string[];
  readonly plugins: readonly Plugin[];
}

async function runCommand(run: Run, { entry, words, plugins }: Called): Promise<number> {
  const { host, log } = run;
  const { command, path } = entry;
  // 4. Flags and arguments, with all their problems at once.
  const { readInput } = await import("./input.ts");
  const input = readInput(words, { entry, env: host.env });
  const flags: HostFlagValues = input.flags;
  for (const secret of input.secrets) run.redactor.add(secret);
  // 5. Configuration, and its secrets to the redactor before a line is written.
  const { readConfiguration } = await import("./read_configuration.ts");
  const configuration = await readConfiguration({
    host,
    flags: input.flags,
    envFile: flags["env-file"],
  });
  for (const secret of configuration.secrets()) run.redactor.add(secret);
  run.state.level = logLevel(configuration.get("LOG_LEVEL"));
  for (const warning of configuration.warnings) log.warn(warning);
  // 6. The context; the database is opened when first used, and closed here.
  const dryRun = flags["dry-run"] === true;
  const { createContext } = await import("./context.ts");
  const { context, close } = createContext({
    run,
    configuration,
    dryRun,
    readOnly: command.effect === "read" || dryRun,
    database: command.database ?? "database",
    wait: flags.wait ?? 60,
  });
  try {
    // 7. What destroys is confirmed.
    if (command.effect === "destroy" && !dryRun) await confirm({ run, context, flags, path });
    // 8. The operation, between its hooks.
    const result = await operate({ command, path, plugins, context, input });
    // 9. The result.
    if (dryRun) log.info("Dry run: nothing was changed");
    run.output.result(path, result, log.warnings);
    for (const problem of result.problems ?? []) log.warn(problem);
    return (result.problems?.length ?? 0) > 0 ? EXIT_PROBLEMS : 0;
  } finally {
    await close();
  }
}

function logLevel(value: string | undefined): LogLevel {
  return value === "debug" || value === "warn" || value === "error"
    ? value
    : value === "trace"
    ? "debug"
    : "info";
}

async function confirm(
  { run, context, flags, path }: {
    run: Run;
    context: Context;
    flags: HostFlagValues;
    path: string;
  },
): Promise<void> {
  const { confirmDestruction } = await import("./confirm.ts");
  const { host } = run;
  const { database, host: server, port } = context.db.target;
  await confirmDestruction({
    command: path,
    database,
    server: `${server}:${port}`,
    force: flags.force === true,
    confirm: flags.confirm,
    production: context.config.get("ENVIRONMENT") === "production",
    ask: host.interactive
      ? (question) => {
        host.stderr.write(question);
        return host.readLine();
      }
      : undefined,
  });
}

interface Operation {
  readonly command: Command;
  readonly path: string;
  readonly plugins: readonly Plugin[];
  readonly context: Context;
  readonly input: CommandInput;
}

async function operate({ command, path, plugins, context, input }: Operation): Promise<Result> {
  if (!plugins.some((plugin) => plugin.hooks !== undefined)) {
    return await command.run(context, input);
  }
  const { callHooks } = await import("./hooks.ts");
  const event = { command: path, effect: command.effect, flags: input.flags, args: input.args };
  const call = (moment: "before" | "after" | "failed" | "always", more = {}) =>
    callHooks(moment, { plugins, event: { ...event, ...more }, context: () => context });
  let outcome: { result?: unknown; error?: { code: string; message: string } } = {};
  try {
    await call("before");
    const result = await command.run(context, input);
    outcome = { result: result.data };
    await call("after", outcome);
    return result;
  } catch (error) {
    const { code, message } = reportOf(error);
    if (outcome.result === undefined) {
      outcome = { error: { code, message } };
      await call("failed", outcome);
    }
    throw error;
  } finally {
    await call("always", outcome);
  }
}
