/** One database takes the name of another, in one transaction: there is always one that has it. */
import { setTimeout as pause } from "node:timers/promises";
import { type Context, DatabaseError, OperationError, type Session } from "../../core/plugin.ts";
import {
  DURABLE,
  isInUse,
  refusedByServer,
  renaming,
  startWorkers,
  terminate,
  unendable,
  whileInUse,
} from "./changes.ts";

/** What changes hands. */
export interface Exchange {
  readonly database: string;
  /** The database that gets the name. */
  readonly incoming: { readonly name: string; readonly oid: string };
  /** What the database that has the name is called afterwards; undefined where there is none. */
  readonly outgoing: string | undefined;
  /** What is done in the same transaction, under the names before it. */
  readonly statements: readonly string[];
}

/** How often it is tried to find both databases without a session. */
const ATTEMPTS = 3;
const TERMINATE_MILLISECONDS = 50;
/** How long the server is asked what has become of a transaction whose connection was lost. */
const OUTCOME_MILLISECONDS = 60_000;

/**
 * Renames both. The first renaming keeps new sessions out of its database while it waits for the old
 * ones to end, up to five seconds, and they are ended from beside it: whoever connects again and
 * again is ended at the most once. All is sent together, so that the end of this process leaves the
 * one state or the other, and a signal waits for it.
 *
 * @returns how many sessions were ended
 * @throws OperationError `not_swapped`; everything is then as it was
 * @throws OperationError `swap_unknown` of kind `connection` when the server went away meanwhile and
 *   could not be asked again
 */
export async function exchange(ctx: Context, exchanged: Exchange): Promise<number> {
  const { database, outgoing } = exchanged;
  const session = await ctx.db.maintenance({ notices: "drop", lasting: true, settings: DURABLE });
  const beside = await ctx.db.maintenance({ notices: "drop", lasting: true });
  const ended = new Set<number>();
  try {
    const { rows: [own] } = await session.query<{ started: string }>(
      `SELECT backend_start::text AS started FROM pg_catalog.pg_stat_activity
       WHERE pid = pg_catalog.pg_backend_pid()`,
    );
    ctx.signal.throwIfAborted();
    const work = () => renameBoth(session, { beside, exchanged, ended });
    try {
      await whileInUse(ctx, work, { attempts: ATTEMPTS });
    } catch (error) {
      const backend = { pid: session.pid, started: own?.started ?? "" };
      if (!await settle(ctx, { error, exchanged, backend })) throw failure(error, database);
    }
  } catch (error) {
    // TimescaleDB ends its workers before the server has agreed to a renaming.
    if (outgoing !== undefined) await resumeWorkers(ctx, database);
    throw error;
  } finally {
    await Promise.all([session.close(), beside.close()]);
  }
  return ended.size;
}

/** Starts TimescaleDB's workers in a database, or tells how that is done. */
export async function resumeWorkers(ctx: Context, database: string): Promise<void> {
  try {
    await startWorkers(ctx, database);
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    ctx.log.warn(
      `Cannot look after TimescaleDB's background workers in "${database}": ${error.message}; ` +
        "if it has some, SELECT _timescaledb_functions.start_background_workers() there",
    );
  }
}

async function renameBoth(
  session: Session,
  { beside, exchanged, ended }: { beside: Session; exchanged: Exchange; ended: Set<number> },
): Promise<void> {
  const { database, incoming, outgoing, statements } = exchanged;
  const databases = outgoing === undefined ? [incoming.name] : [incoming.name, database];
  const end = async () => {
    for (const name of databases) {
      for (const pid of await terminate(beside, name, { workers: true })) ended.add(pid);
    }
  };
  // Whom the role may not end is found out before anybody is kept waiting.
  for (const name of databases) refuseUnendable(name, await unendable(beside, name));
  await end();
  const steps = [
    "BEGIN",
    ...statements,
    ...outgoing === undefined ? [] : [renaming(database, outgoing)],
    renaming(incoming.name, database),
    "COMMIT",
  ];
  const over = new AbortController();
  const ending = endAgain(end, over.signal);
  try {
    await session.pipeline(steps.map((sql) => ({ sql })));
  } finally {
    over.abort();
    await ending;
  }
}

