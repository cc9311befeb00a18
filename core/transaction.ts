/** A transaction around a piece of work, on a session of its own. */
import { OperationError, type Session } from "./plugin.ts";

/**
 * Runs `work` between BEGIN and COMMIT, and closes the session. Each statement of a read-only
 * session has a transaction of its own, so there it only runs.
 *
 * @throws OperationError `not_committed` when the server rolled back what was to be committed
 */
export async function inTransaction<T>(
  session: Session,
  { work, readOnly }: {
    readonly work: (session: Session) => Promise<T>;
    readonly readOnly: boolean;
  },
): Promise<T> {
  try {
    if (readOnly) return await work(session);
    await session.query("BEGIN");
    const result = await work(session);
    const { command } = await session.query("COMMIT");
    if (command !== "COMMIT") throw notCommitted(command);
    return result;
  } finally {
    // A transaction that is still open ends with its session.
    await session.close();
  }
}

/** Work that goes on after an error of its own finds the whole transaction rolled back. */
function notCommitted(command: string): OperationError {
  return new OperationError(
    `Cannot commit: a statement of the transaction had failed, and the server answers ${command}`,
    { code: "not_committed", hint: "Nothing of the transaction was kept" },
  );
}
