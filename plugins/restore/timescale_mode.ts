/**
 * TimescaleDB's restoring mode. It keeps what it knows of hypertables in tables of its own, so their
 * dump is restored while it looks away, and by the very version that made it. The mode is a setting
 * of the database, and is ended in any case.
 */
import { type Context, OperationError, type Session } from "../../core/plugin.ts";
import { startWorkers } from "../database/changes.ts";
import { identifier, literal } from "../sql/names.ts";

/** What was done before a restore. */
export interface TimescaleBegun {
  /** Whether the extension was not there before. */
  readonly created: boolean;
}

const ATTEMPTS = 5;
/** Where versions of TimescaleDB keep what starts and stops its workers. */
const WORKERS = ["_timescaledb_functions", "_timescaledb_internal"];

/**
 * Makes TimescaleDB ready for a restore: the extension is created, where it is not there, and its
 * restoring mode begins. Each takes a session of its own, since a session keeps the library that it
 * began with.
 *
 * @param schema by default the one that new extensions go to; made where it is not there
 * @param schemaOwner whose that schema becomes then; by default the own role's
 * @throws OperationError `timescaledb_version` when it is there in another version; the mode has
 * not begun whenever it throws
 */
export async function beginTimescale(
  { db, log }: Pick<Context, "db" | "log">,
  { database, version, schema = null, schemaOwner = null }: {
    readonly database: string;
    readonly version: string | null;
    readonly schema?: string | null;
    readonly schemaOwner?: string | null;
  },
): Promise<TimescaleBegun> {
  log.info(`Preparing TimescaleDB in "${database}" for the restore...`);
  const created = await inSession({ db }, { database }, async (session) => {
    const installed = await installedTimescale(session);
    if (installed === undefined) {
      if (schema !== null) await makeSchema(session, { schema, schemaOwner });
      await session.query(
        "CREATE EXTENSION timescaledb" + (schema === null ? "" : ` SCHEMA ${identifier(schema)}`) +
          (version === null ? "" : ` VERSION ${literal(version)}`),
      );
      return true;
    }
    if (version !== null && installed.version !== version) {
      throw otherVersion({ database, version, installed: installed.version });
    }
    return false;
  });
  await inSession({ db }, { database }, async (session) => {
    const { functions } = await installedTimescale(session) ?? missing(database);
    await session.query(`SELECT ${identifier(functions)}.timescaledb_pre_restore()`);
  });
  return { created };
}

async function makeSchema(
  session: Session,
  { schema, schemaOwner }: { readonly schema: string; readonly schemaOwner: string | null },
): Promise<void> {
  const { rows } = await session.query(
    "SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1",
    [schema],
  );
  if (rows.length > 0) return;
  const owner = schemaOwner === null ? "" : ` AUTHORIZATION ${identifier(schemaOwner)}`;
  await session.query(`CREATE SCHEMA ${identifier(schema)}${owner}`);
}

/**
 * Ends the restoring mode and starts TimescaleDB's background workers, whatever became of the
 * restore; tried again when it fails.
 *
 * @param workers whether the workers are started: as soon as they are, retention drops old chunks and
 * aggregates are refreshed, so what was restored is compared before
 * @param remove whether the extension is dropped instead, for a restore that has failed after it had
 * been created for it
 * @throws OperationError `left_restoring` with the line that ends the mode
 */
export async function endTimescale(
  ctx: Pick<Context, "db" | "log" | "signal" | "sleep">,
  { database, workers = true, remove = false }: {
    readonly database: string;
    readonly workers?: boolean;
    readonly remove?: boolean;
  },
): Promise<void> {
  for (let attempt = 1;; attempt++) {
    try {
      await inSession(ctx, { database, lasting: true }, endRestoring);
      break;
    } catch (error) {
      if (attempt === ATTEMPTS) throw leftRestoring(database, error);
      ctx.log.debug(`Cannot end TimescaleDB's restoring mode: ${error}; trying again`);
      await pause(ctx, 200 * attempt);
    }
  }
  if (remove) await dropExtension(ctx, database);
  else if (workers) await startWorkers(ctx, database);
}

