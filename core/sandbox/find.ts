/** Finds the files of the users' plugins; what is in them is not looked at here. */

import { basename, dirname, join, resolve } from "node:path";
import { OperationError } from "../plugin.ts";

/** Where a plugin's directory was named. */
export type PluginOrigin = "system" | "project" | "flag";

/** A file that declares a plugin. */
export interface FoundPlugin {
  /** Its file's name without the ending, or its folder's: what it is called until it is loaded. */
  readonly name: string;
  /** The file as found: an absolute path, links in it not followed. */
  readonly path: string;
  /** The plugin directory that it was found in: an absolute path without links. */
  readonly directory: string;
  readonly origin: PluginOrigin;
}

/** Where plugins are looked for. */
export interface PluginDirectories {
  /** The directory of the machine's administrator; nothing is said where there is none. */
  readonly system?: string | undefined;
  /** The directory of the setting `PLUGINS_DIR`. */
  readonly project?: string | undefined;
  /** The directories of `--plugin-dir`. */
  readonly given?: readonly string[];
}

const SYSTEM_PLUGINS = "/etc/observatory/plugins";

/** The directory of the machine's administrator, unless `OBSERVATORY_SYSTEM_PLUGINS` names another. */
export function systemPlugins(env: Readonly<Record<string, string | undefined>>): string {
  return env.OBSERVATORY_SYSTEM_PLUGINS || SYSTEM_PLUGINS;
}

/** What a file of a plugin is called; the other names are left to shared code, tests and types. */
const PLUGIN_FILE = /^(?![_.])(?!.*_test\.)(?!.*\.d\.ts$)(?<name>.+)\.(?:ts|js|mjs)$/;

/** Folders that hold no plugin; the last one stands where a file system is mounted. */
const NO_FOLDER = /^[_.]|^lost\+found$/;

/** The files that make a folder a plugin; the first one there counts. */
const FOLDER_ENTRIES = ["mod.ts", "mod.js", "mod.mjs"];

/**
 * Lists the plugins of the system's directory, the project's and those given, in this order, each
 * directory's by name. A file that several names lead to is listed once, by the first.
 *
 * @throws OperationError of kind `usage` when a directory that was named is not there
 */
// deno-lint-ignore require-await -- what it throws is to be awaited, like what it finds
export async function findPlugins(directories: PluginDirectories): Promise<FoundPlugin[]> {
  const wanted: [path: string | undefined, origin: PluginOrigin][] = [
    [directories.system, "system"],
    [directories.project, "project"],
    ...(directories.given ?? []).map((path): [string, PluginOrigin] => [path, "flag"]),
  ];
  const found = new Map<string, FoundPlugin>();
  for (const [path, origin] of wanted) {
    if (path === undefined || path === "") continue;
    for (const plugin of pluginsOf(resolve(path), origin)) {
      const real = realPathOf(plugin.path);
      if (!found.has(real)) found.set(real, plugin);
    }
  }
  return [...found.values()];
}

/**
 * The plugin at a path that is named itself: a file, whatever it is called, or a folder.
 *
 * @param path absolute
 */
export function foundAt(path: string): FoundPlugin {
  const entry = kindOf(path) === "directory"
    ? FOLDER_ENTRIES.map((file) => join(path, file)).find((file) => kindOf(file) === "file") ??
      join(path, "mod.ts")
    : path;
  const inFolder = FOLDER_ENTRIES.includes(basename(entry));
  const below = inFolder ? join(basename(dirname(entry)), basename(entry)) : basename(entry);
  const above = inFolder ? dirname(dirname(entry)) : dirname(entry);
  const directory = kindOf(above) === "directory" ? Deno.realPathSync(above) : above;
  const name = inFolder ? basename(dirname(entry)) : basename(entry).replace(/\.(ts|js|mjs)$/, "");
  return { name, path: join(directory, below), directory, origin: "flag" };
}

function pluginsOf(path: string, origin: PluginOrigin): FoundPlugin[] {
  const directory = realDirectory(path, origin);
  if (directory === undefined) return [];
  return listOf(directory)
    .map(({ name }) => pluginAt(directory, { name, origin }))
    .filter((plugin) => plugin !== undefined)
    .sort((one, other) => compare(one.name, other.name) || compare(one.path, other.path));
}

function listOf(directory: string): Deno.DirEntry[] {
  try {
    return [...Deno.readDirSync(directory)];
  } catch (error) {
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    throw new OperationError(
      `Cannot list the plugin directory "${directory}": permission is denied`,
      { kind: "refused", code: "plugin_refused", details: { path: directory }, cause: error },
    );
  }
}

function pluginAt(
  directory: string,
  { name, origin }: { readonly name: string; readonly origin: PluginOrigin },
): FoundPlugin | undefined {
  const path = join(directory, name);
  const kind = kindOf(path);
  // What cannot be seen is told of when the plugin is loaded: it may be a guard.
  if (kind === "file" || kind === "unknown") {
    const called = PLUGIN_FILE.exec(name)?.groups?.name;
    return called === undefined ? undefined : { name: called, path, directory, origin };
  }
  if (kind !== "directory" || NO_FOLDER.test(name)) return undefined;
  const entry = FOLDER_ENTRIES.map((file) => join(path, file)).find((file) =>
    ["file", "unknown"].includes(kindOf(file) ?? "")
  );
  return entry === undefined ? undefined : { name: basename(path), path: entry, directory, origin };
}

/** What is at a path, links followed; `unknown` when that leads nowhere, or permission is denied. */
function kindOf(path: string): "file" | "directory" | "unknown" | "other" | undefined {
  try {
    const { isFile, isDirectory } = Deno.statSync(path);
    return isFile ? "file" : isDirectory ? "directory" : "other";
  } catch (error) {
    return error instanceof Deno.errors.NotFound && !isLink(path) ? undefined : "unknown";
  }
}

function isLink(path: string): boolean {
  try {
    return Deno.lstatSync(path).isSymlink;
  } catch {
    // It was not there a moment ago.
    return false;
  }
}

function realPathOf(path: string): string {
  return kindOf(path) === "unknown" ? path : Deno.realPathSync(path);
}

function realDirectory(path: string, origin: PluginOrigin): string | undefined {
  const named = { system: "the system's", project: "PLUGINS_DIR", flag: "--plugin-dir" }[origin];
  const kind = kindOf(path);
  if (kind === "directory") return Deno.realPathSync(path);
  if (kind === undefined && origin === "system") return undefined;
  const reason = kind === undefined
    ? "there is no such directory"
    : kind === "unknown"
    ? "permission is denied, or it is a link that leads nowhere"
    : "it is not a directory";
  throw new OperationError(`Cannot read the plugin directory "${path}" (${named}): ${reason}`, {
    kind: "usage",
    code: "plugin_directory_missing",
    hint: "Make the directory, or name another one",
    details: { path },
  });
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
