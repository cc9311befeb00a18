/** The user's own assertions of what a backup must hold: an SQL file whose rows are all true. */
import { basename } from "node:path";
import {
  type Column,
  type Context,
  DatabaseError,
  OperationError,
  type Session,
} from "../../core/plugin.ts";
import { locate } from "../sql/location.ts";
import { scanSql } from "../sql/scanner.ts";
import type { SqlStatement } from "../sql/statement.ts";

/** A file of assertions. */
export interface Assertions {
  /** Its path as it was given. */
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly statements: readonly SqlStatement[];
}

/** Bytes of a file of assertions at most. */
const LIMIT = 16 * 1024 ** 2;

/** The object identifier of the type boolean. */
const BOOLEAN = 16;

/** SQLSTATE of what is no SQL. */
const SYNTAX = "42601";

/**
 * Reads a file of assertions without running it.
 *
 * @throws OperationError of kind `usage`, with the line, where it holds what cannot be run
 */
export async function readAssertions(
  { files }: Pick<Context, "files">,
  path: string,
): Promise<Assertions> {
  const [bytes] = await files.readSmall([path], LIMIT);
  if (!bytes) throw unfit(path, `it has more than ${LIMIT} bytes`);
  const { statements, bom } = scan(path, bytes);
  for (const { kind, line, words: [word = ""] } of statements) {
    if (kind === "psql-command") throw unfit(`${path}:${line}`, `${word} is a command of psql`);
    if (kind === "copy-stdin") {
      throw unfit(`${path}:${line}`, "COPY … FROM STDIN has no data there");
    }
  }
  if (statements.length === 0) throw unfit(path, "it holds no statement");
  // Offsets are the same without it.
  return { path, bytes: bom ? bytes.with(0, 32).with(1, 32).with(2, 32) : bytes, statements };
}

function scan(path: string, bytes: Uint8Array): ReturnType<typeof scanSql> {
  try {
    return scanSql(bytes);
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    const line = error.details["line"];
    throw unfit(typeof line === "number" ? `${path}:${line}` : path, error.message, error);
  }
}

function unfit(place: string, reason: string, cause?: unknown): OperationError {
  return new OperationError(`Cannot use the assertions of ${place}: ${reason}`, {
    kind: "usage",
    code: "bad_assertions",
    hint: "Each statement is an SQL query whose boolean columns must be true in every row",
    ...(cause === undefined ? {} : { cause }),
  });
}

/**
 * Runs assertions, each statement by itself. One holds when it gives at least one row, and every
 * boolean column is true in all of them; what gives no columns, such as SET, is only run.
 *
 * @returns what does not hold, or fails, with file and line
 * @throws OperationError of kind `usage` where a statement is no SQL, or has no boolean column
 */
export async function runAssertions(
  ctx: Context,
  { database, assertions }: { readonly database: string; readonly assertions: Assertions },
): Promise<string[]> {
  const findings: string[] = [];
  const session = await ctx.db.session({ database, notices: "drop" });
  const { statements } = assertions;
  try {
    for (const [done, statement] of statements.entries()) {
      ctx.progress({ label: "Asserting", done, total: statements.length, unit: "items" });
      const reason = await whyNot(session, { statement, assertions });
      if (reason === undefined) continue;
      findings.push(`${basename(assertions.path)}:${statement.line}: ${reason}`);
    }
  } finally {
    ctx.progress(null);
    await session.close();
  }
  return findings;
}

async function whyNot(
  session: Session,
  { statement, assertions }: {
    readonly statement: SqlStatement;
    readonly assertions: Assertions;
  },
): Promise<string | undefined> {
  const { path, bytes } = assertions;
  const text = bytes.subarray(statement.start, statement.end);
  try {
    return await judge(session, text);
  } catch (error) {
    const { line, column } = statement;
    if (error instanceof NoBoolean) {
      throw unfit(`${path}:${line}`, "the statement has no boolean column");
    }
    if (!(error instanceof DatabaseError)) throw error;
    const { message, sqlstate, severity } = error.server;
    // Not what is asserted has failed then.
    if (severity === "FATAL" || /^(?:08|53|57|58|XX)/.test(sqlstate)) throw error;
    if (sqlstate !== SYNTAX) return `${message} (SQLSTATE ${sqlstate})`;
    const place = locate(error, { bytes: text, line, column });
    throw new OperationError(
      `Cannot run the assertions of ${path}:${place?.line ?? line}: ${message}`,
      {
        kind: "usage",
        code: "bad_assertions",
        ...(place === undefined ? {} : { excerpt: place.excerpt }),
        cause: error,
      },
    );
  }
}

/** A statement that asserts nothing. */
class NoBoolean extends Error {}

/** Reads all rows; undefined when all are true. */
async function judge(session: Session, text: Uint8Array): Promise<string | undefined> {
  let columns: readonly Column[] | undefined;
  let count = 0;
  let wrong: string | undefined;
  let wrongs = 0;
  for await (const part of await session.execute(new TextDecoder().decode(text), [])) {
    if (part.kind === "columns") columns = part.columns;
    if (part.kind !== "rows" || columns === undefined) continue;
    for (const row of part.rows) {
      count++;
      const at = columns.findIndex(({ type }, index) => type === BOOLEAN && row[index] !== "t");
      if (at < 0) continue;
      wrongs++;
      const value = row[at] === "f" ? "false" : "null";
      wrong ??= `"${columns[at]?.name}" is ${value} in row ${count}`;
    }
  }
  if (columns === undefined || columns.length === 0) return undefined;
  if (!columns.some(({ type }) => type === BOOLEAN)) throw new NoBoolean();
  if (count === 0) return "it gives no row";
  return wrongs > 1 ? `${wrong}, and ${wrongs - 1} more of ${count} rows are not true` : wrong;
}
