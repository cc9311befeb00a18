/** Loads a file of rows into its table, in a transaction that is under way. */
import { type Context, DatabaseError, type Session } from "../../core/plugin.ts";
import { insertRows } from "./diagnosis.ts";
import { FileFault, inLine } from "./fault.ts";
import type { SeedFile } from "./files.ts";
import type { LeftOut } from "./left_out.ts";
import { makeWaiting, mergeWaiting, type RowCounts } from "./merge.ts";
import { type OpenedRows, openRows, tableOf } from "./opened.ts";
import { letGo, type SourceOptions } from "./source.ts";
import {
  columnList,
  columnsNamed,
  type Key,
  keyFor,
  lookUpTable,
  type Queries,
  type Target,
} from "./table.ts";

/** What loading depends on beside the file. */
export interface RowsOptions {
  /** Whether the file was loaded before, so that its rows are brought up to date. */
  readonly known: boolean;
  /** Whether there is a ledger, so that a file that is not known to it is a new one. */
  readonly ledger: boolean;
  readonly source: SourceOptions;
}

/** What was loaded. */
export interface LoadedRows {
  readonly counts: RowCounts;
  readonly leftOut?: LeftOut | undefined;
  readonly checksum: string;
}

/**
 * Loads a file of rows.
 *
 * @throws FileFault, or DatabaseError with details `ordinal`, or `copyLine` and `column`, where the
 *   place is known
 */
export async function loadRows(
  context: Context,
  file: SeedFile,
  { session, ...options }: RowsOptions & { readonly session: Session },
): Promise<LoadedRows> {
  return await withOpened(context, file, options, async (opened) => {
    const target = await targetOf(session, file, opened);
    const way = await wayOf(session, target, { ...options, file });
    const work: Work = { session, target, opened };
    if (!way.direct) return await loadWaiting(work, file, way.key);
    const inserted = await copyStraight(work);
    if (inserted !== undefined) {
      return { counts: { inserted, updated: 0, untouched: 0 }, checksum: opened.checksum() };
    }
    // Some row cannot be put in as it stands; the longer way tells which, or passes it over.
    return await withOpened(
      context,
      file,
      options,
      async (again) => await loadWaiting({ ...work, opened: again }, file, way.key),
    );
  });
}

interface Work {
  readonly session: Session;
  readonly target: Target;
  readonly opened: OpenedRows;
}

async function withOpened<T>(
  context: Context,
  file: SeedFile,
  { source }: { readonly source: SourceOptions },
  work: (opened: OpenedRows) => Promise<T>,
): Promise<T> {
  const opened = await openRows(context, file, source);
  try {
    return await work(opened);
  } finally {
    await opened.close();
  }
}

/**
 * Finds the table and columns that a file is for.
 *
 * @throws FileFault when there are none such
 */
export async function targetOf(
  queries: Queries,
  file: SeedFile,
  { columns, line, table: given }: Pick<OpenedRows, "columns" | "line" | "table">,
): Promise<Target> {
  const table = await lookUpTable(queries, tableOf(file, given));
  try {
    return { table, columns: columnsNamed(table, columns) };
  } catch (error) {
    throw inLine(error, line);
  }
}

/** How rows get into their table. */
export interface Way {
  /** Whether they are copied straight into it, since none can be there already. */
  readonly direct: boolean;
  /** What those that are there are recognised and updated by; without it they are left alone. */
  readonly key: Key | undefined;
}

/**
 * Chooses how rows get into their table.
 *
 * @throws FileFault `no_key` when it could not be told which rows are there already
 */
export async function wayOf(
  queries: Queries,
  { table, columns }: Target,
  { file, known, ledger }: Pick<RowsOptions, "known" | "ledger"> & { readonly file: SeedFile },
): Promise<Way> {
  const empty = table.readable && await isEmpty(queries, table.sql);
  const key = known ? keyFor(table, columns.map(({ name }) => name)) : undefined;
  if (!empty && known && key === undefined) throw withoutKey(table.name, table.keys);
  if (!empty && !ledger && !table.conflicts) throw withoutKey(table.name, table.keys);
  const copied = file.type === "csv" && table.plain;
  return { key, direct: copied && (empty || !known && !table.conflicts) };
}

async function isEmpty(queries: Queries, table: string): Promise<boolean> {
  const { rows: [row] } = await queries.query<{ filled: boolean }>(
    `SELECT EXISTS (SELECT FROM ${table}) AS filled`,
  );
  return row?.filled === false;
}

