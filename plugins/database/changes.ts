/** What is done to a database as a whole, while others may be connected to it. */
import {
  type Context,
  DatabaseError,
  type ErrorOptions,
  type LockOptions,
  OperationError,
  type Session,
} from "../../core/plugin.ts";
import { identifier } from "../sql/names.ts";

/** The SQLSTATE of what is refused while somebody is connected. */
export const IN_USE = "55006";
const LOCK_NOT_AVAILABLE = "55P03";
const ATTEMPTS = 10;

/**
 * Tries again what the server refuses while somebody is connected: a background worker in the
 * template, such as TimescaleDB's, comes and goes.
 */
export async function whileInUse<T>(
  { sleep }: Pick<Context, "sleep">,
  work: () => Promise<T>,
  { between, attempts = ATTEMPTS }: {
    /** What is done before each further attempt. */
    readonly between?: () => Promise<void>;
    readonly attempts?: number;
  } = {},
): Promise<T> {
  for (let attempt = 1;; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!isInUse(error) || attempt === attempts) throw error;
      await between?.();
      await sleep(100 * attempt);
    }
  }
}

/** Whether the server has refused it because somebody is connected, or holds a lock on the database. */
export function isInUse(error: unknown): boolean {
  return error instanceof DatabaseError &&
    (error.server.sqlstate === IN_USE || error.server.sqlstate === LOCK_NOT_AVAILABLE);
}

/**
 * Ends the sessions of clients in a database, and with `workers` those of background workers too,
 * where the role may.
 *
 * @returns the processes that were told to end
 * @throws DatabaseError when the role may not end the session of a client
 */
export async function terminate(
  session: Session,
  database: string,
  { workers = false }: { readonly workers?: boolean } = {},
): Promise<number[]> {
  // Not among the conditions, which are looked at in an order of the server's own.
  const { rows } = await session.query<{ pid: number; told: boolean }>(
    `SELECT pid, pg_catalog.pg_terminate_backend(pid) AS told
     FROM pg_catalog.pg_stat_activity LEFT JOIN pg_catalog.pg_roles ON pg_roles.oid = usesysid
     WHERE datname = $1 AND pid <> pg_catalog.pg_backend_pid()
       AND (backend_type = 'client backend'
         OR backend_type IS NULL AND NOT rolsuper
           AND pg_catalog.pg_has_role('pg_signal_backend', 'USAGE')
         OR $2::boolean AND pg_catalog.current_setting('is_superuser') = 'on')`,
    [database, workers],
  );
  return rows.filter(({ told }) => told).map(({ pid }) => pid);
}

/**
 * Tells whose sessions in a database the role may not end: superusers', or others' without
 * `pg_signal_backend`. Of those the server hides what they are, so that TimescaleDB's workers, which
 * end by themselves, are known by their names alone.
 *
 * @returns such as `"psql" of "postgres" (process 4711)`
 */
export async function unendable(session: Session, database: string): Promise<string[]> {
  const { rows } = await session.query<{ pid: number; role: string; program: string }>(
    `SELECT pid, rolname::text AS role, application_name AS program
     FROM pg_catalog.pg_stat_activity JOIN pg_catalog.pg_roles ON pg_roles.oid = usesysid
     WHERE datname = $1 AND backend_type IS NULL AND application_name NOT LIKE 'TimescaleDB %'
       AND (rolsuper OR NOT pg_catalog.pg_has_role('pg_signal_backend', 'USAGE'))
     ORDER BY pid`,
    [database],
  );
  return rows.map(({ pid, role, program }) => `"${program}" of "${role}" (process ${pid})`);
}

/**
 * Holds a lock in a database that every server has, since the one that is meant may be dropped or
 * renamed meanwhile.
 */
export async function withServerLock<T>(
  { db }: Pick<Context, "db">,
  lock: Omit<LockOptions, "database">,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const session = await db.maintenance({ notices: "drop" });
  let own: string | undefined;
  try {
    const { rows: [row] } = await session.query<{ name: string }>(
      "SELECT pg_catalog.current_database()::text AS name",
    );
    own = row?.name;
  } finally {
    await session.close();
  }
  return await db.withLock({ ...lock, ...own === undefined ? {} : { database: own } }, work);
}

/**
 * Settings of a session whose changes must be on the disk when they are answered, whatever is set for
 * the role, and must not be broken off by the clock. A lock is waited for as long as others wait
 * behind it.
 */
export const DURABLE: Readonly<Record<string, string>> = {
  synchronous_commit: "on",
  statement_timeout: "0",
  lock_timeout: "5s",
};

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
  const session = await db.session({ database, notices: "drop", lasting: true });
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
