/** How a statement's failure in `exec` is told. */
import { type DatabaseError, OperationError } from "../../core/plugin.ts";
import { locate, type SentText } from "../sql/location.ts";
import type { SqlStatement, SqlStatementKind } from "../sql/statement.ts";

const CONTROL: ReadonlySet<SqlStatementKind> = new Set(
  ["begin", "commit", "rollback", "savepoint", "prepared"],
);

/** Whether the SQL says itself where transactions begin and end. */
export function controlsTransactions(statements: readonly SqlStatement[]): boolean {
  return statements.some(({ kind }) => CONTROL.has(kind));
}

/** What is known of the failure. */
export interface ExecFailed {
  /** What the server was sent. */
  readonly sent: SentText;
  /** The statements that it was sent at once. */
  readonly statements: readonly SqlStatement[];
  readonly readOnly: boolean;
}

/** Tells what the server reported, where, and what became of the statements before. */
export function execFailure(error: DatabaseError, failed: ExecFailed): OperationError {
  const { sent, readOnly } = failed;
  const { message, sqlstate, detail, where, internalQuery } = error.server;
  const place = locate(error, sent);
  const at = place === undefined ? "" : ` line ${place.line}, column ${place.column}:`;
  const lines = [
    place?.excerpt,
    detail && `Detail: ${detail}`,
    internalQuery && `Query: ${internalQuery}`,
    where && `Context: ${where}`,
    outcome(error, failed),
  ];
  const refused = readOnly && READ_ONLY_STATES.has(sqlstate);
  const hint = hintFor(error, { ...failed, refused });
  return new OperationError(`Cannot run the SQL:${at} ${message} (SQLSTATE ${sqlstate})`, {
    kind: refused ? "refused" : "failed",
    code: refused ? "read_only" : sqlstate === CANCELLED ? "cancelled" : "sql_failed",
    excerpt: lines.filter((line) => line).join("\n"),
    ...(hint === undefined ? {} : { hint }),
    details: {
      sqlstate,
      ...(place === undefined ? {} : { line: place.line, column: place.column }),
      completed: error.completed,
      server: error.server,
    },
    cause: error,
  });
}

const CANCELLED = "57014";
const IN_TRANSACTION = "25001";
const WRITES = "25006";
const SYNTAX = "42601";
/** What the server says to a statement that writes, or needs to be outside of a transaction. */
const READ_ONLY_STATES: ReadonlySet<string> = new Set([WRITES, IN_TRANSACTION]);

function outcome({ completed }: DatabaseError, { statements }: ExecFailed): string | undefined {
  if (completed === 0 || statements.length === 0) return undefined;
  const before = completed === 1
    ? "The statement before it"
    : `The ${completed} statements before it`;
  const are = completed === 1 ? "is" : "are";
  return controlsTransactions(statements)
    ? `${before} had been done; what the SQL committed is kept, the rest is rolled back`
    : `${before} ${are} rolled back too: all of the SQL is one transaction`;
}

function hintFor(
  error: DatabaseError,
  { sent, statements, refused }: ExecFailed & { readonly refused: boolean },
): string | undefined {
  const { sqlstate, hint } = error.server;
  if (refused) return "Run it without --read-only if it may change the database";
  if (sqlstate === IN_TRANSACTION && statements.length > 1) {
    return "No transaction takes this statement, and several statements are one: " +
      "give it to `observatory exec` alone";
  }
  if (sqlstate === SYNTAX && characterAt(sent.bytes, error.server.position) === "\\") {
    return "Commands of psql begin with a backslash: `observatory shell -c` runs them";
  }
  if (hint !== undefined) return hint;
  return sqlstate === CANCELLED
    ? "The statement was cancelled, by a timeout such as statement_timeout or by hand"
    : undefined;
}

function characterAt(bytes: Uint8Array, position: number | undefined): string | undefined {
  return position === undefined ? undefined : [...new TextDecoder().decode(bytes)][position - 1];
}
