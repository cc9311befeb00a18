/** Finds the waiting row that a statement over all of them failed at; rows are counted from 1. */
import { DatabaseError, type Session } from "../../core/plugin.ts";
import { identifier } from "../sql/names.ts";
import type { Key } from "./table.ts";

/** Where the rows wait; it is gone with the transaction. */
export const WAITING = "pg_temp.seed_rows";
const NUMBERED = `(SELECT row_number() OVER () AS seed_number, * FROM ${WAITING}) s`;

/** A statement over many rows. */
export interface Insertion {
  /** How many rows there are. */
  readonly total: number;
  /** The columns of the rows. */
  readonly columns: readonly string[];
  /** Where they come from, as an item of FROM. */
  readonly from: string;
  /** The statement, over rows that an item of FROM gives. */
  sql(rows: string): string;
  /** Errors that are thrown as they are, since the row at fault need not be known. */
  passOn?(error: DatabaseError): boolean;
}

/**
 * Inserts rows, with all constraints checked at the end.
 *
 * @returns how many were inserted or updated
 * @throws DatabaseError with the detail `ordinal` where one row is at fault; all is then as it was
 *   before
 */
export async function insertRows(session: Session, insertion: Insertion): Promise<number> {
  await session.query("SAVEPOINT seed_insert");
  try {
    const { count } = await session.query(insertion.sql(insertion.from));
    await session.query("SET CONSTRAINTS ALL IMMEDIATE");
    return count;
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    await session.query("ROLLBACK TO SAVEPOINT seed_insert");
    if (insertion.passOn?.(error)) throw error;
    const ordinal = await offendingRow(session, error, insertion);
    throw ordinal === undefined ? error : inRow(error, ordinal);
  }
}

/** The same error with the number of the row, from 1. */
export function inRow(error: DatabaseError, ordinal: number, hint = error.hint): DatabaseError {
  return new DatabaseError(error.server, error.step, {
    ...(hint === undefined ? {} : { hint }),
    details: { ordinal },
  });
}

/** Whether it may be one row that an error is about: it is not about the session or the server. */
export function isOfRow({ server }: DatabaseError): boolean {
  return BY_ROW.test(server.sqlstate);
}

async function offendingRow(
  session: Session,
  error: DatabaseError,
  insertion: Insertion,
): Promise<number | undefined> {
  if (!isOfRow(error)) return undefined;
  return isOfForeignKey(error)
    ? await rowWithoutParent(session, error, insertion.columns)
    : await rowByCounting(session, insertion);
}

/** Values, constraints, and what triggers and functions raise. */
const BY_ROW = /^(22|23|P0|38|42|44)/;

/** Whether a row refers to one that is not there, or is referred to. */
export function isOfForeignKey({ server }: DatabaseError): boolean {
  return server.sqlstate === "23503";
}

/** Whether a unique or exclusion constraint refuses a row for the sake of another one. */
export function meetsAnother({ server }: DatabaseError): boolean {
  return server.sqlstate === "23505" || server.sqlstate === "23P01";
}

/** Runs what may fail for reasons of its own, such as rights, without spoiling the transaction. */
async function quietly<T>(session: Session, work: () => Promise<T>): Promise<T | undefined> {
  await session.query("SAVEPOINT seed_diagnosis");
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    await session.query("ROLLBACK TO SAVEPOINT seed_diagnosis");
    return undefined;
  }
}

/**
 * The row that a statement fails at, as the n-th of those that it is given. It is run once more
 * while a sequence counts the rows: what it counted stays after the failure. Rows are inserted one
 * by one, in the order given, so the last one counted is the one that failed, unless the failure
 * came after all of them.
 */
export async function rowByCounting(
  session: Session,
  insertion: Omit<Insertion, "columns">,
): Promise<number | undefined> {
  return await quietly(session, () => countRows(session, insertion));
}

async function countRows(
  session: Session,
  { from, total, sql }: Omit<Insertion, "columns">,
): Promise<number | undefined> {
  await session.query("CREATE TEMPORARY SEQUENCE seed_row");
  const counted = `(SELECT * FROM ${from} WHERE nextval('pg_temp.seed_row') > 0 OFFSET 0) s`;
  if (!await fails(session, sql(counted))) return undefined;
  const { rows: [row] } = await session.query<{ last: bigint; called: boolean }>(
    "SELECT last_value AS last, is_called AS called FROM pg_temp.seed_row",
  );
  if (row?.called !== true) return undefined;
  const last = Number(row.last);
  if (last < total || last === 1) return last;
  const withoutLast = `(SELECT * FROM ${from} LIMIT ${last - 1}) s`;
  return await fails(session, sql(withoutLast)) ? undefined : last;
}

