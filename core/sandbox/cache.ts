/** Where prepared plugins are kept from run to run. */

import { hash } from "node:crypto";
import { join } from "node:path";
import {
  makeRunDirectory,
  openCacheDirectory,
  reasonOf,
  removeIfThere,
  type UsableDirectory,
  writeWhole,
} from "./cache_directory.ts";

/** Milliseconds that what nothing refers to is kept: a run may just be loading it. */
const KEPT = 24 * 60 * 60 * 1000;

/** What a plugin declares, or why it could not be loaded. */
export type Remembered = "declaration" | "failure";

/** Where prepared plugins are kept. */
export interface PluginCache {
  /** The directories that are used so far, without links: the permissions of no plugin may reach there. */
  directories(): readonly string[];
  /** Why nothing is kept from run to run; undefined as long as everything is. */
  unusable(): string | undefined;
  /** What was remembered of a plugin; undefined when nothing was, or not unchanged. */
  recall(what: Remembered, hash: string): unknown;
  /** Remembers JSON by the hash of a plugin's sources. */
  remember(what: Remembered, hash: string, value: unknown): void;
  /** Removes what is not kept; safe to call twice. */
  close(): void;
  /** What was noted under a key: JSON that somebody else may have written. */
  noteOf(key: string): unknown;
  note(key: string, note: PreparedNote): void;
  /** The directory of prepared files, if each is there and has its sum. */
  filesOf(hash: string, sums: Readonly<Record<string, string>>): string | undefined;
  /** Keeps prepared files; several processes may do so at once. Returns their directory. */
  keep(hash: string, files: Readonly<Record<string, string>>): string;
}

/** What the cache itself reads in a note: which files it is about. */
export interface PreparedNote {
  readonly hash: string;
  /** The plugin's file; a note of one that is gone is dropped. */
  readonly entry: string;
}

/** The hash of a text, in lower-case hexadecimal. */
export function sumOf(text: string | Uint8Array): string {
  return hash("sha256", text);
}

/**
 * Opens the cache: `$XDG_CACHE_HOME/observatory`, else `~/.cache/observatory`; where that is not
 * this user's alone, or cannot be written to, a directory of this run alone. Nothing is made before
 * it is needed.
 */
export function openPluginCache(
  env: Readonly<Record<string, string | undefined>>,
): PluginCache {
  let opened: UsableDirectory | undefined;
  let failure: string | undefined;
  let own: string | undefined;
  const kept = () => (opened ??= openCacheDirectory(env)).path;
  /** Writes to the kept directory; where that fails, to the one of this run. */
  const store = <T>(write: (root: string) => T): T => {
    const root = failure === undefined ? kept() : undefined;
    if (root !== undefined) {
      try {
        return write(root);
      } catch (error) {
        // Such as a file system that is full, or mounted read-only.
        failure = `"${root}" cannot be written to: ${reasonOf(error)}`;
      }
    }
    return write(own ??= makeRunDirectory());
  };
  const find = <T>(read: (root: string) => T | undefined): T | undefined => {
    for (const root of [own, kept()]) {
      const found = root === undefined ? undefined : read(root);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return {
    directories: () => [kept(), own].filter((path) => path !== undefined),
    unusable: () => failure ?? opened?.unusable,
    recall: (what, hash) =>
      find((root) => readRemembered(join(root, `${hash}.${what}.json`), hash)),
    remember(what, hash, value) {
      const json = JSON.stringify(value);
      const text = JSON.stringify({ sum: sumOf(`${hash}\n${json}`), json });
      store((root) => writeWhole(join(root, `${hash}.${what}.json`), text));
    },
    noteOf: (key) => find((root) => readJson(join(root, `${key}.note.json`))),
    note(key, note) {
      store((root) => {
        // Before, so that what this note replaces stays until the next time.
        dropUnused(root);
        writeWhole(join(root, `${key}.note.json`), JSON.stringify(note));
      });
    },
    filesOf: (hash, sums) => find((root) => verified(join(root, hash), sums)),
    keep: (hash, files) => store((root) => keepFiles(root, { hash, files })),
    close() {
      if (own !== undefined) removeIfThere(own);
      own = undefined;
    },
  };
}

function keepFiles(
  root: string,
  { hash, files }: { readonly hash: string; readonly files: Readonly<Record<string, string>> },
): string {
  const directory = join(root, hash);
  const sums = Object.fromEntries(Object.entries(files).map(([name, text]) => [name, sumOf(text)]));
  const made = join(root, `new-${crypto.randomUUID()}`);
  try {
    Deno.mkdirSync(made, { mode: 0o700 });
    for (const [name, text] of Object.entries(files)) {
      Deno.writeTextFileSync(join(made, name), text, { createNew: true, mode: 0o600 });
    }
    // Another process may have been faster; what was tampered with makes way.
    while (!moveTo(made, directory) && verified(directory, sums) === undefined) {
      moveAway(directory, join(root, `old-${crypto.randomUUID()}`));
    }
  } finally {
    removeIfThere(made);
  }
  return directory;
}

function moveAway(directory: string, aside: string): void {
  try {
    Deno.renameSync(directory, aside);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  removeIfThere(aside);
}

function moveTo(made: string, directory: string): boolean {
  try {
    Deno.renameSync(made, directory);
    return true;
  } catch (error) {
    if (lstat(directory) === undefined) throw error;
    return false;
  }
}

/** The directory, if it holds these files with these sums, and no links in their place. */
function verified(
  directory: string,
  sums: Readonly<Record<string, string>>,
): string | undefined {
  if (lstat(directory)?.isDirectory !== true) return undefined;
  for (const [name, sum] of Object.entries(sums)) {
    const path = join(directory, name);
    if (lstat(path)?.isFile !== true || sumOf(Deno.readFileSync(path)) !== sum) return undefined;
  }
  return directory;
}

function readRemembered(path: string, hash: string): unknown {
  const found = readJson(path);
  if (typeof found !== "object" || found === null) return undefined;
  if (!("json" in found) || typeof found.json !== "string" || !("sum" in found)) return undefined;
  return found.sum === sumOf(`${hash}\n${found.json}`) ? JSON.parse(found.json) : undefined;
}

/** What is in a file; undefined when there is none, or no JSON. */
function readJson(path: string): unknown {
  try {
    return JSON.parse(Deno.readTextFileSync(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Drops what no plugin that is still there refers to. */
function dropUnused(root: string): void {
  const names = [...Deno.readDirSync(root)].map(({ name }) => name);
  const used = new Set<string>();
  for (const name of names.filter((each) => each.endsWith(".note.json"))) {
    const note = readJson(join(root, name));
    if (isNote(note) && lstat(note.entry) !== undefined) used.add(name).add(note.hash);
  }
  for (const name of names) {
    const path = join(root, name);
    const subject = name.replace(/\.(declaration|failure)\.json$/, "");
    if (!used.has(subject) && Date.now() - (lstat(path)?.mtime?.getTime() ?? Infinity) > KEPT) {
      removeIfThere(path);
    }
  }
}

function isNote(value: unknown): value is PreparedNote {
  return typeof value === "object" && value !== null && "hash" in value &&
    typeof value.hash === "string" && "entry" in value && typeof value.entry === "string";
}

function lstat(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
