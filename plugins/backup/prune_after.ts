/** What the retention of the settings removes after a good backup. */
import { type Context, OperationError } from "../../core/plugin.ts";
import { automaticPolicy } from "../repository/policy.ts";
import { pruneStore } from "../repository/prune.ts";
import type { Store } from "../repository/store.ts";
import type { Places } from "./places.ts";

/** What was removed, and what could not be. */
export interface PrunedAfter {
  readonly removed: readonly { readonly id: string; readonly from: string }[];
  readonly problems: readonly string[];
}

/**
 * Prunes the places that the backup has just been written to, each by its own policy. What goes
 * wrong here is told, and does not make the backup a failed one.
 *
 * @param options.made the id of the backup, which stays
 */
export async function pruneAfter(
  ctx: Context,
  { places: { directory, bucket }, made }: { readonly places: Places; readonly made: string },
): Promise<PrunedAfter> {
  const removed: { id: string; from: string }[] = [];
  const problems: string[] = [];
  const stores: Store[] = [];
  if (directory !== undefined) stores.push(directory.store);
  if (bucket !== undefined) stores.push(bucket.store);
  for (const store of stores) {
    const policy = automaticPolicy(ctx.config, store.kind);
    if (policy === undefined) continue;
    try {
      const report = await pruneStore(store, {
        policy,
        now: ctx.now,
        made,
        dryRun: false,
        signal: ctx.signal,
      });
      const gone = report.backups.filter((each) => each.removed);
      for (const { backup, reasons } of gone) {
        ctx.log.info(`Removed ${backup.id} from ${report.title}: ${reasons.join(", ")}`);
        removed.push({ id: backup.id, from: report.title });
      }
      for (const problem of report.problems) ctx.log.warn(problem);
      problems.push(...report.problems);
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      const problem = `Cannot remove old backups from ${store.title}: ${error.message}`;
      ctx.log.warn(problem);
      problems.push(problem);
    }
  }
  return { removed, problems };
}
