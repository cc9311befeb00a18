/** A user's plugin in a worker of its own, from the host's side. */

import type {
  Arguments,
  Context,
  Flags,
  HookEvent,
  Input,
  Permissions,
  Result,
} from "../plugin.ts";
import type { PluginDeclaration } from "./declaration.ts";
import type { GuestLimits } from "./limits.ts";
import type { PreparedPlugin } from "./prepare.ts";

/** What a guest is started with. */
export interface GuestOptions {
  /** What the plugin is called in messages until it has told its name. */
  readonly name: string;
  readonly plugin: PreparedPlugin;
  /** The directory of the cache: the guest's own modules are kept there too. */
  readonly cacheDirectory: string;
  /** What it has declared that it needs; by default nothing. */
  readonly permissions?: Permissions;
  /** By default {@link GUEST_LIMITS}. */
  readonly limits?: Partial<GuestLimits>;
  /** Absolute paths that it may never write below: plugin directories, the cache, the program. */
  readonly locked?: readonly string[];
  /** Absolute paths that it may never read, whatever it has declared: files with secrets. */
  readonly hidden?: readonly string[];
  /** Told what it logs while no command or hook of it runs. */
  readonly debug?: (line: string) => void;
}

/** A plugin that has been loaded in its worker. */
export interface Guest {
  readonly declaration: PluginDeclaration;
  /** Why it was ended, when it has been: it is of no further use then. */
  readonly ended: Error | undefined;
  /**
   * Runs a command.
   *
   * @throws OperationError what the plugin throws; else `plugin_failed`, `plugin_hung`,
   * `plugin_memory` or `plugin_protocol`, naming the plugin and the place in its source
   */
  run(command: string, input: Input<Flags, Arguments>, context: Context): Promise<Result>;
  /** Tells what a destroying command is about to do; throws as `run` does. */
  plan(command: string, input: Input<Flags, Arguments>, context: Context): Promise<string>;
  /** Calls a hook by its full name, such as `after:backup`; throws as `run` does. */
  hook(name: string, event: HookEvent, context: Context): Promise<void>;
  /** Ends it, whatever it does; safe to call twice. */
  end(): Promise<void>;
}

/**
 * Starts a worker, hardens it and loads a plugin in it.
 *
 * @throws OperationError `plugin_failed` when the plugin cannot be loaded, `plugin_hung` when that
 * takes too long, `plugin_invalid` when what it declares is not valid, `plugin_incompatible` when
 * it is written for another version of the contract
 */
export function startGuest(_options: GuestOptions): Promise<Guest> {
  return Promise.reject(new Error("Not there yet"));
}