function withoutKey(table: string, keys: readonly Key[]): FileFault {
  const [best] = keys;
  return new FileFault(
    `it cannot be told which of its rows are in table ${table} already: ` +
      (best === undefined
        ? "the table has no primary key or unique constraint"
        : "the file has the columns of no key of the table"),
    {
      code: "no_key",
      hint:
        (best === undefined
          ? "Give the table a key"
          : `Add the columns of a key (${best.columns.join(", ")}) to the file`) +
        ", or empty the table, so that all rows of the file are loaded",
    },
  );
}

/**
 * What ends a session or a run, or lies with the server as a whole, is not the fault of a row:
 * connection, resources, intervention, system, configuration.
 */
const NO_ROW = /^(08|40|53|57|58|F0|XX)/;

/** @returns how many rows; undefined when the server refuses one, and all is as before */
async function copyStraight({ session, target, opened }: Work): Promise<number | undefined> {
  const { table, columns } = target;
  await session.query("SAVEPOINT seed_copy");
  try {
    const { count } = await session.copyIn(
      `COPY ${table.sql} (${columnList(columns)}) FROM STDIN WITH (FORMAT csv, ENCODING 'UTF8')`,
      ReadableStream.from(lettingGo(opened.data)),
    );
    await session.query("SET CONSTRAINTS ALL IMMEDIATE");
    return count;
  } catch (error) {
    if (!(error instanceof DatabaseError) || NO_ROW.test(error.server.sqlstate)) throw error;
    await session.query("ROLLBACK TO SAVEPOINT seed_copy");
    return undefined;
  }
}

async function loadWaiting(work: Work, file: SeedFile, key: Key | undefined): Promise<LoadedRows> {
  const { session, target, opened } = work;
  await makeWaiting(session, target);
  const total = file.type === "csv" ? await copyCsv(work) : await copyJson(work);
  const merged = await mergeWaiting(session, { ...target, key }, total);
  return { ...merged, checksum: opened.checksum() };
}

async function copyCsv({ session, target, opened }: Work): Promise<number> {
  return await copy(
    session,
    `COPY pg_temp.seed_rows (${columnList(target.columns)}) FROM STDIN ` +
      "WITH (FORMAT csv, ENCODING 'UTF8')",
    opened,
  );
}

/** The lines go in as they stand, and become rows in the server: numbers stay exact. */
async function copyJson({ session, target, opened }: Work): Promise<number> {
  await session.query("CREATE TEMPORARY TABLE seed_lines (line json) ON COMMIT DROP");
  // Valid JSON holds neither of the control characters, so each line is one value.
  await copy(
    session,
    "COPY pg_temp.seed_lines FROM STDIN " +
      "WITH (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02', ENCODING 'UTF8')",
    opened,
  );
  const list = columnList(target.columns);
  const from = "(SELECT line FROM pg_temp.seed_lines WHERE line IS NOT NULL OFFSET 0) l";
  const { rows: [row] } = await session.query<{ count: bigint }>(
    `SELECT count(*) AS count FROM ${from}`,
  );
  return await insertRows(session, {
    total: Number(row?.count ?? 0),
    columns: [],
    from,
    sql: (rows) =>
      `INSERT INTO pg_temp.seed_rows (${list}) SELECT r.* FROM ${rows}, ` +
      `LATERAL (SELECT ${list} FROM json_populate_record(NULL::pg_temp.seed_rows, line)) r`,
  });
}

async function copy(session: Session, sql: string, { data }: OpenedRows): Promise<number> {
  try {
    return (await session.copyIn(sql, ReadableStream.from(lettingGo(data)))).count;
  } catch (error) {
    throw error instanceof DatabaseError ? placed(error) : error;
  }
}

/** A session that asks for the next chunk has written the one before into its own memory. */
async function* lettingGo(data: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of data) {
    yield chunk;
    letGo(chunk);
  }
}

/** The place in what was copied, in whatever language the server tells it. */
const COPY_PLACE = /\bseed_(?:rows|lines)\b\D+(\d+)(?:, \S+ (.+?))?(?:: |$)/m;

function placed(error: DatabaseError): DatabaseError {
  const [, line, field] = COPY_PLACE.exec(error.server.where ?? "") ?? [];
  if (line === undefined) return error;
  return new DatabaseError(error.server, error.step, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    details: { copyLine: Number(line), ...(field === undefined ? {} : { field }) },
  });
}
