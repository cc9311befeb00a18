/** `restore`: what it is called with, the plan, and the restore itself. */
import { type Context, OperationError, type Plan, type Result } from "../../core/plugin.ts";
import { startWorkers, withServerLock } from "../database/changes.ts";
import { collectScratch } from "../database/scratch.ts";
import { restoreLock } from "../database/swap.ts";
import { BACKUP_LOCK_KEY } from "../sql/lock_keys.ts";
import { compareWith } from "./compare.ts";
import { compares, planData, planText } from "./describe.ts";
import { finish, planFinish } from "./finish.ts";
import { restoreInto } from "./into.ts";
import { restoreBeside } from "./beside.ts";
import { type FollowUp, readOptions, type RestoreFlags, type RestoreOptions } from "./options.ts";
import { prepare, type Prepared } from "./prepare.ts";
import { type Source, type WantedSource, withSource } from "./source.ts";
import { planUndo, undo } from "./undo.ts";

/** What a restore is called with. */
export interface Called {
  readonly name: string | undefined;
  readonly flags: RestoreFlags;
}

/** What a restore has done. */
export interface Done {
  /** Entries of the table of contents that were restored; null of a script. */
  readonly items: number | null;
  readonly warnings: readonly string[];
  /** What differs from the manifest; undefined where nothing was compared. */
  readonly differences: readonly string[] | undefined;
  /** The name under which the old database is kept. */
  readonly kept?: string | null;
}

/** The plan is the result then. */
const ONLY_PLANNED: Plan = { text: "", destroys: false, changes: false };

/** The plan that is told and confirmed before a restore. */
export async function planFor(ctx: Context, { name, flags }: Called): Promise<Plan> {
  const options = readOptions(name, flags);
  if (options.kind !== "restore") {
    return options.planOnly ? ONLY_PLANNED : await planFollowUp(ctx, options);
  }
  // It is the result then, and told as such.
  if (options.planOnly) return ONLY_PLANNED;
  return await withSource(ctx, wantedOf(ctx, options), async (source) => {
    const prepared = await prepare(ctx, { source, options });
    return {
      text: [planText(ctx, prepared), ...prepared.warnings.map((each) => `Warning: ${each}`)]
        .join("\n"),
      database: prepared.target.database,
      destroys: destroys(ctx, prepared),
    };
  });
}

/** An empty or absent database loses nothing; in production it has to be named all the same. */
function destroys({ config }: Context, { mode, target }: Prepared): boolean {
  if (config.get("ENVIRONMENT") === "production") return true;
  return mode === "swap" || mode === "in place" && target.contents?.isEmpty !== true;
}

/** Runs what was called. */
export async function run(ctx: Context, { name, flags }: Called): Promise<Result> {
  const options = readOptions(name, flags);
  if (options.kind !== "restore") return await followUp(ctx, options);
  return await withSource(ctx, wantedOf(ctx, options), async (source) => {
    if (options.planOnly || ctx.dryRun) return await planned(ctx, { source, options });
    return await restore(ctx, { source, options });
  });
}

async function planFollowUp(ctx: Context, { kind, kept }: FollowUp): Promise<Plan> {
  const { database } = ctx.db.target;
  return kind === "finish"
    ? await planFinish(ctx, { database })
    : await planUndo(ctx, { database, kept });
}

async function followUp(ctx: Context, options: FollowUp): Promise<Result> {
  const { kind, planOnly, lockWait: wait, kept } = options;
  const { database } = ctx.db.target;
  if (planOnly) {
    const { text } = await planFollowUp(ctx, options);
    return { data: { database, plan: kind, text }, text };
  }
  return kind === "finish"
    ? await finish(ctx, { database, wait })
    : await undo(ctx, { database, wait, kept });
}

function wantedOf(ctx: Context, options: RestoreOptions): WantedSource {
  const { name, at, where, directory, endpointUrl, identity } = options;
  return {
    name,
    at,
    where,
    directory,
    endpointUrl,
    identity,
    database: options.database ?? ctx.db.target.database,
  };
}

async function planned(
  ctx: Context,
  { source, options }: { readonly source: Source; readonly options: RestoreOptions },
): Promise<Result> {
  const prepared = await prepare(ctx, { source, options });
  for (const warning of prepared.warnings) ctx.log.warn(warning);
  const data = { restored: false, ...planData(ctx, prepared) };
  // Under --dry-run the host has told the plan.
  return options.planOnly ? { data, text: planText(ctx, prepared) } : { data };
}

