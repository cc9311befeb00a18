/**
 * The directory that prepared plugins are kept in. What is found there is run, so nobody else may
 * have been able to write to it.
 */

import { dirname, isAbsolute, join } from "node:path";
import { OperationError } from "../plugin.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** A directory that can be used, or why there is none. */
export type UsableDirectory =
  | { readonly path: string; readonly unusable?: never }
  | { readonly path?: never; readonly unusable: string };

/**
 * Opens `$XDG_CACHE_HOME/observatory/plugins`, or that below `~/.cache`, and makes it where it is
 * missing.
 *
 * @returns its path without links; or why it is not used
 */
export function openCacheDirectory(env: Environment): UsableDirectory {
  const caches = cachesOf(env);
  if (caches === undefined) return { unusable: "neither XDG_CACHE_HOME nor HOME is set" };
  try {
    Deno.mkdirSync(caches, { recursive: true, mode: 0o700 });
    let path = Deno.realPathSync(caches);
    if (isOpenToAll(path)) return { unusable: `everybody may write to "${path}"` };
    for (const name of ["observatory", "plugins"]) {
      path = join(path, name);
      const unusable = makeOwn(path);
      if (unusable !== undefined) return { unusable };
    }
    return { path };
  } catch (error) {
    return { unusable: `"${caches}" cannot be used: ${reasonOf(error)}` };
  }
}

/**
 * Makes a directory for this run alone.
 *
 * @throws OperationError when there is nowhere to make it
 */
export function makeRunDirectory(): string {
  try {
    return Deno.realPathSync(Deno.makeTempDirSync({ prefix: "observatory-plugins-" }));
  } catch (error) {
    throw new OperationError(`Cannot make a directory for prepared plugins: ${reasonOf(error)}`, {
      code: "plugin_cache_missing",
      hint: "Let XDG_CACHE_HOME or TMPDIR name a directory that can be written to",
      cause: error,
    });
  }
}

/** What the system says is wrong, without its number. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.replace(/ \(os error \d+\).*$/s, "").replace(/^(.)/, (first) => first.toLowerCase());
}

function cachesOf({ XDG_CACHE_HOME = "", HOME = "" }: Environment): string | undefined {
  // A relative path is to be ignored, says the specification.
  if (isAbsolute(XDG_CACHE_HOME)) return XDG_CACHE_HOME;
  return isAbsolute(HOME) ? join(HOME, ".cache") : undefined;
}

/** Whether others could put another directory in place of ours. */
function isOpenToAll(path: string): boolean {
  const mode = Deno.statSync(path).mode ?? 0;
  const sticky = (mode & 0o1000) !== 0;
  return (mode & 0o002) !== 0 && !sticky;
}

/** Makes a directory that only this user can use; tells why one that is there is not such. */
function makeOwn(path: string): string | undefined {
  try {
    Deno.mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
  const { isDirectory, isSymlink, uid, mode } = Deno.lstatSync(path);
  if (isSymlink) return `"${path}" is a link`;
  if (!isDirectory) return `"${path}" is not a directory`;
  if (uid !== Deno.uid()) return `"${path}" belongs to user ${uid}`;
  if (mode === null || (mode & 0o077) === 0) return undefined;
  if ((mode & 0o022) !== 0) return `others than its owner may write to "${path}"`;
  Deno.chmodSync(path, 0o700);
  return undefined;
}

/** Writes a file that nobody sees half-written. */
export function writeWhole(path: string, text: string): void {
  const beside = join(dirname(path), `new-${crypto.randomUUID()}`);
  try {
    Deno.writeTextFileSync(beside, text, { createNew: true, mode: 0o600 });
    Deno.renameSync(beside, path);
  } catch (error) {
    removeIfThere(beside);
    throw error;
  }
}

/** Removes a file, or a directory with what is in it. */
export function removeIfThere(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
