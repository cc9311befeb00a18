/** The bookkeeping table of sqlx: what is applied, as both tools read and write it. */
import { hash } from "node:crypto";
import {
  DatabaseError,
  OperationError,
  type Session,
  type SessionOptions,
} from "../../core/plugin.ts";
import type { FileContents } from "./contents.ts";

/** One row of the table. */
export interface AppliedMigration {
  readonly version: bigint;
  readonly description: string;
  /** False when it broke off half-way: it is then called dirty. */
  readonly success: boolean;
  readonly checksum: Uint8Array;
  /** Whether it is known to be what its file holds, so that nothing is left to compare. */
  readonly matches?: boolean;
}

/** The rows by version in ascending order, or undefined when there is no table. */
export type History = ReadonlyMap<bigint, AppliedMigration> | undefined;

/** Where the table is. */
export interface Bookkeeping {
  /** The table's name with its schema, quoted: a changed `search_path` cannot hide it. */
  readonly table: string;
}

/**
 * What sqlx sets on its sessions; literals in migrations depend on it
 * (`sqlx-postgres/src/connection/establish.rs`, 0.7.3 to 0.9.0).
 */
export const SQLX_SESSION: SessionOptions = {
  settings: {
    DateStyle: "ISO, MDY",
    TimeZone: "UTC",
    extra_float_digits: "2",
    client_encoding: "UTF8",
  },
};

/** What the server answers when a name is not known. */
const UNDEFINED_TABLE = "42P01";
const UNDEFINED_COLUMN = "42703";
/** What two sessions get that make the same table at the same time. */
const ALREADY_MADE = ["23505", "42P07"];

/** Runs a query on the bookkeeping table; undefined when there is none. One round trip. */
export async function queryHistory<R>(session: Session, sql: string): Promise<R[] | undefined> {
  try {
    return (await session.query<R>(sql)).rows;
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    if (error.server.sqlstate === UNDEFINED_TABLE) return undefined;
    if (error.server.sqlstate === UNDEFINED_COLUMN) throw otherTable(error);
    throw error;
  }
}

/**
 * Reads what is applied, in one round trip.
 *
 * @param bookkeeping where the table is; without it the `search_path` decides, as with sqlx
 */
export async function readHistory(session: Session, bookkeeping?: Bookkeeping): Promise<History> {
  const rows = await queryHistory<AppliedMigration>(
    session,
    `SELECT version, description, success, checksum
       FROM ${bookkeeping?.table ?? "_sqlx_migrations"} ORDER BY version`,
  );
  return rows && new Map(rows.map((row) => [row.version, row]));
}

/** One digest of all rows, which the server computes. */
export interface HistoryDigest {
  /** Null when there are no rows. */
  readonly digest: string | null;
}

/**
 * Asks for the digest of what is applied. When that is just what the files hold, no row has to
 * cross: the usual run of a deployment.
 *
 * @returns undefined when there is no table
 */
export async function askDigest(session: Session): Promise<HistoryDigest | undefined> {
  const rows = await queryHistory<HistoryDigest>(
    session,
    `SELECT encode(sha256(convert_to(string_agg(
         version || ' ' || encode(checksum, 'hex') || ' ' || success, ',' ORDER BY version), 'UTF8')), 'hex')
       AS digest FROM _sqlx_migrations`,
  );
  return rows?.[0];
}

/**
 * What is applied when it is just what the files hold.
 *
 * @param contents the files' contents by version in ascending order, none left out
 * @returns undefined when the digest tells that it is not
 */
export function historyOfFiles(
  { digest }: HistoryDigest,
  contents: ReadonlyMap<bigint, FileContents>,
): History {
  let expected = "";
  for (const { version, checksumHex } of contents.values()) {
    expected += `${expected === "" ? "" : ","}${version} ${checksumHex} true`;
  }
  return digest === hash("sha256", expected, "hex") ? contents : undefined;
}

function otherTable(cause: DatabaseError): OperationError {
  return new OperationError(
    `Cannot read the applied migrations: the table _sqlx_migrations is not one of sqlx: ${cause.server.message}`,
    { code: "unknown_table_form", cause },
  );
}

const FIND_TABLE = `SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS "table"
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid = to_regclass('_sqlx_migrations')`;

// Without a schema, so that it comes to lie where sqlx would put it.
const CREATE_TABLE = `CREATE TABLE IF NOT EXISTS _sqlx_migrations (
  version BIGINT PRIMARY KEY,
  description TEXT NOT NULL,
  installed_on TIMESTAMPTZ NOT NULL DEFAULT now(),
  success BOOLEAN NOT NULL,
  checksum BYTEA NOT NULL,
  execution_time BIGINT NOT NULL
)`;

/** Finds the table; undefined when there is none. */
export async function findBookkeeping(session: Session): Promise<Bookkeeping | undefined> {
  return (await session.query<Bookkeeping>(FIND_TABLE)).rows[0];
}

/**
 * Finds the table, and makes it where there is none.
 *
 * @throws OperationError when it cannot be made
 */
export async function ensureBookkeeping(session: Session): Promise<Bookkeeping> {
  const found = await findBookkeeping(session);
  if (found !== undefined) return found;
  try {
    await session.query(CREATE_TABLE);
  } catch (error) {
    // sqlx-cli takes no lock and may be making it at this moment.
    if (!(error instanceof DatabaseError) || !ALREADY_MADE.includes(error.server.sqlstate)) {
      throw cannotCreate(error);
    }
  }
  const created = await findBookkeeping(session);
  if (created !== undefined) return created;
  throw new OperationError(
    "Cannot find the table _sqlx_migrations after it was made: something drops it or changes the search_path",
    { code: "bookkeeping_missing" },
  );
}

function cannotCreate(error: unknown): unknown {
  if (!(error instanceof DatabaseError)) return error;
  const { message, sqlstate } = error.server;
  return new OperationError(
    `Cannot make the table _sqlx_migrations: ${message} (SQLSTATE ${sqlstate})`,
    {
      code: "bookkeeping_not_created",
      hint: "The role needs the right to create tables in the first schema of its search_path",
      details: { sqlstate },
      cause: error,
    },
  );
}
