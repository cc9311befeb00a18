/** The names of backups and of their files. */
import { type BackupKind, MANIFEST_SUFFIX } from "./manifest.ts";

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

/**
 * What a file of a backup is, by what follows the id in its name: the manifest, or what a removal
 * has made of it; the marker of a run that has begun, and what a run has not finished; the result
 * of a verification; roles and tablespaces; the dump.
 */
export type FileRole =
  | "manifest"
  | "tombstone"
  | "started"
  | "partial"
  | "verification"
  | "globals"
  | "data"
  | "other";

/** What follows the id where a removal has begun: the manifest under another name. */
export const TOMBSTONE_SUFFIX = `${MANIFEST_SUFFIX}.deleted`;

/** What follows the id of a run that has begun: it reserves the name. */
export const STARTED_SUFFIX = ".started.json";

/** What follows the name of a file that is being written. */
export const PARTIAL_SUFFIX = ".partial";

const DATA = /^\.(dump|sql(\.(gz|zst|lz4))?)(\.age)?$|^\.dir\//;

/** Reads what follows the id in the name of a file. */
export function fileRole(rest: string): FileRole {
  if (rest === MANIFEST_SUFFIX) return "manifest";
  if (rest === TOMBSTONE_SUFFIX) return "tombstone";
  if (rest === STARTED_SUFFIX) return "started";
  if (/\.partial(\/|$)/.test(rest)) return "partial";
  if (/^\.verify-\d{8}T\d{6}Z\.json$/.test(rest)) return "verification";
  if (/^\.globals\.sql(\.age)?$/.test(rest)) return "globals";
  return DATA.test(rest) ? "data" : "other";
}

/** Whether a name that is no backup's may be one's all the same: a dump that was made by hand. */
export function looksLikeDump(name: string): boolean {
  const end = /\.(dump|sql)(\.|$).*$/.exec(name)?.[0];
  return end !== undefined && !name.includes("/") && DATA.test(end);
}
