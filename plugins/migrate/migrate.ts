/** `migrate`: applies everything that is pending. */
import type { Context, Result, Session } from "../../core/plugin.ts";
import { applyAlone } from "./alone.ts";
import type { MigrationFile } from "./files.ts";
import { ensureBookkeeping, type History, readHistory } from "./history.ts";
import { type Locked, type LockFlags, underLock } from "./locked.ts";
import { type Plan, planMigrations } from "./plan.ts";
import { refuse } from "./problems.ts";
import { recordsOfApplying } from "./records.ts";
import { readScripts, type Script } from "./script.ts";
import { checksumsOf, directoriesOf, readSource, type Source } from "./source.ts";
import { openExisting, openOrCreate } from "./target_database.ts";
import { applyTogether, beforeIt } from "./transaction.ts";
import { watchBlockers } from "./watch.ts";

/** What is asked for. */
export interface MigrateOptions extends LockFlags {
  readonly directories: readonly string[];
  /** The last version to apply. */
  readonly to: bigint | undefined;
  readonly ignoreMissing: boolean;
  readonly strict: boolean;
}

/** One migration in the result; versions are text, since JSON readers round large numbers. */
interface Told {
  readonly version: string;
  readonly description: string;
  readonly file: string;
}

interface Applied extends Told {
  readonly duration_ms: number;
}

/**
 * Applies everything that is pending, in order, after everything was checked.
 *
 * @throws OperationError of kind `refused` when something stands against it, before anything is
 *   changed; otherwise of what failed, with the place in the file
 */
export async function migrate(context: Context, options: MigrateOptions): Promise<Result> {
  const opening = open(context);
  // Its failure is told below, after what is wrong with the files.
  opening.catch(() => {});
  const source = await readSource(context, directoriesOf(context, options.directories));
  const { session, created } = await opening;
  try {
    if (!context.dryRun) context.log.info("Running database migrations...");
    const work: Work = { context, session, source, options };
    const history = session && await readHistory(session);
    const plan = await planOf(work, history);
    for (const warning of plan.warnings) context.log.warn(warning);
    const read = await readScripts(plan.pending, {
      files: context.files,
      contents: source.contents,
      firstWhileSent: !context.dryRun,
    });
    for (const warning of read.warnings) context.log.warn(warning);
    refuse([...plan.problems, ...read.problems]);
    const done = session === undefined || context.dryRun || read.scripts.length === 0
      ? { applied: [], already: plan.applied }
      : await applyLocked({ ...work, session }, { history, scripts: read.scripts });
    return resultOf(work, { plan, done, created });
  } finally {
    await session?.close();
  }
}

interface Work {
  readonly context: Context;
  readonly session: Session | undefined;
  readonly source: Source;
  readonly options: MigrateOptions;
}

async function open(context: Context): Promise<{ session: Session | undefined; created: boolean }> {
  if (!context.dryRun) return await openOrCreate(context);
  return { session: await openExisting(context), created: false };
}

async function planOf({ context, source, options }: Work, history: History): Promise<Plan> {
  const checksums = await checksumsOf(context, { source, versions: history?.keys() ?? [] });
  return planMigrations({
    files: source.files,
    history,
    checksumOf: (version) => checksums.get(version),
    bytesOf: (version) => source.contents.get(version)?.bytes,
    to: options.to,
    ignoreMissing: options.ignoreMissing,
    strict: options.strict,
  });
}

interface Checked {
  /** The history that the scripts were chosen by. */
  readonly history: History;
  readonly scripts: readonly Script[];
}

interface Done {
  readonly applied: readonly Applied[];
  /** How many were applied before. */
  readonly already: number;
}

async function applyLocked(
  work: Work & { readonly session: Session },
  checked: Checked,
): Promise<Done> {
  const { context, session, options } = work;
  return await underLock(context, { ...options, session }, async (locked) => {
    const bookkeeping = await ensureBookkeeping(session);
    const history = await readHistory(session, bookkeeping);
    // Another run may have applied some or all of it while this one waited.
    let { scripts } = checked;
    if (!sameVersions(history, checked.history)) {
      const plan = await planOf(work, history);
      refuse(plan.problems);
      const pending = new Set(plan.pending.map(({ version }) => version));
      scripts = scripts.filter(({ file }) => pending.has(file.version));
    }
    const applied = await applyAll(work, { locked, scripts, table: bookkeeping.table });
    return { applied, already: history?.size ?? 0 };
  });
}

function sameVersions(a: History, b: History): boolean {
  return [...a?.keys() ?? []].join() === [...b?.keys() ?? []].join();
}

async function applyAll(
  { context, session }: Work & { readonly session: Session },
  { locked, scripts, table }: { locked: Locked; scripts: readonly Script[]; table: string },
): Promise<Applied[]> {
  const applied: Applied[] = [];
  const watch = watchBlockers(context, { pid: session.pid, lockKey: locked.lockKey });
  try {
    for (const [done, script] of scripts.entries()) {
      const { file, checked } = script;
      locked.signal.throwIfAborted();
      const label = `Applying ${file.fileName}`;
      context.progress({ label, done, total: scripts.length, unit: "items" });
      watch.file(file.path);
      const started = context.now();
      const records = recordsOfApplying({ table }, file);
      const before = beforeIt(done, "applied");
      if (script.noTransaction && checked !== undefined) {
        await applyAlone(context, { ...script, checked }, { session, records, before });
      } else {
        await applyTogether(context, script, { session, records, before });
      }
      applied.push({ ...told(file), duration_ms: Math.round(context.now() - started) });
    }
    return applied;
  } finally {
    context.progress(null);
    await watch.stop();
  }
}

function told({ version, description, path }: MigrationFile): Told {
  return { version: String(version), description, file: path };
}

function resultOf(
  { context }: Work,
  { plan, done, created }: { plan: Plan; done: Done; created: boolean },
): Result {
  const { dryRun, log } = context;
  const { database } = context.db.target;
  const pending = (dryRun ? [...plan.pending, ...plan.beyond] : plan.beyond).map(told);
  const lines = dryRun
    ? plan.pending.map((file) => `Would apply ${nameOf(file)}`)
    : done.applied.map((one) => `Applied ${nameOf(one)} (${one.duration_ms} ms)`);
  lines.push(...plan.beyond.map((file) => `Left pending ${nameOf(file)}`));
  if (lines.length === 0) lines.push(`Nothing to apply: ${counted(done.already)} already`);
  if (!dryRun) log.success("Migrations completed successfully");
  return {
    data: {
      database,
      database_created: created,
      already_applied: done.already,
      applied: done.applied,
      pending,
    },
    text: lines.join("\n"),
  };
}

function nameOf(
  { version, description }: { version: bigint | string; description: string },
): string {
  return `${version} ${description}`.trimEnd();
}

function counted(count: number): string {
  return count === 1 ? "1 migration is applied" : `${count} migrations are applied`;
}
