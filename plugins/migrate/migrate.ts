/** `migrate`: applies everything that is pending. */
import type { Context, Result, Session } from "../../core/plugin.ts";
import type { Done, Work } from "./apply.ts";
import {
  askDigest,
  type History,
  type HistoryDigest,
  historyOfFiles,
  readHistory,
} from "./history.ts";
import type { LockFlags } from "./locked.ts";
import { comparable, type Plan, planMigrations } from "./plan.ts";
import { refuse } from "./problems.ts";
import { checksumsOf, directoriesOf, readSource, type Source } from "./source.ts";
import { openExisting, openOrCreate } from "./target_database.ts";
import { told } from "./told.ts";

/** What is asked for. */
export interface MigrateOptions extends LockFlags {
  readonly directories: readonly string[];
  /** The last version to apply. */
  readonly to: bigint | undefined;
  readonly ignoreMissing: boolean;
  readonly strict: boolean;
}

/**
 * Applies everything that is pending, in order, after everything was checked.
 *
 * @throws OperationError of kind `refused` when something stands against it, before anything is
 *   changed; otherwise of what failed, with the place in the file
 */
export async function migrate(context: Context, options: MigrateOptions): Promise<Result> {
  const opening = open(context);
  // Asked before the files are read, so that the server answers meanwhile.
  const asking = opening.then(({ session }) => session && askDigest(session));
  // Its failure is told below, after what is wrong with the files.
  asking.catch(() => {});
  // The connection is begun before the files are listed: while they are, it gets no turn.
  await context.sleep(0);
  const source = await readSource(context, directoriesOf(context, options.directories));
  const { session, created } = await opening;
  if (!context.dryRun) context.log.info("Running database migrations...");
  const work: MigrateWork = { context, session, source, options };
  const history = session && await readHistoryBeside(source, { session, digest: await asking });
  const plan = await planOf(work, history);
  for (const warning of plan.warnings) context.log.warn(warning);
  if (plan.pending.length === 0) {
    refuse(plan.problems);
    return resultOf(work, { plan, done: { applied: [], already: plan.applied }, created });
  }
  // What applies is loaded when there is something to apply.
  const { applyPending } = await import("./apply.ts");
  const done = await applyPending(work, { plan, history, planAgain: (now) => planOf(work, now) });
  return resultOf(work, { plan, done, created });
}

interface MigrateWork extends Work {
  readonly options: MigrateOptions;
}

/** Reads the rows only when the digest tells that they are not what the files hold. */
async function readHistoryBeside(
  { files, contents }: Source,
  { session, digest }: { session: Session; digest: HistoryDigest | undefined },
): Promise<History> {
  if (digest === undefined) return undefined;
  const whole = contents.size === files.ups.size;
  return (whole ? historyOfFiles(digest, contents) : undefined) ?? await readHistory(session);
}

async function open(context: Context): Promise<{ session: Session | undefined; created: boolean }> {
  if (!context.dryRun) return await openOrCreate(context);
  return { session: await openExisting(context), created: false };
}

async function planOf({ context, source, options }: MigrateWork, history: History): Promise<Plan> {
  const versions = comparable(history ?? new Map()).map(({ version }) => version);
  const checksums = await checksumsOf(context, { source, versions });
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

function resultOf(
  { context }: MigrateWork,
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
    changed: created || done.applied.length > 0,
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
