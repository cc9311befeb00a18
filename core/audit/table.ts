/** The audit's rows, in the tool's own schema of the database that they tell of. */
import { DatabaseError, OperationError, type SqlParameter, type StateTable } from "../plugin.ts";
import { connect } from "../postgres/connect.ts";
import type { Connection } from "../postgres/connection.ts";
import type { ConnectionParameters } from "../postgres/connection_parameters.ts";
import type { Dialer } from "../postgres/transport.ts";
import { makeStateTable, STATE_SCHEMA } from "../state_table.ts";
import type { AuditOutcome, AuditRecord } from "./record.ts";

/** The table. Its key is made here and not counted by the server: rows of several servers may meet. */
export const AUDIT_TABLE: StateTable = {
  name: "audit",
  columns: {
    id: "uuid PRIMARY KEY",
    started_at: "timestamptz NOT NULL",
    duration_ms: "bigint NOT NULL",
    command: "text NOT NULL",
    parent: "text",
    arguments: "text[] NOT NULL",
    effect: "text NOT NULL",
    result: "text NOT NULL",
    exit_code: "integer NOT NULL",
    error_code: "text",
    os_user: "text NOT NULL",
    sudo_user: "text",
    host: "text NOT NULL",
    pid: "integer NOT NULL",
    db_host: "text",
    db_port: "integer",
    db_name: "text",
    db_user: "text",
    run_id: "uuid NOT NULL",
    tool_version: "text NOT NULL",
  },
};

/** A row of it. */
export type AuditRow = AuditRecord & AuditOutcome & { readonly id: string };

/** How rows are written. */
export interface WriteOptions {
  readonly parameters: ConnectionParameters;
  readonly dialer: Dialer;
  /** Whether somebody waits for the end of the run, which has failed. */
  readonly hurried: boolean;
  /** Whether the table is made where there is none: what only reads or fails leaves a database as it is. */
  readonly makes: boolean;
}

const MILLISECONDS = 5000;
const HURRIED_MILLISECONDS = 1000;

/**
 * Adds the rows, each to the database that it tells of, by connections of their own: those of the
 * run may be in a database that has another name by now, or as another role.
 *
 * @returns why some could not be added; undefined when all were
 */
export async function writeRows(
  rows: readonly AuditRow[],
  options: WriteOptions,
): Promise<string | undefined> {
  const limit = options.hurried ? HURRIED_MILLISECONDS : MILLISECONDS;
  const end = new AbortController();
  const timer = setTimeout(() => end.abort(new TimeIsUp()), limit);
  const byDatabase = Map.groupBy(rows, ({ db_name }) => db_name ?? options.parameters.database);
  try {
    for (const [database, some] of byDatabase) {
      const problem = await writeInto(database, { ...options, rows: some, signal: end.signal });
      if (problem === undefined) continue;
      return `Cannot write the audit into ${STATE_SCHEMA}.${AUDIT_TABLE.name} of "${database}": ` +
        `${problem}; going on without it`;
    }
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

class TimeIsUp extends Error {}

async function writeInto(
  database: string,
  { rows, parameters, dialer, signal, makes }: WriteOptions & {
    readonly rows: readonly AuditRow[];
    readonly signal: AbortSignal;
  },
): Promise<string | undefined> {
  let connection: Connection | undefined;
  const abort = () => void connection?.close({ wait: false });
  signal.addEventListener("abort", abort, { once: true });
  try {
    connection = await connect(parameters, { dialer, database, signal });
    return await add(rows, { connection, makes });
  } catch (error) {
    if (signal.aborted) return "the server took too long";
    if (!(error instanceof OperationError)) throw error;
    return error instanceof DatabaseError
      ? `${error.server.message} (SQLSTATE ${error.server.sqlstate})`
      : error.message;
  } finally {
    signal.removeEventListener("abort", abort);
    await connection?.close({ wait: false });
  }
}

interface Found {
  readonly read_only: boolean;
  readonly may_create: boolean;
  /** Whether the schema is there. */
  readonly schema: boolean;
  readonly usage: boolean;
  readonly create_in_schema: boolean;
  /** How many of the columns are there; null without the table. */
  readonly columns: number | null;
  readonly insert: boolean;
}

// Asked beforehand, since what is refused would stand among the errors of the server's own log.
const FIND = `
SELECT pg_catalog.current_setting('transaction_read_only') = 'on' AS read_only,
  pg_catalog.has_database_privilege(d.oid, 'CREATE') AS may_create,
  n.oid IS NOT NULL AS schema,
  coalesce(pg_catalog.has_schema_privilege(n.oid, 'USAGE'), false) AS usage,
  coalesce(pg_catalog.has_schema_privilege(n.oid, 'CREATE'), false) AS create_in_schema,
  CASE WHEN c.oid IS NOT NULL THEN
    (SELECT count(*)::int FROM pg_catalog.pg_attribute
      WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
        AND attname = ANY ($2::text[])) END AS columns,
  coalesce(pg_catalog.has_table_privilege(c.oid, 'INSERT'), false) AS insert
FROM pg_catalog.pg_database d
  LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = '${STATE_SCHEMA}'
  LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = $1
WHERE d.datname = pg_catalog.current_database()`;

async function add(
  rows: readonly AuditRow[],
  { connection, makes }: { readonly connection: Connection; readonly makes: boolean },
): Promise<string | undefined> {
  const columns = Object.keys(AUDIT_TABLE.columns);
  const { rows: [found] } = await connection.query<Found>(FIND, [
    AUDIT_TABLE.name,
    `{${columns.join(",")}}`,
  ]);
  if (found === undefined) return "the server tells nothing of the database";
  if (found.columns === null && !makes) return "there is no such table yet";
  const problem = problemOf(found);
  if (problem !== undefined) return problem;
  if (found.columns !== columns.length) {
    let refused: string | undefined;
    const table = await makeStateTable(AUDIT_TABLE, {
      query: <R>(sql: string, params: readonly SqlParameter[] = []) =>
        connection.query<R>(sql, params),
      readOnly: false,
      warn: (message) => refused = message,
      rights: ["INSERT"],
    });
    if (table === undefined) return refused ?? "the table cannot be made";
  }
  await connection.query(INSERT, [JSON.stringify(rows)]);
  return undefined;
}

function problemOf(
  { read_only, may_create, schema, usage, create_in_schema, columns, insert }: Found,
): string | undefined {
  if (read_only) return "the server takes no changes from this session";
  if (columns !== null) {
    return usage && insert
      ? undefined
      : `the role may not add to the table (GRANT USAGE ON SCHEMA ${STATE_SCHEMA}, INSERT ON ${STATE_SCHEMA}.${AUDIT_TABLE.name})`;
  }
  if (schema ? usage && create_in_schema : may_create) return undefined;
  return schema
    ? `the role may not make the table (GRANT USAGE, CREATE ON SCHEMA ${STATE_SCHEMA})`
    : `the role may not create the schema "${STATE_SCHEMA}" (GRANT CREATE ON DATABASE)`;
}

const COLUMNS = Object.keys(AUDIT_TABLE.columns).join(", ");
const TYPED = Object.entries(AUDIT_TABLE.columns)
  .map(([name, type]) => `${name} ${type.replace(/ NOT NULL| PRIMARY KEY/, "")}`).join(", ");
const INSERT = `
INSERT INTO ${STATE_SCHEMA}.${AUDIT_TABLE.name} (${COLUMNS})
SELECT ${COLUMNS} FROM pg_catalog.jsonb_to_recordset($1::jsonb) AS r (${TYPED})`;
