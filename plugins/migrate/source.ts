/** What the directories hold, read while the connection is being opened. */
import type { CompletionContext, Context } from "../../core/plugin.ts";
import { checksumOfLarge, type Contents, isLarge, readContents } from "./contents.ts";
import { listMigrationFiles, type MigrationFiles } from "./files.ts";

/** Files with the contents of the small ones. */
export interface Source {
  readonly files: MigrationFiles;
  readonly contents: Contents;
}

/** The directories given, or else the configured one. */
export function directoriesOf(
  { config }: Pick<CompletionContext, "config">,
  given: readonly string[],
): readonly string[] {
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
