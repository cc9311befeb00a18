/** `backup list`: what backups there are. */
import type { Context, Result } from "../../core/plugin.ts";
import { type Catalogue, readCatalogue } from "../repository/catalogue.ts";
import { judgeLeftover } from "../repository/gc.ts";
import { isOf, type Listed, listedOf, troubleOf, troublesOf } from "../repository/listed.ts";
import type { Manifest } from "../repository/manifest.ts";
import { sizeText } from "../repository/size.ts";
import { type Places, withStores } from "../repository/stores.ts";
import { ageText, timeText } from "../repository/times.ts";
import { counted, table } from "./lines.ts";

/** What is listed. */
export interface ListOptions extends Places {
  /** Backups of other databases are left out. */
  readonly database: string | undefined;
}

/**
 * Lists the backups of all places.
 *
 * @returns what is broken, damaged or cannot be read as problems: nothing of it is a backup
 */
export async function list(context: Context, options: ListOptions): Promise<Result> {
  const catalogues = await withStores(
    context,
    options,
    (stores) => Promise.all(stores.map(readCatalogue)),
  );
  const now = context.now();
  const listed = listedOf(catalogues).filter((each) => isOf(each, options.database));
  const problems = troublesOf(catalogues, options);
  return {
    data: {
      backups: listed.map((each) => dataOf(each, now)),
      broken: catalogues.flatMap(({ backups, title }) =>
        backups.filter((backup) => isOf(backup, options.database)).flatMap((backup) => {
          const trouble = troubleOf(backup);
          return trouble === null ? [] : [{ id: backup.id, where: backup.place, title, trouble }];
        })
      ),
      places: catalogues.map((catalogue) => ({
        where: catalogue.place,
        title: catalogue.title,
        unreadable: catalogue.unreadable,
        unmanaged: catalogue.unmanaged,
        leftovers: collectable(catalogue, now).map(({ id }) => id),
      })),
    },
    text: textOf(listed, { catalogues, now }),
    ...(problems.length === 0 ? {} : { problems }),
  };
}

/** A backup as programs get it. */
export function dataOf({ id, manifest, time, copies, level }: Listed, now: number) {
  const { source, kind, format, compression, encryption, created_at, note } = manifest;
  return {
    id,
    database: source.database,
    system_identifier: source.system_identifier,
    kind,
    format,
    compression,
    encrypted: encryption !== null,
    created_at,
    age_seconds: Math.round((now - time) / 1000),
    bytes: copies[0]?.bytes ?? 0,
    verified: level,
    note,
    copies: copies.map(({ place, title, verified }) => ({
      where: place,
      title,
      verified: verified.level,
      verified_at: verified.at,
    })),
  };
}

/** The places of a backup, such as `local+s3`. */
export function whereText(copies: readonly { readonly place: string }[]): string {
  return copies.map(({ place }) => place).join("+");
}

/** A format for people, such as `custom` or `plain, age`. */
export function formatText({ format, encryption }: Manifest): string {
  return encryption === null ? format : `${format}, ${encryption.method}`;
}

const HEADINGS = ["TIME (UTC)", "AGE", "KIND", "FORMAT", "SIZE", "VERIFIED", "WHERE", "ID"];

function textOf(
  listed: readonly Listed[],
  { catalogues, now }: { catalogues: readonly Catalogue[]; now: number },
): string {
  const where = catalogues.map(({ title }) => title).join(" and ");
  const rows = listed.map(({ id, manifest, time, copies, level }) => [
    timeText(time),
    ageText(now - time),
    manifest.kind,
    formatText(manifest),
    sizeText(copies[0]?.bytes ?? 0),
    level ?? "-",
    whereText(copies),
    id,
  ]);
  return [
    ...(rows.length === 0 ? [] : [...table(HEADINGS, rows), ""]),
    `${rows.length === 0 ? "No backups" : counted(rows.length, "backup")} in ${where}`,
    ...catalogues.flatMap((catalogue) => closingLines(catalogue, now)),
  ].join("\n");
}

function closingLines(catalogue: Catalogue, now: number): string[] {
  const { title, unmanaged: { names, bytes } } = catalogue;
  const left = collectable(catalogue, now).length;
  return [
    ...(names.length === 0 ? [] : [
      `${counted(names.length, "dump")} without a manifest in ${title} (${sizeText(bytes)}): ` +
      "not managed, never removed",
    ]),
    ...(left === 0 ? [] : [
      `${counted(left, "run")} broke off in ${title}: \`observatory backup gc\` removes what ` +
      `${left === 1 ? "it" : "they"} left`,
    ]),
  ];
}

function collectable({ leftovers }: Catalogue, now: number): Catalogue["leftovers"] {
  return leftovers.filter((leftover) =>
    judgeLeftover(leftover, { now, uploads: [] }).action === "remove"
  );
}
