/** `seed --dry-run`: what would be loaded, and what stands against it; changes nothing. */
import type { Context, Result } from "../../core/plugin.ts";
import { findingOf } from "./failure.ts";
import { FileFault } from "./fault.ts";
import type { SeedFile } from "./files.ts";
import { type Ledger, readLedger } from "./ledger.ts";
import { lineOfEnd, openRows } from "./opened.ts";
import { targetOf, wayOf } from "./rows.ts";
import { checkScript } from "./script.ts";
import { letGo } from "./source.ts";
import { type Reason, reasonFor, type Wanted } from "./wanted.ts";

/** Looks at each file as far as that is possible without loading it. */
export async function preview(
  context: Context,
  wanted: Wanted,
  { rerun }: { readonly rerun: boolean },
): Promise<Result> {
  const ledger = await readLedger(context);
  const seen: { readonly file: SeedFile; readonly reason: Reason }[] = [];
  const problems: string[] = [];
  for (const file of wanted.files) {
    context.signal.throwIfAborted();
    const reason = await reasonFor(context, file, { ledger, rerun });
    seen.push({ file, reason });
    if (reason === "unchanged") continue;
    try {
      await check(context, file, ledger);
    } catch (error) {
      if (!(error instanceof FileFault)) throw error;
      problems.push(await findingOf(context, file, error));
    }
  }
  const lines = seen.map(({ file, reason }) =>
    reason === "unchanged"
      ? `Would skip ${file.name}: unchanged`
      : `Would load ${file.name}: ${
        reason === "rerun" ? "unchanged, but --rerun is given" : reason
      }`
  );
  return {
    data: {
      database: context.db.target.database,
      environment: wanted.environment.name,
      directory: wanted.directory,
      files: seen.map(({ file, reason }) => ({ file: file.name, reason, loaded: false })),
    },
    text: (lines.length === 0 ? ["Nothing to load: there are no seed files"] : lines).join("\n"),
    ...(problems.length === 0 ? {} : { problems }),
  };
}

async function check(context: Context, file: SeedFile, ledger: Ledger): Promise<void> {
  if (file.type === "sql") return await checkScript(context, file);
  // What it yields is known only by running it.
  if (file.type === "module") return;
  const opened = await openRows(context, file);
  try {
    const target = await targetOf(context.db, file, opened);
    const known = ledger.entries.has(file.name);
    // Without a ledger yet, all files are new: only a run that may write knows that it has none.
    await wayOf(context.db, target, { file, known, ledger: true });
    // The rest is gone through for its form alone.
    for await (const chunk of opened.data) letGo(chunk);
  } finally {
    await opened.close();
  }
  const line = file.type === "csv" ? await lineOfEnd(context, file) : undefined;
  if (line !== undefined) {
    throw new FileFault("a line of \\. alone ends the data for servers before PostgreSQL 18", {
      code: "copy_end",
      place: { line },
    });
  }
}
