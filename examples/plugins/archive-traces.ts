/**
 * Moves old rows of `traces` into files of JSON lines, `archive/traces-….jsonl`, batch by batch.
 *
 * Copy this file into your plugins directory, look with `observatory archive-traces --dry-run` and
 * run `observatory archive-traces --days 90` from cron, always in the same directory.
 *
 * A batch is one transaction: its rows are deleted, what the server says that it has deleted is
 * written to a new file, and only then is it committed. A run that is killed between file and
 * commit has rows in both places; which file that is stands in `ctx.state`, and the next run
 * deletes these rows, and no others, before it goes on.
 */
import { command, type Context, definePlugin, OperationError, type Session } from "observatory";

const DIRECTORY = "./archive";

/** What the next run has to look after, should this one be killed. */
interface Pending {
  readonly file: string;
  readonly sha256: string;
}

interface Archived {
  readonly files: string[];
  rows: number;
  /** Rows that an earlier run had written, but not deleted. */
  recovered: number;
}

const OLD = "ts < pg_catalog.now() - pg_catalog.make_interval(days => $1)";

const DELETE_BATCH = `
  WITH old AS (
    SELECT ts, trace_id, span_id FROM traces WHERE ${OLD}
    ORDER BY ts, trace_id, span_id LIMIT $2
  ),
  gone AS (
    DELETE FROM traces USING old
    WHERE (traces.ts, traces.trace_id, traces.span_id) = (old.ts, old.trace_id, old.span_id)
    RETURNING traces.*
  )
  SELECT pg_catalog.to_jsonb(gone)::text AS line FROM gone ORDER BY ts, trace_id, span_id`;

/** Deletes what was written and has not changed since. */
const DELETE_WRITTEN = `
  DELETE FROM traces
  USING (
    SELECT line, (line ->> 'ts')::timestamptz AS ts, line ->> 'trace_id' AS trace_id,
      line ->> 'span_id' AS span_id
    FROM pg_catalog.jsonb_array_elements($1::text::jsonb) AS line
  ) AS written
  WHERE (traces.ts, traces.trace_id, traces.span_id)
      = (written.ts, written.trace_id, written.span_id)
    AND pg_catalog.to_jsonb(traces) = written.line`;

/** Times in the files are those of UTC, whatever the server's zone. */
const SETTINGS = { TimeZone: "UTC" };

/** @returns undefined when there is nothing left to archive */
async function archiveBatch(
  ctx: Context,
  { days, batch }: { readonly days: number; readonly batch: number },
): Promise<{ file: string; rows: number } | undefined> {
  const archived = await ctx.db.transaction(async (session) => {
    await decompressFreely(session);
    const lines = await linesOf(session, [days, batch]);
    const [first] = lines;
    if (first === undefined) return undefined;
    const contents = new TextEncoder().encode(lines.map((line) => `${line}\n`).join(""));
    const day = String(JSON.parse(first).ts).slice(0, 10);
    const file = `${DIRECTORY}/traces-${day}-${crypto.randomUUID()}.jsonl`;
    await ctx.state.set("pending", { file, sha256: await sha256(contents) });
    try {
      await ctx.files.create(file, contents);
    } catch (error) {
      // Where nothing came to be, there is nothing to look after.
      if (await ctx.files.inspect(file) === undefined) await ctx.state.set("pending", undefined);
      throw error;
    }
    return { file, rows: lines.length };
  }, { settings: SETTINGS });
  await ctx.state.set("pending", undefined);
  return archived;
}

/** Streams what the server deletes, so that no message holds a whole batch. */
async function linesOf(session: Session, params: readonly number[]): Promise<string[]> {
  const lines: string[] = [];
  for await (const part of await session.execute(DELETE_BATCH, params)) {
    if (part.kind === "rows") lines.push(...part.rows.flatMap(([line]) => line ?? []));
  }
  return lines;
}

