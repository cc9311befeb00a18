/**
 * Puts rows that wait in a temporary table into their target: those that are
 * there already are left alone, or brought to what the file says.
 */
import { DatabaseError, type Session } from "../../core/plugin.ts";
import {
  inRow,
  type Insertion,
  insertRows,
  meetsAnother,
  repeatedKey,
  rowByCounting,
  rowWithoutKey,
  WAITING,
} from "./diagnosis.ts";
import { FileFault } from "./fault.ts";
import { type LeftOut, leftOutRows } from "./left_out.ts";
import { type KeyedMerge, type Merge, mergeSql, sameKeySql } from "./merge_sql.ts";
import { identifier } from "../sql/names.ts";
import { type Key, keyFor, type Target } from "./table.ts";

/** What became of a file's rows. */
export interface RowCounts {
  readonly inserted: number;
  readonly updated: number;
  /** Rows that were there and are as they were. */
  readonly untouched: number;
}

/** What merging did. */
export interface Merged {
  readonly counts: RowCounts;
  /** Rows that are not there by their key, but that another constraint keeps out. */
  readonly leftOut: LeftOut | undefined;
}

/** Makes the table in which the rows wait, with just the columns of the file. */
export async function makeWaiting(session: Session, { columns }: Target): Promise<void> {
  const definitions = columns.map(({ name, type }) => `${identifier(name)} ${type}`);
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
): Promise<Merged> {
  const { key } = merge;
  return key === undefined
    ? await insertNew(session, merge, total)
    : await updateOrInsert(session, { ...merge, key }, total);
}

async function insertNew(session: Session, merge: Merge, total: number): Promise<Merged> {
  const inserted = await insertWaiting(session, merge, total);
  const counts = { inserted, updated: 0, untouched: total - inserted };
  const { table, columns } = merge;
  const key = keyFor(table, columns.map(({ name }) => name));
  // Whoever may not look into the table is not to fail for the sake of a warning.
  const looked = counts.untouched > 0 && table.severalConflicts && table.readable;
  return {
    counts,
    leftOut: looked && key !== undefined ? await leftOutRows(session, merge, key) : undefined,
  };
}

async function updateOrInsert(
  session: Session,
  merge: KeyedMerge,
  total: number,
): Promise<Merged> {
  const { key } = merge;
  if (key.nullsDistinct) await refuseEmptyKey(session, key);
  const known = await countKnown(session, merge);
  try {
    const count = await insertWaiting(session, merge, total);
    // Another session may have added rows between the two statements.
    const inserted = Math.max(0, Math.min(count, total - known));
    const counts = { inserted, updated: count - inserted, untouched: total - count };
    return { counts, leftOut: undefined };
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    if (meetsAnother(error)) return await mergeStepwise(session, merge, { total, failure: error });
    if (error.server.sqlstate === UPDATED_TWICE) await refuseRepeatedKey(session, key);
    throw error;
  }
}

/** What the server says when one statement would update a row twice. */
const UPDATED_TWICE = "21000";

async function insertWaiting(session: Session, merge: Merge, total: number): Promise<number> {
  return await insertRows(session, {
    ...wholeMerge(merge, total),
    ...(merge.key === undefined ? {} : { passOn: meetsAnother }),
  });
}

function wholeMerge(merge: Merge, total: number): Insertion {
  return {
    total,
    columns: merge.columns.map(({ name }) => name),
    from: WAITING,
    sql: (rows) => mergeSql(merge, rows),
  };
}

/**
 * Merges rows of which some meet others by a constraint that is not the key. One statement inserts
 * and updates as the rows come, so that it fails at the first of them.
 */
async function mergeStepwise(
  session: Session,
  merge: KeyedMerge,
  { total, failure }: { readonly total: number; readonly failure: DatabaseError },
): Promise<Merged> {
  await refuseRepeatedKey(session, merge.key);
  const { stepwise } = await import("./stepwise.ts");
  try {
    const { inserted, updated } = await stepwise(session, merge);
    const counts = { inserted, updated, untouched: total - inserted - updated };
    return { counts, leftOut: await leftOutRows(session, merge, merge.key) };
  } catch (error) {
    if (!(error instanceof DatabaseError) || "ordinal" in error.details) throw error;
    // A constraint that is checked at the end stands against both ways alike.
    if (error.server.constraint !== failure.server.constraint) throw error;
    const ordinal = await rowByCounting(session, wholeMerge(merge, total));
    throw ordinal === undefined ? error : inRow(error, ordinal);
  }
}

async function refuseRepeatedKey(session: Session, key: Key): Promise<void> {
  const ordinal = await repeatedKey(session, key);
  if (ordinal === undefined) return;
  throw new FileFault(
    `the key (${key.columns.join(", ")}) is the same as in a row before it`,
    {
      code: "repeated_key",
      hint: "Give each key once: it is not clear which of the rows is meant",
      place: { ordinal },
    },
  );
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

async function countKnown(session: Session, merge: KeyedMerge): Promise<number> {
  const { rows: [row] } = await session.query<{ count: bigint }>(
    `SELECT count(*) AS count FROM ${WAITING} s
     WHERE EXISTS (SELECT FROM ${merge.table.sql} t WHERE ${sameKeySql(merge, merge.key)})`,
  );
  return Number(row?.count ?? 0);
}
