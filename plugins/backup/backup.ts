/** `backup`: the steps from the lock to the manifest, which makes a backup of what was written. */
import { type Context, OperationError, type Result } from "../../core/plugin.ts";
import { openBucket, requireBucket } from "./bucket.ts";
import { defaultCompression, requireCompression } from "./compression.ts";
import { listTables } from "../repository/counts.ts";
import { readInventory } from "../repository/inventory.ts";
import { aloneInDatabase } from "./locks.ts";
import { makeBackup } from "./make.ts";
import type { Made } from "./making.ts";
import type { BackupOptions } from "./options.ts";
import type { Places } from "./places.ts";
import { planText, resultOf, skippedResult } from "./result.ts";
import { resolveSelection } from "./selection.ts";
import { pruneAfter } from "./prune_after.ts";
import { foreseenWarnings } from "./warnings.ts";

/**
 * Makes a backup.
 *
 * @throws OperationError of what failed; there is no backup then, and nothing of one is listed
 */
export async function backup(ctx: Context, options: BackupOptions): Promise<Result> {
  const places = await openPlaces(ctx, options);
  try {
    return await backupTo(ctx, { options, places });
  } finally {
    places.bucket?.close();
  }
}

async function backupTo(
  ctx: Context,
  { options, places }: { readonly options: BackupOptions; readonly places: Places },
): Promise<Result> {
  if (options.recipients.length > 0) {
    const { requireRecipients } = await import("../repository/encryption.ts");
    await requireRecipients(options.recipients);
  }
  if (ctx.dryRun) return await wouldBe(ctx, { options, places });
  ctx.log.info("Creating database backup...");
  const made = await aloneInDatabase(ctx, options, (signal) => {
    signal.throwIfAborted();
    return makeBackup(ctx, { options, places, signal });
  });
  if ("skipped" in made) {
    ctx.log.warn(`Backup skipped: ${made.skipped}`);
    return skippedResult(made.skipped);
  }
  return await finish(ctx, { options, places, made });
}

async function finish(
  ctx: Context,
  { options, places, made }: {
    readonly options: BackupOptions;
    readonly places: Places;
    readonly made: Made;
  },
): Promise<Result> {
  const { manifest, locations } = made;
  const uploadFailure = made.uploadFailure ?? places.unreachable;
  for (const warning of manifest.warnings) ctx.log.warn(warning);
  if (uploadFailure !== undefined) {
    throw new OperationError(
      `The backup ${manifest.id} is complete in ${locations.join(", ")}, but not in the bucket: ` +
        uploadFailure.message,
      {
        kind: uploadFailure.kind,
        code: "upload_failed",
        ...(uploadFailure.hint === undefined ? {} : { hint: uploadFailure.hint }),
        details: { ...uploadFailure.details, id: manifest.id, locations },
        cause: uploadFailure,
      },
    );
  }
  ctx.log.success("Backup completed successfully");
  const pruned = options.prune
    ? await pruneAfter(ctx, { places, made: manifest.id })
    : { removed: [], problems: [] };
  return resultOf(made, pruned);
}

async function openPlaces(ctx: Context, options: BackupOptions): Promise<Places> {
  const bucket = options.s3 ? await openBucket(ctx, { endpoint: options.endpoint }) : undefined;
  if (!options.local) {
    if (bucket !== undefined) await requireBucket(bucket);
    return { directory: undefined, bucket };
  }
  const { localStore } = await import("../repository/local_store.ts");
  const path = (options.directory ?? ctx.config.get("BACKUPS_DIR") ?? "./backups")
    .replace(/(?<=.)\/+$/, "");
  const directory = { path, store: localStore(ctx.files, path) };
  if (bucket === undefined) return { directory, bucket };
  try {
    await requireBucket(bucket);
    return { directory, bucket };
  } catch (error) {
    if (!(error instanceof OperationError) || error.kind !== "connection") throw error;
    // The night's backup is worth having on this machine alone; the run fails at its end.
    ctx.log.warn(`${error.message}; the backup is made on this machine alone`);
    bucket.close();
    return { directory, bucket: undefined, unreachable: error };
  }
}

async function wouldBe(
  ctx: Context,
  { options, places }: { readonly options: BackupOptions; readonly places: Places },
): Promise<Result> {
  const session = await ctx.db.session({ notices: "drop" });
  const inventory = await readInventory(session);
  const selection = await resolveSelection(session, options);
  const tables = options.sections === "schema" ? [] : await listTables(session, {
    counted: selection,
    timescale: inventory.timescaledb !== null,
    views: options.sections !== "data",
  });
  const major = Math.floor(inventory.source.server_version_num / 10_000);
  const tool = await ctx.clientTool("pg_dump", { major });
  const compression = options.compression ?? await defaultCompression(ctx, tool);
  await requireCompression(ctx, { tool, compression });
  const warnings = await foreseenWarnings(session, { options, selection, inventory });
  for (const warning of warnings) ctx.log.warn(warning);
  return planText({ options, places, inventory, selection, tables, tool, compression });
}
