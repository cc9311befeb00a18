/** The SQL that puts waiting rows into their target. */
import { quotedList } from "./names.ts";
import { identifier } from "../sql/names.ts";
import { columnList, type Key, keyFor, type Target } from "./table.ts";

/** What is put where. */
export interface Merge extends Target {
  /** What rows that are there are recognised and updated by; without it they are left alone. */
  readonly key: Key | undefined;
}

/** One that updates rows. */
export interface KeyedMerge extends Merge {
  readonly key: Key;
}

/** Inserts the rows that an item of FROM gives; what is done with those that are there follows. */
export function insertSql({ table, columns }: Target, rows: string): string {
  const list = columnList(columns);
  const overriding = columns.some(({ identity }) => identity) ? "OVERRIDING SYSTEM VALUE " : "";
  return `INSERT INTO ${table.sql} AS t (${list}) ${overriding}SELECT ${list} FROM ${rows}`;
}

/** Inserts rows, and updates those that are there by the key; without a key leaves them alone. */
export function mergeSql(merge: Merge, rows: string): string {
  const { key } = merge;
  if (key === undefined) return insertSql(merge, rows) + leftAloneSql(merge);
  const names = otherColumns(merge, key);
  const update = `DO UPDATE SET ${names.map((name) => `${name} = excluded.${name}`).join(", ")} ` +
    `WHERE ${differentSql(merge, key, "excluded")}`;
  return insertSql(merge, rows) +
    ` ON CONFLICT (${quotedList(key.columns)}) ${names.length === 0 ? "DO NOTHING" : update}`;
}

/** What leaves rows alone that are there by whatever constraint the server lets ask for. */
export function leftAloneSql({ table, columns }: Target): string {
  if (!table.deferrable) return " ON CONFLICT DO NOTHING";
  // Without a key named, the server would look at the deferrable constraints as well.
  const named = keyFor(table, columns.map(({ name }) => name));
  return named === undefined ? "" : ` ON CONFLICT (${quotedList(named.columns)}) DO NOTHING`;
}

/** Whether a row of the target, `t`, is the same by the key as a waiting one, `s`. */
export function sameKeySql({ table }: Target, key: Key): string {
  const notNull = new Set(table.columns.filter((each) => each.notNull).map(({ name }) => name));
  return key.columns.map((column) => {
    // The plain comparison is the one that an index or a hash table answers.
    const operator = notNull.has(column) || key.nullsDistinct ? "=" : "IS NOT DISTINCT FROM";
    return `t.${identifier(column)} ${operator} s.${identifier(column)}`;
  }).join(" AND ");
}

/** Whether the target's row `t` differs from the row `other`, which has the same key. */
export function differentSql(merge: Target, key: Key, other: string): string {
  const names = otherColumns(merge, key);
  if (names.length === 0) return "false";
  const row = (from: string) => `ROW(${names.map((name) => `${from}.${name}`).join(", ")})::record`;
  // Compared as they are stored: some types have no other comparison, or one that overlooks things.
  return `${row("t")} OPERATOR(pg_catalog.*<>) ${row(other)}`;
}

function otherColumns({ columns }: Target, key: Key): string[] {
  return columns.map(({ name }) => name).filter((name) => !key.columns.includes(name)).map(
    identifier,
  );
}
