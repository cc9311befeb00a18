/** The order in which `--clean` can drop what a dump brings anew. */
import type { Entry } from "./table_of_contents.ts";

/** An entry of a table of contents, as far as the order looks at it. */
export type DropEntry = Pick<Entry, "id" | "kind" | "dependencies">;

/** Whether an entry makes an index: a key's comes with its constraint. */
export function makesIndex({ kind }: Pick<Entry, "kind">): boolean {
  return kind === "INDEX" || kind === "CONSTRAINT";
}

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
  const parts = new Set<E>();
  for (const entry of entries) {
    for (const { id } of tablesIndexes(entry, byId)) {
      const others = partitions.get(id);
      if (others === undefined) partitions.set(id, [entry]);
      else others.push(entry);
      parts.add(entry);
    }
  }
  const ordered = new Set<E>();
  for (const entry of entries) {
    const family = parts.has(entry) ? [] : descendants(entry, partitions);
    const before = new Set([...family, entry]);
    const ready = family.every(({ dependencies }) =>
      dependencies.every((id) => {
        const needed = byId.get(id);
        return needed === undefined || ordered.has(needed) || before.has(needed);
      })
    );
    if (ready) family.forEach((each) => ordered.add(each));
    ordered.add(entry);
  }
  return [...ordered];
}

/** The indexes of its table that an index of a partition is made after. */
function tablesIndexes<E extends DropEntry>(entry: E, byId: ReadonlyMap<number, E>): E[] {
  if (!makesIndex(entry)) return [];
  return [...new Set(entry.dependencies)].flatMap((id) => {
    const other = byId.get(id);
    return other !== undefined && makesIndex(other) ? [other] : [];
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
