/** What is to be said of a backup before it is made, since something of it will be missing. */
import type { Session } from "../../core/plugin.ts";
import type { Timescale } from "../repository/manifest.ts";
import type { Counted } from "../repository/counts.ts";
import type { Inventory } from "../repository/inventory.ts";
import type { BackupOptions } from "./options.ts";
import type { Resolved } from "./selection.ts";

/** What is known of the backup. */
export interface Foreseen {
  readonly options: Pick<BackupOptions, "sections">;
  readonly selection: Resolved;
  readonly inventory: Pick<Inventory, "timescaledb" | "source">;
}

/** The warnings for the manifest, a sentence each. */
export async function foreseenWarnings(
  session: Session,
  { options: { sections }, selection, inventory }: Foreseen,
): Promise<string[]> {
  return [
    ...selection.warnings,
    ...sectionWarnings(sections, inventory.timescaledb),
    ...inventory.source.in_recovery && sections !== "schema"
      ? await standbyWarnings(session, selection)
      : [],
  ];
}

/** TimescaleDB's catalogue is rows, without which its tables are no hypertables. */
function sectionWarnings(
  sections: BackupOptions["sections"],
  timescaledb: Timescale | null,
): string[] {
  if (timescaledb === null || timescaledb.hypertables.length === 0 || sections === "all") return [];
  return [
    sections === "schema"
      ? "Definitions alone are without TimescaleDB's catalogue: its hypertables are restored as plain " +
        "tables, into which nothing can be inserted before a --data-only backup is restored as well"
      : "Rows alone hold TimescaleDB's catalogue: they can be restored where a --schema-only backup " +
        "has been, and where no hypertable is yet",
  ];
}

async function standbyWarnings(
  session: Session,
  { included, excluded }: Counted,
): Promise<string[]> {
  const { rows } = await session.query<{ oid: number }>(
    `SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND c.relpersistence = 'u' AND n.nspname !~ '^pg_'`,
  );
  const missing = rows.filter(({ oid }) => included?.has(oid) !== false && !excluded.has(oid));
  if (missing.length === 0) return [];
  return [
    `The rows of ${missing.length === 1 ? "one table" : `${missing.length} tables`} are missing: ` +
    "what is not logged is not on a standby",
  ];
}