function refuseUnendable(database: string, sessions: readonly string[]): void {
  if (sessions.length === 0) return;
  throw new OperationError(
    `the role may not end the sessions in "${database}": ${sessions.join(", ")}`,
    {
      kind: "refused",
      hint:
        "End them, or connect as a superuser; of others than superusers a member of pg_signal_backend may end them",
    },
  );
}

/** Ends sessions until it is over; who comes in the meantime is seen by the renaming too. */
async function endAgain(end: () => Promise<void>, over: AbortSignal): Promise<void> {
  try {
    while (!over.aborted) {
      await end();
      await pause(TERMINATE_MILLISECONDS);
    }
  } catch (error) {
    // Whoever could not be ended makes the renaming fail, which tells of it.
    if (!(error instanceof OperationError)) throw error;
  }
}

/** @returns whether the names have changed all the same */
async function settle(
  ctx: Context,
  { error, exchanged, backend }: { error: unknown; exchanged: Exchange; backend: Backend },
): Promise<boolean> {
  if (!(error instanceof OperationError) || error.kind !== "connection") return false;
  ctx.log.warn(`${error.message}; asking what has become of "${exchanged.database}"...`);
  const deadline = ctx.now() + OUTCOME_MILLISECONDS;
  for (;;) {
    const changed = await hasChanged(ctx, { exchanged, backend });
    if (changed !== undefined) return changed;
    if (ctx.now() > deadline) throw unknown(error, exchanged);
    await pause(4 * TERMINATE_MILLISECONDS);
  }
}

/** A process of the server; another one may get its number. */
interface Backend {
  readonly pid: number;
  readonly started: string;
}

/** @returns undefined while the server does not answer, or still works off what it was sent */
async function hasChanged(
  ctx: Context,
  { exchanged: { database, incoming }, backend }: { exchanged: Exchange; backend: Backend },
): Promise<boolean | undefined> {
  let session: Session | undefined;
  try {
    session = await ctx.db.maintenance({ notices: "drop", lasting: true, wait: 0 });
    const { rows: busy } = await session.query(
      `SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
       WHERE pid = $1 AND backend_start = $2::text::timestamptz`,
      [backend.pid, backend.started],
    );
    if (busy.length > 0) return undefined;
    const { rows } = await session.query(
      "SELECT 1 FROM pg_catalog.pg_database WHERE datname = $1 AND oid = $2",
      [database, incoming.oid],
    );
    return rows.length === 1;
  } catch (error) {
    if (error instanceof OperationError && error.kind === "connection") return undefined;
    throw error;
  } finally {
    await session?.close();
  }
}

function unknown(cause: OperationError, { database, outgoing }: Exchange): OperationError {
  const [has, hint] = outgoing === undefined
    ? [`a database "${database}" is there, whole, or it is not`, "Look whether it is there"]
    : [
      `"${database}" is the database that it was, or the new one, whole in either case`,
      `If a database "${outgoing}" is there, it is the new one`,
    ];
  return new OperationError(`${cause.message}, and the server cannot be asked any more: ${has}`, {
    kind: "connection",
    code: "swap_unknown",
    hint,
    cause,
  });
}

function failure(error: unknown, database: string): unknown {
  if (!(error instanceof OperationError)) return error;
  const what = `Cannot put another database in the place of "${database}"`;
  const left = "everything is as it was";
  if (!(error instanceof DatabaseError)) {
    const { kind, hint } = error;
    return new OperationError(`${what}: ${error.message}; ${left}`, {
      kind,
      code: "not_swapped",
      ...hint === undefined ? {} : { hint },
      cause: error,
    });
  }
  return refusedByServer(error, {
    what,
    left,
    code: "not_swapped",
    hint: isInUse(error)
      ? "Stop what is connected to it and cannot be ended, and run again"
      : error.server.hint ??
        "Connect as a role that may do this, and may end the other sessions, such as its owner with CREATEDB and pg_signal_backend",
  });
}
