/** The order in which a dump with hypertables is restored by several processes at once. */

/** An entry of a table of contents, as far as passes look at it. */
export interface PassEntry {
  readonly id: number;
  readonly kind: string;
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
  /** Whether triggers must stay: by one of its own TimescaleDB takes the rows that it has already. */
  readonly triggers: boolean;
}

const TITLES = ["definitions", "TimescaleDB's catalogue", "rows", "indexes and constraints"];
const [DEFINITIONS, CATALOGUE, ROWS, REST] = [0, 1, 2, 3];

/** The schemas of TimescaleDB's own tables, whose rows are its catalogue. */
const CATALOGUE_SCHEMAS = new Set(["_timescaledb_catalog", "_timescaledb_config"]);

/** Whether an entry holds rows, or a sequence's value, of TimescaleDB's catalogue. */
export function isCatalogueData(
  { schema, section }: Pick<PassEntry, "schema" | "section">,
): boolean {
  return section === "data" && CATALOGUE_SCHEMAS.has(schema);
}

/**
 * Whether an entry holds what TimescaleDB knows of itself: it has rows of its own from the start, and
 * only a trigger of its makes those of a dump take their place, so rows that are restored without
 * triggers go without them.
 */
export function isMetadata(
  { kind, schema, tag }: { readonly kind: string; readonly schema: string; readonly tag: string },
): boolean {
  return kind === "TABLE DATA" && schema === "_timescaledb_catalog" && tag === "metadata";
}

/**
 * The passes in which an archive is restored with several processes: TimescaleDB's catalogue by one
 * process alone, since its tables have keys on each other that stand from the start, and the order
 * of the archive is the one that keeps them.
 */
export function passesFor(archive: { readonly entries: readonly PassEntry[] }): Pass[] {
  if (!archive.entries.some(isCatalogueData)) {
    return [{ title: "everything", keep: () => true, parallel: true, triggers: false }];
  }
  const passes = passesOf(archive.entries);
  return TITLES.map((title, index) => ({
    title,
    keep: ({ id }) => passes.get(id) === index,
    parallel: index === ROWS || index === REST,
    triggers: index === CATALOGUE,
  }));
}

/** Each entry's pass, by its id. */
function passesOf(entries: readonly PassEntry[]): Map<number, number> {
  const passes = new Map<number, number>();
  // Comments and labels have no section; pg_restore too takes that of the entries before them.
  let current = DEFINITIONS;
  for (const entry of entries) {
    if (entry.section === "pre-data") current = DEFINITIONS;
    else if (entry.section === "data") current = ROWS;
    else if (entry.section === "post-data") current = REST;
    if (isCatalogueData(entry)) passes.set(entry.id, CATALOGUE);
    // Nobody is granted or refused anything before all is there, as in one call of pg_restore.
    else passes.set(entry.id, entry.kind === "ACL" ? REST : current ?? REST);
  }
  return passes;
}
