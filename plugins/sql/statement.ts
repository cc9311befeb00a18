/**
 * What a statement of an SQL file is, as far as applying it depends on that.
 * It is told by the statement's first tokens and by a few marks set while the
 * rest of it is scanned, never by its whole text.
 */

/**
 * What a statement is:
 *
 * - `begin`, `commit`, `rollback`, `savepoint` and `prepared` control transactions;
 *   `savepoint` stands for SAVEPOINT, RELEASE and ROLLBACK TO, `prepared` for the
 *   three statements of two-phase commit;
 * - `copy-stdin` waits for data from the client;
 * - `psql-command` is a backslash command, which only psql knows;
 * - `no-transaction` is refused by the server inside a transaction block;
 * - `timescale-no-transaction` is refused there by TimescaleDB;
 * - `timescale-update` must be the first statement of its session;
 * - `other` is everything else.
 *
 * Told by the text alone, so what depends on the catalogue is not seen: CLUSTER and
 * REINDEX of a partitioned table, and procedures that commit, are `other`.
 */
export type SqlStatementKind =
  | "begin"
  | "commit"
  | "rollback"
  | "savepoint"
  | "prepared"
  | "copy-stdin"
  | "psql-command"
  | "no-transaction"
  | "timescale-no-transaction"
  | "timescale-update"
  | "other";

/** One statement of an SQL file; offsets are in bytes from the file's first byte. */
export interface SqlStatement {
  /**
   * Where the previous statement ended, so that `from` to `end` holds the comments before
   * the statement too. A byte order mark, semicolons without a statement and the data after
   * a COPY FROM STDIN lie before it.
   */
  readonly from: number;
  /** The first byte of the first token. */
  readonly start: number;
  /** After the semicolon; without one, after the last token. */
  readonly end: number;
  /** Line of `start`, from 1; lines end with a line feed. */
  readonly line: number;
  /** Column of `start` in characters (code points), from 1. */
  readonly column: number;
  /**
   * The first tokens: 5, or up to 24 of a statement whose kind may depend on them. A bare word
   * is in upper case, a quoted identifier keeps its text and quotes, a string is `'`, a number
   * or parameter `0`, anything else its character; of a psql command only `\name`. Words of
   * more than 63 bytes are cut, as the server does.
   */
  readonly words: readonly string[];
  readonly kind: SqlStatementKind;
  /** Whether a COMMIT or ROLLBACK says AND CHAIN, which begins the next transaction at once. */
  readonly chain: boolean;
}

/** How many tokens of a statement are kept when nothing depends on further ones. */
export const USUAL_WORDS = 5;
/** How many tokens are kept of a statement whose kind depends on them. */
export const MOST_WORDS = 24;

/** What is noted of a statement while it is scanned to its end. */
export interface Marks {
  /** Whether a COPY reads from its client. */
  readonly copyFromClient: boolean;
  /** Whether the storage options name a continuous aggregate. */
  readonly continuous: boolean;
  /** Whether the last tokens are WITH NO DATA. */
  readonly withNoData: boolean;
}

type Words = readonly string[];

/** What the first word of a statement decides. */
export interface FirstWord {
  /** By the first four tokens, whether the further ones have to be looked at, to the last. */
  readonly watches?: (words: Words) => boolean;
  kind(words: Words, marks: Marks): SqlStatementKind;
}

/**
 * What a statement's first word decides, or undefined where its kind is `other` whatever follows.
 */
export function lookUpFirstWord(word: string): FirstWord | undefined {
  return word.startsWith("\\") ? PSQL_COMMAND : FIRST_WORDS.get(word);
}

/** Whether a COMMIT or ROLLBACK says AND CHAIN. */
export function hasChain(words: Words): boolean {
  const and = words.indexOf("AND");
  return and > 0 && and <= 2 && words[and + 1] === "CHAIN";
}

/** Whether the words so far begin the definition of a routine, whose body may hold semicolons. */
export function isRoutine(words: Words): boolean {
  const object = words[1] === "OR" && words[2] === "REPLACE" ? words[3] : words[1];
  return words[0] === "CREATE" && (object === "FUNCTION" || object === "PROCEDURE");
}

/** A bare word, or the one that a quoted identifier without capital letters stands for. */
export function unquoted(word: string | undefined): string | undefined {
  return word?.startsWith('"') && word === word.toLowerCase()
    ? word.slice(1, -1).toUpperCase()
    : word;
}

function always(kind: SqlStatementKind): FirstWord {
  return { kind: () => kind };
}

function byWords(kind: FirstWord["kind"]): FirstWord {
  return { kind };
}

function noTransactionIf(condition: boolean): SqlStatementKind {
  return condition ? "no-transaction" : "other";
}

/** No token of SQL begins with a backslash. */
const PSQL_COMMAND = always("psql-command");

