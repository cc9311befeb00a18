/** `plugin sums`: the sums of all files that plugins may be made of. */
import { createHash } from "node:crypto";
import { type Context, OperationError, type Result } from "../../core/plugin.ts";
import { directoryOf } from "./directory.ts";

/** What plugins are made of; tests and types are not loaded. */
const LOADED = /(?<!_test\.(ts|js|mjs))(?<!\.d\.ts)(?<=\.(ts|js|mjs|json))$/;

/** What editors and the author's tools read is no part of a plugin. */
const NOT_LOADED: ReadonlySet<string> = new Set(["_observatory", "node_modules"]);
const SETTINGS: ReadonlySet<string> = new Set(["deno.json", "tsconfig.json", "package.json"]);

/**
 * Reads the files and gives their sums.
 *
 * @throws OperationError of kind `usage` when there is no such directory
 */
export async function sums(context: Context, named: string | undefined): Promise<Result> {
  const directory = directoryOf(context, named);
  if ((await context.files.inspect(directory))?.kind !== "directory") {
    throw new OperationError(`Cannot read the plugin directory "${directory}": there is none`, {
      kind: "usage",
      code: "not_found",
      hint: "Name it with --dir, or in PLUGINS_DIR",
      details: { path: directory },
    });
  }
  const names = await filesBelow(context, { directory, below: "", seen: new Set() });
  const contents = await context.files.readAll(names.map((name) => `${directory}/${name}`));
  const files = names.map((name, index) => ({
    name,
    sha256: createHash("sha256").update(contents[index] ?? "").digest("hex"),
  }));
  return {
    data: { directory, files },
    text: files.map(({ name, sha256 }) => lineOf(name, sha256)).join("\n"),
  };
}

interface Folder {
  readonly directory: string;
  /** The folder's path in it, with a slash at its end; empty for the directory itself. */
  readonly below: string;
  /** The folders above, without links: a link may lead back to one of them. */
  readonly seen: ReadonlySet<string>;
}

async function filesBelow(context: Context, { directory, below, seen }: Folder): Promise<string[]> {
  const here = (await context.files.inspect(`${directory}/${below}`))?.realPath;
  if (here === undefined || seen.has(here)) return [];
  const entries = await context.files.list(`${directory}/${below}`);
  const names = await Promise.all(entries.map(async ({ name, kind }) => {
    if (name.startsWith(".") || (below === "" && SETTINGS.has(name))) return [];
    if (kind === "directory" && !NOT_LOADED.has(name)) {
      const folder = { directory, below: `${below}${name}/`, seen: new Set([...seen, here]) };
      return await filesBelow(context, folder);
    }
    return kind === "file" && LOADED.test(name) ? [`${below}${name}`] : [];
  }));
  return names.flat().sort();
}

/** As sha256sum writes it: a backslash first tells that the name has escapes. */
function lineOf(name: string, sum: string): string {
  const escaped = name.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\r", "\\r");
  return `${escaped === name ? "" : "\\"}${sum}  ${escaped}`;
}
