/** psql on a plain dump: all of it in one transaction, and nothing when a part is missing. */
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
  const program = await ctx.exec(psql.path, {
    args: [
      "--no-psqlrc",
      "--no-password",
      "--quiet",
      "--set=ON_ERROR_STOP=1",
      ...(transaction ? ["--single-transaction"] : []),
      "--file=-",
    ],
    connect: { database },
    env: { LC_ALL: "C", LANGUAGE: "C", PGAPPNAME: name },
    stdin: script,
  });
  const done = (async () => {
    const [complaints, , exit] = await Promise.all([
      readComplaints(program.stderr, { log: quiet(ctx) }),
      program.stdout.pipeTo(new WritableStream()),
      program.exit,
    ]);
    if (exit.code !== 0) throw failureOf(database, complaints, exit.code);
  })();
  return { done };
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
