/**
 * Whose files are trusted: those that nobody but root and the current user can have written. The
 * same is asked of every directory between the plugin directory and the file, since who may write
 * to a directory may replace what is in it.
 */

import { hash } from "node:crypto";
import { dirname, isAbsolute, join, relative, resolve, sep } from "node:path";
import { OperationError } from "../plugin.ts";
import { parseSums, SUMS_FILE } from "./sums.ts";

/** Bytes that one file of a plugin may have. */
export const FILE_LIMIT = 1024 * 1024;

/** Links that one path may lead through, as many as the system follows. */
const LINK_LIMIT = 40;

/** Who is trusted. */
export interface TrustOptions {
  /** One more user that files may belong to, beside root and the current one: `PLUGINS_OWNER`. */
  readonly owner?: number | undefined;
}

/** A file that is trusted. */
export interface TrustedFile {
  /** An absolute path without links. */
  readonly path: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** In lower-case hexadecimal. */
  readonly sha256: string;
}

/** A plugin directory, through which its files are read. */
export interface TrustedDirectory {
  /**
   * Follows the links of a path inside the directory, and checks each component.
   *
   * @returns an absolute path without links; undefined when there is nothing
   * @throws OperationError `plugin_refused`
   */
  check(path: string): string | undefined;
  /**
   * Reads a file, and compares it with the directory's `SHA256SUMS` where there is one.
   *
   * @returns undefined when there is no such file
   * @throws OperationError `plugin_refused`
   */
  read(path: string): TrustedFile | undefined;
}

/**
 * Reads the setting `PLUGINS_OWNER`.
 *
 * @throws OperationError of kind `usage` when it is not the number of a user
 */
export function parseOwner(text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  if (/^\d{1,10}$/.test(text)) return Number(text);
  throw new OperationError(`Cannot read PLUGINS_OWNER "${text}": it is not the number of a user`, {
    kind: "usage",
    hint: "Give the number that `id -u NAME` prints",
  });
}

/**
 * Looks at files through a plugin directory.
 *
 * @param directory an absolute path without links
 */
export function trustDirectory(directory: string, options: TrustOptions = {}): TrustedDirectory {
  const owners = new Set([0, Deno.uid() ?? 0, options.owner ?? 0]);
  let isThere: boolean | undefined;
  const follow = (path: string): Found | undefined => {
    isThere ??= isTrusted(directory, owners);
    return isThere ? walk(directory, { path, owners }) : undefined;
  };
  let sums: Sums | undefined | null = null;
  return {
    check: (path) => follow(path)?.path,
    read(path) {
      const found = follow(path);
      if (found === undefined) return undefined;
      const file = readFile(found);
      if (sums === null) sums = readSums(directory, follow);
      if (sums !== undefined) requireSum(file, { sums, names: [path, found.path], directory });
      return file;
    },
  };
}

/** What a path leads to. */
interface Found {
  /** Without links. */
  readonly path: string;
  readonly info: Deno.FileInfo | undefined;
}

/** Whether the plugin directory is there; what anybody may write to is refused. */
function isTrusted(directory: string, owners: ReadonlySet<number>): boolean {
  const info = lstat(directory);
  if (info === undefined) return false;
  requireTrusted(directory, { info, owners, mountPoint: true });
  return true;
}

/** Follows a path from the directory down, each component checked before what is behind it is asked for. */
function walk(
  root: string,
  { path, owners }: { readonly path: string; readonly owners: ReadonlySet<number> },
): Found | undefined {
  const pending = componentsBelow(root, path);
  const done: string[] = [];
  let info: Deno.FileInfo | undefined;
  for (let links = 0; pending.length > 0;) {
    const part = pending.shift() ?? "";
    if (part === "..") {
      if (done.pop() === undefined) throw leaves(path, root);
      info = undefined;
      continue;
    }
    const at = join(root, ...done, part);
    info = lstat(at);
    if (info === undefined) return undefined;
    requireTrusted(at, { info, owners, mountPoint: false });
    if (!info.isSymlink) {
      done.push(part);
      continue;
    }
    if (++links > LINK_LIMIT) throw refused(path, { reason: "its links lead in a circle" });
    const target = Deno.readLinkSync(at);
    if (isAbsolute(target)) done.length = 0;
    pending.unshift(
      ...isAbsolute(target) ? componentsBelow(root, target, path) : componentsOf(target),
    );
  }
  return { path: join(root, ...done), info };
}

/** Whether a path stands in a folder, at any depth; both absolute. */
export function isInside(folder: string, path: string): boolean {
  const below = relative(folder, path);
  return below !== ".." && !below.startsWith(`..${sep}`) && !isAbsolute(below);
}

function componentsBelow(root: string, path: string, named = path): string[] {
  if (!isInside(root, path)) throw leaves(named, root);
  return componentsOf(relative(root, path));
}

