/** A session as plugins get it: one operation after the other, held to the command's effect. */
import { OperationError, type QueryResult, type Session, type SqlParameter } from "./plugin.ts";
import type { Connection } from "./postgres/connection.ts";

/** A session over a connection, held to the command's effect. */
export function sessionOver(
  connection: Connection,
  { readOnly, signal }: { readOnly: boolean; signal: AbortSignal },
): Session {
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
  return {
    pid: connection.pid,
    query: <R>(sql: string, params: readonly SqlParameter[] = []) =>
      inTurn(() =>
        readOnly ? readOnlyQuery<R>(connection, sql, params) : connection.query<R>(sql, params)
      ),
    async pipeline(steps) {
      if (readOnly) {
        throw new OperationError("A read-only run cannot send a pipeline of statements", {
          kind: "refused",
          code: "read_only",
          hint: "Declare the command's effect as write, and do nothing that writes under --dry-run",
        });
      }
      return await inTurn(() => connection.pipeline(steps));
    },
    close: () => connection.close(),
  };
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
  await connection.simple("BEGIN TRANSACTION READ ONLY; SELECT 1");
  try {
    return await connection.query<R>(sql, params);
  } finally {
    // A statement may have ended the transaction itself; a second end only warns.
    if (connection.transactionStatus !== "idle") await connection.simple("ROLLBACK");
  }
}
