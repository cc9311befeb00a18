/** Tables for the tool's own state, in a schema of their own beside the data they tell of. */
import { DatabaseError, type QueryResult, type SqlParameter, type StateTable } from "./plugin.ts";

/** The tool's own schema. */
export const STATE_SCHEMA = "observatory";

/** What is needed of the run. */
export interface StateRun {
  query<R>(sql: string, params?: readonly SqlParameter[]): Promise<QueryResult<R>>;
  readonly readOnly: boolean;
  warn(message: string): void;
  /** What is done with the rows; by default everything, and in a read-only run only looked at. */
  readonly rights?: readonly string[];
}

/** Two runs that make the same thing at once: one of them is told so by these. */
const MADE_MEANWHILE = ["42P06", "42P07", "42701", "42710", "23505", "XX000"];
/** The role may not, or the server takes no writes. */
const NOT_ALLOWED = ["42501", "25006"];
const ATTEMPTS = 5;

/**
 * Makes the table, or adds the columns it lacks.
 *
 * @returns its name for SQL; undefined where there is none and none may be made
 */
export async function makeStateTable(
  table: StateTable,
  run: StateRun,
): Promise<string | undefined> {
  const name = `${STATE_SCHEMA}.${checkedName(table.name)}`;
  for (let attempt = 1;; attempt++) {
    const { found, usable } = await lookAt(table.name, run);
    if (!usable) {
      run.warn(
        `Cannot keep state in ${name}: the role may not use the table; going on without it. ` +
          `To keep it, grant the role USAGE on schema ${STATE_SCHEMA} and all rights on its tables`,
      );
      return undefined;
    }
    const missing = Object.keys(table.columns).filter((column) => !found.has(column));
    if (missing.length === 0) return name;
    // A table of an older version serves a read-only run no less than none would.
    if (run.readOnly) return undefined;
    try {
      await make(table, { run, found, missing });
      return name;
    } catch (error) {
      if (!(error instanceof DatabaseError)) throw error;
      const { sqlstate, message } = error.server;
      if (NOT_ALLOWED.includes(sqlstate)) {
        run.warn(
          `Cannot keep state in ${name}: ${message}; going on without it. To keep it, grant the role the right to ` +
            `create schema "${STATE_SCHEMA}", or let its owner create it and grant USAGE and CREATE on it`,
        );
        return undefined;
      }
      if (!MADE_MEANWHILE.includes(sqlstate) || attempt === ATTEMPTS) throw error;
    }
  }
}

async function make(
  table: StateTable,
  { run, found, missing }: {
    run: StateRun;
    found: ReadonlySet<string>;
    missing: readonly string[];
  },
): Promise<void> {
  const name = `${STATE_SCHEMA}.${checkedName(table.name)}`;
  const definition = (column: string) => `${checkedName(column)} ${table.columns[column]}`;
  if (found.size > 0) {
    const added = missing.map((column) => `ADD COLUMN ${definition(column)}`);
    await run.query(`ALTER TABLE ${name} ${added.join(", ")}`);
    return;
  }
  const { rows: [schema] } = await run.query<{ there: boolean }>(
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1) AS there",
    [STATE_SCHEMA],
  );
  // IF NOT EXISTS asks for the right to create even where there is nothing to do.
  if (schema?.there !== true) await run.query(`CREATE SCHEMA ${STATE_SCHEMA}`);
  await run.query(`CREATE TABLE ${name} (${missing.map(definition).join(", ")})`);
}

/** The table's columns; none where there is no table. */
async function lookAt(
  table: string,
  run: StateRun,
): Promise<{ found: ReadonlySet<string>; usable: boolean }> {
  const { rights = run.readOnly ? ["SELECT"] : ["SELECT", "INSERT", "UPDATE", "DELETE"] } = run;
  const { rows } = await run.query<{ name: string; usable: boolean }>(
    `SELECT a.attname::text AS name,
       pg_catalog.has_schema_privilege(n.oid, 'USAGE')
         AND (SELECT bool_and(pg_catalog.has_table_privilege(c.oid, r)) FROM unnest($3::text[]) AS r) AS usable
     FROM pg_catalog.pg_attribute a
       JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped`,
    [STATE_SCHEMA, table, `{${rights.join(",")}}`],
  );
  return {
    found: new Set(rows.map(({ name }) => name)),
    usable: rows.every(({ usable }) => usable),
  };
}

/** Names go into statements as they stand. */
function checkedName(name: string): string {
  if (/^[a-z_][a-z0-9_]{0,62}$/.test(name)) return name;
  throw new Error(`"${name}" is no name for a table or column of the tool's state`);
}
