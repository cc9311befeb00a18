/** The backups of a directory, as shells offer them. */
import type { Candidate, Completer, CompletionContext } from "../../core/plugin.ts";
import { LATEST } from "../repository/find.ts";
import { fileRole, looksLikeDump, parseBackupName } from "../repository/names.ts";
import { directoryOf } from "../repository/stores.ts";
import { timeText } from "../repository/times.ts";

/** More than that nobody reads; the newest come first. */
const MOST = 1000;

/** The backups that have a manifest, by their ids. */
export const backups: Completer = async (context, flags) => {
  const { managed } = await namesIn(context, flags);
  return [latest, ...managed];
};

/** The same, and the dumps that no manifest tells of. */
export const dumps: Completer = async (context, flags) => {
  const { managed, others } = await namesIn(context, flags);
  return [latest, ...managed, ...others];
};

const latest: Candidate = { value: LATEST, description: "The newest full backup" };

/** By their names alone: no file is opened. */
async function namesIn(
  { files, config }: CompletionContext,
  flags: Readonly<Record<string, readonly string[]>>,
): Promise<{ managed: readonly Candidate[]; others: readonly Candidate[] }> {
  // What is in a bucket is not at hand.
  if (flags["s3-download"] !== undefined || flags["where"]?.at(-1) === "s3") {
    return { managed: [], others: [] };
  }
  const names = (await files.list(flags["output-dir"]?.at(-1) ?? directoryOf(config)))
    .map(({ name }) => ({ name, parsed: parseBackupName(name) }));
  const managed = new Map(
    names.flatMap(({ parsed }) =>
      parsed !== undefined && fileRole(parsed.rest) === "manifest" ? [[parsed.id, parsed.time]] : []
    ),
  );
  const others = names.filter(({ name, parsed }) =>
    parsed === undefined
      ? looksLikeDump(name)
      : !managed.has(parsed.id) && (fileRole(parsed.rest) === "data" || parsed.rest === ".dir")
  );
  return {
    managed: [...managed].sort(([, one], [, other]) => other - one).slice(0, MOST)
      .map(([value, time]) => ({ value, description: `Backup of ${timeText(time)} UTC` })),
    others: others.slice(-MOST).map(({ name }) => ({
      value: name,
      description: "Dump without a manifest",
    })),
  };
}
