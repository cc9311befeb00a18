/** A source restored into a database that takes it: the one way that all restores go. */
import type { Context } from "../../core/plugin.ts";
import type { Parts } from "./options.ts";
import { inOneTransaction } from "./one_transaction.ts";
import { planPasses } from "./passes.ts";
import {
  type ArchiveRun,
  createByteProgress,
  DeadlockError,
  type Ran,
  runArchive,
} from "./run_archive.ts";
import { filterScript, startScript } from "./run_script.ts";
import type { Source } from "./source.ts";
import type { Entry } from "./table_of_contents.ts";
import { beginTimescale, endTimescale, isMadeBefore, type TimescaleUse } from "./timescale.ts";

/** What is restored, and into what. */
export interface Into {
  readonly source: Source;
  readonly database: string;
  readonly parts: Parts;
  /** What of an archive; undefined for everything. */
  readonly entries: readonly Entry[] | undefined;
  readonly jobs: number;
  readonly transaction: boolean;
  readonly disableTriggers: boolean;
  readonly timescale: TimescaleUse | undefined;
  readonly options: {
    readonly clean: boolean;
    readonly owners: boolean;
    readonly privileges: boolean;
    readonly tablespaces: boolean;
    readonly analyze: boolean;
  };
  readonly target: { readonly rights: { readonly serverVersion: number } };
}

/** What came of it. */
export interface Restored {
  readonly items: number | null;
  readonly warnings: readonly string[];
}

/**
 * Restores. TimescaleDB's workers are left stopped in the database, so that it can be compared.
 *
 * @throws OperationError `restore_failed`; `backup_damaged` where the source is
 */
export async function restoreInto(ctx: Context, into: Into): Promise<Restored> {
  const { database, parts, timescale } = into;
  const name = `observatory restore ${crypto.randomUUID().slice(0, 8)}`;
  const begun = timescale && await beginTimescale(ctx, { database, ...timescale });
  let restored: Restored;
  try {
    restored = into.source.contents.format === "plain"
      ? await runPlain(ctx, { into, name })
      : await runAll(ctx, { into, name });
  } catch (error) {
    // Without a transaction something is left that needs the extension.
    const remove = begun?.created === true && into.transaction;
    if (begun !== undefined) await endAfterFailure(ctx, { database, remove });
    throw error;
  }
  // Its workers would change what is compared: whoever is through starts them.
  if (begun !== undefined) await endTimescale(ctx, { database, workers: false });
  if (parts !== "schema" && into.options.analyze) await analyze(ctx, database);
  return restored;
}

/** Why the restore has failed counts for more than what is left of it. */
async function endAfterFailure(
  ctx: Context,
  ending: { readonly database: string; readonly remove: boolean },
): Promise<void> {
  try {
    await endTimescale(ctx, ending);
  } catch (error) {
    ctx.log.warn(error instanceof Error ? error.message : String(error));
  }
}

async function runAll(
  ctx: Context,
  { into, name }: { readonly into: Into; readonly name: string },
): Promise<Restored> {
  const { source, options, timescale } = into;
  const entries = timescale === undefined
    ? into.entries
    : (into.entries ?? source.archive?.entries)?.filter((entry) => !isMadeBefore(entry, timescale));
  const call = {
    source,
    name,
    database: into.database,
    parts: into.parts,
    clean: options.clean,
    owners: options.owners,
    privileges: options.privileges,
    tablespaces: options.tablespaces,
    disableTriggers: into.disableTriggers,
    serverVersion: into.target.rights.serverVersion,
  };
  const { passes, jobs } = planPasses(source.archive, {
    jobs: into.jobs,
    clean: options.clean,
    parts: into.parts,
  });
  if (passes.length === 1) {
    return await againAfterDeadlock(ctx, { ...call, entries, jobs, transaction: into.transaction });
  }
  const all = entries ?? source.archive?.entries ?? [];
  const runs: Ran[] = [];
  for (const pass of passes) {
    const kept = all.filter((entry) => pass.keep(entry));
    if (kept.length === 0) continue;
    ctx.log.debug(`Restoring ${pass.title}: ${kept.length} entries`);
    runs.push(
      await runArchive(ctx, {
        ...call,
        entries: kept,
        disableTriggers: call.disableTriggers && !pass.triggers,
        jobs: pass.parallel ? jobs : 1,
        again: true,
        transaction: false,
      }),
    );
  }
  return {
    items: runs.reduce((sum, { items }) => sum + items, 0),
    warnings: runs.flatMap(({ warnings }) => warnings),
  };
}

/** Where all is dropped first, a second try does all that the first one should have. */
async function againAfterDeadlock(ctx: Context, run: ArchiveRun): Promise<Ran> {
  try {
    return await runArchive(ctx, run);
  } catch (error) {
    if (!(error instanceof DeadlockError) || !run.clean || run.jobs === 1) throw error;
    ctx.log.warn(`${error.reason}: restoring again, by one process`);
    return await runArchive(ctx, { ...run, jobs: 1, again: true });
  }
}

/** A plain dump, with its data kept from being run as commands of psql where it does not do so itself. */
async function runPlain(
  ctx: Context,
  { into, name }: { readonly into: Into; readonly name: string },
): Promise<Restored> {
  const { source, database } = into;
  const progress = createByteProgress(ctx, source);
  const script = await source.stream({ took: progress.took });
  const known = into.target.rights.serverVersion < 170000 ? filterScript(script) : script;
  const fit = into.transaction ? inOneTransaction(known) : known;
  try {
    const psql = await startScript(ctx, {
      script: ReadableStream.from(restricted(fit)),
      database,
      transaction: into.transaction,
      name,
    });
    await psql.done;
  } finally {
    ctx.progress(null);
  }
  return { items: null, warnings: [] };
}

/** pg_dump says at the head of a script under which key psql takes no commands from it. */
async function* restricted(script: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  let key: string | undefined;
  let begun = false;
  let last = 0x0a;
  for await (const chunk of script) {
    if (!begun) {
      const head = new TextDecoder("latin1").decode(chunk.subarray(0, 4096));
      if (!/^\\restrict /m.test(head)) {
        key = crypto.randomUUID().replaceAll("-", "");
        yield encoder.encode(`\\restrict ${key}\n`);
      }
      begun = true;
    }
    last = chunk.at(-1) ?? last;
    yield chunk;
  }
  if (key !== undefined) yield encoder.encode(`${last === 0x0a ? "" : "\n"}\\unrestrict ${key}\n`);
}

/** New tables have no statistics, and a planner without them plans badly. */
async function analyze(ctx: Context, database: string): Promise<void> {
  ctx.log.info(`Analyzing "${database}"...`);
  const session = await ctx.db.session({ database, notices: "drop" });
  try {
    await session.query("SELECT pg_catalog.set_config('statement_timeout', '0', false)");
    await session.query("ANALYZE");
  } finally {
    await session.close();
  }
}
