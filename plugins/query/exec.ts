/** `exec SQL`: statements of the command line over our own connection, and their rows. */
import {
  type Context,
  DatabaseError,
  OperationError,
  type Result,
  type RowFormat,
  type RowPart,
  type Session,
} from "../../core/plugin.ts";
import { scanSql } from "../sql/scanner.ts";
import { MOST_WORDS, type SqlStatement } from "../sql/statement.ts";
import { controlsTransactions, execFailure } from "./exec_failure.ts";

/** What is run, and how it is shown. */
export interface ExecOptions {
  readonly sql: string;
  readonly format: RowFormat | undefined;
  readonly readOnly: boolean;
}

/** The SQL with its statements. */
export interface ScannedSql {
  readonly bytes: Uint8Array;
  /** Empty when the text cannot be split: the server says then what is wrong with it. */
  readonly statements: readonly SqlStatement[];
}

/**
 * Runs SQL; its rows are read from the database as they are written.
 *
 * @throws OperationError of kind `usage` or `refused` for what is not begun
 */
export async function exec(
  ctx: Context,
  { sql, format, readOnly }: ExecOptions,
): Promise<Result> {
  if (ctx.json && format !== undefined) {
    throw new OperationError("Cannot write --format and --json at once", {
      kind: "usage",
      code: "usage",
      hint: "Leave one out: --json has the rows in its one object, --format json has them alone",
    });
  }
  const scanned = scan(sql, readOnly);
  refuseUnfit(scanned);
  if (readOnly) refuseWithoutEffect(scanned.statements);
  const session = await ctx.db.session({ readOnly });
  const rows = readOnly ? eachAlone(session, scanned) : together(session, scanned);
  return {
    data: null,
    rows: ReadableStream.from(rows),
    changed: !readOnly,
    ...(format === undefined ? {} : { format }),
  };
}

function scan(sql: string, readOnly: boolean): ScannedSql {
  const bytes = new TextEncoder().encode(sql);
  let statements: readonly SqlStatement[];
  try {
    statements = scanSql(bytes).statements;
  } catch (error) {
    // The server's settings decide what ends a string; what is to be split must be sure, though.
    if (readOnly || !(error instanceof OperationError)) throw error;
    return { bytes, statements: [] };
  }
  if (statements.length > 0) return { bytes, statements };
  throw new OperationError("Cannot run the SQL: it holds no statement", {
    kind: "usage",
    code: "sql_empty",
    hint: "A variable of the shell that is not set leaves nothing",
  });
}

function refuseUnfit({ bytes, statements }: ScannedSql): void {
  for (const statement of statements) {
    const { kind, words: [name = ""], line } = statement;
    if (kind === "psql-command") {
      throw new OperationError(`Cannot run ${name} in line ${line}: it is a command of psql`, {
        kind: "usage",
        code: "psql_command",
        hint: "`observatory shell -c` runs one of them, `observatory sql FILE` a file with them",
      });
    }
    if (kind === "copy-stdin") {
      throw copyRefused(`COPY … FROM STDIN in line ${line}: there is no data for it`, {
        hint: "Run it with `observatory sql` from a file that has its data, or use " +
          "`observatory shell -c '\\copy …'`",
      });
    }
    if (copiesOut(statement, bytes)) {
      throw copyRefused(`COPY … TO STDOUT in line ${line}: exec shows rows, not copies`, {
        hint: "Use SELECT or TABLE with --format csv, or `observatory shell -c 'COPY …'`",
      });
    }
  }
}

function copyRefused(what: string, { hint }: { readonly hint: string }): OperationError {
  return new OperationError(`Cannot run ${what}`, {
    kind: "usage",
    code: "copy_not_expected",
    hint,
  });
}

/** A long query may stand before the words that tell, which are not kept then. */
function copiesOut({ words, start, end }: SqlStatement, bytes: Uint8Array): boolean {
  if (words[0] !== "COPY") return false;
  if (words.some((word, index) => word === "TO" && words[index + 1] === "STDOUT")) return true;
  return words.length >= MOST_WORDS &&
    /\)\s*TO\s+STDOUT\b/i.test(new TextDecoder().decode(bytes.subarray(start, end)));
}

const SETTING: ReadonlySet<string> = new Set(["SET", "RESET"]);

/** What ends with its own transaction would be without effect on the statements after it. */
function refuseWithoutEffect(statements: readonly SqlStatement[]): void {
  if (statements.length < 2) return;
  for (const statement of statements) {
    const { words: [word = ""], line } = statement;
    if (!controlsTransactions([statement]) && !SETTING.has(word)) continue;
    throw new OperationError(
      `Cannot run ${word} in line ${line} under --read-only: each statement runs in a ` +
        "read-only transaction of its own, which it would be lost with",
      {
        kind: "refused",
        code: "read_only",
        hint: SETTING.has(word)
          ? "Give settings with PGOPTIONS, such as PGOPTIONS='-c timezone=UTC'"
          : "Leave it out",
      },
    );
  }
}

/** All statements in one message, so that they are one transaction. */
async function* together(session: Session, scanned: ScannedSql): AsyncGenerator<RowPart> {
  const { bytes, statements } = scanned;
  try {
    yield* await session.execute(bytes);
  } catch (error) {
    throw error instanceof DatabaseError
      ? execFailure(error, { sent: { bytes, line: 1, column: 1 }, statements, readOnly: false })
      : error;
  }
  if (statements.length === 0 || controlsTransactions(statements)) await refuseLeftOpen(session);
}

async function* eachAlone(
  session: Session,
  { bytes, statements }: ScannedSql,
): AsyncGenerator<RowPart> {
  for (const { start, end, line, column } of statements) {
    const sent = { bytes: bytes.subarray(start, end), line, column };
    try {
      yield* await session.execute(sent.bytes, []);
    } catch (error) {
      throw error instanceof DatabaseError
        ? execFailure(error, { sent, statements: [], readOnly: true })
        : error;
    }
  }
}

/**
 * Within a transaction block the statement began later than its transaction. That holds for a simple
 * query only: by the extended protocol it always does.
 */
const IS_OPEN = "SELECT transaction_timestamp() <> statement_timestamp()";

async function refuseLeftOpen(session: Session): Promise<void> {
  let open = false;
  for await (const part of await session.execute(IS_OPEN)) {
    if (part.kind === "rows") open = part.rows[0]?.[0] === "t";
  }
  if (!open) return;
  throw new OperationError(
    "The transaction that the SQL began was left open and is rolled back",
    {
      code: "transaction_left_open",
      hint: "End the SQL with COMMIT, or leave BEGIN out: all of it is one transaction anyway",
    },
  );
}