async function fails(session: Session, sql: string): Promise<boolean> {
  await session.query("SAVEPOINT seed_attempt");
  try {
    await session.query(sql);
    await session.query("SET CONSTRAINTS ALL IMMEDIATE");
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    await session.query("ROLLBACK TO SAVEPOINT seed_attempt");
    return true;
  }
  await session.query("ROLLBACK TO SAVEPOINT seed_attempt");
  return false;
}

interface ForeignKeyRow {
  readonly referenced: string;
  readonly itself: boolean;
  /** Pairs of names, as JSON. */
  readonly pairs: string;
}

/**
 * The first waiting row that refers to nothing by the foreign key of an error. Rows of a statement
 * may refer to each other, so they are not tried one by one.
 */
export async function rowWithoutParent(
  session: Session,
  error: DatabaseError,
  columns: readonly string[],
): Promise<number | undefined> {
  return await quietly(session, () => findWithoutParent(session, error, columns));
}

async function findWithoutParent(
  session: Session,
  { server: { schema = "", table = "", constraint = "" } }: DatabaseError,
  columns: readonly string[],
): Promise<number | undefined> {
  const { rows: [key] } = await session.query<{ -readonly [K in keyof ForeignKeyRow]: string }>(
    `SELECT c.confrelid::pg_catalog.regclass::text AS referenced,
       (c.confrelid = c.conrelid)::text AS itself,
       (SELECT json_agg(json_build_array(here.attname, there.attname))::text
          FROM unnest(c.conkey, c.confkey) AS pair (here, there)
          JOIN pg_catalog.pg_attribute here ON here.attrelid = c.conrelid AND here.attnum = pair.here
          JOIN pg_catalog.pg_attribute there ON there.attrelid = c.confrelid AND there.attnum = pair.there
       ) AS pairs
     FROM pg_catalog.pg_constraint c
     WHERE c.contype = 'f' AND c.conname = $1 AND c.conrelid = pg_catalog.to_regclass($2)`,
    [constraint, `${identifier(schema)}.${identifier(table)}`],
  );
  if (key === undefined) return undefined;
  const pairs: [here: string, there: string][] = JSON.parse(key.pairs);
  if (!pairs.every(([here]) => columns.includes(here))) return undefined;
  const given = pairs.map(([here]) => `s.${identifier(here)} IS NOT NULL`);
  const met = pairs.map(([here, there]) => `r.${identifier(there)} = s.${identifier(here)}`).join(
    " AND ",
  );
  const parents = [key.referenced];
  if (key.itself === "true" && pairs.every(([, there]) => columns.includes(there))) {
    parents.push(WAITING);
  }
  const missing = parents.map((parent) => `NOT EXISTS (SELECT FROM ${parent} r WHERE ${met})`);
  return await numberOf(session, [...given, ...missing].join(" AND "));
}

/** The first row in which a column of the key is null. */
export async function rowWithoutKey(session: Session, key: Key): Promise<number | undefined> {
  return await numberOf(
    session,
    key.columns.map((column) => `s.${identifier(column)} IS NULL`).join(" OR "),
  );
}

/** The first row whose key an earlier one has too. */
export async function repeatedKey(session: Session, key: Key): Promise<number | undefined> {
  const columns = key.columns.map(identifier).join(", ");
  const { rows: [row] } = await session.query<{ number: bigint | null }>(
    `SELECT min(seed_number) AS number FROM (
       SELECT seed_number, row_number() OVER (PARTITION BY ${columns} ORDER BY seed_number) AS nth
         FROM ${NUMBERED}) repeated WHERE nth > 1`,
  );
  return row?.number === null || row === undefined ? undefined : Number(row.number);
}

async function numberOf(session: Session, condition: string): Promise<number | undefined> {
  const { rows: [row] } = await session.query<{ number: bigint | null }>(
    `SELECT min(seed_number) AS number FROM ${NUMBERED} WHERE ${condition}`,
  );
  return row?.number === null || row === undefined ? undefined : Number(row.number);
}
