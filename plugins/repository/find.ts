/** From what a user calls a backup to the backup that is meant. */
import { basename, dirname } from "node:path";
import { type Context, OperationError } from "../../core/plugin.ts";
import { type Backup, type Catalogue, readCatalogue } from "./catalogue.ts";
import { isOf, listedOf, newestFull, troubleOf } from "./listed.ts";
import { parseBackupName } from "./names.ts";
import type { Store } from "./store.ts";
import { type Places, withStores } from "./stores.ts";

/** What stands for the newest full backup. */
export const LATEST = "latest";

/** What is looked for. */
export interface Wanted extends Places {
  /**
   * `latest`, a backup's id, the name of one of its files, or a path to one: `./latest` is a file.
   */
  readonly name: string;
  /** The database that `latest` is one of. */
  readonly database: string;
}

/** A backup in one place, with the place. */
export interface Copy {
  readonly backup: Backup;
  readonly store: Store;
}

/** The copies of one backup. */
export type Copies = readonly [Copy, ...Copy[]];

/**
 * Finds a backup, and keeps the places open for as long as `work` takes.
 *
 * @param work is given its copies, which all have the same manifest: whole ones first, and of those
 *   the local one
 * @throws OperationError `backup_not_found` when there is none, with the nearest name; likewise
 *   `backup_ambiguous`, `backup_unfinished`, `not_managed`, and `manifest_invalid`
 */
export async function withBackup<T>(
  context: Context,
  wanted: Wanted,
  work: (copies: Copies) => Promise<T>,
): Promise<T> {
  const { name, places, bucket } = placesOf(wanted);
  return await withStores(context, places, async (stores) => {
    requirePlace(stores, bucket);
    const { database } = wanted;
    return await work(await findIn(stores, { name, database, now: context.now() }));
  });
}

/** What a path to a bucket names must be what is configured: no other one can be opened. */
function requirePlace(stores: readonly Store[], bucket: string | undefined): void {
  const elsewhere = stores.find(({ title }) => bucket !== undefined && title !== bucket);
  if (elsewhere !== undefined) {
    throw new OperationError(`Cannot look in ${bucket}: backups are kept in ${elsewhere.title}`, {
      kind: "usage",
      code: "other_bucket",
      hint: "Set S3_BACKUP_BUCKET and S3_BACKUP_PREFIX",
    });
  }
}

/**
 * Finds a backup in places that are open.
 *
 * @param wanted.name without a path; undefined for the newest full one of the database
 * @param wanted.at that one's moment, or a later one; by default now; in milliseconds since 1970
 * @returns as `withBackup` gives
 * @throws OperationError as `withBackup` does
 */
export async function findIn(
  stores: readonly Store[],
  { name, at, database, now }: {
    name: string | undefined;
    at?: number | undefined;
    database: string;
    now: number;
  },
): Promise<Copies> {
  const catalogues = await Promise.all(stores.map(readCatalogue));
  const where = stores.map(({ title }) => title).join(" and ");
  const id = name === undefined
    ? latestOf(catalogues, { where, database, now, at })
    : parseBackupName(name)?.id ?? name;
  const copies = catalogues.flatMap(({ backups }, index) => {
    const store = stores[index];
    return store === undefined
      ? []
      : backups.filter((each) => each.id === id).map((backup) => ({ backup, store }));
  }).sort((a, b) => Number(isBad(a)) - Number(isBad(b)));
  const [first, ...others] = copies;
  if (first === undefined) throw notFound(catalogues, { id, name: name ?? id, where });
  const other = others.find(({ backup }) => backup.digest !== first.backup.digest);
  if (other !== undefined) throw ambiguous(id, [first.backup, other.backup]);
  return [first, ...others];
}

function isBad({ backup }: Copy): boolean {
  return troubleOf(backup) !== null;
}