function componentsOf(path: string): string[] {
  return path.split(sep).filter((part) => part !== "" && part !== ".");
}

function lstat(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    // The latter: a component before the last one is a file.
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return undefined;
    }
    if (error instanceof Deno.errors.PermissionDenied) throw denied(path);
    throw error;
  }
}

function requireTrusted(
  path: string,
  { info, owners, mountPoint }: {
    readonly info: Deno.FileInfo;
    readonly owners: ReadonlySet<number>;
    readonly mountPoint: boolean;
  },
): void {
  const { uid, mode } = info;
  // Systems without users and modes tell neither.
  if (uid === null || mode === null) return;
  if (!owners.has(uid)) {
    throw refused(path, {
      reason: `it belongs to user ${uid}, who is neither root nor the current user`,
      hint: `Change its owner, or set PLUGINS_OWNER=${uid} to trust that user`,
    });
  }
  // A link's own mode means nothing.
  if (info.isSymlink || (mode & 0o022) === 0) return;
  // Kubernetes gives the directory of a ConfigMap to everybody, and then mounts it read-only.
  if (mountPoint && uid === 0 && isMountedReadOnly(path, mountTable())) return;
  const who = (mode & 0o002) === 0 ? "its group" : "everybody";
  throw refused(path, {
    reason: `${who} may write to it (mode ${(mode & 0o7777).toString(8).padStart(4, "0")})`,
    hint: `Allow that to its owner alone: chmod go-w ${path}`,
  });
}

function mountTable(): string {
  try {
    return Deno.readTextFileSync("/proc/self/mountinfo");
  } catch {
    // No Linux: nothing is known of mounts, and nothing is excepted.
    return "";
  }
}

/** Whether a directory is where a file system is mounted, read-only, by the text of `mountinfo`. */
export function isMountedReadOnly(directory: string, table: string): boolean {
  const mounts = table.split("\n").map((line) => line.split(" "));
  // Of those mounted one over the other, the last is seen.
  const options = mounts.findLast(([, , , , point = ""]) =>
    point.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(parseInt(code, 8))) ===
      directory
  )?.[5];
  return options?.split(",").includes("ro") ?? false;
}

/** Reads what is a file; to open a pipe would wait for its other end. */
function readFile({ path, info }: Found): TrustedFile {
  if (info?.isFile !== true) throw refused(path, { reason: "it is not a file" });
  if (info.size > FILE_LIMIT) {
    throw refused(path, { reason: `it has ${info.size} bytes, and more than 1 MiB is not loaded` });
  }
  try {
    const bytes = Deno.readFileSync(path);
    return { path, bytes, sha256: hash("sha256", bytes) };
  } catch (error) {
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    throw denied(path);
  }
}

/** The list of sums, and the directory that its names start from. */
interface Sums {
  readonly base: string;
  readonly path: string;
  readonly names: ReadonlyMap<string, string>;
}

function readSums(
  directory: string,
  follow: (path: string) => Found | undefined,
): Sums | undefined {
  const path = join(directory, SUMS_FILE);
  const found = follow(path);
  if (found === undefined) {
    if (lstat(path) === undefined) return undefined;
    // Somebody meant to have a list.
    throw refused(path, { reason: "it is a link that leads nowhere" });
  }
  const text = new TextDecoder().decode(readFile(found).bytes);
  return { base: dirname(found.path), path, names: parseSums(text, path) };
}

function requireSum(
  file: TrustedFile,
  { sums, names, directory }: {
    readonly sums: Sums;
    readonly names: readonly string[];
    readonly directory: string;
  },
): void {
  const listed = names
    .flatMap((name) => [relative(directory, name), relative(sums.base, name)])
    .map((name) => sums.names.get(name))
    .filter((sum) => sum !== undefined);
  if (listed.length > 0 && listed.every((sum) => sum === file.sha256)) return;
  throw refused(file.path, {
    reason: listed.length === 0
      ? `it is not listed in "${sums.path}"`
      : `it is not what "${sums.path}" lists`,
    hint: `Look at the file, and list it anew if it is right: sha256sum FILE… > ${SUMS_FILE}`,
  });
}

function denied(path: string): OperationError {
  return refused(path, {
    reason: "permission is denied",
    hint: "Allow the current user to read it, and to enter the directories on the way",
  });
}

function leaves(path: string, root: string): OperationError {
  return refused(path, {
    reason: `it leads out of the plugin directory "${resolve(root)}"`,
    hint: "Copy the file into the directory; links inside it are followed",
  });
}

function refused(
  path: string,
  { reason, hint }: { readonly reason: string; readonly hint?: string },
): OperationError {
  return new OperationError(`Cannot trust plugin file "${path}": ${reason}`, {
    kind: "refused",
    code: "plugin_refused",
    ...(hint === undefined ? {} : { hint }),
    details: { path },
  });
}
