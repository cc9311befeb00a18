/** `migrate resolve`: says of one migration what is true after something was done by hand. */
import { type Context, OperationError, type Result, type Step } from "../../core/plugin.ts";
import {
  type AppliedMigration,
  type Bookkeeping,
  ensureBookkeeping,
  findBookkeeping,
  readHistory,
} from "./history.ts";
import { type LockFlags, underLock } from "./locked.ts";
import { type Opened, withFilesAndSession } from "./opened.ts";
import { refuse } from "./problems.ts";
import { NOT_KNOWN } from "./records.ts";
import { checksumsOf } from "./source.ts";

/** What is asked for. */
export interface ResolveOptions extends LockFlags {
  readonly version: bigint;
  /** What is true now. */
  readonly state: "applied" | "unapplied";
  readonly directories: readonly string[];
}

/**
 * Records a version as applied or as not applied; no migration file is run.
 *
 * @throws OperationError of kind `refused` when the version is to be recorded and has no file
 */
export async function resolve(context: Context, options: ResolveOptions): Promise<Result> {
  return await withFilesAndSession(context, options.directories, async (opened) => {
    refuse(opened.source.files.problems);
    if (context.dryRun) {
      const bookkeeping = await findBookkeeping(opened.session);
      return (await changeOf(context, { ...options, opened, bookkeeping })).result;
    }
    return await underLock(context, { ...options, session: opened.session }, async () => {
      const { session } = opened;
      const bookkeeping = options.state === "applied"
        ? await ensureBookkeeping(session)
        : await findBookkeeping(session);
      const { step, result } = await changeOf(context, { ...options, opened, bookkeeping });
      if (step !== undefined) await session.pipeline([step]);
      return { ...result, changed: step !== undefined };
    });
  });
}

interface Asked extends ResolveOptions {
  readonly opened: Opened;
  readonly bookkeeping: Bookkeeping | undefined;
}

/** What has to be written, and what is to be told of it. */
async function changeOf(
  context: Context,
  { version, state, opened, bookkeeping }: Asked,
): Promise<{ step: Step | undefined; result: Result }> {
  const history = bookkeeping && await readHistory(opened.session, bookkeeping);
  const row = history?.get(version);
  const table = bookkeeping?.table ?? "_sqlx_migrations";
  const was = row === undefined ? "unapplied" : row.success ? "applied" : "dirty";
  const is = state === "applied" ? "applied" : "not applied";
  const told = (text: string): Result => ({
    data: { version: String(version), was, is: context.dryRun ? was : state },
    text,
  });
  if (was === state) {
    const text = `Nothing to do: migration ${version} is recorded as ${is} already`;
    return { step: undefined, result: told(text) };
  }
  const step: Step = state === "applied"
    ? await recordApplied(context, { version, opened, table, row })
    : { sql: `DELETE FROM ${table} WHERE version = $1`, params: [version] };
  const verb = context.dryRun ? "Would record" : "Recorded";
  return { step, result: told(`${verb} migration ${version} as ${is}`) };
}

async function recordApplied(
  context: Context,
  { version, opened: { source }, table, row }: {
    version: bigint;
    opened: Opened;
    table: string;
    row: AppliedMigration | undefined;
  },
): Promise<Step> {
  const file = source.files.ups.get(version);
  const checksum = (await checksumsOf(context, { source, versions: [version] })).get(version);
  if (file === undefined || checksum === undefined) {
    throw new OperationError(
      `Cannot record migration ${version} as applied: no migration file has this version`,
      { kind: "refused", code: "unknown_version", details: { version: String(version) } },
    );
  }
  // The file may have been mended meanwhile: what is recorded is what it is now.
  if (row !== undefined) {
    return {
      sql: `UPDATE ${table} SET success = true, checksum = $2 WHERE version = $1`,
      params: [version, checksum],
    };
  }
  return {
    sql: `INSERT INTO ${table} (version, description, success, checksum, execution_time)
      VALUES ($1, $2, true, $3, $4)`,
    params: [version, file.description, checksum, NOT_KNOWN],
  };
}
