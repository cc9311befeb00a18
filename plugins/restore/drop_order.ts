/** The order in which `--clean` can drop what a dump brings anew. */
import type { Entry } from "./table_of_contents.ts";

/** An entry of a table of contents, as far as the order looks at it. */
export type DropEntry = Pick<Entry, "id" | "kind" | "dependencies">;

/** The kinds of entries that make an index: a key's comes with its constraint. */
const INDEXES: ReadonlySet<string> = new Set(["INDEX", "CONSTRAINT"]);

/**
 * Puts indexes of partitions before those of their tables. pg_restore drops from the end of the list
 * to its beginning, and in the archive's order begins with the partitions' indexes, which the server
 * refuses: they go with the table's, which has to be dropped first. To make them in this order is
 * all the same: they are parts of the table's only after both are there (`INDEX ATTACH`).
 *
 * @param entries in the order of the archive
 * @returns the same entries
 */
export function inDropOrder<E extends DropEntry>(entries: readonly E[]): readonly E[] {
  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  const partitions = new Map<number, E[]>();
  const parts = new Set<number>();
  for (const entry of entries) {
    for (const table of tablesIndexes(entry, byId)) {
      partitions.set(table.id, [...partitions.get(table.id) ?? [], entry]);
      parts.add(entry.id);
    }
  }
  const made = new Set<number>();
  const ordered: E[] = [];
  const add = (entry: E) => {
    if (made.has(entry.id)) return;
    made.add(entry.id);
    ordered.push(entry);
  };
  for (const entry of entries) {
    if (!parts.has(entry.id)) {
      const family = descendants(entry, partitions);
      const own = new Set([entry, ...family].map(({ id }) => id));
      const ready = family.every(({ dependencies }) =>
        dependencies.every((id) => made.has(id) || own.has(id) || !byId.has(id))
      );
      if (ready) family.forEach(add);
    }
    add(entry);
  }
  return ordered;
}

/** The indexes of its table that an index of a partition is made after. */
function tablesIndexes<E extends DropEntry>(entry: E, byId: ReadonlyMap<number, E>): E[] {
  if (!INDEXES.has(entry.kind)) return [];
  return [...new Set(entry.dependencies)].flatMap((id) => {
    const other = byId.get(id);
    return other !== undefined && INDEXES.has(other.kind) ? [other] : [];
  });
}

/** The indexes of all its partitions, those of partitions' partitions first. */
function descendants<E extends DropEntry>(
  entry: E,
  partitions: ReadonlyMap<number, readonly E[]>,
): E[] {
  return (partitions.get(entry.id) ?? []).flatMap((each) => [
    ...descendants(each, partitions),
    each,
  ]);
}
