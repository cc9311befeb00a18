/** Backups of several places as one list: one that is kept twice stands there once. */
import { type Backup, type Catalogue, newestFirst } from "./catalogue.ts";
import { isAtLeast, type Level, LEVELS } from "./levels.ts";
import type { Manifest } from "./manifest.ts";
import { HOUR } from "./times.ts";

/** A whole backup, wherever it is kept. */
export interface Listed {
  readonly id: string;
  readonly manifest: Manifest;
  /** The moment whose data it holds, in milliseconds since 1970. */
  readonly time: number;
  /** At least one; the local one first. All have the same manifest. */
  readonly copies: readonly Backup[];
  /** The highest level at which a copy is known to be good. */
  readonly level: Level | null;
}

/** Why a backup is not one to rely on; null for a whole one. */
export function troubleOf({ broken, verified: { damage } }: Backup): string | null {
  if (broken !== null) return `is broken: ${broken}`;
  if (damage === null) return null;
  const finding = damage.findings[0];
  const told = `is damaged, as its verification (${damage.level}) has found`;
  return finding === undefined ? told : `${told}: ${finding}`;
}

/** The whole backups of all places, the newest first. */
export function listedOf(catalogues: readonly Catalogue[]): Listed[] {
  const copies = new Map<string, Backup[]>();
  for (const backup of catalogues.flatMap(({ backups }) => backups)) {
    if (troubleOf(backup) !== null) continue;
    const key = `${backup.id} ${backup.digest}`;
    copies.set(key, [...copies.get(key) ?? [], backup]);
  }
  const listed = [...copies.values()].flatMap((all): Listed[] => {
    const [first] = all;
    if (first === undefined) return [];
    const { id, manifest, time } = first;
    return [{ id, manifest, time, copies: all, level: highest(all) }];
  });
  return listed.sort(newestFirst);
}

function highest(copies: readonly Backup[]): Level | null {
  const levels = copies.map(({ verified: { level } }) => level);
  return LEVELS.findLast((level) => levels.includes(level)) ?? null;
}

/** Everything that is wrong with what the places hold, a sentence each. */
export function troublesOf(
  catalogues: readonly Catalogue[],
  { database }: { readonly database?: string | undefined } = {},
): string[] {
  return catalogues.flatMap(({ title, backups, unreadable }) => [
    ...backups.filter((backup) => isOf(backup, database)).flatMap((backup) => {
      const trouble = troubleOf(backup);
      return [
        ...(trouble === null ? [] : [`Backup "${backup.id}" in ${title} ${trouble}`]),
        ...backup.unreadable.map((reason) => `${reason} (in ${title})`),
      ];
    }),
    ...unreadable.map(({ name, reason }) => `Cannot read ${name} in ${title}: ${reason}`),
  ]);
}

/** Whether a backup is one of a database; of any when none is named. */
export function isOf(
  { manifest }: Pick<Backup, "manifest">,
  database: string | undefined,
): boolean {
  return database === undefined || manifest.source.database === database;
}

/**
 * Finds the newest full backup of a database among whole ones. One from the future does not count:
 * it would stay the newest whatever followed.
 *
 * @param listed the newest first
 * @param options.now milliseconds since 1970
 * @param options.level the least level at which it must be known to be good
 */
export function newestFull(
  listed: readonly Listed[],
  { database, now, level }: { database: string; now: number; level?: Level | undefined },
): Listed | undefined {
  return listed.find((each) =>
    each.manifest.kind === "full" && isOf(each, database) && each.time <= now + HOUR &&
    (level === undefined || isAtLeast(each.level, level))
  );
}
