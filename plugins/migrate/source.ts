/** What the directories hold, read while the connection is being opened. */
import { type Context, OperationError } from "../../core/plugin.ts";
import { checksumOfLarge, type Contents, isLarge, readContents } from "./contents.ts";
import { listMigrationFiles, type MigrationFiles } from "./files.ts";
import { parseVersion } from "./names.ts";

/** Files with the contents of the small ones. */
export interface Source {
  readonly files: MigrationFiles;
  readonly contents: Contents;
}

/** The directories given, or else the configured one. */
export function directoriesOf({ config }: Context, given: readonly string[]): readonly string[] {
  return given.length > 0 ? given : [config.get("MIGRATIONS_DIR") ?? "migrations"];
}

/** Lists the files, and reads and hashes the small ones. */
export async function readSource(
  { files }: Context,
  directories: readonly string[],
): Promise<Source> {
  const listed = await listMigrationFiles(files, directories);
  return { files: listed, contents: await readContents(files, listed.ups.values()) };
}

/** The checksums of the files of some versions, as far as there are files; large ones are read for it. */
export async function checksumsOf(
  { files }: Context,
  { source, versions }: { readonly source: Source; readonly versions: Iterable<bigint> },
): Promise<Map<bigint, Uint8Array>> {
  const checksums = new Map<bigint, Uint8Array>();
  for (const version of versions) {
    const file = source.files.ups.get(version);
    if (file === undefined) continue;
    const known = source.contents.get(version)?.checksum;
    if (known !== undefined) checksums.set(version, known);
    else if (isLarge(file)) checksums.set(version, await checksumOfLarge(files, file.path));
  }
  return checksums;
}

/**
 * Reads the value of a flag or argument that names a version.
 *
 * @throws OperationError of kind `usage` when it is none
 */
export function versionOf(text: string, label: string): bigint {
  const version = parseVersion(text);
  if (version !== undefined) return version;
  throw new OperationError(`The value "${text}" of ${label} is not a version`, {
    kind: "usage",
    code: "usage",
    hint: "A version is the number that a file's name begins with, such as 20240101000000 or 0001",
  });
}

/**
 * Reads how many migrations are to be taken back.
 *
 * @throws OperationError of kind `usage` when it is no count, or given beside a version
 */
export function stepsOf(steps: number | undefined, to: string | undefined): number {
  if (steps !== undefined && to !== undefined) {
    throw new OperationError("The flags --steps and --to exclude each other", {
      kind: "usage",
      code: "usage",
    });
  }
  if (steps === undefined || (Number.isInteger(steps) && steps > 0)) return steps ?? 1;
  throw new OperationError(`The value ${steps} of --steps is not a whole number above 0`, {
    kind: "usage",
    code: "usage",
  });
}
