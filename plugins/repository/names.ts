/** The names of backups and of their files. */
import type { BackupKind } from "./manifest.ts";

/**
 * The name of a backup, such as `llm_observatory_backup_20240101_120000_schema`: the replaced
 * system's, with the database's name in the place of its own.
 *
 * @param created milliseconds since 1970; the name tells them in UTC
 */
export function backupId(database: string, kind: BackupKind, created: number): string {
  const digits = new Date(created).toISOString().replaceAll(/[-:]/g, "");
  const suffix = kind === "schema" || kind === "data" ? `_${kind}` : "";
  return `${fileWord(database)}_backup_${digits.slice(0, 8)}_${digits.slice(9, 15)}${suffix}`;
}

/** A database's name as part of a file's name; the manifest tells the name itself. */
export function fileWord(database: string): string {
  return database.replaceAll(/[^\p{L}\p{N}._-]/gu, "-").replace(/^[.-]/, "_").slice(0, 100);
}

/** The parts of a name that a backup may have. */
export interface BackupName {
  /** The backup's id. */
  readonly id: string;
  /** What follows it, such as `.dump`, `.manifest.json` or `.dir/toc.dat`. */
  readonly rest: string;
  /** The time in the name, in milliseconds since 1970. */
  readonly time: number;
}

/** Reads the name of a backup's file; undefined for every other name. */
export function parseBackupName(name: string): BackupName | undefined {
  const match =
    /^((?:.+)_backup_(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)(?:_schema|_data)?)((?:[./].*)?)$/s
      .exec(name);
  if (match === null) return undefined;
  const [, id = "", year, month, day, hour, minute, second, rest = ""] = match;
  const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(time) || id.includes("/") ? undefined : { id, rest, time };
}
