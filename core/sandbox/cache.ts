/** Where prepared plugins are kept from run to run. */

/** Where prepared plugins are kept. */
export interface PluginCache {
  /** Its directory: an absolute path without links, this user's alone. */
  readonly directory: string;
  /** Whether it ends with the run, and why nothing is kept; undefined when all is. */
  readonly temporary: string | undefined;
  /** What was remembered of a plugin's declaration; undefined when nothing was, or not unchanged. */
  declarationOf(hash: string): unknown;
  /** Remembers what a plugin declares: JSON, by the hash of its sources. */
  rememberDeclaration(hash: string, declaration: unknown): void;
  /** Removes what is not kept; safe to call twice. */
  close(): void;
}

/**
 * Opens the cache: `$XDG_CACHE_HOME/observatory`, else `~/.cache/observatory`, else, where neither
 * can be written to, a directory of this run alone.
 *
 * @throws OperationError `plugin_refused` when the directory is not this user's alone
 */
export function openPluginCache(
  _env: Readonly<Record<string, string | undefined>>,
): PluginCache {
  throw new Error("Not there yet");
}
