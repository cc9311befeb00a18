/** What a plugin declares, as data: the plugin without its functions. */

import type { Command, Permissions, Plugin } from "../plugin.ts";

/** A command without its functions. */
export interface CommandDeclaration extends Omit<Command, "run" | "plan"> {
  /** Whether it tells what it is about to do. */
  readonly plans: boolean;
}

/** A plugin without its functions: JSON, so that it can be remembered. */
export interface PluginDeclaration extends Pick<Plugin, "name" | "api" | "summary"> {
  readonly commands: Readonly<Record<string, CommandDeclaration>>;
  /** The names of its hooks, such as `after:backup`. */
  readonly hooks: readonly string[];
  readonly permissions: Permissions;
}
