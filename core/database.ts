/**
 * The target database as a plugin sees it: sessions over the wire client, with
 * the command's effect enforced, the wait for the server, and an end by signal.
 */
import {
  type Database,
  OperationError,
  type QueryResult,
  type ServerError,
  type Session,
  type SessionOptions,
  type SqlParameter,
} from "./plugin.ts";
import type { Dialer } from "./postgres/transport.ts";
import { connect } from "./postgres/connect.ts";
import type { Connection } from "./postgres/connection.ts";
import type { ConnectionParameters } from "./postgres/connection_parameters.ts";
import type { RowBytes } from "./postgres/row_bytes.mjs";
import type { RunLog } from "./log.ts";
import { type HostSession, sessionOver } from "./session.ts";
import { sleep } from "./sleep.ts";

/** What the database layer is given for one run. */
export interface DatabaseOptions {
  readonly parameters: ConnectionParameters;
  readonly dialer: Dialer;
  readonly log: RunLog;
  /** Aborted when the run is to end; running statements are then cancelled in the server. */
  readonly signal: AbortSignal;
  /** Whether every statement runs in a read-only transaction. */
  readonly readOnly: boolean;
  /** Seconds to wait for the server to answer; 0 tries once. */
  readonly wait: number;
  readonly now: () => number;
  /** What the databases of one run share; by default nothing. */
  readonly shared?: SharedDatabaseState;
  /** Locks that the command holds which runs this one: it need not wait for them. */
  readonly inherited?: HeldLocks;
  /** Takes note of the locks that are held here. */
  readonly held?: Map<string, AbortSignal>;
}

/** Locks by database and key, with the signal of their loss. */
export type HeldLocks = ReadonlyMap<string, AbortSignal>;

/** What all commands of one run know of the server: one may run another. */
export interface SharedDatabaseState {
  /** Whether the server has answered: it is waited for once. */
  answered: boolean;
  /** Whether a warning has told that no state can be kept. */
  stateRefused?: boolean;
}

/** The database of one run. */
export interface RunDatabase extends Database {
  /** The rows of `stream` in the server's own bytes, for who reads them elsewhere. */
  rowBytes(sql: string, params?: readonly SqlParameter[]): Promise<ReadableStream<RowBytes>>;
  /** Closes every connection; what is still running on one fails. */
  close(): Promise<void>;
}

/** How often running statements are cancelled after a signal: one that is on its way meets none. */
const CANCEL_MILLISECONDS = 250;

