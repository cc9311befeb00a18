/** `migrate rollback`: takes the newest migrations back, by their down files. */
import type { Context, Result, Session } from "../../core/plugin.ts";
import type { MigrationFiles } from "./files.ts";
import { type AppliedMigration, findBookkeeping, type History, readHistory } from "./history.ts";
import { type LockFlags, underLock } from "./locked.ts";
import { withFilesAndSession } from "./opened.ts";
import { changedFiles, dirtyRows, missingFiles } from "./plan.ts";
import { type Problem, refuse } from "./problems.ts";
import { recordsOfRollback } from "./records.ts";
import { type Ran, runScripts } from "./run_scripts.ts";
import { readScripts, type Script } from "./script.ts";
import { checksumsOf, type Source } from "./source.ts";
import { told } from "./told.ts";

/** What is asked for. */
export interface RollbackOptions extends LockFlags {
  readonly directories: readonly string[];
  /** How many are taken back; not given together with `to`. */
  readonly steps: number;
  /** Everything above this version is taken back. */
  readonly to: bigint | undefined;
  readonly ignoreMissing: boolean;
}

interface Work {
  readonly context: Context;
  readonly session: Session;
  readonly source: Source;
  readonly options: RollbackOptions;
}

/**
 * Takes migrations back, the newest first, after everything was checked.
 *
 * @throws OperationError of kind `refused` when something stands against it, before anything is
 *   changed; otherwise of what failed, with the place in the file
 */
export async function rollback(context: Context, options: RollbackOptions): Promise<Result> {
  return await withFilesAndSession(context, options.directories, async ({ session, source }) => {
    const work: Work = { context, session, source, options };
    const history = await readHistory(session);
    const chosen = await choose(work, history);
    if (context.dryRun || chosen.length === 0) return resultOf(work, { chosen, done: [] });
    context.log.info(
      chosen.length === 1
        ? "Rolling back the last migration..."
        : `Rolling back the last ${chosen.length} migrations...`,
    );
    return resultOf(work, { chosen, done: await rollBackLocked(work, { history, chosen }) });
  });
}

/** Chooses what is taken back and reads its files, or refuses. */
async function choose({ context, source, options }: Work, history: History): Promise<Script[]> {
  const rows = history ?? new Map<bigint, AppliedMigration>();
  const { files } = source;
  const wanted = wantedRows(rows, options);
  const problems: Problem[] = [
    ...files.problems,
    ...dirtyRows(rows),
    ...options.ignoreMissing ? [] : missingFiles(files, rows),
    ...unknownTarget(options.to, { files, rows }),
    ...irreversible(wanted, files),
  ];
  const downs = wanted.flatMap(({ version }) => files.downs.get(version) ?? []);
  const read = await readScripts(downs, {
    files: context.files,
    contents: new Map(),
    firstWhileSent: !context.dryRun,
  });
  refuse([...problems, ...read.problems]);
  const checksums = await checksumsOf(context, {
    source,
    versions: wanted.map(({ version }) => version),
  });
  const changed = changedFiles({
    files,
    checksumOf: (version) => checksums.get(version),
    bytesOf: (version) => source.contents.get(version)?.bytes,
  }, new Map(wanted.map((row) => [row.version, row])));
  // As with sqlx the down file decides, but it may belong to another text.
  for (const { message } of changed) context.log.warn(message);
  for (const warning of read.warnings) context.log.warn(warning);
  return [...read.scripts];
}

type Rows = ReadonlyMap<bigint, AppliedMigration>;

function wantedRows(rows: Rows, { steps, to }: RollbackOptions): AppliedMigration[] {
  const newestFirst = [...rows.values()].reverse();
  return to === undefined
    ? newestFirst.slice(0, steps)
    : newestFirst.filter(({ version }) => version > to);
}

function unknownTarget(
  to: bigint | undefined,
  { files, rows }: { files: MigrationFiles; rows: Rows },
): Problem[] {
  if (to === undefined || to === 0n || rows.has(to)) return [];
  if (files.ups.has(to) || files.downs.has(to)) return [];
  return [{
    code: "unknown_version",
    message: `No migration has version ${to}`,
    hint: "`observatory migrate status` lists the versions; 0 takes everything back",
    version: String(to),
  }];
}

function irreversible(wanted: readonly AppliedMigration[], files: MigrationFiles): Problem[] {
  return wanted.filter(({ version }) => !files.downs.has(version)).map((row) => {
    const { version, description } = row;
    const up = files.ups.get(version)?.fileName;
    const down = up?.replace(/(\.up)?\.sql$/, ".down.sql") ?? `${version}_….down.sql`;
    return {
      code: "irreversible",
      message:
        `Migration ${version} (${description}) has no down file, so it cannot be rolled back`,
      hint: `Write "${down}", or undo it by hand and run ` +
        `\`observatory migrate resolve ${version} --unapplied\``,
      version: String(version),
    };
  });
}

async function rollBackLocked(
  work: Work,
  first: { readonly history: History; readonly chosen: readonly Script[] },
): Promise<Ran[]> {
  const { context, session, options } = work;
  return await underLock(context, { ...options, session }, async (locked) => {
    const bookkeeping = await findBookkeeping(session);
    if (bookkeeping === undefined) return [];
    const history = await readHistory(session, bookkeeping);
    const same = [...history?.keys() ?? []].join() === [...first.history?.keys() ?? []].join();
    // Another run may have changed what the newest are while this one waited.
    const chosen = same ? first.chosen : await choose(work, history);
    return await runScripts(context, {
      session,
      locked,
      scripts: chosen,
      effect: "rolled back",
      recordsOf: (file) => recordsOfRollback(bookkeeping, file),
    });
  });
}

function resultOf(
  { context: { dryRun, log, db }, options: { to } }: Work,
  { chosen, done }: { chosen: readonly Script[]; done: readonly Ran[] },
): Result {
  const planned = chosen.map(({ file }) => told(file));
  const lines = dryRun
    ? planned.map(({ version, description }) => `Would roll back ${version} ${description}`)
    : done.map((one) => `Rolled back ${one.version} ${one.description} (${one.duration_ms} ms)`);
  const above = to === undefined ? "" : ` above ${to}`;
  if (lines.length === 0) lines.push(`Nothing to roll back: no migration${above} is applied`);
  else if (!dryRun) log.success("Rollback completed successfully");
  return {
    data: {
      database: db.target.database,
      rolled_back: done,
      ...(dryRun ? { would_roll_back: planned } : {}),
    },
    text: lines.join("\n"),
    changed: done.length > 0,
  };
}
