/** The file system as far as a plugin has declared that it needs it. */

import { basename, dirname, join, relative, resolve } from "node:path";
import { type Files, OperationError, type Permissions } from "../plugin.ts";
import { isInside } from "./trust.ts";

/** What limits a plugin's files. */
export interface FileLimits {
  readonly name: string;
  readonly permissions: Pick<Permissions, "read" | "write">;
  /** Absolute paths that are never written below: plugin directories, the cache, the program. */
  readonly locked?: readonly string[];
  /** Absolute paths that are never read: files with secrets. */
  readonly hidden?: readonly string[];
}

/** Whose files tell of processes, devices and the kernel, this process's memory and secrets included. */
const SYSTEM = ["/proc", "/dev", "/sys"];

/**
 * Limits files to the declared paths. Each path is followed to where it leads, which must be below
 * a declared one; that is then what is read or written. No link is ever given another place: what
 * has been looked at leads there still when it is used.
 */
export function limitFiles(files: Files, limits: FileLimits): Files {
  const reading = (action: string) => (path: string) =>
    allowed(path, { action, kind: "read", limits });
  const writing = (action: string, path: string) =>
    allowed(path, { action, kind: "write", limits });
  return {
    list: async (directory) => await files.list(await reading("list directory")(directory)),
    readAll: async (paths) => await files.readAll(await Promise.all(paths.map(reading("read")))),
    readSmall: async (paths, limit) =>
      await files.readSmall(await Promise.all(paths.map(reading("read"))), limit),
    stream: async (path, range) => await files.stream(await reading("read")(path), range),
    create: async (path, contents, options) =>
      await files.create(await writing("create", path), contents, options),
    async save(path, data, { partial, ...options } = {}) {
      try {
        const target = await writing("save", path);
        // One that is not named is the host's own, beside the file.
        const beside = partial === undefined ? {} : { partial: await writing("create", partial) };
        return await files.save(target, data, { ...options, ...beside });
      } catch (error) {
        // Whoever sends it would wait for ever. Where it has a reader, that one sees to it.
        if (!data.locked) await data.cancel(error);
        throw error;
      }
    },
    async rename(from, to) {
      const old = await entry(from, { action: "rename", limits });
      const path = await entry(to, { action: `rename "${from}" to`, limits });
      if (await isThere(old) && await holdsLink(old)) {
        throw refusal(from, {
          action: "rename",
          name: limits.name,
          code: "forbidden",
          reason: "it is a link or holds one, and no plugin moves links",
        });
      }
      await files.rename(old, path);
    },
    remove: async (path) => await files.remove(await entry(path, { action: "remove", limits })),
    makeDirectory: async (path, options) =>
      await files.makeDirectory(await writing("make directory", path), options),
    inspect: async (path) => await files.inspect(await reading("inspect")(path)),
  };
}

interface Wanted {
  readonly action: string;
  readonly limits: FileLimits;
}

/**
 * Where a path leads, if the plugin may go there.
 *
 * @throws OperationError `not_declared` or `forbidden`
 */
export async function allowed(
  path: string,
  { kind, ...wanted }: Wanted & { readonly kind: "read" | "write" },
): Promise<string> {
  return await within(path, { ...wanted, kind, follow: realPathOf });
}

/**
 * A name in a directory, not followed, if the plugin may change what has it: it is below what is
 * declared, and nothing that no plugin writes to goes with it.
 *
 * @throws OperationError `not_declared` or `forbidden`
 */
async function entry(path: string, { action, limits }: Wanted): Promise<string> {
  const target = await within(path, { action, limits, kind: "write", follow: entryOf });
  const { name, permissions, locked = [], hidden = [] } = limits;
  const refuse = (reason: string) => refusal(path, { action, name, code: "forbidden", reason });
  const declared = await Promise.all((permissions.write ?? []).map(formsOf));
  if (action === "remove" && declared.flat().includes(target)) {
    throw refuse("what is in it may be removed, but not what is declared itself");
  }
  const closed = await Promise.all([...locked, ...hidden].map(formsOf));
  if (closed.flat().some((form) => isInside(target, form))) {
    throw refuse("plugins, their cache, the program or secrets are in it");
  }
  return target;
}

