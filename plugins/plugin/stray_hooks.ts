/** Hooks that nothing calls: a misspelt guard guards nothing, and nobody notices. */
import type { PluginStatus } from "../../core/plugin.ts";

/** Commands without hooks: they tell of plugins, broken ones too. */
const WITHOUT_HOOKS = /^(help|version|plugin (?!run ).*)$/;

/**
 * Tells of each hook of a plugin whose command there is not.
 *
 * @param all the plugins of the run, with their commands
 */
export function strayHooks(
  { name, hooks, commands }: PluginStatus,
  all: readonly PluginStatus[],
): string[] {
  const known = new Set(["*", ...Object.keys(commands), ...all.flatMap(commandsOf)]);
  return hooks.flatMap((hook) => {
    const command = hook.slice(hook.indexOf(":") + 1);
    if (WITHOUT_HOOKS.test(command)) {
      return `The hook "${hook}" of plugin ${name} is never called: ${command} has no hooks`;
    }
    return known.has(command)
      ? []
      : `The hook "${hook}" of plugin ${name} is never called: there is no command "${command}"`;
  });
}

/** By its own name, and by the one that reaches it when that is taken. */
function commandsOf({ name, commands }: PluginStatus): string[] {
  return Object.keys(commands).flatMap((path) => [path, `plugin run ${name} ${path}`]);
}