/** Where to look, and for which name; none for the newest one. */
function placesOf(
  { name, where, directory, endpointUrl }: Wanted,
): { name: string | undefined; places: Places; bucket?: string } {
  if (name === LATEST) return { name: undefined, places: { where, directory, endpointUrl } };
  const path = name.replace(/(?<=[^/])\/+$/, "");
  if (path.startsWith("s3://")) {
    const bucket = path.slice(0, path.lastIndexOf("/"));
    return { name: basename(path), places: { where: "s3", endpointUrl }, bucket };
  }
  return path.includes("/")
    ? { name: basename(path), places: { where: "local", directory: dirname(path) } }
    : { name: path, places: { where, directory, endpointUrl } };
}

function latestOf(
  catalogues: readonly Catalogue[],
  { where, database, now, at }: {
    where: string;
    database: string;
    now: number;
    at: number | undefined;
  },
): string {
  const full = listedOf(catalogues).filter((each) =>
    each.manifest.kind === "full" && isOf(each, database)
  );
  const newest = newestFull(full.filter(({ time }) => at === undefined || time <= at), {
    database,
    now,
  });
  if (newest !== undefined) return newest.id;
  const oldest = full.at(-1);
  const what = `There is no full backup of database "${database}" in ${where}`;
  if (at === undefined || oldest === undefined) {
    throw new OperationError(what, {
      code: "backup_not_found",
      hint: "`observatory backup list` shows what there is",
      details: { database },
    });
  }
  const moment = new Date(at).toISOString();
  throw new OperationError(`${what} of ${moment} or before`, {
    code: "backup_not_found",
    hint: `The oldest one is ${oldest.id}, of ${oldest.manifest.created_at}`,
    details: { database, at: moment, oldest: oldest.id },
  });
}

function ambiguous(id: string, [one, other]: readonly [Backup, Backup]): OperationError {
  return new OperationError(
    `Backup "${id}" is not the same in ${one.title} as in ${other.title}`,
    {
      kind: "usage",
      code: "backup_ambiguous",
      hint: `Tell which one is meant: --where ${one.place} or --where ${other.place}`,
      details: { id, places: [one.title, other.title] },
    },
  );
}

function notFound(
  catalogues: readonly Catalogue[],
  { id, name, where }: { id: string; name: string; where: string },
): OperationError {
  for (const { title, unreadable, unmanaged, leftovers } of catalogues) {
    const problem = unreadable.find((each) => each.id === id);
    if (problem !== undefined) {
      return new OperationError(`Cannot read ${problem.name} in ${title}: ${problem.reason}`, {
        code: "manifest_invalid",
        details: { ...problem },
      });
    }
    if (unmanaged.names.some((each) => [name, `${name}/`].includes(each))) {
      return new OperationError(
        `"${name}" in ${title} has no manifest, so that nothing is known of it`,
        {
          code: "not_managed",
          hint: "What other programs made is not managed, whatever its name is",
          details: { name },
        },
      );
    }
    if (leftovers.some((each) => each.id === id && each.kind === "unfinished")) {
      return new OperationError(`Backup "${id}" in ${title} is not finished, or broke off`, {
        code: "backup_unfinished",
        hint: "What broke off is removed by `observatory backup gc` when it is a day old",
        details: { id },
      });
    }
  }
  const near = nearest(name, catalogues.flatMap(({ backups }) => backups.map((each) => each.id)));
  return new OperationError(`There is no backup "${name}" in ${where}`, {
    code: "backup_not_found",
    hint: near === undefined
      ? "`observatory backup list` shows what there is"
      : `Did you mean "${near}"?`,
    details: { name, ...(near === undefined ? {} : { nearest: near }) },
  });
}

/**
 * The id that begins and ends most like a name. Ids of one database differ in a few digits, so that
 * whoever mistypes one has most of it right.
 */
function nearest(name: string, ids: readonly string[]): string | undefined {
  let best: string | undefined;
  let most = Math.floor(name.length / 2);
  for (const id of ids) {
    const limit = Math.min(name.length, id.length);
    let [head, tail] = [0, 0];
    while (head < limit && name[head] === id[head]) head++;
    while (tail < limit - head && name.at(-1 - tail) === id.at(-1 - tail)) tail++;
    if (head + tail > most) [best, most] = [id, head + tail];
  }
  return best;
}
