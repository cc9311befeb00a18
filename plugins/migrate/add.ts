/** `migrate add`: makes the files of a new migration. */
import { type Context, OperationError, type Result } from "../../core/plugin.ts";
import { listMigrationFiles, type MigrationFiles, plainDirectory } from "./files.ts";
import { refuse } from "./problems.ts";
import { directoriesOf } from "./source.ts";

/** What is asked for. */
export interface AddOptions {
  /** What the migration does; its spaces become underscores. */
  readonly name: string;
  readonly directories: readonly string[];
  /** One file that cannot be rolled back, instead of a pair. */
  readonly simple: boolean;
  /** How the version is made; without it as the files at hand suggest. */
  readonly numbering: Numbering | undefined;
}

/** How versions are made: one more than the last, or the time in UTC. */
export type Numbering = "sequential" | "timestamp";

/**
 * Makes the files.
 *
 * @throws OperationError of kind `usage` when the name cannot be a file's, of kind `refused` when
 *   the files at hand are not in order; nothing is ever overwritten
 */
export async function add(context: Context, options: AddOptions): Promise<Result> {
  const { name, simple } = options;
  checkName(name);
  const [directory = "migrations"] = directoriesOf(context, options.directories);
  const files = await filesAt(context, directory);
  refuse(files.problems);
  const version = nextVersion(files, {
    numbering: options.numbering ?? suggestedNumbering(files),
    now: context.now(),
  });
  const stem = `${plainDirectory(directory)}/${version}_${name.replaceAll(" ", "_")}`;
  const wanted: [path: string, text: string][] = simple
    ? [[`${stem}.sql`, `-- Migration: ${name}\n`]]
    : [
      [`${stem}.up.sql`, `-- Migration: ${name}\n`],
      [`${stem}.down.sql`, `-- Takes back: ${name}\n`],
    ];
  for (const [path, text] of wanted) await context.files.create(path, text);
  const created = wanted.map(([path]) => path);
  return {
    data: { version, files: created },
    text: created.map((path) => `Created ${path}`).join("\n"),
  };
}

function checkName(name: string): void {
  // deno-lint-ignore no-control-regex -- a file's name with them could not be typed again
  const bad = /[/\\\u0000-\u001f\u007f]/.exec(name)?.[0];
  if (name.trim() !== "" && bad === undefined) return;
  throw new OperationError(
    bad === undefined
      ? "The name of the migration is empty"
      : `The name "${name}" cannot be a file's: it holds ${JSON.stringify(bad)}`,
    { kind: "usage", code: "usage", hint: "Say what the migration does: create users" },
  );
}

async function filesAt({ files }: Context, directory: string): Promise<MigrationFiles> {
  try {
    return await listMigrationFiles(files, [directory]);
  } catch (error) {
    // The first migration makes its directory.
    if (!(error instanceof OperationError) || error.code !== "not_found") throw error;
    return { ups: new Map(), downs: new Map(), unversioned: [], problems: [] };
  }
}

/**
 * Infers the numbering as sqlx 0.7.3 does: sequential when the last two versions
 * follow each other, or when the only one is 0 or 1.
 */
export function suggestedNumbering({ ups }: MigrationFiles): Numbering {
  const versions = [...ups.keys()];
  const last = versions.at(-1);
  const beforeLast = versions.at(-2);
  if (last === undefined) return "timestamp";
  const follows = beforeLast === undefined ? last === 0n || last === 1n : last - beforeLast === 1n;
  return follows ? "sequential" : "timestamp";
}

/** Makes the version of the next file, as it stands in its name. */
export function nextVersion(
  { ups, downs }: MigrationFiles,
  { numbering, now }: { numbering: Numbering; now: number },
): string {
  if (numbering === "sequential") {
    const last = [...ups.keys()].at(-1) ?? 0n;
    return String(last + 1n).padStart(4, "0");
  }
  // Two files within one second would get the same version.
  for (let at = now;; at += 1000) {
    const version = new Date(at).toISOString().slice(0, 19).replace(/\D/g, "");
    if (!ups.has(BigInt(version)) && !downs.has(BigInt(version))) return version;
  }
}
