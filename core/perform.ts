/** One command's operation, from its context to its result: steps 6 to 8 of a run. */
import {
  type CommandCall,
  type Context,
  OperationError,
  type Plan,
  type Plugin,
  type Plugins,
  type Result,
} from "./plugin.ts";
import { createContext } from "./context.ts";
import type { CommandEntry, CommandTree } from "./command_tree.ts";
import type { Configuration } from "./config.ts";
import type { HeldLocks, SharedDatabaseState } from "./database.ts";
import type { HostFlagValues } from "./global_flags.ts";
import type { Caller } from "./call.ts";
import type { CommandInput } from "./input.ts";
import type { Attempt, Audit } from "./audit/audit.ts";
import { pluginState } from "./plugin_state.ts";
import type { Run } from "./run.ts";

/** What the commands of one run have in common: the one of the line, and those that it runs. */
export interface Commands {
  readonly run: Run;
  readonly tree: CommandTree;
  readonly plugins: readonly Plugin[];
  /** What commands may ask about plugins. */
  readonly about: Plugins;
  /**
   * Lets a command be run by another one, or not.
   *
   * @throws OperationError of kind `refused`
   */
  readonly allow: (entry: CommandEntry) => void;
  readonly configuration: Configuration;
  readonly wait: number;
  readonly shared: SharedDatabaseState;
  /** What is closed at the end of the run. */
  readonly closers: (() => Promise<void>)[];
  /** Undefined where nothing is changed. */
  readonly audit: Audit | undefined;
}

/** One command with its input. */
export interface Performed {
  readonly entry: CommandEntry;
  readonly input: CommandInput;
  readonly dryRun: boolean;
  /** The words after the command's name, as far as they were typed. */
  readonly words?: readonly string[];
  /** The command that runs it; nobody is asked to confirm it then. */
  readonly parent?: string;
  /** How many commands run each other around it. */
  readonly depth?: number;
  /** The locks that are held around it. */
  readonly inherited?: HeldLocks;
}

/**
 * Performs one command.
 *
 * @param take what is done with the result while the command's database is still open
 * @returns what `take` returns
 */
export async function perform<T>(
  performed: Performed,
  commands: Commands,
  take: (result: Result) => T | Promise<T>,
): Promise<T> {
  const { run, configuration, wait, shared } = commands;
  const { entry: { command, path, plugin }, input, dryRun, depth = 0 } = performed;
  for (const secret of input.secrets) run.redactor.add(secret);
  // What writes is begun only under a configuration that is valid as a whole.
  if (command.database === "none") configuration.check();
  else if (command.effect !== "read") configuration.connection();
  // 6. The context; the database is opened when first used, and closed here.
  const caller: Caller = { path, effect: command.effect, dryRun, depth };
  const inherited: HeldLocks = performed.inherited ?? new Map();
  const held = new Map(inherited);
  const contextOf = (readOnly: boolean) =>
    createContext({
      run,
      configuration,
      dryRun,
      readOnly,
      database: command.database ?? "database",
      wait,
      shared,
      inherited,
      held,
      plugin: plugin.name,
      plugins: commands.about,
      call: (path, call) => callCommand({ path, call, caller, held }, commands),
    });
  const { context, close } = contextOf(command.effect === "read" || dryRun);
  let streams = false;
  return await audited(performed, commands.audit, async (attempt) => {
    try {
      // 7. What destroys is told, and confirmed.
      if (command.effect === "destroy") {
        await tellAndConfirm(performed, { commands, attempt, ...contextOf(true) });
      }
      await attempt?.begin();
      // 8. The operation, between its hooks; rows are part of it.
      let taken: { readonly value: T } | undefined;
      const result = await operate(performed, { commands, context }, async (result) => {
        streams = result.rows !== undefined;
        if (streams) taken = { value: await take(result) };
      });
      const value = taken === undefined ? await take(result) : taken.value;
      await attempt?.ended(result);
      return value;
    } finally {
      // Rows that are given to another command come from this one's database.
      if (streams && performed.parent !== undefined) commands.closers.push(close);
      else await close();
    }
  });
}

