/** Puts a database that is ready in the place of the target, which is kept. */
import { type Context, type LockOptions, OperationError, type Session } from "../../core/plugin.ts";
import { commentOf, nameOf, newMark } from "./beside.ts";
import { identifier } from "../sql/names.ts";
import { commentStatement, propertyStatements } from "./definition.ts";
import { exchange, resumeWorkers } from "./exchange.ts";
import type { DatabaseFacts } from "./inspection.ts";
import { inspectDatabase } from "./inspection.ts";
import { inspectReplaced, refuseBusy } from "./refusals.ts";
import type { Scratch } from "./scratch.ts";

/** What is swapped in. */
export interface SwapOptions {
  /** The name that it gets. */
  readonly database: string;
  readonly scratch: Scratch;
  /** What was restored, for the comment of the database that is kept; such as the backup's id. */
  readonly of?: string | undefined;
  /** Seconds to wait for who backs the old one up or migrates it; by default 0. */
  readonly wait?: number;
}

/** What has become of the old database. */
export interface Swapped {
  /** What it is called now; null when there was none. */
  readonly kept: string | null;
  /** Sessions that were ended. */
  readonly terminated: number;
}

/** The lock under which a database is restored by a swap, or a swap is undone or finished. */
export function restoreLock(database: string, wait: number): Omit<LockOptions, "database"> {
  return { key: `restore:${database}`, purpose: `restore of "${database}"`, wait };
}

/**
 * Gives the scratch database the settings, privileges, owner, limit of connections and comment of the
 * old one, and its name, in one transaction. The old one is kept, closed to sessions, so that nothing
 * is written to it that an undo would bring back. The scratch is let go of.
 *
 * @throws OperationError of kind `refused` or `locked` when something stands against it, `not_swapped`
 *   when the server refuses it; everything is then as it was
 */
export async function swapIn(ctx: Context, options: SwapOptions): Promise<Swapped> {
  const { database, scratch, of = null, wait = 0 } = options;
  const session = await ctx.db.maintenance({ notices: "drop" });
  let facts: DatabaseFacts | undefined;
  let made: DatabaseFacts | undefined;
  try {
    // Looked at anew: a restore may have taken its time.
    facts = await idle(ctx, session, { database, wait });
    made = await inspectDatabase(session, scratch.name);
  } finally {
    await session.close();
  }
  scratch.signal.throwIfAborted();
  if (made === undefined) throw gone(scratch.name, database);
  const comment = commentStatement(scratch.name, facts?.comment);
  const mark = newMark(ctx, {
    kind: "before",
    database,
    id: scratch.id,
    of,
    comment: facts?.comment ?? null,
    open: facts?.open ?? true,
  });
  const kept = facts === undefined ? undefined : nameOf(mark);
  const statements = facts === undefined
    ? [comment]
    : [...propertyStatements(facts, made), comment, ...closing(database, commentOf(mark))];
  const terminated = await exchange(ctx, {
    database,
    incoming: scratch,
    outgoing: kept,
    statements,
  });
  await scratch.release();
  if (facts?.open !== false) await resumeWorkers(ctx, database);
  return { kept: kept ?? null, terminated };
}

/** What is done with a database that is put aside: nobody gets in any more, and its comment tells why. */
export function closing(database: string, comment: string): string[] {
  return [
    `ALTER DATABASE ${identifier(database)} ALLOW_CONNECTIONS false`,
    commentStatement(database, comment),
  ];
}

/** Waits until nobody backs it up or migrates it. */
async function idle(
  ctx: Context,
  session: Session,
  { database, wait }: { database: string; wait: number },
): Promise<DatabaseFacts | undefined> {
  const deadline = ctx.now() + wait * 1000;
  for (let told = false;; told = true) {
    const refused = { verb: "swap", code: "swap_refused" };
    const { facts } = await inspectReplaced(session, database, refused);
    if ((facts?.busy.length ?? 0) === 0) return facts;
    if (ctx.now() >= deadline) refuseBusy(database, { facts, verb: "swap" });
    if (!told) {
      ctx.log.info(`Waiting for ${facts?.busy[0]}, which backs "${database}" up or migrates it...`);
    }
    await ctx.sleep(200);
  }
}

function gone(name: string, database: string): OperationError {
  return new OperationError(
    `Cannot put "${name}" in the place of "${database}": it is not there any more; nothing was changed`,
    {
      code: "scratch_gone",
      hint: "Find out who drops databases on that server, and restore again",
    },
  );
}