async function restore(
  ctx: Context,
  { source, options }: { readonly source: Source; readonly options: RestoreOptions },
): Promise<Result> {
  const started = ctx.now();
  await collectScratch(ctx);
  const database = options.into ?? ctx.db.target.database;
  return await withServerLock(ctx, restoreLock(database, options.lockWait), async (signal) => {
    // Looked at anew: the confirmation may have taken its time.
    const prepared = await prepare(ctx, { source, options });
    if (mustBeVerified(prepared)) await source.verify();
    // Where it has to be downloaded, before anything is touched.
    if (needsFile(prepared)) await source.path();
    signal.throwIfAborted();
    const done = prepared.mode === "in place"
      ? await restoreInPlace(ctx, prepared)
      : await restoreBeside(ctx, prepared);
    return resultOf(ctx, { prepared, done, started });
  });
}

/** Whether pg_restore reads at any place of it, and not what flows. */
function needsFile({ source, jobs }: Prepared): boolean {
  const { format } = source.contents;
  return format === "directory" || format !== "plain" && jobs > 1;
}

/**
 * Whether all bytes are looked at beforehand: where that costs no download, where no manifest says
 * what they should be, and where pg_restore has what it needs before it has read them all.
 */
function mustBeVerified({ source, parts, entries }: Prepared): boolean {
  return source.kind === "local" || source.manifest === null || parts !== "all" ||
    source.contents.format === "tar" || !isReadToItsEnd(source, entries);
}

/** What is left out does not matter as long as the last rows are wanted. */
function isReadToItsEnd({ archive }: Source, entries: Prepared["entries"]): boolean {
  if (entries === undefined) return true;
  const last = archive?.entries.findLast(({ hasData }) => hasData);
  return last !== undefined && entries.some(({ id }) => id === last.id);
}

/** Neither a backup nor a migration goes on meanwhile: the one would hold half of it. */
async function restoreInPlace(ctx: Context, prepared: Prepared): Promise<Done> {
  const { target: { database }, options, source } = prepared;
  const lock = {
    key: BACKUP_LOCK_KEY,
    purpose: `restore of "${database}"`,
    wait: options.lockWait,
    database,
  };
  return await ctx.db.withLock(lock, async () => {
    ctx.log.info(`Restoring ${source.title} into "${database}"...`);
    let ran;
    try {
      ran = await restoreInto(ctx, { ...prepared, database });
    } catch (error) {
      throw leftBehind(error, prepared);
    }
    try {
      const differences = source.manifest !== null && compares(prepared)
        ? await compareWith(ctx, { database, manifest: source.manifest, parts: prepared.parts })
        : undefined;
      return { ...ran, differences };
    } finally {
      if (prepared.timescale !== undefined) await startWorkers(ctx, database);
    }
  });
}

/** What a failure has left in the database. */
function leftBehind(error: unknown, { transaction, target, options }: Prepared): unknown {
  if (!(error instanceof OperationError)) return error;
  const left = transaction
    ? `"${target.database}" is as it was: all of it was rolled back`
    : `"${target.database}" holds a part of the backup`;
  const next = transaction
    ? undefined
    : options.clean || target.contents?.isEmpty !== true
    ? "Run it again with --clean, or restore with --swap, which leaves no half"
    : "Drop and create the database, and run it again; --swap leaves no half";
  return new OperationError(error.message, {
    kind: error.kind === "refused" || error.kind === "usage" ? "failed" : error.kind,
    code: error.code,
    excerpt: [error.excerpt, left].filter((text) => text).join("\n"),
    ...(error.hint === undefined && next === undefined
      ? {}
      : { hint: [error.hint, next].filter((text) => text).join("\n      ") }),
    details: { ...error.details, rolled_back: transaction },
    cause: error,
  });
}

function resultOf(
  ctx: Context,
  { prepared, done, started }: {
    readonly prepared: Prepared;
    readonly done: Done;
    readonly started: number;
  },
): Result {
  const { target: { database }, source, mode } = prepared;
  for (const warning of done.warnings) ctx.log.warn(warning);
  const { differences = [] } = done;
  if (differences.length === 0) ctx.log.success("Database restored successfully");
  const kept = done.kept ?? null;
  return {
    data: {
      restored: true,
      ...planData(ctx, prepared),
      items: done.items,
      compared: done.differences !== undefined,
      differences,
      kept,
      duration_ms: ctx.now() - started,
    },
    text: [
      `Restored ${source.title} into "${database}"${mode === "new" ? ", which is new" : ""}`,
      ...(done.differences === undefined || differences.length > 0
        ? []
        : ["It is what was backed up: every table has the rows of the manifest"]),
      ...(kept === null ? [] : [
        `The old database is kept as "${kept}": \`observatory restore --finish\` drops it, ` +
        "`--undo` brings it back",
      ]),
    ].join("\n"),
    ...(differences.length === 0 ? {} : { problems: differences }),
  };
}
