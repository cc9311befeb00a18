/** What in a table of contents is TimescaleDB's own catalogue. */
import type { Entry } from "./table_of_contents.ts";

/** The schemas of TimescaleDB's own tables, whose rows are its catalogue. */
const CATALOGUE_SCHEMAS = new Set(["_timescaledb_catalog", "_timescaledb_config"]);

/** Whether an entry holds rows, or a sequence's value, of TimescaleDB's catalogue. */
export function isCatalogueData({ schema, section }: Pick<Entry, "schema" | "section">): boolean {
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
