/** Hypertables among chosen tables: what cannot be restored by itself. */
import { OperationError } from "../../core/plugin.ts";
import type { Manifest } from "../repository/manifest.ts";

/** What of an entry is looked at. */
export interface TableEntry {
  readonly id: number;
  readonly kind: string;
  readonly tag: string;
  readonly schema: string;
  /** Identifiers of what it depends on. */
  readonly dependencies: readonly number[];
}

const INTERNAL = "_timescaledb_internal";
const BLOCKER = / ts_insert_blocker$/;

/**
 * Makes sure that no hypertable and no continuous aggregate is among chosen tables: their rows are in
 * chunks, and which those are is told by TimescaleDB's catalogue, which is restored whole or not at
 * all.
 *
 * @param chosen the entries that were chosen
 * @throws OperationError of kind `refused`
 */
export function refuseHypertables(
  archive: { readonly entries: readonly TableEntry[] },
  { manifest, chosen }: {
    readonly manifest: Manifest | null;
    readonly chosen: readonly TableEntry[];
  },
): void {
  const hypertables = hypertablesOf(archive.entries, manifest);
  const met = chosen.filter((entry) =>
    (entry.kind === "TABLE" || entry.kind === "VIEW") &&
    (entry.schema === INTERNAL || hypertables.has(nameOf(entry)))
  ).map(nameOf);
  if (met.length === 0) return;
  throw new OperationError(
    `Cannot restore by table: ${met.join(", ")} cannot be restored alone, since the rows of ` +
      "hypertables and continuous aggregates are in chunks that TimescaleDB's catalogue tells of, " +
      "which is restored whole or not at all",
    {
      kind: "refused",
      code: "hypertables",
      hint: "Restore the whole backup beside it, with --into NAME, and copy the rows from there: " +
        "\\copy (SELECT * FROM TABLE) TO FILE, and \\copy TABLE FROM FILE",
      details: { tables: met },
    },
  );
}

/** Hypertables and continuous aggregates of a dump, by name. */
function hypertablesOf(
  entries: readonly TableEntry[],
  manifest: Manifest | null,
): ReadonlySet<string> {
  const { hypertables = [], continuous_aggregates: aggregates = [] } = manifest?.timescaledb ?? {};
  const names = new Set(
    [...hypertables, ...aggregates].map(({ schema, name }) => `${schema}.${name}`),
  );
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  for (const entry of entries) {
    // A chunk is made after its hypertable, and an aggregate's view after the table behind it. Old
    // versions have a trigger on every hypertable, whether it has chunks or not.
    if (entry.kind === "TABLE" && entry.schema === INTERNAL) {
      for (const id of entry.dependencies) {
        const parent = byId.get(id);
        if (parent?.kind === "TABLE") names.add(nameOf(parent));
      }
    } else if (entry.kind === "VIEW") {
      const behind = entry.dependencies.some((id) => byId.get(id)?.schema === INTERNAL);
      if (behind) names.add(nameOf(entry));
    } else if (entry.kind === "TRIGGER" && BLOCKER.test(entry.tag)) {
      names.add(`${entry.schema}.${entry.tag.replace(BLOCKER, "")}`);
    }
  }
  return names;
}

function nameOf({ schema, tag }: Pick<TableEntry, "schema" | "tag">): string {
  return `${schema}.${tag}`;
}
