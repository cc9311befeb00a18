/** Hooks around an operation: sequential, awaited, and blamed by name. */
import {
  type Context,
  type HookEvent,
  type HookMoment,
  OperationError,
  type Plugin,
  type Result,
} from "./plugin.ts";
import { reportOf, SignalError } from "./errors.ts";
import type { RunLog } from "./log.ts";

/** What is needed to call the hooks of one operation. */
export interface HookCall {
  readonly plugins: readonly Plugin[];
  readonly event: Omit<HookEvent, "moment">;
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
  let outcome: Pick<HookEvent, "result" | "error">;
  try {
    await callHooks("before", call);
    result = await work();
    outcome = { result: result.data };
  } catch (error) {
    const { code, message } = reportOf(error);
    outcome = { error: { code, message: redact(message) } };
    failures.push(error);
  }
  const told = { ...call, event: { ...call.event, ...outcome } };
  for (const moment of [result === undefined ? "failed" : "after", "always"] as const) {
    await callHooks(moment, told).catch((error) => failures.push(error));
  }
  for (const error of failures.slice(1)) log.error(reportOf(error).message);
  if (result === undefined || failures.length > 0) throw failures[0];
  return result;
}

/**
 * Calls all hooks of one moment: in the plugins' order at `before`, in reverse
 * order afterwards, as brackets close.
 *
 * @throws OperationError of the first hook that fails; `before` then stops the operation
 * @throws SignalError as it is, when a hook was ended by a signal
 */
export async function callHooks(moment: HookMoment, call: HookCall): Promise<void> {
  const { plugins } = call;
  const names = [`${moment}:*`, `${moment}:${call.event.command}`] as const;
  const ordered = moment === "before" ? names : names.toReversed();
  for (const plugin of moment === "before" ? plugins : plugins.toReversed()) {
    for (const name of ordered) {
      const hook = plugin.hooks?.[name];
      if (hook === undefined) continue;
      try {
        await hook(call.context(plugin), { ...call.event, moment });
      } catch (error) {
        if (error instanceof SignalError) throw error;
        throw blamed(error, { plugin: plugin.name, name, moment, command: call.event.command });
      }
    }
  }
}

function blamed(
  error: unknown,
  at: { plugin: string; name: string; moment: HookMoment; command: string },
): OperationError {
  const { message, hint, excerpt } = reportOf(error);
  const expected = error instanceof OperationError;
  const said = error instanceof Error && !expected ? error.message : message;
  // Its name is told once.
  const own = `Plugin ${at.plugin} failed: `;
  const reason = said.startsWith(own) ? said.slice(own.length) : said;
  const consequence = at.moment === "before"
    ? `${at.command} was not started`
    : at.moment === "after"
    ? `${at.command} itself succeeded`
    : `${at.command} had ended before`;
  return new OperationError(
    `The hook "${at.name}" of plugin ${at.plugin} failed: ${reason}; ${consequence}`,
    {
      kind: expected ? error.kind : "failed",
      code: "hook_failed",
      ...(expected && hint !== undefined ? { hint } : {}),
      ...(expected && excerpt !== undefined ? { excerpt } : {}),
      cause: error,
      details: { plugin: at.plugin, hook: at.name },
    },
  );
}
