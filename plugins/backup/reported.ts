/** Who is told of a backup from outside: a monitor by a ping, a collector by a file of metrics. */
import { type Context, type Log, OperationError, type Result } from "../../core/plugin.ts";
import type { Manifest } from "../repository/manifest.ts";
import { createPings } from "./ping.ts";

/** Where it is told. */
export interface ReportFlags {
  readonly ping?: string | undefined;
  readonly "metrics-file"?: string | undefined;
}

/** The exit codes of failures, as `observatory help exit-codes` has them. */
const EXITS: Readonly<Record<OperationError["kind"], number>> = {
  failed: 1,
  usage: 2,
  refused: 4,
  connection: 5,
  locked: 6,
};

const BUG = 70;

/**
 * Runs a backup and reports how it went. Neither way of telling can make it fail.
 *
 * @throws whatever the backup throws
 */
export async function reported(
  ctx: Context,
  flags: ReportFlags,
  work: (ctx: Context) => Promise<Result>,
): Promise<Result> {
  const { ping, "metrics-file": metrics } = flags;
  if (ctx.dryRun || (ping === undefined && metrics === undefined)) return await work(ctx);
  const pings = ping === undefined ? undefined : createPings(ctx, checkedAddress(ping));
  const started = ctx.now();
  const said: string[] = [];
  const report = async (exit: number, manifest: Manifest | undefined) => {
    if (metrics !== undefined) {
      const { writeMetrics } = await import("./metrics.ts");
      const { database } = ctx.db.target;
      await writeMetrics(ctx, metrics, { database, exit, started, ended: ctx.now(), manifest });
    }
    const text = said.join("\n");
    await pings?.end(exit, ctx.log.redact?.(text) ?? "");
  };
  // It goes on beside the backup.
  const starting = pings?.start();
  try {
    const result = await work(Object.create(ctx, { log: { value: listened(ctx.log, said) } }));
    await starting;
    if (result.text !== undefined) said.push(result.text);
    await report(0, manifestIn(result));
    return result;
  } catch (error) {
    await starting;
    said.push(error instanceof Error ? error.message : String(error));
    await report(exitOf(error), undefined);
    throw error;
  }
}

function checkedAddress(address: string): string {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol)) return address;
  throw new OperationError("Cannot ping the address of --ping: it is not an http or https URL", {
    kind: "usage",
    code: "bad_flags",
  });
}

function listened(log: Log, said: string[]): Log {
  const both = (level: "debug" | "info" | "success" | "warn") => (message: string) => {
    if (level !== "debug") said.push(message);
    log[level](message);
  };
  return {
    debug: both("debug"),
    info: both("info"),
    success: both("success"),
    warn: both("warn"),
    ...log.redact === undefined ? {} : { redact: log.redact },
  };
}

function manifestIn({ data }: Result): Manifest | undefined {
  const { manifest } = data as { readonly manifest?: Manifest };
  return manifest;
}

function exitOf(error: unknown): number {
  if (error instanceof OperationError) return EXITS[error.kind];
  // The end by a signal, or else a bug.
  const code = error instanceof Error && "exit" in error ? error.exit : undefined;
  return typeof code === "number" ? code : BUG;
}
