/** Advisory locks, held on a connection of their own and polled for. */
import { type LockOptions, OperationError } from "./plugin.ts";
import type { Connection } from "./postgres/connection.ts";
import type { RunLog } from "./log.ts";
import { sleep } from "./sleep.ts";

/** What a lock needs of its run. */
export interface LockRun {
  /** Opens a connection to the target database. */
  readonly open: () => Promise<Connection>;
  readonly signal: AbortSignal;
  readonly log: RunLog;
  readonly now: () => number;
}

/**
 * Holds the lock while `work` runs.
 *
 * The lock is tried again and again instead of waited for in the server: a
 * waiting backend holds a snapshot, for which `CREATE INDEX CONCURRENTLY` of
 * the holder waits in turn, until the server calls it a deadlock. It lives on a
 * connection of its own, so that `DISCARD ALL` in a migration cannot drop it.
 *
 * @throws OperationError of kind `locked`, naming the holder, when the time is up; of kind
 *   `connection` and code `lock_lost` when the lock was lost while `work` ran, whatever it did
 */
export async function holdAdvisoryLock<T>(
  lock: LockOptions,
  run: LockRun,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const key = typeof lock.key === "bigint" ? lock.key : await keyOfName(lock.key);
  const connection = await run.open();
  try {
    await prepare(connection, lock);
    await acquire(connection, { ...lock, key }, run);
    return await guarded(connection, { lock, run, work });
  } finally {
    // Closing the connection releases the lock, whatever state it is in.
    await connection.close();
  }
}

/** The key of a lock named by us: the first 64 bits of a SHA-256, so that no name meets sqlx's range by design. */
async function keyOfName(name: string): Promise<bigint> {
  const hash = await crypto.subtle.digest(
    "SHA-256",
    new TextEncoder().encode(`observatory:${name}`),
  );
  return new DataView(hash).getBigInt64(0);
}

async function prepare(connection: Connection, lock: LockOptions): Promise<void> {
  // An idle connection must stay: the server would end it, and the lock with it.
  if (connection.serverVersion >= 140000) await connection.simple("SET idle_session_timeout = 0");
  const { rows: [row] } = await connection.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
  if (row?.pid !== connection.pid) {
    throw new OperationError(
      `Cannot lock the ${lock.purpose} safely: a connection pooler stands before the server, ` +
        "and a pooled session lock can outlive its run",
      {
        kind: "refused",
        code: "pooled_connection",
        hint:
          "Connect to PostgreSQL directly, or pass --no-lock when nothing else can run at the same time",
      },
    );
  }
}

async function acquire(
  connection: Connection,
  lock: LockOptions & { key: bigint },
  run: LockRun,
): Promise<void> {
  const started = run.now();
  const deadline = started + lock.wait * 1000;
  let told: number | undefined;
  for (let pause = 20;; pause = Math.min(pause * 1.5, 500)) {
    const { rows } = await connection.query<{ locked: boolean }>(
      "SELECT pg_try_advisory_lock($1) AS locked",
      [lock.key],
    );
    if (rows[0]?.locked === true) return;
    const now = run.now();
    if (now + pause > deadline) throw heldByOther(lock, await holderOf(connection, lock.key));
    // A short wait is nothing to speak of; a longer one is explained, and again every half minute.
    if (now - (told ?? started - 28_000) >= 30_000) {
      const holder = await holderOf(connection, lock.key);
      run.log.info(
        `Waiting for the ${lock.purpose} lock${
          holder === undefined ? "" : `, held by ${holder.text}`
        }...`,
      );
      told = now;
    }
    await sleep(pause * (0.75 + Math.random() / 2), run.signal);
  }
}

interface Holder {
  readonly text: string;
  readonly pid: number;
}

async function holderOf(connection: Connection, key: bigint): Promise<Holder | undefined> {
  // pg_locks shows a 64-bit key as two unsigned halves. Of what the holder runs only the leading
  // words are shown: what follows may hold a password or data.
  const { rows: [row] } = await connection.query<
    {
      pid: number;
      name: string;
      role: string;
      address: string;
      seconds: number;
      state: string;
      statement: string;
    }
  >(
    `SELECT l.pid, coalesce(a.application_name, '') AS name, coalesce(a.usename::text, '') AS role,
       coalesce(host(a.client_addr), 'a local socket') AS address,
       coalesce(extract(epoch FROM clock_timestamp() - a.backend_start), 0)::int AS seconds,
       coalesce(a.state, '') AS state, left(rtrim(regexp_replace(coalesce(substring(a.query FROM '^[\\w\\s.]+'), ''), '\\s+', ' ', 'g')), 80) AS statement
     FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
     WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND l.classid::bigint = ($1::bigint >> 32) & 4294967295 AND l.objid::bigint = $1::bigint & 4294967295`,
    [key],
  );
  if (row === undefined) return undefined;
  const running = row.state === "active" ? `, running: ${row.statement}` : "";
  return {
    pid: row.pid,
    text:
      `process ${row.pid} ("${row.name}" as ${row.role} from ${row.address}, connected for ${row.seconds} s${running})`,
  };
}

function heldByOther(lock: LockOptions, holder: Holder | undefined): OperationError {
  const who = holder === undefined ? "another run, which has just ended" : holder.text;
  return new OperationError(
    `Cannot lock the ${lock.purpose} within ${lock.wait} s: the lock is held by ${who}`,
    {
      kind: "locked",
      code: "locked",
      hint: "Wait for the other run to end, or give more time with --lock-wait",
      details: holder === undefined ? {} : { pid: holder.pid },
    },
  );
}

async function guarded<T>(
  connection: Connection,
  { lock, run, work }: {
    lock: LockOptions;
    run: LockRun;
    work: (signal: AbortSignal) => Promise<T>;
  },
): Promise<T> {
  const lost = new AbortController();
  connection.closed.then((cause) => {
    lost.abort(
      new OperationError(
        `The connection that held the ${lock.purpose} lock was lost; another run may have started`,
        {
          kind: "connection",
          code: "lock_lost",
          cause,
        },
      ),
    );
  });
  try {
    return await work(AbortSignal.any([run.signal, lost.signal]));
  } finally {
    // Work that did not look at its signal may have gone on without the lock.
    lost.signal.throwIfAborted();
  }
}
