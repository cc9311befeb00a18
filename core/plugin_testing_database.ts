/** The database of a plugin's tests: it answers as the test says, and keeps what it was asked. */
import type {
  Database,
  QueryResult,
  Row,
  RowPart,
  Session,
  SqlParameter,
  SqlValue,
  Step,
} from "./plugin.ts";

/** What a statement gives: rows, the whole result, what `COPY … TO STDOUT` writes, or an error that it fails with. */
export type SqlAnswer =
  | readonly Row[]
  | {
    readonly rows?: readonly Row[];
    readonly count?: number;
    readonly command?: string;
    readonly copy?: string;
  }
  | Error;

/** Answers by statement: a text, of which white space does not count, or a pattern. */
export type SqlAnswers = readonly (readonly [
  sql: string | RegExp,
  answer: SqlAnswer | ((params: readonly SqlParameter[]) => SqlAnswer),
])[];

/** A statement that came. */
export interface SqlStatement {
  readonly sql: string;
  readonly params: readonly SqlParameter[];
  /** What a `COPY … FROM STDIN` was given. */
  readonly copied?: string;
}

/** A database without a server. */
export function fakeDatabase(answers: SqlAnswers, statements: SqlStatement[]): Database {
  const ask = (statement: SqlStatement) => {
    statements.push(statement);
    return answerTo(statement, answers);
  };
  const session = sessionOf(ask);
  return {
    target: { host: "localhost", port: 5432, database: "test", user: "test" },
    query: session.query,
    async stream<R = Row>(sql: string, params?: readonly SqlParameter[]) {
      return streamOf(batchesOf((await session.query<R>(sql, params)).rows));
    },
    copyIn: session.copyIn,
    copyOut: session.copyOut,
    session: () => Promise.resolve(session),
    maintenance: () => Promise.resolve(session),
    transaction: (work) => work(session),
    stateTable: ({ name }) => Promise.resolve(`observatory.${name}`),
    withLock: (_options, work) => work(new AbortController().signal),
  };
}

interface Answered extends QueryResult {
  readonly copy: string;
}

type Ask = (statement: SqlStatement) => Answered;

function sessionOf(ask: Ask): Session {
  return {
    pid: 1,
    // deno-lint-ignore require-await -- a statement that fails rejects
    async query<R = Row>(sql: string, params: readonly SqlParameter[] = []) {
      const { rows, command, count } = ask({ sql, params });
      // As with a server: the type of the rows is what the caller says.
      return { rows: rows as R[], command, count };
    },
    async pipeline(steps) {
      const results: QueryResult<never>[] = [];
      for await (const { sql, params = [] } of stepsOf(steps)) {
        const { command, count } = ask({ sql: textOf(sql), params });
        results.push({ rows: [], command, count });
      }
      return results;
    },
    // deno-lint-ignore require-await -- likewise
    async execute(sql, params = []) {
      return partsOf(ask({ sql: textOf(sql), params }));
    },
    async copyIn(sql, data) {
      let copied = "";
      const decoder = new TextDecoder();
      for await (const chunk of data) copied += decoder.decode(chunk, { stream: true });
      const { command, count } = ask({ sql, params: [], copied: copied + decoder.decode() });
      return { rows: [], command, count };
    },
    // deno-lint-ignore require-await -- likewise
    async copyOut(sql) {
      const { copy } = ask({ sql, params: [] });
      return streamOf([new TextEncoder().encode(copy)]);
    },
    close: () => Promise.resolve(),
  };
}

/** So small that whoever takes the first batch for all rows is found out. */
const BATCH_ROWS = 2;

function batchesOf<T>(rows: readonly T[]): T[][] {
  const batches = Math.ceil(rows.length / BATCH_ROWS);
  return Array.from(
    { length: batches },
    (_, index) => rows.slice(index * BATCH_ROWS, (index + 1) * BATCH_ROWS),
  );
}

async function* stepsOf(steps: readonly Step[] | ReadableStream<Step>): AsyncGenerator<Step> {
  yield* steps;
}

/** What needs no answer of its own. */
const CONTROL = /^\s*(BEGIN|START TRANSACTION|COMMIT|END|ROLLBACK|SAVEPOINT|RELEASE|SET|RESET)\b/i;

function answerTo({ sql, params }: SqlStatement, answers: SqlAnswers): Answered {
  const plain = withoutSpace(sql);
  const found = answers.find(([wanted]) =>
    typeof wanted === "string" ? withoutSpace(wanted) === plain : plain.search(wanted) >= 0
  );
  if (found === undefined && !CONTROL.test(sql)) {
    throw new Error(`The test does not say what this statement gives: ${plain}; add it to "sql"`);
  }
  const given = found?.[1] ?? [];
  const answer = typeof given === "function" ? given(params) : given;
  if (answer instanceof Error) throw answer;
  const { rows = [], count, command, copy = "" } = isRows(answer) ? { rows: answer } : answer;
  return {
    rows: rows.map((row) => ({ ...row })),
    count: count ?? rows.length,
    command: command ?? (/^\w+/.exec(plain)?.[0] ?? "").toUpperCase(),
    copy,
  };
}

function isRows(answer: Exclude<SqlAnswer, Error>): answer is readonly Row[] {
  return Array.isArray(answer);
}

function withoutSpace(sql: string): string {
  return sql.replace(/\s+/g, " ").trim();
}

function textOf(sql: string | Uint8Array): string {
  return typeof sql === "string" ? sql : new TextDecoder().decode(sql);
}

function partsOf({ rows, command, count }: QueryResult): ReadableStream<RowPart> {
  const [first] = rows;
  const end: RowPart = { kind: "end", command, count };
  if (first === undefined) return streamOf([end]);
  const names = Object.keys(first);
  return streamOf<RowPart>([
    // 25 is text.
    { kind: "columns", columns: names.map((name) => ({ name, type: 25 })) },
    { kind: "rows", rows: rows.map((row) => names.map((name) => shown(row[name]))) },
    end,
  ]);
}

/** A value as the server writes it. */
function shown(value: SqlValue | undefined): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value === "boolean") return value ? "t" : "f";
  if (value instanceof Uint8Array) {
    return `\\x${[...value].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  }
  return String(value);
}

function streamOf<T>(parts: readonly T[]): ReadableStream<T> {
  return new ReadableStream({
    start(controller) {
      parts.forEach((part) => controller.enqueue(part));
      controller.close();
    },
  });
}