async function within(
  path: string,
  { action, kind, limits: { name, permissions, locked = [], hidden = [] }, follow }: Wanted & {
    readonly kind: "read" | "write";
    readonly follow: (path: string) => Promise<string | undefined>;
  },
): Promise<string> {
  const writes = kind === "write";
  const refuse = (code: string, reason: string, hint?: string): never => {
    throw refusal(path, { action, name, code, reason, ...(hint === undefined ? {} : { hint }) });
  };
  if (path.includes("\0")) return refuse("forbidden", "there is no such path");
  const target = await follow(path) ?? refuse("forbidden", "where it leads cannot be told");
  const declared = [...permissions[kind] ?? [], ...writes ? [] : permissions.write ?? []];
  const roots = await Promise.all(declared.map(realPathOf));
  if (!roots.some((root) => root !== undefined && isInside(root, target))) {
    return refuse(
      "not_declared",
      `plugin ${name} does not declare that it ${writes ? "writes" : "reads"} it` +
        (target === resolve(path) ? "" : `, and it leads to "${target}"`),
      `Name it or its directory in permissions.${kind}`,
    );
  }
  if (SYSTEM.some((root) => isInside(root, target))) {
    return refuse("forbidden", "no plugin reaches what the system keeps there");
  }
  const closed = await Promise.all((writes ? [...locked, ...hidden] : hidden).map(realPathOf));
  if (closed.some((root) => root !== undefined && isInside(root, target))) {
    return refuse(
      "forbidden",
      writes
        ? "no plugin writes where plugins, their cache, the program or secrets are"
        : "it holds secrets, which no plugin reads",
    );
  }
  return target;
}

function refusal(
  path: string,
  { action, name, code, reason, ...more }: {
    readonly action: string;
    readonly name: string;
    readonly code: string;
    readonly reason: string;
    readonly hint?: string;
  },
): OperationError {
  return new OperationError(`Cannot ${action} "${path}": ${reason}`, {
    kind: "refused",
    code,
    ...more,
    details: { path, plugin: name },
  });
}

/** Whether something is a link, or a directory with one anywhere in it. */
async function holdsLink(path: string): Promise<boolean> {
  const { isSymlink, isDirectory } = await Deno.lstat(path);
  if (!isDirectory) return isSymlink;
  for await (const { name } of Deno.readDir(path)) {
    if (await holdsLink(join(path, name))) return true;
  }
  return false;
}

/** A path with its directory followed, and not what it leads to itself. */
async function entryOf(path: string): Promise<string | undefined> {
  const whole = resolve(path);
  const directory = await realPathOf(dirname(whole));
  return directory === undefined ? undefined : join(directory, basename(whole));
}

/** All that a path is known by: whichever of them is taken away, it leads elsewhere. */
async function formsOf(path: string): Promise<string[]> {
  const forms = [resolve(path), await entryOf(path), await realPathOf(path)];
  return forms.filter((form) => form !== undefined);
}

/** The path without links, of what is not there yet as well; undefined when a link leads nowhere. */
async function realPathOf(path: string): Promise<string | undefined> {
  const whole = resolve(path);
  const missing: string[] = [];
  for (let found = whole;; found = dirname(found)) {
    try {
      return join(await Deno.realPath(found), ...missing);
    } catch (error) {
      if (error instanceof Deno.errors.NotADirectory) return whole;
      if (!(error instanceof Deno.errors.NotFound)) return undefined;
      if (await isThere(found)) return undefined;
      missing.unshift(relative(dirname(found), found));
    }
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch {
    // Whatever the reason: nothing that could be followed.
    return false;
  }
}