const FIRST_WORDS: ReadonlyMap<string, FirstWord> = new Map<string, FirstWord>([
  ["BEGIN", always("begin")],
  ["START", byWords((words) => words[1] === "TRANSACTION" ? "begin" : "other")],
  ["COMMIT", byWords((words) => words[1] === "PREPARED" ? "prepared" : "commit")],
  ["END", always("commit")],
  ["ROLLBACK", byWords(kindOfRollback)],
  ["ABORT", always("rollback")],
  ["SAVEPOINT", always("savepoint")],
  ["RELEASE", always("savepoint")],
  [
    "PREPARE",
    byWords((words) => words[1] === "TRANSACTION" && words[2] === "'" ? "prepared" : "other"),
  ],
  ["COPY", {
    watches: () => true,
    kind: (_, marks) => marks.copyFromClient ? "copy-stdin" : "other",
  }],
  ["CREATE", {
    watches: (words) => words[1] === "MATERIALIZED" || isRoutine(words),
    kind: kindOfCreate,
  }],
  ["DROP", byWords(kindOfDrop)],
  ["ALTER", byWords(kindOfAlter)],
  ["REINDEX", byWords(kindOfReindex)],
  ["CLUSTER", byWords((words) => noTransactionIf(words.length === afterOptions(words)))],
  ["VACUUM", always("no-transaction")],
  ["DISCARD", byWords((words) => noTransactionIf(words[1] === "ALL"))],
  ["CALL", byWords(kindOfCall)],
]);

function kindOfRollback(words: Words): SqlStatementKind {
  if (words[1] === "PREPARED") return "prepared";
  const to = words[1] === "WORK" || words[1] === "TRANSACTION" ? words[2] : words[1];
  return to === "TO" ? "savepoint" : "rollback";
}

function kindOfCreate(words: Words, marks: Marks): SqlStatementKind {
  switch (words[1]) {
    case "DATABASE":
    case "TABLESPACE":
      return "no-transaction";
    case "INDEX":
      return noTransactionIf(words[2] === "CONCURRENTLY");
    case "UNIQUE":
      return noTransactionIf(words[2] === "INDEX" && words[3] === "CONCURRENTLY");
    case "SUBSCRIPTION":
      // Only what makes a replication slot on the publisher is refused.
      return noTransactionIf(!isOff(words, "CREATE_SLOT") && !isOff(words, "CONNECT"));
    case "MATERIALIZED":
      return words[2] === "VIEW" && marks.continuous && !marks.withNoData
        ? "timescale-no-transaction"
        : "other";
    default:
      return "other";
  }
}

function kindOfDrop(words: Words): SqlStatementKind {
  switch (words[1]) {
    case "DATABASE":
    case "TABLESPACE":
    case "SUBSCRIPTION":
      return "no-transaction";
    case "INDEX":
      return noTransactionIf(words[2] === "CONCURRENTLY");
    default:
      return "other";
  }
}

function kindOfAlter(words: Words): SqlStatementKind {
  switch (words[1]) {
    case "SYSTEM":
      return "no-transaction";
    case "DATABASE":
      return noTransactionIf(words[3] === "SET" && words[4] === "TABLESPACE");
    case "TABLE": {
      const detach = words.indexOf("DETACH");
      return noTransactionIf(
        detach > 0 && words[detach + 1] === "PARTITION" && words.includes("CONCURRENTLY", detach),
      );
    }
    case "SUBSCRIPTION":
      return noTransactionIf(changesPublications(words) && !isOff(words, "REFRESH"));
    case "EXTENSION":
      return unquoted(words[2]) === "TIMESCALEDB" && words[3] === "UPDATE"
        ? "timescale-update"
        : "other";
    default:
      return "other";
  }
}

function changesPublications(words: Words): boolean {
  return words[4] === "PUBLICATION" &&
    (words[3] === "REFRESH" || words[3] === "SET" || words[3] === "ADD" || words[3] === "DROP");
}

function kindOfReindex(words: Words): SqlStatementKind {
  const at = afterOptions(words);
  const object = words[at];
  const concurrently = words.indexOf("CONCURRENTLY");
  return noTransactionIf(
    object === "DATABASE" || object === "SYSTEM" || object === "SCHEMA" ||
      (concurrently > 0 && concurrently < at && !isOff(words, "CONCURRENTLY")) ||
      words[at + 1] === "CONCURRENTLY",
  );
}

function kindOfCall(words: Words): SqlStatementKind {
  const open = words.indexOf("(");
  return open > 0 && unquoted(words[open - 1]) === "REFRESH_CONTINUOUS_AGGREGATE"
    ? "timescale-no-transaction"
    : "other";
}

/** The index of the first word after a list of options in parentheses or a VERBOSE. */
function afterOptions(words: Words): number {
  if (words[1] === "(") {
    const close = words.indexOf(")");
    return close < 0 ? words.length : close + 1;
  }
  return words[1] === "VERBOSE" ? 2 : 1;
}

/** Whether a Boolean option is switched off by a bare word. */
function isOff(words: Words, option: string): boolean {
  const at = words.lastIndexOf(option);
  if (at < 0) return false;
  const value = words[at + 1] === "=" ? words[at + 2] : words[at + 1];
  return value === "FALSE" || value === "OFF";
}
