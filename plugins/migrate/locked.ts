/** The lock around everything that changes what is applied. */
import { type Context, OperationError, type Session } from "../../core/plugin.ts";
import { BACKUP_LOCK_KEY, sessionLockKey, sqlxLockKey } from "../sql/lock_keys.ts";

/** How the lock is taken. */
export interface LockFlags {
  /** Seconds to wait for it. */
  readonly wait: number;
  /** False where a pooler makes session locks unsafe. */
  readonly lock: boolean;
}

/** What work under the lock is given. */
export interface Locked {
  /** Aborted when the run is to end, or the lock is lost. */
  readonly signal: AbortSignal;
  /** The key that sqlx's library waits on. */
  readonly lockKey: bigint;
}

/**
 * Runs work while this run alone may change what is applied: no other run of
 * this program and no application that embeds sqlx.
 *
 * @throws OperationError of kind `locked`, naming the holder, when the time is up
 */
export async function underLock<T>(
  context: Context,
  { session, wait, lock }: LockFlags & { readonly session: Session },
  work: (locked: Locked) => Promise<T>,
): Promise<T> {
  const { rows: [row] } = await session.query<{ name: string }>(
    "SELECT current_database()::text AS name",
  );
  const database = row?.name ?? context.db.target.database;
  const lockKey = sqlxLockKey(database);
  if (!lock) return await work({ signal: context.signal, lockKey });
  const deadline = context.now() + wait * 1000;
  return await context.db.withLock(
    { key: lockKey, purpose: "migrations", wait },
    async (signal) => {
      await lockSession(context, {
        session,
        deadline,
        ...LEFT_BEHIND,
        key: sessionLockKey(database),
      });
      await lockSession(context, { session, deadline, ...BACKED_UP, key: BACKUP_LOCK_KEY });
      return await work({ signal, lockKey });
    },
  );
}

/** Whom a lock of the session is waited for. */
interface SessionLock {
  readonly key: bigint;
  /** Before the holder, while it is waited for. */
  readonly waiting: string;
  /** Before the holder, when the time is up. */
  readonly refused: string;
  readonly hint: string;
}

const LEFT_BEHIND: Omit<SessionLock, "key"> = {
  waiting: "Waiting for a server process that an earlier run left behind",
  refused: "an earlier run left a server process that is still at work",
  hint: "Wait until it ends, give more time with --lock-wait, or end it with pg_terminate_backend",
};

/** A migration that met a dump would wait for its end, and all readers behind it. */
const BACKED_UP: Omit<SessionLock, "key"> = {
  waiting: "Waiting for a backup of the database to end",
  refused: "the database is being backed up",
  hint: "Wait until the backup ends, or give more time with --lock-wait",
};

/**
 * Locks the migrating session itself, which keeps others out for as long as its
 * server process lives: a killed run leaves one that works off what it was sent.
 */
async function lockSession(
  context: Context,
  lock: SessionLock & { readonly session: Session; readonly deadline: number },
): Promise<void> {
  const { session, key, deadline } = lock;
  let told = false;
  for (let wait = 20;; wait = Math.min(wait * 1.5, 500)) {
    const { rows } = await session.query<{ locked: boolean }>(
      "SELECT pg_try_advisory_lock($1) AS locked",
      [key],
    );
    if (rows[0]?.locked === true) return;
    if (context.now() + wait > deadline) {
      throw inTheWay(lock, await holderOf(session, key));
    }
    if (!told) {
      context.log.info(`${lock.waiting}${named(await holderOf(session, key))}...`);
      told = true;
    }
    await context.sleep(wait * (0.75 + Math.random() / 2));
  }
}

async function holderOf(session: Session, key: bigint): Promise<string | undefined> {
  // Only the leading words of its statement: what follows may hold a password or data.
  const { rows: [holder] } = await session.query<{ pid: number; query: string }>(
    `SELECT l.pid, left(rtrim(regexp_replace(coalesce(substring(a.query FROM '^[\\w\\s.]+'), ''), '\\s+', ' ', 'g')), 80) AS query
       FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
      WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND l.classid::bigint = ($1::bigint >> 32) & 4294967295
        AND l.objid::bigint = $1::bigint & 4294967295`,
    [key],
  );
  return holder && `process ${holder.pid}${holder.query === "" ? "" : `: ${holder.query}`}`;
}

function named(holder: string | undefined): string {
  return holder === undefined ? "" : ` (${holder})`;
}

function inTheWay({ refused, hint }: SessionLock, holder: string | undefined): OperationError {
  return new OperationError(`Cannot migrate: ${refused}${named(holder)}`, {
    kind: "locked",
    code: "locked",
    hint,
  });
}