/** Ends the batch that a killed run has left. */
async function recover(ctx: Context): Promise<number> {
  const pending = await ctx.state.get("pending") as Pending | undefined;
  if (pending === undefined) return 0;
  const contents = await ctx.files.inspect(pending.file) === undefined
    ? undefined
    : (await ctx.files.readAll([pending.file]))[0];
  let rows = 0;
  if (contents !== undefined && await sha256(contents) === pending.sha256) {
    const lines = new TextDecoder().decode(contents).trimEnd().split("\n");
    rows = await ctx.db.transaction(async (session) => {
      await decompressFreely(session);
      return (await session.query(DELETE_WRITTEN, [`[${lines.join(",")}]`])).count;
    }, { settings: SETTINGS });
  } else if (contents !== undefined) {
    ctx.log.warn(`"${pending.file}" is not whole: delete it, its rows are still in the database`);
  } else if (await ctx.files.inspect(DIRECTORY) === undefined) {
    throw new OperationError(`Cannot go on: an earlier run was writing "${pending.file}"`, {
      hint: "Run this in the directory in which that one ran",
    });
  }
  await ctx.state.set("pending", undefined);
  return rows;
}

/** TimescaleDB limits how much of a compressed chunk one statement may delete. */
async function decompressFreely(session: Session): Promise<void> {
  await session.query(
    `SELECT pg_catalog.set_config(name, '0', true) FROM pg_catalog.pg_settings
     WHERE name = 'timescaledb.max_tuples_decompressed_per_dml_transaction'`,
  );
}

async function sha256(contents: Uint8Array): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(contents))).toHex();
}

async function countOld(ctx: Context, days: number): Promise<bigint> {
  const { rows: [found] } = await ctx.db.query<{ rows: bigint }>(
    `SELECT count(*) AS rows FROM traces WHERE ${OLD}`,
    [days],
  );
  return found?.rows ?? 0n;
}

export default definePlugin({
  name: "archive-traces",
  api: 1,
  summary: "Move old traces into files",
  permissions: { write: [DIRECTORY] },
  commands: {
    "archive-traces": command({
      summary: "Move old traces into files of JSON lines",
      description: "The files are written to ./archive. Where traces_hourly is a plain view, the " +
        "hours that are archived vanish from it; as a continuous aggregate it keeps them.",
      examples: [
        { line: "observatory archive-traces --dry-run", note: "Count what would be moved" },
        { line: "observatory archive-traces --days 30", note: "Keep the last 30 days" },
      ],
      effect: "write",
      dryRun: true,
      flags: {
        days: { type: "number", help: "Rows older than so many days are moved", default: 90 },
        batch: { type: "number", help: "Rows in one file and transaction", default: 5000 },
      },
      async run(ctx, { flags: { days, batch } }) {
        if (!(days >= 1) || !(batch >= 1)) {
          throw new OperationError("--days and --batch need a number of at least 1", {
            kind: "usage",
          });
        }
        if (ctx.dryRun) {
          const rows = await countOld(ctx, days);
          return { data: { rows, files: [] }, text: `Would archive ${rows} rows` };
        }
        const lock = { key: "archive-traces", purpose: "the archive of traces", wait: 0 };
        return await ctx.db.withLock(lock, async () => {
          const total = Number(await countOld(ctx, days));
          const done: Archived = { files: [], rows: 0, recovered: await recover(ctx) };
          for (;;) {
            ctx.signal.throwIfAborted();
            ctx.progress({ label: "Archiving traces", done: done.rows, total, unit: "rows" });
            const archived = await archiveBatch(ctx, { days, batch });
            if (archived === undefined) break;
            done.files.push(archived.file);
            done.rows += archived.rows;
          }
          const files = done.files.map((file) => `  ${file}`);
          return { data: done, text: [`Archived ${done.rows} rows`, ...files].join("\n") };
        });
      },
    }),
  },
});
