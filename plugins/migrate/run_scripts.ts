/** Runs the files that were chosen, one after the other: those that apply and those that revert alike. */
import type { Context, Session } from "../../core/plugin.ts";
import { applyAlone } from "./alone.ts";
import type { MigrationFile } from "./files.ts";
import type { Locked } from "./locked.ts";
import type { Records } from "./records.ts";
import type { Script } from "./script.ts";
import { type Told, told } from "./told.ts";
import { applyTogether, beforeIt } from "./transaction.ts";
import { watchBlockers } from "./watch.ts";

/** One migration that was run. */
export interface Ran extends Told {
  readonly duration_ms: number;
}

/** What is run, and what that means. */
export interface ScriptRun {
  readonly session: Session;
  readonly locked: Locked;
  readonly scripts: readonly Script[];
  readonly effect: "applied" | "rolled back";
  /** What is written to the bookkeeping table for a file. */
  readonly recordsOf: (file: MigrationFile) => Records;
}

const LABEL = { "applied": "Applying", "rolled back": "Rolling back" } as const;

/**
 * Runs the files, each with its record.
 *
 * @throws OperationError of the first one that fails; those before it stay as they are
 */
export async function runScripts(
  context: Context,
  { session, locked, scripts, effect, recordsOf }: ScriptRun,
): Promise<Ran[]> {
  const ran: Ran[] = [];
  const watch = watchBlockers(context, { pid: session.pid, lockKey: locked.lockKey });
  try {
    for (const [done, script] of scripts.entries()) {
      const { file, checked } = script;
      locked.signal.throwIfAborted();
      const label = `${LABEL[effect]} ${file.fileName}`;
      context.progress({ label, done, total: scripts.length, unit: "items" });
      watch.file(file.path);
      const started = context.now();
      const records = recordsOf(file);
      const before = beforeIt(done, effect);
      if (script.noTransaction && checked !== undefined) {
        await applyAlone(context, { ...script, checked }, { session, records, before });
      } else {
        await applyTogether(context, script, { session, records, before });
      }
      ran.push({ ...told(file), duration_ms: Math.round(context.now() - started) });
    }
    return ran;
  } finally {
    context.progress(null);
    await watch.stop();
  }
}
