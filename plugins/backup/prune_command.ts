/** `backup prune`: retention by hand. */
import type { Context, Result } from "../../core/plugin.ts";
import { type KeepFlags, policyOf } from "../repository/policy.ts";
import { type Pruned, type PruneReport, pruneStore } from "../repository/prune.ts";
import { type Policy, policyText } from "../repository/retention.ts";
import { sizeText } from "../repository/size.ts";
import { openStore } from "../repository/stores.ts";
import { timeText } from "../repository/times.ts";
import { counted, table } from "./lines.ts";

/** What is pruned. */
export interface PruneCommandOptions {
  readonly where: "local" | "s3";
  readonly directory: string | undefined;
  readonly endpointUrl: string | undefined;
  readonly database: string | undefined;
  readonly flags: KeepFlags;
}

/**
 * Removes what the policy of one place does not keep.
 *
 * @returns what could not be removed or read as problems
 * @throws OperationError of kind `usage` when nothing says what is kept
 */
export async function prune(context: Context, options: PruneCommandOptions): Promise<Result> {
  const { config, dryRun, signal } = context;
  const { where, database } = options;
  const policy = policyOf(options.flags, { config, place: where });
  const store = await openStore(context, options);
  const work = { policy, now: context.now, dryRun, database, signal };
  const report = await pruneStore(store, work).finally(() => store.close?.());
  return {
    data: {
      where,
      title: report.title,
      dry_run: dryRun,
      policy: policyData(policy),
      ...countsOf(report),
      backups: report.backups.map(({ backup, action, reasons, removed }) => ({
        id: backup.id,
        database: backup.manifest.source.database,
        kind: backup.manifest.kind,
        created_at: backup.manifest.created_at,
        bytes: backup.bytes,
        verified: backup.verified.level,
        action,
        reasons,
        removed,
      })),
    },
    text: textOf(report, { policy, dryRun }),
    changed: report.backups.some(({ removed }) => removed),
    ...(report.problems.length === 0 ? {} : { problems: report.problems }),
  };
}

/** A policy as programs get it. */
function policyData({ withinMs, minKeep, ...counts }: Policy) {
  return {
    ...counts,
    ...(withinMs === undefined ? {} : { within_seconds: withinMs / 1000 }),
    min_keep: minKeep,
  };
}

function countsOf({ backups }: PruneReport) {
  const removed = backups.filter((each) => each.removed);
  return {
    kept: backups.filter(({ action }) => action === "keep").length,
    removed: removed.length,
    freed_bytes: bytesOf(removed),
  };
}

function bytesOf(backups: readonly Pruned[]): number {
  return backups.reduce((sum, { backup }) => sum + backup.bytes, 0);
}

const HEADINGS = ["ACTION", "TIME (UTC)", "KIND", "SIZE", "ID", "REASON"];

function textOf(
  { backups, title }: PruneReport,
  { policy, dryRun }: { policy: Policy; dryRun: boolean },
): string {
  if (backups.length === 0) return `No backups in ${title}`;
  const rows = backups.map(({ backup, action, reasons }) => [
    action,
    timeText(backup.time),
    backup.manifest.kind,
    sizeText(backup.bytes),
    backup.id,
    reasons.join(", "),
  ]);
  const going = backups.filter(({ action, removed }) => action === "remove" && removed !== dryRun);
  const staying = backups.length - going.length;
  const sum = `${counted(going.length, "backup")} ${dryRun ? "would be removed" : "removed"} ` +
    `(${sizeText(bytesOf(going))}), ${staying} kept in ${title}`;
  return [...table(HEADINGS, rows), "", `${sum}; policy: ${policyText(policy)}`].join("\n");
}
