/** The order in which a dump with hypertables is restored by several processes at once. */

/** An entry of a table of contents, as far as passes look at it. */
export interface PassEntry {
  readonly kind: string;
  readonly tag: string;
  readonly schema: string;
  readonly section: "none" | "pre-data" | "data" | "post-data";
}

/** One call of pg_restore. */
export interface Pass {
  /** What it restores, for progress and messages. */
  readonly title: string;
  keep(entry: PassEntry): boolean;
  /** Whether several processes may do it. */
  readonly parallel: boolean;
}

/** The schemas of TimescaleDB's own tables, whose rows are its catalogue. */
const CATALOGUE = new Set(["_timescaledb_catalog", "_timescaledb_config"]);

/** Whether an entry holds rows or a sequence's value of TimescaleDB's catalogue. */
export function isCatalogueData({ schema, section }: PassEntry): boolean {
  return section === "data" && CATALOGUE.has(schema);
}

/**
 * The passes in which an archive is restored with several processes: TimescaleDB's catalogue by one
 * process alone, since its tables have keys on each other that stand from the start, and the order
 * of the archive is the one that keeps them.
 */
export function passesFor(
  archive: { readonly entries: readonly PassEntry[] },
): Pass[] {
  if (!archive.entries.some(isCatalogueData)) {
    return [{ title: "everything", keep: () => true, parallel: true }];
  }
  return [
    {
      title: "definitions",
      keep: ({ section }) => section === "none" || section === "pre-data",
      parallel: false,
    },
    { title: "TimescaleDB's catalogue", keep: isCatalogueData, parallel: false },
    {
      title: "rows",
      keep: (entry) => entry.section === "data" && !isCatalogueData(entry),
      parallel: true,
    },
    {
      title: "indexes and constraints",
      keep: ({ section }) => section === "post-data",
      parallel: true,
    },
  ];
}
