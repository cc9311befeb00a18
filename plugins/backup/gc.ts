/** `backup gc`: what broken-off runs have left. */
import type { Context, Result } from "../../core/plugin.ts";
import { type Collected, collectGarbage, type CollectReport } from "../repository/gc.ts";
import { sizeText } from "../repository/size.ts";
import { type Places, withStores } from "../repository/stores.ts";
import { timeText } from "../repository/times.ts";
import { counted, table } from "./lines.ts";

/**
 * Removes what broken-off runs have left in the places asked for.
 *
 * @returns what could not be removed as problems
 */
export async function gc(context: Context, places: Places): Promise<Result> {
  const { dryRun, signal, now } = context;
  const reports = await withStores(context, places, async (stores) => {
    const reports: CollectReport[] = [];
    for (const store of stores) {
      reports.push(await collectGarbage(store, { dryRun, signal, now }));
    }
    return reports;
  });
  const problems = reports.flatMap((report) => report.problems);
  return {
    data: {
      dry_run: dryRun,
      places: reports.map(({ place, title, leftovers }) => ({ where: place, title, leftovers })),
    },
    text: reports.map((report) => textOf(report, dryRun)).join("\n"),
    changed: reports.some(({ leftovers }) => leftovers.some(({ removed }) => removed)),
    ...(problems.length === 0 ? {} : { problems }),
  };
}

const HEADINGS = ["ACTION", "WRITTEN (UTC)", "SIZE", "FILES", "OF", "REASON"];

function textOf({ title, leftovers }: CollectReport, dryRun: boolean): string {
  if (leftovers.length === 0) return `Nothing is left over in ${title}`;
  const rows = leftovers.map(({ id, kind, names, bytes, modified, action, reason }) => [
    action,
    timeText(modified),
    bytes === null ? "-" : sizeText(bytes),
    kind === "upload" ? "upload" : String(names.length),
    id,
    reason,
  ]);
  const going = leftovers.filter(({ action, removed }) =>
    action === "remove" && removed !== dryRun
  );
  const sum = `${counted(going.length, "leftover")} ${dryRun ? "would be removed" : "removed"} ` +
    `(${sizeText(bytesOf(going))}) in ${title}`;
  return [...table(HEADINGS, rows), "", sum].join("\n");
}

function bytesOf(leftovers: readonly Collected[]): number {
  return leftovers.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0);
}
