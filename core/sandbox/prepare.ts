/**
 * Prepares a plugin to be run: reads its sources, takes the types out, verifies what they import,
 * and keeps copies of them in which the host has written each import. A worker imports nothing
 * but these copies.
 */

import { dirname, join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { CONTRACT } from "../contract_text.ts";
import { type PluginCache, type PreparedNote, sumOf } from "./cache.ts";
import type { FoundPlugin } from "./find.ts";
import { copyName, copyNames } from "./copies.ts";
import { missingEntry } from "./source_error.ts";
import { isInside, trustDirectory, type TrustedDirectory } from "./trust.ts";

/** How copies are made: told apart by it, so that no other version of the program takes them for its own. */
const WAY = `2 amaro@1.2.1 acorn@8.19.0 ${sumOf(CONTRACT)}`;

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

/** What is noted of a plugin that was prepared. */
interface Note extends PreparedNote {
  /** The files by the paths that they were found or imported by. */
  readonly files: readonly NotedFile[];
  /** The sums of the copies, by name. */
  readonly copies: Readonly<Record<string, string>>;
  /** The sources, in the order of the copies. */
  readonly sources: readonly string[];
}

interface NotedFile {
  readonly path: string;
  readonly realPath: string;
  readonly sha256: string;
}

/**
 * Prepares a plugin: what is unchanged since the last time is taken from the cache, once both the
 * sources and what was made of them have been compared with their hashes.
 *
 * @throws OperationError `plugin_refused` when a file may not be trusted, or imports what it may not
 * @throws OperationError `plugin_invalid` when it cannot be read, or is not valid
 */
export async function preparePlugin(
  plugin: Pick<FoundPlugin, "path" | "directory">,
  { cache, owner }: PrepareOptions,
): Promise<PreparedPlugin> {
  const trust = trustDirectory(plugin.directory, { owner });
  const key = keyOf(plugin);
  const note = cache.noteOf(key);
  if (isNote(note) && isUnchanged(note, { entry: plugin.path, trust })) {
    const directory = cache.filesOf(note.hash, note.copies);
    if (directory !== undefined) return prepared(note, directory);
  }
  const made = await make(plugin.path, trust);
  const directory = cache.keep(made.note.hash, made.copies);
  cache.note(key, made.note);
  return prepared(made.note, directory);
}

/**
 * The hash of a plugin that was prepared before and is unchanged; what was made of it is not looked
 * at, and has to be prepared before it is run.
 *
 * @param trust the plugin's directory, which several plugins may be read through
 * @throws OperationError as {@link preparePlugin} does
 */
export function unchangedHash(
  plugin: Pick<FoundPlugin, "path" | "directory">,
  { cache, trust }: { readonly cache: PluginCache; readonly trust: TrustedDirectory },
): string | undefined {
  const note = cache.noteOf(keyOf(plugin));
  return isNote(note) && isUnchanged(note, { entry: plugin.path, trust }) ? note.hash : undefined;
}

function keyOf({ directory, path }: Pick<FoundPlugin, "path" | "directory">): string {
  return sumOf(`${WAY}\n${directory}\n${path}`);
}

async function make(
  entry: string,
  trust: TrustedDirectory,
): Promise<{ note: Note; copies: Readonly<Record<string, string>> }> {
  const { readSources } = await import("./read_sources.ts");
  const { linkSources } = await import("./link.ts");
  const { observatoryModule } = await import("./observatory_module.ts");
  const { sources, paths } = await readSources(entry, trust);
  const copies = linkSources(sources, await observatoryModule());
  const sums = new Map(sources.map(({ file }) => [file.path, file.sha256]));
  const files = [...paths].map(([path, realPath]) => ({
    path,
    realPath,
    sha256: sums.get(realPath) ?? "",
  }));
  const realPaths = sources.map(({ file }) => file.path);
  return {
    copies,
    note: {
      hash: hashOf(files),
      entry,
      files,
      copies: Object.fromEntries(Object.entries(copies).map(([name, text]) => [name, sumOf(text)])),
      sources: realPaths,
    },
  };
}

/** The hash tells the files apart by their names and contents, not by where their folder is. */
function hashOf(files: readonly NotedFile[]): string {
  const folder = dirname(files[0]?.realPath ?? "");
  const lines = files.map(({ path, realPath, sha256 }) =>
    JSON.stringify([relative(folder, path), relative(folder, realPath), sha256])
  );
  return sumOf([WAY, ...lines].join("\n"));
}

/** Whether the files are those that were noted; they are trusted anew, since owners and modes change. */
function isUnchanged(
  { files, hash, sources }: Note,
  { entry, trust }: { readonly entry: string; readonly trust: TrustedDirectory },
): boolean {
  const [first] = files;
  if (first?.path !== entry || sources[0] !== first.realPath || hashOf(files) !== hash) {
    return false;
  }
  const folder = dirname(first.realPath);
  return files.every(({ path, realPath, sha256 }) => {
    // A note that leads elsewhere is not ours.
    if (path !== entry && !isInside(folder, path)) return false;
    const file = trust.read(path);
    if (file === undefined && path === entry) throw missingEntry(entry);
    return file?.path === realPath && file.sha256 === sha256 && isInside(folder, realPath);
  });
}

function prepared({ hash, sources }: Note, directory: string): PreparedPlugin {
  const urls = sources.map((_, index) => pathToFileURL(join(directory, copyName(index))).href);
  return {
    entryUrl: urls[0] ?? "",
    directory,
    hash,
    sources,
    origins: Object.fromEntries(urls.map((url, index) => [url, sources[index] ?? ""])),
    warnings: [],
  };
}

/** Whether what was found in the cache has the form of a note; whether it is true is seen later. */
function isNote(value: unknown): value is Note {
  if (typeof value !== "object" || value === null) return false;
  const { hash, entry, files, copies, sources } = value as Record<string, unknown>;
  return typeof hash === "string" && /^[0-9a-f]{64}$/.test(hash) && typeof entry === "string" &&
    Array.isArray(files) && files.every(isNotedFile) &&
    Array.isArray(sources) && sources.every((each) => typeof each === "string") &&
    typeof copies === "object" && copies !== null &&
    sameNames(Object.keys(copies), copyNames(sources.length)) &&
    Object.values(copies).every((sum) => typeof sum === "string");
}

/** All copies have a sum, or one without would run unseen. */
function sameNames(names: readonly string[], expected: readonly string[]): boolean {
  return names.length === expected.length && expected.every((name) => names.includes(name));
}

function isNotedFile(value: unknown): value is NotedFile {
  return typeof value === "object" && value !== null &&
    "path" in value && typeof value.path === "string" &&
    "realPath" in value && typeof value.realPath === "string" &&
    "sha256" in value && typeof value.sha256 === "string";
}
