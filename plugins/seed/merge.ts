/**
 * Puts rows that wait in a temporary table into their target: those that are
 * there already are left alone, or brought to what the file says.
 */
import { DatabaseError, type Session } from "../../core/plugin.ts";
import { insertRows, repeatedKey, rowWithoutKey, WAITING } from "./diagnosis.ts";
import { FileFault } from "./fault.ts";
import { quoted, quotedList } from "./names.ts";
import { columnList, type Key, keyFor, type Target } from "./table.ts";

/** What became of a file's rows. */
export interface RowCounts {
  readonly inserted: number;
  readonly updated: number;
  /** Rows that were there and are as they were. */
  readonly untouched: number;
}

/** What is put where. */
export interface Merge extends Target {
  /** What rows that are there are recognised and updated by; without it they are left alone. */
  readonly key: Key | undefined;
}

/** Makes the table in which the rows wait, with just the columns of the file. */
export async function makeWaiting(session: Session, { columns }: Target): Promise<void> {
  const definitions = columns.map(({ name, type }) => `${quoted(name)} ${type}`);
  await session.query(
    `CREATE TEMPORARY TABLE seed_rows (${definitions.join(", ")}) ON COMMIT DROP`,
  );
}

/**
 * Merges the waiting rows into the target.
 *
 * @throws FileFault or DatabaseError; the latter with the detail `ordinal`, the number of the row
 *   from 1, where it can be found out
 */
export async function mergeWaiting(
  session: Session,
  merge: Merge,
  total: number,
): Promise<RowCounts> {
  const { key } = merge;
  if (key?.nullsDistinct) await refuseEmptyKey(session, key);
  const known = key === undefined ? undefined : await countKnown(session, merge, key);
  const count = await insertWaiting(session, merge, total);
  if (known === undefined) return { inserted: count, updated: 0, untouched: total - count };
  // Another session may have added rows between the two statements.
  const inserted = Math.max(0, Math.min(count, total - known));
  return { inserted, updated: count - inserted, untouched: total - count };
}

/** What the server says when one statement would update a row twice. */
const UPDATED_TWICE = "21000";

async function insertWaiting(session: Session, merge: Merge, total: number): Promise<number> {
  const { key } = merge;
  try {
    return await insertRows(session, {
      total,
      columns: merge.columns.map(({ name }) => name),
      from: WAITING,
      sql: (rows) => insertSql(merge, rows),
    });
  } catch (error) {
    const twice = error instanceof DatabaseError && error.server.sqlstate === UPDATED_TWICE;
    const ordinal = twice && key !== undefined ? await repeatedKey(session, key) : undefined;
    if (key === undefined || ordinal === undefined) throw error;
    throw new FileFault(
      `the key (${key.columns.join(", ")}) is the same as in a row before it`,
      {
        code: "repeated_key",
        hint: "Give each key once: it is not clear which of the rows is meant",
        place: { ordinal },
      },
    );
  }
}

async function refuseEmptyKey(session: Session, key: Key): Promise<void> {
  const ordinal = await rowWithoutKey(session, key);
  if (ordinal === undefined) return;
  throw new FileFault(
    `a column of the key (${key.columns.join(", ")}) is null, so it cannot be told whether the ` +
      "row is there already",
    {
      code: "empty_key",
      hint: "Give the key a value, or make the constraint UNIQUE NULLS NOT DISTINCT",
      place: { ordinal },
    },
  );
}

async function countKnown(session: Session, { table }: Merge, key: Key): Promise<number> {
  const notNull = new Set(table.columns.filter((each) => each.notNull).map(({ name }) => name));
  const conditions = key.columns.map((column) => {
    // The plain comparison is the one that an index or a hash table answers.
    const operator = notNull.has(column) || key.nullsDistinct ? "=" : "IS NOT DISTINCT FROM";
    return `t.${quoted(column)} ${operator} s.${quoted(column)}`;
  });
  const { rows: [row] } = await session.query<{ count: bigint }>(
    `SELECT count(*) AS count FROM ${WAITING} s
     WHERE EXISTS (SELECT FROM ${table.sql} t WHERE ${conditions.join(" AND ")})`,
  );
  return Number(row?.count ?? 0);
}

function insertSql(merge: Merge, rows: string): string {
  const { table, columns } = merge;
  const list = columnList(columns);
  const overriding = columns.some(({ identity }) => identity) ? "OVERRIDING SYSTEM VALUE " : "";
  return `INSERT INTO ${table.sql} AS t (${list}) ${overriding}SELECT ${list} FROM ${rows}` +
    onConflictSql(merge);
}

function onConflictSql({ table, columns, key }: Merge): string {
  const names = columns.map(({ name }) => name);
  if (key === undefined) {
    if (!table.deferrable) return " ON CONFLICT DO NOTHING";
    // Without a key named, the server would look at the deferrable constraints as well.
    const named = keyFor(table, names);
    return named === undefined ? "" : ` ON CONFLICT (${quotedList(named.columns)}) DO NOTHING`;
  }
  const others = names.filter((name) => !key.columns.includes(name));
  return ` ON CONFLICT (${quotedList(key.columns)}) ` +
    (others.length === 0 ? "DO NOTHING" : updateSql(others.map(quoted)));
}

function updateSql(names: readonly string[]): string {
  const row = (from: string) => `ROW(${names.map((name) => `${from}.${name}`).join(", ")})::record`;
  // Compared as they are stored: some types have no other comparison, or one that overlooks things.
  return `DO UPDATE SET ${names.map((name) => `${name} = excluded.${name}`).join(", ")} ` +
    `WHERE ${row("t")} OPERATOR(pg_catalog.*<>) ${row("excluded")}`;
}
