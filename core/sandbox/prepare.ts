/** Prepares a plugin to be run: reads, checks and copies its sources. */

import type { PluginCache } from "./cache.ts";
import type { FoundPlugin } from "./find.ts";

/** A plugin that can be loaded. */
export interface PreparedPlugin {
  /** The address of its entry, to be imported in its worker. */
  readonly entryUrl: string;
  /** The directory that holds everything that its worker imports. */
  readonly directory: string;
  /** The hash of all its sources and of how they were prepared. */
  readonly hash: string;
  /** Its sources: absolute paths without links, the entry first. */
  readonly sources: readonly string[];
  /** The source of each prepared file, by its address: lines and columns are the same in both. */
  readonly origins: Readonly<Record<string, string>>;
  /** What its author should know; lines for people. */
  readonly warnings: readonly string[];
}

/** How plugins are prepared. */
export interface PrepareOptions {
  readonly cache: PluginCache;
  /** One more user that files may belong to, beside root and the current one: `PLUGINS_OWNER`. */
  readonly owner?: number | undefined;
}

/**
 * Prepares a plugin: what is unchanged since the last time is taken from the cache, once both the
 * sources and what was made of them have been compared with their hashes.
 *
 * @throws OperationError `plugin_refused` when a file may not be trusted, or imports what it may not
 * @throws OperationError `plugin_invalid` when it cannot be read, or is not valid
 */
export function preparePlugin(
  _plugin: FoundPlugin,
  _options: PrepareOptions,
): Promise<PreparedPlugin> {
  return Promise.reject(new Error("Not there yet"));
}
