/** Hooks around an operation: sequential, awaited, and blamed by name. */
import {
  type Context,
  type HookEvent,
  type HookMoment,
  OperationError,
  type Plugin,
} from "./plugin.ts";

/** What is needed to call the hooks of one operation. */
export interface HookCall {
  readonly plugins: readonly Plugin[];
  readonly event: Omit<HookEvent, "moment">;
  /** Makes the context for a plugin. */
  readonly context: (plugin: Plugin) => Context;
}

/**
 * Calls all hooks of one moment: in the plugins' order at `before`, in reverse
 * order afterwards, as brackets close.
 *
 * @throws OperationError of the first hook that fails; `before` then stops the operation
 */
export async function callHooks(moment: HookMoment, call: HookCall): Promise<void> {
  const plugins = moment === "before" ? call.plugins : call.plugins.toReversed();
  for (const plugin of plugins) {
    for (const name of [`${moment}:*`, `${moment}:${call.event.command}`] as const) {
      const hook = plugin.hooks?.[name];
      if (hook === undefined) continue;
      try {
        await hook(call.context(plugin), { ...call.event, moment });
      } catch (error) {
        throw blamed(error, { plugin: plugin.name, name, moment, command: call.event.command });
      }
    }
  }
}

function blamed(
  error: unknown,
  at: { plugin: string; name: string; moment: HookMoment; command: string },
): OperationError {
  const reason = error instanceof Error ? error.message : String(error);
  const consequence = at.moment === "before"
    ? `${at.command} was not started`
    : at.moment === "after"
    ? `${at.command} itself succeeded`
    : `${at.command} had ended before`;
  return new OperationError(
    `The hook "${at.name}" of plugin ${at.plugin} failed: ${reason}; ${consequence}`,
    {
      kind: error instanceof OperationError ? error.kind : "failed",
      code: "hook_failed",
      cause: error,
      details: { plugin: at.plugin, hook: at.name },
    },
  );
}