/** Makes the database of one run; nothing is opened before the first statement. */
export function createDatabase(options: DatabaseOptions): RunDatabase {
  const { parameters, signal, log } = options;
  const closing = new AbortController();
  // Not `AbortSignal.any`, whose first use takes each run a quarter of a millisecond.
  const ending = new AbortController();
  const connections = new Set<Connection>();
  const lasting = new Set<Connection>();
  const shared = options.shared ?? { answered: false };
  let beginning: Promise<Connection> | undefined;
  let defaultSession: Promise<Session> | undefined;
  let cancelling: ReturnType<typeof setInterval> | undefined;
  let cancelled: Promise<unknown> | undefined;

  function cancelAll(): void {
    const meant = [...connections].filter((connection) => !lasting.has(connection));
    cancelled = Promise.all(meant.map(async (connection) => {
      try {
        await connection.cancel();
      } catch (error) {
        // The statement's own failure tells the rest; a server that cannot be
        // reached any more has nothing left to cancel.
        log.debug(`Cannot cancel the running statement: ${error}`);
      }
    }));
  }

  function cancelUntilClosed(): void {
    ending.abort(signal.reason);
    cancelAll();
    cancelling = setInterval(cancelAll, CANCEL_MILLISECONDS);
  }
  if (signal.aborted) ending.abort(signal.reason);
  signal.addEventListener("abort", cancelUntilClosed, { once: true });

  function endOf(session: SessionOptions): AbortSignal {
    return session.lasting === true ? closing.signal : ending.signal;
  }

  async function open(session: SessionOptions): Promise<Connection> {
    const end = endOf(session);
    end.throwIfAborted();
    // Only the first one waits for the server and tells of it; others share its luck.
    if (beginning !== undefined) {
      await beginning.catch((error) => {
        if (!shared.answered) throw error;
      });
    }
    const connection = shared.answered ? await connectOnce(session) : await begin(session);
    connections.add(connection);
    if (session.lasting === true) lasting.add(connection);
    connection.closed.then(() => {
      connections.delete(connection);
      lasting.delete(connection);
    });
    if (end.aborted) await connection.close();
    end.throwIfAborted();
    return connection;
  }

  async function begin(session: SessionOptions): Promise<Connection> {
    if (session.wait === 0) return await connectOnce(session);
    beginning = connectWaiting(session, session.wait ?? options.wait);
    try {
      return await beginning;
    } finally {
      beginning = undefined;
    }
  }

  async function connectOnce(session: SessionOptions, seconds?: number): Promise<Connection> {
    const timeout = parameters.connectTimeout || 10;
    return await connect(
      seconds === undefined
        ? parameters
        : { ...parameters, connectTimeout: Math.min(timeout, seconds) },
      {
        dialer: options.dialer,
        ...(session.database === undefined ? {} : { database: session.database }),
        ...(session.settings === undefined ? {} : { settings: session.settings }),
        ...(session.notices === "drop"
          ? {}
          : { onNotice: (notice: ServerError) => logNotice(log, notice) }),
        signal: endOf(session),
      },
    );
  }

  async function connectWaiting(session: SessionOptions, wait: number): Promise<Connection> {
    log.info("Waiting for database to be ready...");
    const deadline = options.now() + wait * 1000;
    for (let pause = 50;; pause = Math.min(pause * 1.6, 1000)) {
      try {
        const remaining = (deadline - options.now()) / 1000;
        const connection = await connectOnce(
          session,
          wait > 0 ? Math.max(1, remaining) : undefined,
        );
        log.success("Database is ready");
        shared.answered = true;
        return connection;
      } catch (error) {
        ending.signal.throwIfAborted();
        // The server answered: it is ready, though without this database.
        if (error instanceof OperationError && error.code === "database_missing") {
          log.success("Database is ready");
          shared.answered = true;
        }
        if (!(error instanceof OperationError) || error.details["retryable"] !== true) throw error;
        if (options.now() + pause > deadline) throw waitedTooLong(error, wait);
        log.debug(`${error.message}; trying again`);
        await sleep(pause, ending.signal);
      }
    }
  }

  async function session(sessionOptions: SessionOptions = {}): Promise<HostSession> {
    const readOnly = options.readOnly || sessionOptions.readOnly === true;
    const until = sessionOptions.lasting === true ? closing.signal : signal;
    return sessionOver(await open(sessionOptions), { readOnly, signal: until });
  }

  async function query<R>(sql: string, params?: readonly SqlParameter[]): Promise<QueryResult<R>> {
    if (defaultSession === undefined) {
      const opening = session();
      defaultSession = opening;
      // The next statement tries anew: a missing database may be there by then.
      opening.catch(() => defaultSession = undefined);
    }
    return await (await defaultSession).query<R>(sql, params);
  }

  async function rowBytes(
    sql: string,
    params?: readonly SqlParameter[],
  ): Promise<ReadableStream<RowBytes>> {
    const { ownStream } = await import("./own_session.ts");
    return await ownStream({ session }, (own) => own.rowBytes(sql, params));
  }

  const [first] = parameters.hosts;
  return {
    target: {
      host: first?.host ?? "",
      port: first?.port ?? 5432,
      database: parameters.database,
      user: parameters.user,
    },
    query,
    async stream<R>(sql: string, params?: readonly SqlParameter[]) {
      const { namedRows } = await import("./postgres/row_bytes.mjs");
      // As with `query`: the type of the rows is what the caller says.
      return namedRows(await rowBytes(sql, params)) as ReadableStream<R[]>;
    },
    rowBytes,
    async copyIn(sql, data) {
      const { ownCopyIn } = await import("./own_session.ts");
      return await ownCopyIn({ session }, { sql, data });
    },
    async copyOut(sql) {
      const { ownStream } = await import("./own_session.ts");
      return await ownStream({ session }, (own) => own.copyOut(sql));
    },
    session,
    async maintenance(sessionOptions) {
      // The first is where the server's own tools go too.
      const [first = "postgres", second] = ["postgres", "template1"]
        .filter((name) => name !== parameters.database);
      try {
        return await session({ ...sessionOptions, database: first });
      } catch (error) {
        const missing = error instanceof OperationError && error.code === "database_missing";
        if (!missing || second === undefined) throw error;
        return await session({ ...sessionOptions, database: second });
      }
    },
    async transaction(work, sessionOptions) {
      const { inTransaction } = await import("./transaction.ts");
      const readOnly = options.readOnly || sessionOptions?.readOnly === true;
      return await inTransaction(await session(sessionOptions), { work, readOnly });
    },
    async stateTable(table) {
      const { makeStateTable } = await import("./state_table.ts");
      const { readOnly } = options;
      const warn = (message: string) => {
        shared.stateRefused = true;
        log.warn(message);
      };
      return await makeStateTable(table, { query, readOnly, warn });
    },
    async withLock(lock, work) {
      const id = `${lock.database ?? parameters.database}\0${lock.key}`;
      const inherited = options.inherited?.get(id);
      if (inherited !== undefined) return await work(inherited);
      const { holdAdvisoryLock } = await import("./advisory_lock.ts");
      const { database } = lock;
      return await holdAdvisoryLock(lock, {
        open: () => open({ notices: "drop", ...(database === undefined ? {} : { database }) }),
        signal,
        log,
        now: options.now,
      }, async (lost) => {
        options.held?.set(id, lost);
        try {
          return await work(lost);
        } finally {
          options.held?.delete(id);
        }
      });
    },
    async close() {
      signal.removeEventListener("abort", cancelUntilClosed);
      clearInterval(cancelling);
      // A stream fails at once, and its statement would go on if nobody heard of it in time.
      await cancelled;
      const ended = new OperationError("The run has ended", { code: "run_ended" });
      for (const each of [closing, ending]) each.abort(ended);
      // Nothing of this run follows that the server's processes could stand in the way of.
      await Promise.all([...connections].map((connection) => connection.close({ wait: false })));
    },
  };
}

/**
 * The rows of `stream` in the server's own bytes, which cross to a worker as they are.
 *
 * @throws TypeError when it is no database of a run
 */
export async function rowBytesOf(
  database: Database,
  { sql, params }: { readonly sql: string; readonly params?: readonly SqlParameter[] | undefined },
): Promise<ReadableStream<RowBytes>> {
  if (!isRunDatabase(database)) throw new TypeError("Its rows are to be had by name only");
  return await database.rowBytes(sql, params);
}

function isRunDatabase(database: Database): database is RunDatabase {
  return "rowBytes" in database;
}

function waitedTooLong(error: OperationError, seconds: number): OperationError {
  if (seconds === 0) return error;
  return new OperationError(`${error.message} (waited ${seconds} s for it)`, {
    kind: "connection",
    code: error.code,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    details: error.details,
    cause: error,
  });
}

function logNotice(log: RunLog, { severity, message, detail, hint }: ServerError): void {
  const line = `The server notes: ${message}${detail === undefined ? "" : ` (${detail})`}` +
    (hint === undefined ? "" : `; ${hint}`);
  if (severity === "WARNING") log.warn(line);
  else if (severity === "DEBUG" || severity === "LOG") log.debug(line);
  else log.info(line);
}
