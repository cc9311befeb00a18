/** The migration files of one or several directories, and their contents. */
import { type FileEntry, type Files, OperationError } from "../../core/plugin.ts";
import { type MigrationKind, type MigrationName, parseMigrationName } from "./names.ts";
import type { Problem } from "./problems.ts";

/** One migration file. */
export interface MigrationFile extends MigrationName {
  readonly path: string;
  /** The name without its directory. */
  readonly fileName: string;
  /** Bytes. */
  readonly size: number;
}

/** What the directories hold. */
export interface MigrationFiles {
  /** Those that apply, by version, in ascending order. */
  readonly ups: ReadonlyMap<bigint, MigrationFile>;
  /** Those that revert, by version. */
  readonly downs: ReadonlyMap<bigint, MigrationFile>;
  /** Paths of `.sql` files whose names do not begin with a version. */
  readonly unversioned: readonly string[];
  /** What is wrong with names: duplicates, versions that are too large, dangling links. */
  readonly problems: readonly Problem[];
}

/**
 * Lists the migration files; directories are not descended into.
 *
 * @throws OperationError when a directory cannot be read
 */
export async function listMigrationFiles(
  files: Files,
  directories: readonly string[],
): Promise<MigrationFiles> {
  const found: MigrationFile[] = [];
  const unversioned: string[] = [];
  const problems: Problem[] = [];
  for (const directory of new Set(directories.map(plainDirectory))) {
    for (const entry of await listDirectory(files, directory)) {
      const path = `${directory}/${entry.name}`;
      const parsed = parseMigrationName(entry.name);
      if (parsed.type === "ignored" || entry.kind === "directory" || entry.kind === "other") {
        continue;
      } else if (parsed.type === "unversioned") {
        unversioned.push(path);
      } else if (parsed.type === "version_too_large") {
        problems.push(tooLarge(path));
      } else if (entry.kind === "dangling") {
        problems.push(dangling(path));
      } else {
        found.push(new ListedFile(parsed.name, { path, entry }));
      }
    }
  }
  // Names of one width come in the order of their versions.
  if (found.some((file, index) => file.version < (found[index - 1]?.version ?? file.version))) {
    found.sort((a, b) => a.version < b.version ? -1 : a.version > b.version ? 1 : 0);
  }
  return {
    ups: byVersion(found.filter(({ kind }) => kind !== "down"), problems),
    downs: byVersion(found.filter(({ kind }) => kind === "down"), problems),
    unversioned,
    problems,
  };
}

/** A class, since a thousand objects with getters of their own take longer to make. */
class ListedFile implements MigrationFile {
  readonly version: bigint;
  readonly kind: MigrationKind;
  readonly path: string;
  readonly fileName: string;
  readonly #name: MigrationName;
  readonly #entry: FileEntry;

  constructor(name: MigrationName, { path, entry }: { path: string; entry: FileEntry }) {
    this.version = name.version;
    this.kind = name.kind;
    this.path = path;
    this.fileName = entry.name;
    this.#name = name;
    this.#entry = entry;
  }

  // Asked for when they are needed: of a thousand files they seldom are.
  get description(): string {
    return this.#name.description;
  }

  get size(): number {
    return this.#entry.size;
  }
}

async function listDirectory(files: Files, directory: string): Promise<FileEntry[]> {
  try {
    return await files.list(directory);
  } catch (error) {
    if (!(error instanceof OperationError) || error.code !== "not_found") throw error;
    throw new OperationError(
      `Cannot read the migrations directory "${directory}": there is no such directory`,
      {
        code: "not_found",
        hint:
          "Name it with --dir or MIGRATIONS_DIR, or make the first migration with `observatory migrate add NAME`",
        details: { path: directory },
        cause: error,
      },
    );
  }
}

function byVersion(
  found: readonly MigrationFile[],
  problems: Problem[],
): ReadonlyMap<bigint, MigrationFile> {
  const byVersion = new Map<bigint, MigrationFile>();
  for (const file of found) {
    const other = byVersion.get(file.version);
    if (other === undefined) byVersion.set(file.version, file);
    else problems.push(duplicate(other, file));
  }
  return byVersion;
}

/** A directory's name as messages show it: without `./` before it and slashes after it. */
export function plainDirectory(directory: string): string {
  return directory.replace(/^(\.\/+)+(?=.)/, "").replace(/(?<=.)\/+$/, "");
}

function tooLarge(path: string): Problem {
  return {
    code: "version_too_large",
    message: `The version of "${path}" does not fit in 64 bits`,
    hint: "Give the file a version between -2^63 and 2^63 - 1, such as a timestamp",
    file: path,
  };
}

function dangling(path: string): Problem {
  return {
    code: "dangling_link",
    message: `The file "${path}" is a link to a file that does not exist`,
    file: path,
  };
}

function duplicate(first: MigrationFile, second: MigrationFile): Problem {
  return {
    code: "duplicate_version",
    message:
      `Version ${second.version} is given to two files: "${first.path}" and "${second.path}"`,
    hint: "Rename the one that is not applied yet, with a version of its own",
    version: String(second.version),
    file: second.path,
  };
}
