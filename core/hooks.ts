/** Hooks around an operation: sequential, awaited, and blamed by name. */
import {
  type Context,
  type Hook,
  type HookEvent,
  type HookFacts,
  type HookMoment,
  OperationError,
  type Plugin,
  type Result,
} from "./plugin.ts";
import { reportOf, SignalError } from "./errors.ts";
import type { RunLog } from "./log.ts";

/** What has come of the operation so far. */
type Outcome = Partial<Pick<HookEvent, "result" | "error">>;

/** What is needed to call the hooks of one operation. */
export interface HookCall {
  readonly plugins: readonly Plugin[];
  readonly event: Omit<HookFacts, "moment"> & Outcome;
  /** Makes the context for a plugin. */
  readonly context: (plugin: Plugin) => Context;
}

/**
 * Runs an operation between its hooks: `before`, the operation, `after` or
 * `failed`, `always`. What goes wrong first decides how it ends, and the rest is
 * logged beside it.
 */
export async function runBetweenHooks(
  work: () => Promise<Result>,
  { log, redact, ...call }: HookCall & {
    readonly log: RunLog;
    /** Masks secrets in the message that `failed` hooks are told. */
    readonly redact: (text: string) => string;
  },
): Promise<Result> {
  const failures: unknown[] = [];
  let result: Result | undefined;
  let outcome: Outcome;
  try {
    const [stopped] = await callHooks("before", call);
    if (stopped !== undefined) throw stopped;
    result = await work();
    outcome = { result: result.data };
  } catch (error) {
    const { code, message } = reportOf(error);
    outcome = { error: { code, message: redact(message) } };
    failures.push(error);
  }
  const told = { ...call, event: { ...call.event, ...outcome } };
  for (const moment of [result === undefined ? "failed" : "after", "always"] as const) {
    failures.push(...await callHooks(moment, told).catch((error) => [error]));
  }
  for (const error of laterFailures(failures)) log.error(reportOf(error).message);
  if (result === undefined || failures.length > 0) throw failures[0];
  return result;
}

/** What went wrong beside the first: a plugin that was ended is not told of at each of its hooks. */
function laterFailures([first, ...later]: readonly unknown[]): unknown[] {
  const told = new Set([causeOf(first)]);
  return later.filter((error) => {
    const isNew = !told.has(causeOf(error));
    told.add(causeOf(error));
    return isNew;
  });
}

function causeOf(error: unknown): unknown {
  return error instanceof OperationError && error.code === "hook_failed" ? error.cause : error;
}

/**
 * Calls all hooks of one moment: in the plugins' order at `before`, in reverse
 * order afterwards, as brackets close. At `before` the first that fails stops
 * the operation and so the rest; afterwards every plugin is called all the same.
 *
 * @returns what failed, each an OperationError that names the hook
 * @throws SignalError as it is, when a hook was ended by a signal
 */
export async function callHooks(moment: HookMoment, call: HookCall): Promise<OperationError[]> {
  const { plugins, event } = call;
  const failures: OperationError[] = [];
  const names = [`${moment}:*`, `${moment}:${event.command}`] as const;
  const ordered = moment === "before" ? names : names.toReversed();
  for (const plugin of moment === "before" ? plugins : plugins.toReversed()) {
    for (const name of ordered) {
      // The moment is its own, and what has come of the operation is what it is told then.
      const hook = plugin.hooks?.[name] as Hook | undefined;
      if (hook === undefined) continue;
      try {
        await hook(call.context(plugin), { ...event, moment } as HookEvent);
      } catch (error) {
        if (error instanceof SignalError) throw error;
        failures.push(blamed(error, { plugin: plugin.name, name, moment, event }));
        if (moment === "before") return failures;
      }
    }
  }
  return failures;
}

/** A hook that runs the command which it is called around is blamed once. */
function isOwnFailure(
  error: unknown,
  { plugin, name }: { readonly plugin: string; readonly name: string },
): error is OperationError {
  return error instanceof OperationError && error.code === "hook_failed" &&
    error.details["plugin"] === plugin && error.details["hook"] === name;
}

function blamed(
  error: unknown,
  at: {
    readonly plugin: string;
    readonly name: string;
    readonly moment: HookMoment;
    readonly event: HookCall["event"];
  },
): OperationError {
  if (isOwnFailure(error, at)) return error;
  const { message, hint, excerpt } = reportOf(error);
  const expected = error instanceof OperationError;
  const said = error instanceof Error && !expected ? error.message : message;
  // Its name is told once.
  const own = `Plugin ${at.plugin} failed: `;
  const reason = said.startsWith(own) ? said.slice(own.length) : said;
  const { command, error: failure } = at.event;
  const consequence = at.moment === "before"
    ? `${command} was not started`
    : at.moment === "failed" || failure !== undefined
    ? `${command} had failed before`
    : `${command} itself succeeded`;
  return new OperationError(
    `The hook "${at.name}" of plugin ${at.plugin} failed: ${reason}; ${consequence}`,
    {
      kind: expected ? error.kind : "failed",
      code: "hook_failed",
      ...(expected && hint !== undefined ? { hint } : {}),
      ...(expected && excerpt !== undefined ? { excerpt } : {}),
      cause: error,
      // The place in the plugin's source, where it is known.
      details: {
        plugin: at.plugin,
        hook: at.name,
        ...(expected && "at" in error.details ? { at: error.details["at"] } : {}),
      },
    },
  );
}
