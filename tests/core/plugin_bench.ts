/** Plugins on the disk with a cache of their own, for the tests of how they are prepared. */

import assert from "assert";
import { join } from "node:path";
import { openPluginCache, type PluginCache } from "../../core/sandbox/cache.ts";
import { type PreparedPlugin, preparePlugin } from "../../core/sandbox/prepare.ts";
import { type Entry, type PluginFolder, withFolder } from "./plugin_folder.ts";

/** A plugin directory with a cache of its own beside it. */
export interface Bench extends PluginFolder {
  readonly cache: PluginCache;
  /** The value of `XDG_CACHE_HOME`. */
  readonly caches: string;
  /** Prepares a file of the directory. */
  prepare(name: string): Promise<PreparedPlugin>;
  /** Prepares a file and imports it, as a worker would. */
  load(name: string): Promise<Record<string, unknown>>;
}

/** Runs `work` with a plugin directory and an empty cache. */
export async function withPlugins(
  entries: Readonly<Record<string, Entry>>,
  work: (bench: Bench) => Promise<void>,
): Promise<void> {
  await withFolder({}, async (caches) => {
    await withFolder(entries, async (folder) => {
      const cache = openPluginCache({ XDG_CACHE_HOME: caches.path });
      const prepare = (name: string) =>
        preparePlugin({ path: join(folder.path, name), directory: folder.path }, { cache });
      try {
        await work({
          ...folder,
          cache,
          caches: caches.path,
          prepare,
          load: async (name) => await import((await prepare(name)).entryUrl),
        });
      } finally {
        cache.close();
      }
    });
  });
}

/** What is said of a file that is not prepared. */
export interface Expected {
  readonly code: "plugin_refused" | "plugin_invalid";
  /** Line and column. */
  readonly at?: string;
  readonly message: RegExp;
  readonly hint?: RegExp;
}

/** Asserts that a file is not prepared, and what is said of it. */
export async function assertNotPrepared(
  { path, prepare }: Bench,
  name: string,
  { code, at, message, hint }: Expected,
): Promise<void> {
  const error = await prepare(name).then(() => undefined, (reason) => reason);
  assert.ok(error instanceof Error, `${name} was prepared`);
  assert.equal(error.name, "OperationError", `${error.stack}`);
  assert.ok("code" in error && "hint" in error && "kind" in error);
  assert.equal(error.code, code, error.message);
  assert.equal(error.kind, code === "plugin_refused" ? "refused" : "failed");
  assert.match(error.message, message);
  if (at !== undefined) {
    assert.ok(error.message.includes(`"${join(path, name)}:${at}"`), error.message);
  }
  if (hint !== undefined) assert.match(String(error.hint), hint);
}
