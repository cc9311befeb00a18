/** psql on a plain dump: all of it in one transaction, and nothing when a part is missing. */
import { randomInt } from "node:crypto";
import { type Context, OperationError } from "../../core/plugin.ts";
import { type Complaints, readComplaints } from "../sql/psql_messages.ts";
import { knowsRestrict, restrictSince } from "../sql/restrict.ts";

/** A script that is run. */
export interface ScriptRun {
  /** Fails, and does not end, where something of it is missing. */
  readonly script: ReadableStream<Uint8Array>;
  readonly database: string;
  readonly transaction: boolean;
  /** What its session is known by in `pg_stat_activity`. */
  readonly name: string;
}

/**
 * Starts psql on a script.
 *
 * @returns what settles when it has ended; it rejects with `restore_failed` and the line
 * @throws OperationError `psql_outdated` when no psql at hand knows `\restrict`
 */
export async function startScript(
  ctx: Context,
  { script, database, transaction, name }: ScriptRun,
): Promise<{ readonly done: Promise<void> }> {
  const psql = await ctx.clientTool("psql");
  if (!knowsRestrict(psql)) {
    const since = restrictSince(psql);
    throw new OperationError(
      `Cannot restore a plain dump by psql ${psql.version}: it does not know \\restrict, which ` +
        "keeps data from being run as its commands",
      {
        kind: "refused",
        code: "psql_outdated",
        hint: `Bring the package postgresql-client-${since.major} to ${since.version} or newer`,
        details: { found: psql.version, path: psql.path, needed: since.version },
      },
    );
  }
  // A number, so that it closes no quote that is open.
  const word = String(randomInt(2 ** 47));
  const program = await ctx.exec(psql.path, {
    args: ["--no-psqlrc", "--no-password", "--quiet", "--set=ON_ERROR_STOP=1", "--file=-"],
    connect: { database },
    env: { LC_ALL: "C", LANGUAGE: "C", PGAPPNAME: name },
    stdin: transaction ? ReadableStream.from(committed(script, word)) : script,
  });
  const done = (async () => {
    const [complaints, wasSaid, exit] = await Promise.all([
      readComplaints(program.stderr, { log: quiet(ctx) }),
      says(program.stdout, word),
      program.exit,
    ]);
    if (exit.code !== 0) throw failureOf(database, complaints, exit.code);
    if (transaction && !wasSaid) throw notEnded(database);
  })();
  return { done };
}

/**
 * A script in one transaction, which is committed by its own last line. psql's `--single-transaction`
 * commits at whatever end its input comes to, as when this process is killed.
 *
 * @param word a number, which is told on stdout when it is committed
 */
async function* committed(
  script: AsyncIterable<Uint8Array>,
  word: string,
): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  let end = "";
  // On the script's first line, so that lines have the numbers that they have in the dump.
  yield encoder.encode("BEGIN; ");
  for await (const chunk of script) {
    end = (end + new TextDecoder("latin1").decode(chunk.subarray(-END_BYTES))).slice(-END_BYTES);
    yield chunk;
  }
  yield encoder.encode(`\n${isEnded(end) ? "" : ";\n"}COMMIT;\nSELECT ${word};\n`);
}

/** More than what pg_dump writes behind the last statement. */
const END_BYTES = 4096;

/**
 * Whether the last statement of a script has an end. Where it has, none is added: psql 15.20 and 18.6
 * read no further than to an empty statement behind the rows of a table, and call that a good end.
 */
function isEnded(end: string): boolean {
  const lines = end.split("\n").map((line) => line.trim());
  const last = lines.findLast((line) => line !== "" && !/^(--|\\(un)?restrict\b)/.test(line));
  return last === undefined || last.endsWith(";") || last === "\\.";
}

/** Whether a word comes in a stream; what is longer than a result of psql is passed over. */
async function says(stream: ReadableStream<Uint8Array>, word: string): Promise<boolean> {
  let end = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream("latin1"))) {
    end = (end + text).slice(-1024);
  }
  return end.includes(word);
}

/** A quote or a comment that is open at the end swallows the COMMIT. */
function notEnded(database: string): OperationError {
  return new OperationError(
    `Cannot restore into "${database}": the script breaks off in the middle of a statement`,
    { code: "restore_failed", hint: "Take another dump; of this one a part is missing" },
  );
}

/** Notices of a restore are for those who look for them. */
function quiet({ log }: Context): Context["log"] {
  return { ...log, info: (text) => log.debug(text), warn: (text) => log.warn(text) };
}

function failureOf(database: string, { last, fatal }: Complaints, exit: number): OperationError {
  const complaint = fatal ?? last;
  const line = complaint?.line === undefined ? "" : `line ${complaint.line}: `;
  return new OperationError(
    `Cannot restore into "${database}": ${line}${
      complaint?.text ?? `psql ended with exit code ${exit}`
    }`,
    {
      kind: exit === 2 ? "connection" : "failed",
      code: "restore_failed",
      ...(complaint === undefined || complaint.more.length === 0
        ? {}
        : { excerpt: complaint.more.join("\n") }),
      details: { psql_exit: exit, line: complaint?.line ?? null },
    },
  );
}

/** What pg_dump and pg_restore of 17 and newer set, and older servers do not know. */
const UNKNOWN_SETTING = "SET transaction_timeout = 0;\n";

/** Behind that no setting follows. */
const HEAD_BYTES = 8192;

/** Takes out the setting that a server before 17 does not know; everything else passes as it is. */
export async function* filterScript(
  script: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let head: Uint8Array | undefined = new Uint8Array();
  for await (const chunk of script) {
    if (head === undefined) {
      yield chunk;
      continue;
    }
    const longer: Uint8Array = new Uint8Array(head.length + chunk.length);
    longer.set(head);
    longer.set(chunk, head.length);
    head = longer;
    if (head.length < HEAD_BYTES) continue;
    yield withoutSetting(head);
    head = undefined;
  }
  if (head !== undefined) yield withoutSetting(head);
}

function withoutSetting(head: Uint8Array): Uint8Array {
  // Byte by byte, so that what is no UTF-8 passes unharmed.
  const text = new TextDecoder("latin1").decode(head.subarray(0, HEAD_BYTES));
  const at = text.indexOf(`\n${UNKNOWN_SETTING}`) + 1;
  if (at === 0) return head;
  const rest = new Uint8Array(head.length - UNKNOWN_SETTING.length);
  rest.set(head.subarray(0, at));
  rest.set(head.subarray(at + UNKNOWN_SETTING.length), at);
  return rest;
}
