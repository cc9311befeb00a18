/** The file system as far as a plugin has declared that it needs it. */

import { dirname, join, relative, resolve } from "node:path";
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
 * a declared one; that is then what is read or written.
 */
export function limitFiles(files: Files, limits: FileLimits): Files {
  const reading = (action: string) => (path: string) => allowed(path, { action, limits });
  return {
    list: async (directory) => await files.list(await reading("list directory")(directory)),
    readAll: async (paths) => await files.readAll(await Promise.all(paths.map(reading("read")))),
    readSmall: async (paths, limit) =>
      await files.readSmall(await Promise.all(paths.map(reading("read"))), limit),
    stream: async (path) => await files.stream(await reading("read")(path)),
    create: async (path, contents) =>
      await files.create(await allowed(path, { action: "create", limits }), contents),
    inspect: async (path) => await files.inspect(await reading("inspect")(path)),
  };
}

/**
 * Where a path leads, if the plugin may go there.
 *
 * @throws OperationError `not_declared` or `forbidden`
 */
async function allowed(
  path: string,
  { action, limits: { name, permissions, locked = [], hidden = [] } }: {
    readonly action: string;
    readonly limits: FileLimits;
  },
): Promise<string> {
  const writes = action === "create";
  const kind = writes ? "write" : "read";
  const refuse = (code: string, reason: string, hint?: string): never => {
    throw new OperationError(`Cannot ${action} "${path}": ${reason}`, {
      kind: "refused",
      code,
      ...(hint === undefined ? {} : { hint }),
      details: { path, plugin: name },
    });
  };
  if (path.includes("\0")) return refuse("forbidden", "there is no such path");
  const target = await realPathOf(path) ?? refuse("forbidden", "where it leads cannot be told");
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