/** Does the work of a command that is audited, unless it only reads. */
async function audited<T>(
  { entry, input, parent, dryRun }: Performed,
  audit: Audit | undefined,
  work: (attempt: Attempt | undefined) => Promise<T>,
): Promise<T> {
  if (audit === undefined || dryRun || entry.command.effect === "read") {
    return await work(undefined);
  }
  const attempt = await audit.attempt({ entry, input, parent });
  try {
    return await work(attempt);
  } catch (error) {
    await attempt.failed(error);
    throw error;
  } finally {
    // All of a run at its end: what it has done may have put another database in the place of this one.
    if (parent === undefined) await audit.flush();
  }
}

async function callCommand(
  { path, call, caller, held }: {
    path: string;
    call: CommandCall;
    caller: Caller;
    held: HeldLocks;
  },
  commands: Commands,
): Promise<Result> {
  const { tree, configuration } = commands;
  const entry = tree.byName.get(path);
  if (entry === undefined) {
    throw new OperationError(`Cannot run "${path}": there is no such command`, {
      kind: "usage",
      code: "unknown_command",
    });
  }
  commands.allow(entry);
  const { wordsOfCall } = await import("./call.ts");
  const { flagVariables, readCommandLine } = await import("./input.ts");
  const env = flagVariables(entry.command, (name) => configuration.get(name));
  const words = wordsOfCall(call, entry, caller);
  const input = readCommandLine(words, { entry, env }).input();
  const dryRun = input.hostFlags["dry-run"] === true;
  const depth = caller.depth + 1;
  const nested = { entry, input, dryRun, parent: caller.path, depth, inherited: held };
  return await perform(nested, commands, (result) => result);
}

async function tellAndConfirm(
  { entry: { command, path }, input, dryRun, words, parent }: Performed,
  { commands: { run }, attempt, context, close }: {
    commands: Commands;
    attempt: Attempt | undefined;
    context: Context;
    close(): Promise<void>;
  },
): Promise<void> {
  const { force, confirm }: HostFlagValues = input.hostFlags;
  const asks = run.host.interactive && parent === undefined;
  try {
    const planned = await command.plan?.(context, input) ?? "";
    const plan: Plan = typeof planned === "string" ? { text: planned } : planned;
    attempt?.planned(plan);
    // Who is asked must see what the question is about, however quiet the run is.
    const destroys = plan.destroys !== false;
    const level = destroys && asks && force !== true && confirm === undefined ? "error" : "info";
    if (plan.text !== "") run.log.note(plan.text, level);
    if (dryRun || !destroys) return;
    const { confirmDestruction } = await import("./confirm.ts");
    const { database, host: server, port } = context.db.target;
    await confirmDestruction({
      command: path,
      ...(words === undefined ? {} : { words }),
      database: plan.database ?? database,
      server: `${server}:${port}`,
      force: force === true,
      confirm,
      production: context.config.get("ENVIRONMENT") === "production",
      ask: asks ? context.prompt : undefined,
    });
  } finally {
    await close();
  }
}

async function operate(
  { entry: { command, path, plugin }, input }: Performed,
  { commands: { run, plugins }, context }: { commands: Commands; context: Context },
  done: (result: Result) => Promise<void>,
): Promise<Result> {
  const work = async () => {
    const result = await command.run(context, input);
    await done(result);
    return result;
  };
  // What tells of plugins works beside a broken one: that is what it is for.
  const hooked = plugin.name !== "plugin" && plugins.some(({ hooks }) => hooks !== undefined);
  if (!hooked) return await work();
  const { runBetweenHooks } = await import("./hooks.ts");
  return await runBetweenHooks(work, {
    plugins,
    event: { command: path, effect: command.effect, flags: input.hookFlags, args: input.args },
    // The same context, but for what each plugin keeps for itself.
    context: ({ name }) =>
      Object.create(context, { state: { value: pluginState(name, () => context.db) } }),
    log: run.log,
    redact: (text) => run.redactor.text(text),
  });
}
