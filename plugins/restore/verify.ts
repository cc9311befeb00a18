/** `backup verify`: whether what is stored is what was written, can be read, and be restored. */
import { hostname } from "node:os";
import { type Context, OperationError, type Result } from "../../core/plugin.ts";
import { type Copies, type Copy, type Wanted, withBackup } from "../repository/find.ts";
import { isAtLeast, type Level } from "../repository/levels.ts";
import type { Store } from "../repository/store.ts";
import { saveVerification, VERIFICATION_SCHEMA } from "../repository/verification.ts";
import type { Assertions } from "./assertions.ts";
import { examineBytes, subjectOf } from "./verify_bytes.ts";
import type { Step, Tried } from "./verify_restored.ts";

/** What is verified. */
export interface VerifyOptions extends Wanted {
  readonly level: Level;
  /** A file with secret keys of age. */
  readonly identity: string | undefined;
  /** The connection string of a server for scratch databases. */
  readonly on: string | undefined;
  /** How many tables and indexes are restored at once. */
  readonly jobs: number;
  /** The file of assertions, instead of `verify.sql` in `SCRIPTS_DIR`. */
  readonly assert: string | undefined;
}

/**
 * Verifies one copy of a backup, and keeps the result beside it.
 *
 * @returns what was found as problems
 * @throws OperationError when it cannot be verified: that says nothing about the backup
 */
export async function verifyBackup(ctx: Context, options: VerifyOptions): Promise<Result> {
  const assertions = options.level === "assert" ? await assertionsOf(ctx, options) : undefined;
  return await withBackup(
    ctx,
    options,
    (copies) => verifyCopy(ctx, { copies, options, assertions }),
  );
}

async function assertionsOf(ctx: Context, { assert }: VerifyOptions): Promise<Assertions> {
  const { readAssertions } = await import("./assertions.ts");
  if (assert !== undefined) return await readAssertions(ctx, assert);
  const path = `${(ctx.config.get("SCRIPTS_DIR") ?? "./scripts").replace(/\/+$/, "")}/verify.sql`;
  if (await ctx.files.inspect(path) !== undefined) return await readAssertions(ctx, path);
  throw new OperationError(`Cannot assert anything: there is no "${path}"`, {
    kind: "usage",
    code: "no_assertions",
    hint: "Write queries whose boolean columns must be true there, or name a file by --assert",
  });
}

async function verifyCopy(
  ctx: Context,
  { copies: [copy], options, assertions }: {
    readonly copies: Copies;
    readonly options: VerifyOptions;
    readonly assertions: Assertions | undefined;
  },
): Promise<Result> {
  const { backup: { manifest, id }, store } = copy;
  const { level, identity } = options;
  const decodes = level !== "bytes";
  const subject = await subjectOf(ctx, { store, manifest, decodes, identity });
  const started = ctx.now();
  ctx.log.info(`Verifying ${id} in ${store.title}...`);
  const read = await examineBytes(ctx, subject);
  ctx.progress(null);
  const steps: Step[] = [{ name: "read", duration_ms: Math.max(0, ctx.now() - started) }];
  // What cannot be read is not restored.
  const tried = read.length === 0 && isAtLeast(level, "restore")
    ? await restored(ctx, { copy, options, assertions })
    : undefined;
  const findings = [...read, ...tried?.findings ?? []];
  const result = {
    schema: VERIFICATION_SCHEMA,
    backup: id,
    level,
    ok: findings.length === 0,
    started_at: new Date(started).toISOString(),
    finished_at: new Date(ctx.now()).toISOString(),
    tool: ctx.tool,
    host: hostname(),
    findings,
  } as const;
  const kept = await keep(ctx, store, result);
  if (result.ok) ctx.log.success(`The backup is good at the level "${level}"`);
  return {
    data: {
      ...result,
      location: store.title,
      kept_as: kept,
      server: tried?.server ?? null,
      notes: tried?.notes ?? [],
      steps: [...steps, ...tried?.steps ?? []],
    },
    text: `${id}: ${result.ok ? "good" : "DAMAGED"} at the level "${level}" in ${store.title}`,
    ...(result.ok ? {} : { problems: findings }),
  };
}

/** The same copy, restored. */
async function restored(
  ctx: Context,
  { copy: { backup: { manifest, id }, store }, options, assertions }: {
    readonly copy: Copy;
    readonly options: VerifyOptions;
    readonly assertions: Assertions | undefined;
  },
): Promise<Tried> {
  const { tryRestore } = await import("./verify_restored.ts");
  const { level, on, jobs, endpointUrl, database, identity } = options;
  return await tryRestore(ctx, {
    manifest,
    level,
    on,
    jobs,
    assertions,
    wanted: {
      name: id,
      where: store.kind,
      directory: store.kind === "local" ? store.title : undefined,
      endpointUrl,
      database,
      identity,
    },
  });
}

async function keep(
  ctx: Context,
  store: Store,
  result: Parameters<typeof saveVerification>[1],
): Promise<string | null> {
  try {
    return await saveVerification(store, result);
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    ctx.log.warn(`Cannot keep the result beside the backup: ${error.message}`);
    return null;
  }
}
