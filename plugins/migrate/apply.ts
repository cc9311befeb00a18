/** Applies what is pending, under the lock; loaded only when something is. */
import type { Context, Session } from "../../core/plugin.ts";
import { applyAlone } from "./alone.ts";
import { ensureBookkeeping, type History, readHistory } from "./history.ts";
import { type Locked, type LockFlags, underLock } from "./locked.ts";
import type { Plan } from "./plan.ts";
import { refuse } from "./problems.ts";
import { recordsOfApplying } from "./records.ts";
import { readScripts, type Script } from "./script.ts";
import type { Source } from "./source.ts";
import { type Told, told } from "./told.ts";
import { applyTogether, beforeIt } from "./transaction.ts";
import { watchBlockers } from "./watch.ts";

/** What a run of `migrate` works with. */
export interface Work {
  readonly context: Context;
  /** Undefined when the database does not exist, which only a dry run meets. */
  readonly session: Session | undefined;
  readonly source: Source;
  readonly options: LockFlags;
}

/** What the run is to do, and by which history that was found out. */
export interface Intent {
  readonly plan: Plan;
  readonly history: History;
  /** Plans anew for a history that has changed meanwhile. */
  readonly planAgain: (history: History) => Promise<Plan>;
}

/** One migration that was applied. */
export interface Applied extends Told {
  readonly duration_ms: number;
}

/** What was done. */
export interface Done {
  readonly applied: readonly Applied[];
  /** How many were applied before. */
  readonly already: number;
}

/**
 * Checks the statements of everything pending, then applies it; under a dry run it only checks.
 *
 * @throws OperationError of kind `refused` when something stands against it, before anything is
 *   changed; otherwise of what failed, with the place in the file
 */
export async function applyPending(work: Work, intent: Intent): Promise<Done> {
  const { context, session, source } = work;
  const { plan } = intent;
  const read = await readScripts(plan.pending, {
    files: context.files,
    contents: source.contents,
    firstWhileSent: !context.dryRun,
  });
  for (const warning of read.warnings) context.log.warn(warning);
  refuse([...plan.problems, ...read.problems]);
  return session === undefined || context.dryRun
    ? { applied: [], already: plan.applied }
    : await applyLocked({ ...work, session }, { ...intent, scripts: read.scripts });
}

async function applyLocked(
  work: Work & { readonly session: Session },
  { history: chosenBy, planAgain, scripts: checked }: Intent & {
    readonly scripts: readonly Script[];
  },
): Promise<Done> {
  const { context, session, options } = work;
  return await underLock(context, { ...options, session }, async (locked) => {
    const bookkeeping = await ensureBookkeeping(session);
    const history = await readHistory(session, bookkeeping);
    // Another run may have applied some or all of it while this one waited.
    let scripts = checked;
    if (!sameVersions(history, chosenBy)) {
      const plan = await planAgain(history);
      refuse(plan.problems);
      const pending = new Set(plan.pending.map(({ version }) => version));
      scripts = scripts.filter(({ file }) => pending.has(file.version));
    }
    const applied = await applyAll(work, { locked, scripts, table: bookkeeping.table });
    return { applied, already: history?.size ?? 0 };
  });
}

function sameVersions(a: History, b: History): boolean {
  return [...a?.keys() ?? []].join() === [...b?.keys() ?? []].join();
}

async function applyAll(
  { context, session }: Work & { readonly session: Session },
  { locked, scripts, table }: { locked: Locked; scripts: readonly Script[]; table: string },
): Promise<Applied[]> {
  const applied: Applied[] = [];
  const watch = watchBlockers(context, { pid: session.pid, lockKey: locked.lockKey });
  try {
    for (const [done, script] of scripts.entries()) {
      const { file, checked } = script;
      locked.signal.throwIfAborted();
      const label = `Applying ${file.fileName}`;
      context.progress({ label, done, total: scripts.length, unit: "items" });
      watch.file(file.path);
      const started = context.now();
      const records = recordsOfApplying({ table }, file);
      const before = beforeIt(done, "applied");
      if (script.noTransaction && checked !== undefined) {
        await applyAlone(context, { ...script, checked }, { session, records, before });
      } else {
        await applyTogether(context, script, { session, records, before });
      }
      applied.push({ ...told(file), duration_ms: Math.round(context.now() - started) });
    }
    return applied;
  } finally {
    context.progress(null);
    await watch.stop();
  }
}
