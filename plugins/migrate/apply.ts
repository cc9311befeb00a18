/** Applies what is pending, under the lock; loaded only when something is. */
import type { Context, Session } from "../../core/plugin.ts";
import { ensureBookkeeping, type History, readHistory } from "./history.ts";
import { type LockFlags, underLock } from "./locked.ts";
import type { Plan } from "./plan.ts";
import { refuse } from "./problems.ts";
import { recordsOfApplying } from "./records.ts";
import { type Ran, runScripts } from "./run_scripts.ts";
import { readScripts, type Script } from "./script.ts";
import type { Source } from "./source.ts";

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

/** What was done. */
export interface Done {
  readonly applied: readonly Ran[];
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
    const applied = await runScripts(context, {
      session,
      locked,
      scripts,
      effect: "applied",
      recordsOf: (file) => recordsOfApplying(bookkeeping, file),
    });
    return { applied, already: history?.size ?? 0 };
  });
}

function sameVersions(a: History, b: History): boolean {
  return [...a?.keys() ?? []].join() === [...b?.keys() ?? []].join();
}
