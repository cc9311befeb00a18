/** The seed files of an environment, in the order in which they are loaded. */
import {
  type CompletionContext,
  type Context,
  type FileEntry,
  OperationError,
} from "../../core/plugin.ts";
import { compareBytes, kindOfName, type SeedType } from "./names.ts";
import { matcherOf } from "./pattern.ts";

/** One seed file. */
export interface SeedFile {
  /** Its path in the seeds directory, such as `base/010_models.csv`; the ledger knows it by that. */
  readonly name: string;
  /** Its path as messages show it. */
  readonly path: string;
  readonly fileName: string;
  readonly type: SeedType;
  /** Bytes. */
  readonly size: number;
}

/** Which seeds are meant. */
export interface Environment {
  readonly name: string;
  /** Whether `--env` named it, rather than a setting that other programs go by too. */
  readonly asked: boolean;
}

/** What every environment loads first. */
export const BASE = "base";

/** Environments that need no directory of their own. */
const WELL_KNOWN: readonly string[] = ["development", "test", "staging", "production"];

const SPELLINGS: Readonly<Record<string, string>> = { dev: "development", prod: "production" };

/**
 * The environment that `--env` or else the setting ENVIRONMENT names.
 *
 * @throws OperationError of kind `usage` when it cannot be the name of a directory
 */
export function environmentOf(
  context: Pick<Context, "config">,
  flag: string | undefined,
): Environment {
  const given = (flag ?? context.config.get("ENVIRONMENT") ?? "development").trim();
  const name = SPELLINGS[given.toLowerCase()] ?? given;
  if (name !== "" && name !== BASE && !/^\.|[\/\\\0]/.test(name)) {
    return { name, asked: flag !== undefined };
  }
  throw new OperationError(`The value "${given}" of ${source(flag)} is not an environment`, {
    kind: "usage",
    code: "usage",
    hint: name === BASE
      ? "The directory base belongs to every environment; --env production loads nothing else"
      : "Give a name such as development, test or production",
  });
}

function source(flag: string | undefined): string {
  return flag === undefined ? "ENVIRONMENT" : "--env";
}

/** What listing needs of a run. */
type Surroundings = Pick<Context, "files" | "log">;

/**
 * Lists the files of `base` and of the environment's directory.
 *
 * @throws OperationError when a directory cannot be read, the environment is unknown, or a pattern
 *   matches nothing
 */
export async function listSeedFiles(
  context: Surroundings,
  options: {
    readonly directory: string;
    readonly environment: Environment;
    /** Patterns of which a file must match one; none means all files. */
    readonly only: readonly string[];
  },
): Promise<SeedFile[]> {
  const { environment, only } = options;
  const directory = plainDirectory(options.directory);
  const entries = await listRoot(context, directory);
  const folders = entries.filter(({ kind, name }) => kind === "directory" && !name.startsWith("."))
    .map(({ name }) => name);
  for (const { name, kind } of entries) {
    if (kind !== "file" || kindOfName(name) === "other") continue;
    context.log.warn(
      `${directory}/${name} is not loaded: seeds are in ${directory}/${BASE} and in a directory ` +
        "for each environment",
    );
  }
  const files: SeedFile[] = [];
  for (const folder of [BASE, environment.name]) {
    if (folders.includes(folder)) files.push(...await listFolder(context, { directory, folder }));
  }
  if (!folders.includes(environment.name)) {
    withoutFolder(context, { environment, folders, directory });
  }
  return only.length === 0 ? files : chosen(files, only);
}

/** The directory of the seeds. */
export function seedsDirectory(
  { config }: Pick<CompletionContext, "config">,
  given: string | undefined,
): string {
  return given ?? config.get("SEEDS_DIR") ?? "./seeds";
}

/** A directory's name as messages show it: without `./` before it and slashes after it. */
export function plainDirectory(directory: string): string {
  return directory.replace(/^(\.\/+)+(?=.)/, "").replace(/(?<=.)\/+$/, "");
}

async function listRoot({ files }: Surroundings, directory: string): Promise<FileEntry[]> {
  try {
    return await files.list(directory);
  } catch (error) {
    if (!(error instanceof OperationError) || error.code !== "not_found") throw error;
    throw new OperationError(
      `Cannot read the seeds directory "${directory}": there is no such directory`,
      {
        code: "not_found",
        hint: "Name it with --dir or SEEDS_DIR, or make it with a directory base in it",
        details: { path: directory },
        cause: error,
      },
    );
  }
}

async function listFolder(
  { files, log }: Surroundings,
  { directory, folder }: { readonly directory: string; readonly folder: string },
): Promise<SeedFile[]> {
  const found: SeedFile[] = [];
  for (const { name, kind, size } of await files.list(`${directory}/${folder}`)) {
    const path = `${directory}/${folder}/${name}`;
    const type = kindOfName(name);
    if (type === "other" || kind === "directory" || kind === "other") {
      log.debug(`${path} is no seed file`);
    } else if (type === "lookalike") {
      log.warn(`${path} is not loaded: names of seed files end in .sql, .csv, .jsonl, .ts or .js`);
    } else if (kind === "dangling") {
      throw new OperationError(`The file "${path}" is a link to a file that does not exist`, {
        code: "dangling_link",
        details: { file: path },
      });
    } else found.push({ name: `${folder}/${name}`, path, fileName: name, type, size });
  }
  return found.sort((a, b) => compareBytes(a.name, b.name));
}

function withoutFolder(
  { log }: Surroundings,
  { environment: { name, asked }, folders, directory }: {
    readonly environment: Environment;
    readonly folders: readonly string[];
    readonly directory: string;
  },
): void {
  if (WELL_KNOWN.includes(name)) return;
  const there = folders.join(", ") || "none";
  if (asked) {
    throw new OperationError(`There are no seeds for the environment "${name}" in ${directory}`, {
      kind: "usage",
      code: "unknown_environment",
      hint: `The directories there are: ${there}`,
      details: { environment: name, directories: folders },
    });
  }
  // The setting is read by other programs too, and may name what needs no seeds of its own.
  log.warn(
    `There are no seeds for the environment "${name}" of ENVIRONMENT in ${directory} ` +
      `(there is: ${there}); only ${BASE} is loaded`,
  );
}

function chosen(files: readonly SeedFile[], only: readonly string[]): SeedFile[] {
  const matchers = only.map((pattern) => ({ pattern, matches: matcherOf(pattern) }));
  const picked = new Set<SeedFile>();
  for (const { pattern, matches } of matchers) {
    const found = files.filter(({ name, fileName }) => matches(name) || matches(fileName));
    if (found.length === 0) {
      throw new OperationError(`The pattern "${pattern}" of --only matches no seed file`, {
        kind: "usage",
        code: "usage",
        hint: `The files are: ${files.map(({ name }) => name).join(", ") || "none"}`,
      });
    }
    for (const file of found) picked.add(file);
  }
  return files.filter((file) => picked.has(file));
}
