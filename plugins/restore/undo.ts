/** `restore --undo`: brings back what a restore has replaced; nothing is lost by it. */
import { type Context, OperationError, type Plan, type Result } from "../../core/plugin.ts";
import { type Beside, commentOf, listKept, nameOf, newMark } from "../database/beside.ts";
import { withServerLock } from "../database/changes.ts";
import { commentStatement } from "../database/definition.ts";
import { exchange, resumeWorkers } from "../database/exchange.ts";
import type { DatabaseFacts } from "../database/inspection.ts";
import { inspectReplaced, refuseBusy } from "../database/refusals.ts";
import { closing, restoreLock } from "../database/swap.ts";
import { identifier } from "../sql/names.ts";
import { sizeText } from "../repository/size.ts";
import { keptData, type KeptOptions, keptText } from "./finish.ts";

/** Which restore is undone. */
export interface UndoOptions extends KeptOptions {
  /** The kept database that is brought back; by default the newest that a restore has replaced. */
  readonly kept?: string | undefined;
}

interface Undoing {
  readonly chosen: Beside;
  /** Of the database that has the name; undefined when there is none. */
  readonly facts: DatabaseFacts | undefined;
}

const VERB = "undo the restore of";

/**
 * Tells what takes whose place.
 *
 * @throws OperationError of kind `refused` when nothing is kept, or something stands against it
 */
export async function planUndo(
  ctx: Context,
  options: Omit<UndoOptions, "wait">,
): Promise<Plan> {
  const { database } = options;
  const { chosen, facts } = await look(ctx, options);
  const { host, port } = ctx.db.target;
  const sessions = facts?.connections.reduce((sum, { count }) => sum + count, 0) ?? 0;
  const lines = [
    ...facts === undefined ? [] : [
      `Terminate the sessions in "${database}": there are ${sessions} now`,
      `Keep what it is now (${
        facts.size === undefined ? "size unknown" : sizeText(facts.size)
      }) under another name until restore --finish`,
    ],
    `Give the name to ${keptText(chosen)}`,
  ];
  const text = [
    `Undo of the restore of "${database}" on ${host}:${port}:`,
    ...lines.map((line, index) => `  ${index + 1}. ${line}`),
  ].join("\n");
  return { text, database, destroys: false };
}

/**
 * Puts what was kept back in its place, with everything that it had, and keeps what was there.
 *
 * @throws OperationError of kind `refused` or `locked` as `planUndo` does, `not_swapped` when the
 *   server refuses it; everything is then as it was
 */
export async function undo(ctx: Context, options: UndoOptions): Promise<Result> {
  const { database, wait } = options;
  if (ctx.dryRun) {
    const { chosen } = await look(ctx, options);
    return undone(database, { chosen, kept: undefined, terminated: 0, done: false });
  }
  return await withServerLock(ctx, restoreLock(database, wait), async (signal) => {
    const { chosen, facts } = await look(ctx, options);
    refuseBusy(database, { facts, verb: VERB });
    signal.throwIfAborted();
    const mark = newMark(ctx, {
      kind: "undone",
      database,
      of: chosen.mark.of,
      comment: facts?.comment ?? null,
      open: facts?.open ?? true,
    });
    const outgoing = facts === undefined ? undefined : nameOf(mark);
    const terminated = await exchange(ctx, {
      database,
      incoming: chosen,
      outgoing,
      statements: [
        ...facts === undefined ? [] : closing(database, commentOf(mark)),
        ...chosen.mark.open
          ? [`ALTER DATABASE ${identifier(chosen.name)} ALLOW_CONNECTIONS true`]
          : [],
        commentStatement(chosen.name, chosen.mark.comment ?? undefined),
      ],
    });
    if (chosen.mark.open) await resumeWorkers(ctx, database);
    ctx.log.success(`"${database}" is what it was before the restore`);
    return undone(database, { chosen, kept: outgoing, terminated, done: true });
  });
}

async function look(
  ctx: Context,
  { database, kept }: Pick<UndoOptions, "database" | "kept">,
): Promise<Undoing> {
  const session = await ctx.db.maintenance({ notices: "drop" });
  try {
    const { facts } = await inspectReplaced(session, database, {
      verb: VERB,
      code: "undo_refused",
    });
    const all = await listKept(session, database);
    const chosen = all.find(({ name, mark }) =>
      kept === undefined ? mark.kind === "before" : name === kept
    );
    if (chosen === undefined) throw nothingToUndo(database, { kept, all });
    return { chosen, facts };
  } finally {
    await session.close();
  }
}

function nothingToUndo(
  database: string,
  { kept, all }: { kept: string | undefined; all: readonly Beside[] },
): OperationError {
  const names = all.map(({ name }) => `"${name}"`).join(", ");
  const what = kept === undefined
    ? `nothing is kept of "${database}" from before a restore`
    : `"${kept}" is nothing that was kept of "${database}"`;
  return new OperationError(`Refused: ${what}; nothing was changed`, {
    kind: "refused",
    code: "nothing_kept",
    hint: names === ""
      ? "It was never restored by a swap, or restore --finish has dropped what was kept; restore a backup instead"
      : `There is still ${names}; it can be brought back by its name`,
    details: { kept: all.map(keptData) },
  });
}

function undone(
  database: string,
  { chosen, kept, terminated, done }: {
    chosen: Beside;
    kept: string | undefined;
    terminated: number;
    done: boolean;
  },
): Result {
  return {
    data: {
      database,
      undone: done,
      brought_back: keptData(chosen),
      kept: kept ?? null,
      terminated_connections: terminated,
    },
    text: [
      `${done ? "Brought back" : "Would bring back"} ${keptText(chosen)} as "${database}"`,
      ...kept === undefined ? [] : [`What the restore had brought is kept as "${kept}"`],
    ].join("\n"),
  };
}
