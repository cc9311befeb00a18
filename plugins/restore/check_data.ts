/** Whether rows alone can be restored: into which tables, in which order, past which triggers. */
import type { Context } from "../../core/plugin.ts";
import { HISTORY } from "./bookkeeping.ts";
import { largeObjectsMet } from "./check_target.ts";
import { type DataFacts, inOrderOfKeys, inspectData, isBookkeeping } from "./data_only.ts";
import type { SourceFacts } from "./facts.ts";
import { listed, type Refusal } from "./refusal.ts";
import type { Source } from "./source.ts";
import type { Entry } from "./table_of_contents.ts";
import type { Target } from "./target.ts";
import { isCatalogueData, isMetadata } from "./timescale_catalogue.ts";

/** How rows are restored. */
export interface DataPlan {
  /** In the order in which they are restored; undefined for everything as it is. */
  readonly entries: readonly Entry[] | undefined;
  /** Whether triggers and keys are set aside meanwhile. */
  readonly disableTriggers: boolean;
}

/** Looks at the tables that rows go into. */
export async function checkData(
  ctx: Context,
  { source, facts, target, entries }: {
    readonly source: Source;
    readonly facts: SourceFacts;
    readonly target: Target;
    readonly entries: readonly Entry[] | undefined;
  },
  refusal: Refusal,
): Promise<DataPlan> {
  const { database } = target;
  const all = entries ?? source.archive?.entries ?? tablesAsEntries(facts);
  const rows = all.filter(({ section }) => section === "data");
  const found = await inspectData(ctx, { database, entries: rows });
  const filled = new Set(found.filled);
  // What was done to this database is its own history: another one's is no news to it.
  const left = all.filter((entry) =>
    !(isBookkeeping(entry) && (filled.has(`${entry.schema}.${entry.tag}`) || isOwnState(entry))) &&
    !isMetadata(entry)
  );
  // TimescaleDB's catalogue has some rows from the start, which no dump holds.
  const theirs = left.filter((entry) => !isBookkeeping(entry) && !isCatalogueData(entry));
  checkTables({ found, theirs }, refusal);
  const objects = await largeObjectsMet(ctx, { target, brought: all });
  if (objects.length > 0) {
    refusal.add(
      `the ${listed(objects)} is there already`,
      "Remove it with lo_unlink, or restore beside the old database with --swap",
      { collisions: objects },
    );
  }
  if (source.archive === null) return { entries: undefined, disableTriggers: false };
  const changed = left.length !== all.length || entries !== undefined;
  if (target.rights.superuser) {
    return { entries: changed ? left : undefined, disableTriggers: true };
  }
  if (found.triggers.length > 0) {
    refusal.add(
      `triggers of ${listed(found.triggers)} would fire for every row`,
      "Restore as a superuser, who may set them aside, or disable them: ALTER TABLE … DISABLE TRIGGER USER",
    );
  }
  const ordered = inOrderOfKeys(left, found.references);
  if (ordered === undefined) {
    refusal.add(
      "the keys of its tables go round in a circle, so no order of the rows satisfies them",
      "Restore as a superuser, who may set keys aside meanwhile, or restore schema and rows together",
    );
    return { entries: left, disableTriggers: false };
  }
  const moved = ordered.some((entry, index) => entry !== left[index]);
  return { entries: moved || changed ? ordered : undefined, disableTriggers: false };
}

/** The tool's own state is never replaced by another database's. */
function isOwnState(entry: Entry): boolean {
  return isBookkeeping(entry) && entry.tag !== HISTORY;
}

function checkTables(
  { found, theirs }: { readonly found: DataFacts; readonly theirs: readonly Entry[] },
  refusal: Refusal,
): void {
  const names = new Set(theirs.map(({ schema, tag }) => `${schema}.${tag}`));
  const missing = found.missing.filter((name) => names.has(name));
  if (missing.length > 0) {
    refusal.add(
      `the tables ${listed(missing)} are not there`,
      "Restore the schema first (--schema-only), or migrate",
      { missing_tables: missing },
    );
  }
  const filled = found.filled.filter((name) => names.has(name));
  if (filled.length === 0) return;
  refusal.add(
    `the tables ${listed(filled)} hold rows, which would be there twice`,
    `Empty them first (TRUNCATE), or restore beside the old database with --swap`,
    { filled_tables: filled },
  );
}

/** A script has no table of contents; its manifest tells the tables. */
function tablesAsEntries({ tables }: SourceFacts): Entry[] {
  return tables.map(({ schema, name }, index) => ({
    id: index + 1,
    hasData: true,
    kind: "TABLE DATA",
    tag: name,
    schema,
    tablespace: "",
    owner: "",
    file: "",
    section: "data",
    dependencies: [],
    definition: "",
  }));
}
