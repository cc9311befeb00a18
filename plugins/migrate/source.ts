/** What the directories hold, read while the connection is being opened. */
import { type Context, OperationError } from "../../core/plugin.ts";
import { checksumOfLarge, type Contents, isLarge, readContents } from "./contents.ts";
import { listMigrationFiles, type MigrationFiles } from "./files.ts";
import type { History } from "./history.ts";
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

/** Computes the checksum of each applied version's file. */
export async function appliedChecksums(
  { files }: Context,
  { source, history }: { readonly source: Source; readonly history: History },
): Promise<Map<bigint, Uint8Array>> {
  const checksums = new Map<bigint, Uint8Array>();
  for (const version of history?.keys() ?? []) {
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
