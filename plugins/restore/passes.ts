/** The order in which an archive is restored by several processes at once. */
import { makesIndex } from "./drop_order.ts";
import type { Parts } from "./options.ts";
import type { Entry } from "./table_of_contents.ts";
import { isCatalogueData } from "./timescale_catalogue.ts";

/** An entry of a table of contents, as far as passes look at it. */
export type PassEntry = Pick<Entry, "id" | "kind" | "schema" | "section" | "dependencies">;

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

const EVERYTHING: Pass = { title: "everything", keep: () => true, parallel: true, triggers: false };

/** The kind of entries that make a partition's index a part of its table's. */
const ATTACH = "INDEX ATTACH";

const [DEFINITIONS, CATALOGUE, ROWS, INDEXES, ATTACHED, REST] = [0, 1, 2, 3, 4, 5];

/** How an archive is restored. */
export interface PassPlan {
  /** At least one. */
  readonly passes: readonly Pass[];
  /** How many processes those passes have that several may do. */
  readonly jobs: number;
}

/**
 * Chooses the passes: one by a single process, which goes in the order of the archive, and one with
 * `--clean`, where one call has to drop all, since a key that a later one would drop stands in the
 * way of its table. TimescaleDB's catalogue then allows of no second process.
 *
 * @param archive null for a script
 */
export function planPasses(
  archive: { readonly entries: readonly PassEntry[] } | null,
  { jobs, clean, parts }: { readonly jobs: number; readonly clean: boolean; readonly parts: Parts },
): PassPlan {
  if (archive === null || jobs === 1) return { passes: [EVERYTHING], jobs };
  if (clean) {
    return { passes: [EVERYTHING], jobs: archive.entries.some(isCatalogueData) ? 1 : jobs };
  }
  // Rows alone: nothing is attached.
  const entries = parts === "data"
    ? archive.entries.filter(({ kind }) => kind !== ATTACH)
    : archive.entries;
  return { passes: passesFor({ entries }), jobs };
}

/**
 * The passes in which an archive is restored with several processes. Two things go by one process
 * alone:
 *
 * - TimescaleDB's catalogue, since its tables have keys on each other that stand from the start, and
 *   the order of the archive is the one that keeps them.
 * - What makes indexes of partitions parts of their table's (`ALTER INDEX … ATTACH PARTITION`): it
 *   locks a partition's index and then the table's, where foreign keys and triggers of the table lock
 *   its partitions after it. pg_restore keeps apart what shares a table, but does not know of that,
 *   and one of two processes that meet so is the victim of a deadlock.
 */
export function passesFor(archive: { readonly entries: readonly PassEntry[] }): Pass[] {
  const catalogue = archive.entries.some(isCatalogueData);
  const partitions = archive.entries.some(({ kind }) => kind === ATTACH);
  if (!catalogue && !partitions) return [EVERYTHING];
  const steps = stepsOf(archive.entries);
  const pass = (title: string, first: number, last: number): Pass => ({
    title,
    keep({ id }) {
      const step = steps.get(id) ?? REST;
      return step >= first && step <= last;
    },
    parallel: last !== CATALOGUE && last !== DEFINITIONS && first !== ATTACHED,
    triggers: first === CATALOGUE,
  });
  return [
    ...catalogue
      ? [
        pass("definitions", DEFINITIONS, DEFINITIONS),
        pass("TimescaleDB's catalogue", CATALOGUE, CATALOGUE),
        pass("rows", ROWS, ROWS),
      ]
      : [pass("definitions, rows and indexes", DEFINITIONS, INDEXES)],
    ...partitions
      ? [
        ...catalogue ? [pass("indexes", INDEXES, INDEXES)] : [],
        pass("indexes of partitions", ATTACHED, ATTACHED),
        pass("constraints and triggers", REST, REST),
      ]
      : [pass("indexes and constraints", INDEXES, REST)],
  ];
}

/** The step of each entry, by its id. */
function stepsOf(entries: readonly PassEntry[]): Map<number, number> {
  const steps = new Map<number, number>();
  // Comments and labels have no section; pg_restore too takes that of the entries before them.
  let current: number = DEFINITIONS;
  for (const entry of entries) {
    const own = ownStep(entry) ?? current;
    // An index may need what else would come behind it, such as a function that needs a key.
    const needed = own < INDEXES ? [] : entry.dependencies.map((id) => steps.get(id) ?? own);
    const step = Math.max(own, ...needed);
    if (entry.section !== "none") current = step;
    // Nobody is granted or refused anything before all is there, as in one call of pg_restore.
    steps.set(entry.id, entry.kind === "ACL" ? REST : step);
  }
  return steps;
}

function ownStep(entry: PassEntry): number | undefined {
  if (isCatalogueData(entry)) return CATALOGUE;
  switch (entry.section) {
    case "none":
      return undefined;
    case "pre-data":
      return DEFINITIONS;
    case "data":
      return ROWS;
    case "post-data":
      if (entry.kind === ATTACH) return ATTACHED;
      return makesIndex(entry) ? INDEXES : REST;
  }
}
