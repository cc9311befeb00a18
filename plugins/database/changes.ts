/** What is done to a database as a whole, while others may be connected to it. */
import {
  type Context,
  DatabaseError,
  type ErrorOptions,
  OperationError,
  type Session,
} from "../../core/plugin.ts";
import { identifier } from "../sql/names.ts";

/** The SQLSTATE of what is refused while somebody is connected. */
export const IN_USE = "55006";
const ATTEMPTS = 10;

/**
 * Tries again what the server refuses while somebody is connected: a background worker in the
 * template, such as TimescaleDB's, comes and goes.
 *
 * @param between what is done before each further attempt
 */
export async function whileInUse<T>(
  { sleep }: Pick<Context, "sleep">,
  work: () => Promise<T>,
  between: () => Promise<void> = () => Promise.resolve(),
): Promise<T> {
  for (let attempt = 1;; attempt++) {
    try {
      return await work();
    } catch (error) {
      const inUse = error instanceof DatabaseError && error.server.sqlstate === IN_USE;
      if (!inUse || attempt === ATTEMPTS) throw error;
      await between();
      await sleep(100 * attempt);
    }
  }
}

/**
 * Ends the sessions of clients in a database.
 *
 * @returns how many were told to end
 */
export async function terminate(session: Session, database: string): Promise<number> {
  const { rows: [row] } = await session.query<{ count: number }>(
    `SELECT count(*) FILTER (WHERE pg_catalog.pg_terminate_backend(pid))::int AS count
     FROM pg_catalog.pg_stat_activity
     WHERE datname = $1 AND pid <> pg_catalog.pg_backend_pid() AND backend_type = 'client backend'`,
    [database],
  );
  return row?.count ?? 0;
}

/** DROP DATABASE; FORCE ends sessions under the lock that keeps new ones out. */
export function dropStatement(name: string, serverVersion: number): string {
  return `DROP DATABASE IF EXISTS ${identifier(name)}${
    serverVersion >= 130000 ? " WITH (FORCE)" : ""
  }`;
}

/**
 * Words what the server refuses to do with a database as a whole.
 *
 * @param what what cannot be done, such as `Cannot drop "shop"`
 * @param left what has become of the database, such as `it stands as it was`
 */
export function refusedByServer(
  error: DatabaseError,
  { what, left, ...options }: { what: string; left: string } & Omit<ErrorOptions, "cause">,
): OperationError {
  const { message, sqlstate, detail } = error.server;
  return new OperationError(
    `${what}: ${message} (SQLSTATE ${sqlstate})${
      detail === undefined ? "" : `: ${detail}`
    }; ${left}`,
    { ...options, details: { sqlstate, server: error.server }, cause: error },
  );
}

/** The statement that renames a database. */
export function renaming(from: string, to: string): string {
  return `ALTER DATABASE ${identifier(from)} RENAME TO ${identifier(to)}`;
}

/**
 * TimescaleDB ends its background workers in a database that is renamed, and starts them by itself
 * only where the extension is created: what came from the template would compress and drop nothing.
 */
export async function startWorkers(
  { db }: Pick<Context, "db">,
  database: string,
): Promise<void> {
  const session = await db.session({ database, notices: "drop" });
  try {
    const { rows: [found] } = await session.query<{ name: string }>(
      `SELECT p.oid::regproc::text AS name FROM pg_catalog.pg_proc p
         JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
       WHERE p.proname = 'start_background_workers' AND p.pronargs = 0
         AND n.nspname IN ('_timescaledb_functions', '_timescaledb_internal')`,
    );
    if (found !== undefined) await session.query(`SELECT ${found.name}()`);
  } finally {
    await session.close();
  }
}