/** A signal ends the pause, and not what must be put back. */
async function pause(
  { signal, sleep }: Pick<Context, "signal" | "sleep">,
  milliseconds: number,
): Promise<void> {
  try {
    await sleep(milliseconds);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

async function dropExtension(
  ctx: Pick<Context, "db" | "log">,
  database: string,
): Promise<void> {
  try {
    await inSession(
      ctx,
      { database, lasting: true },
      (session) => session.query("DROP EXTENSION timescaledb"),
    );
  } catch (error) {
    ctx.log.warn(
      `The extension timescaledb, made for the restore, is left in "${database}": ${error}`,
    );
  }
}

/**
 * TimescaleDB starts its workers in the transaction that ends the mode, and every other time they
 * find it on still, and exit for good. So they are stopped in the same transaction, and whoever wants
 * them starts them when it is over.
 */
async function endRestoring(session: Session): Promise<void> {
  const found = await installedTimescale(session);
  if (found === undefined) {
    // The setting is left where a restore that was rolled back has taken the extension with it.
    const { rows: [row] } = await session.query<{ name: string }>(
      "SELECT pg_catalog.current_database()::text AS name",
    );
    await session.query(
      `ALTER DATABASE ${identifier(row?.name ?? "")} RESET timescaledb.restoring`,
    );
    return;
  }
  const { rows: [stop] } = await session.query<{ name: string }>(
    `SELECT p.oid::regproc::text AS name FROM pg_catalog.pg_proc p
       JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
     WHERE p.proname = 'stop_background_workers' AND p.pronargs = 0 AND n.nspname = ANY ($1)`,
    [`{${WORKERS.join(",")}}`],
  );
  await session.pipeline([
    { sql: "BEGIN" },
    { sql: `SELECT ${identifier(found.functions)}.timescaledb_post_restore()` },
    ...stop === undefined ? [] : [{ sql: `SELECT ${stop.name}()` }],
    { sql: "COMMIT" },
  ]);
}

function leftRestoring(database: string, cause: unknown): OperationError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new OperationError(
    `Cannot end TimescaleDB's restoring mode: ${reason}; the database "${database}" is left in it, ` +
      "where hypertables take no rows and no background job runs",
    {
      code: "left_restoring",
      hint: `Run in that database: SELECT timescaledb_post_restore();`,
      details: { database },
      cause,
    },
  );
}

/** The extension of a session's database: its version, and the schema of its functions. */
export async function installedTimescale(
  session: Session,
): Promise<{ readonly version: string; readonly functions: string } | undefined> {
  const { rows: [found] } = await session.query<{ version: string; functions: string }>(
    `SELECT e.extversion AS version, n.nspname::text AS functions
       FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
      WHERE e.extname = 'timescaledb'`,
  );
  return found;
}

/** The refusal of a database that has TimescaleDB in another version than the dump's. */
export function otherVersion(
  { database, version, installed }: {
    readonly database: string;
    readonly version: string;
    readonly installed: string;
  },
): OperationError {
  return new OperationError(
    `Cannot restore into "${database}": it has TimescaleDB ${installed}, and the backup is of ` +
      `${version}; its catalogue is readable only by the version that wrote it`,
    {
      kind: "refused",
      code: "timescaledb_version",
      hint: "Restore with --swap or --into, which makes a database with the backup's version; " +
        "then ALTER EXTENSION timescaledb UPDATE",
      details: { database, version, installed },
    },
  );
}

function missing(database: string): never {
  throw new OperationError(`Cannot restore: TimescaleDB is gone from "${database}"`, {
    code: "timescaledb_missing",
  });
}

async function inSession<T>(
  { db }: Pick<Context, "db">,
  options: { readonly database: string; readonly lasting?: boolean },
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const session = await db.session({ ...options, notices: "drop" });
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}
