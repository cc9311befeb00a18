/** A session as plugins get it: one operation after the other, held to the command's effect. */
import { OperationError, type QueryResult, type Session, type SqlParameter } from "./plugin.ts";
import type { Connection } from "./postgres/connection.ts";
import type { RowBytes } from "./postgres/row_bytes.mjs";
import type { Streamed } from "./postgres/streamed.ts";

const BEGIN_READ_ONLY = "BEGIN TRANSACTION READ ONLY; SELECT 1";

/** A session, with what the host alone uses of it. */
export interface HostSession extends Session {
  /** Runs one statement as `execute` does, and streams its rows in the server's own bytes. */
  rowBytes(sql: string, params?: readonly SqlParameter[]): Promise<ReadableStream<RowBytes>>;
}

/** A session over a connection, held to the command's effect. */
export function sessionOver(
  connection: Connection,
  { readOnly, signal }: { readOnly: boolean; signal: AbortSignal },
): HostSession {
  // One after the other; none is begun after a signal, and what the signal
  // cancelled in the server is told as the signal, not as a failed statement.
  let turn: Promise<unknown> = Promise.resolve();
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = turn.then(async () => {
      signal.throwIfAborted();
      try {
        return await work();
      } catch (error) {
        signal.throwIfAborted();
        throw error;
      }
    });
    turn = result.catch(() => {});
    return result;
  }
  /** The same, where the next operation waits for the end of the stream. */
  async function streamInTurn<T>(
    work: (after?: () => Promise<void>) => Promise<Streamed<T>>,
  ): Promise<ReadableStream<T>> {
    const result = inTurn(() => readOnly ? readOnlyStream(connection, work) : work());
    turn = result.then(({ finished }) => finished).catch(() => {});
    return (await result).stream;
  }
  return {
    pid: connection.pid,
    query: <R>(sql: string, params: readonly SqlParameter[] = []) =>
      inTurn(() =>
        readOnly ? readOnlyQuery<R>(connection, sql, params) : connection.query<R>(sql, params)
      ),
    async pipeline(steps) {
      if (readOnly) throw refused("send a pipeline of statements");
      return await inTurn(() => connection.pipeline(steps));
    },
    execute: (sql, params = readOnly ? [] : undefined) =>
      streamInTurn((after) => connection.execute(sql, { params, signal, after })),
    rowBytes: (sql, params = []) =>
      streamInTurn((after) => connection.rowBytes(sql, { params, signal, after })),
    async copyIn(sql, data) {
      try {
        if (readOnly) throw refused("copy data into the database");
        return await inTurn(() => connection.copyIn(sql, { data, signal }));
      } catch (error) {
        // What is thrown tells more than that the data fails to end as well.
        await data.cancel(error).catch(() => {});
        throw error;
      }
    },
    copyOut: (sql) => streamInTurn((after) => connection.copyOut(sql, { signal, after })),
    close: () => connection.close(),
  };
}

function refused(what: string): OperationError {
  return new OperationError(`A read-only run cannot ${what}`, {
    kind: "refused",
    code: "read_only",
    hint: "Declare the command's effect as write, and do nothing that writes under --dry-run",
  });
}

/**
 * Runs one statement in a transaction that cannot be made writable again: by
 * the extended protocol, so that it is one statement, and after the snapshot is
 * taken, since the server allows `SET TRANSACTION READ WRITE` only before.
 *
 * What reaches beyond the transaction is for the server's privileges to forbid:
 * `COPY … TO PROGRAM`, functions that write files of the server or signal its
 * processes, and extensions that connect anew, such as dblink.
 */
async function readOnlyQuery<R>(
  connection: Connection,
  sql: string,
  params: readonly SqlParameter[],
): Promise<QueryResult<R>> {
  await connection.simple(BEGIN_READ_ONLY);
  try {
    return await connection.query<R>(sql, params);
  } finally {
    await rollBack(connection);
  }
}

/** The same for a statement whose answer is streamed; the transaction ends before the stream. */
async function readOnlyStream<T>(
  connection: Connection,
  open: (after: () => Promise<void>) => Promise<Streamed<T>>,
): Promise<Streamed<T>> {
  await connection.simple(BEGIN_READ_ONLY);
  try {
    return await open(() => rollBack(connection));
  } catch (error) {
    await rollBack(connection);
    throw error;
  }
}

async function rollBack(connection: Connection): Promise<void> {
  // A statement may have ended the transaction itself; a second end only warns.
  if (connection.transactionStatus !== "idle") await connection.simple("ROLLBACK");
}
