/** `restore --finish`: lets go of what restores have kept of a database. */
import { type Context, DatabaseError, type Plan, type Result } from "../../core/plugin.ts";
import { type Beside, listKept } from "../database/beside.ts";
import { dropStatement, refusedByServer, withServerLock } from "../database/changes.ts";
import { inspectRights } from "../database/inspection.ts";
import { restoreLock } from "../database/swap.ts";
import { sizeText } from "../repository/size.ts";
import { timeText } from "../repository/times.ts";

/** What restores are let go of, and undone, of. */
export interface KeptOptions {
  /** The database as it is called now. */
  readonly database: string;
  /** Seconds to wait for a restore of it that is under way. */
  readonly wait: number;
}

/** Tells which databases would be dropped; nothing is destroyed where nothing is kept. */
export async function planFinish(
  ctx: Context,
  { database }: Pick<KeptOptions, "database">,
): Promise<Plan> {
  const kept = await keptOf(ctx, database);
  if (kept.length === 0) return { text: nothingKept(database), destroys: false };
  const { host, port } = ctx.db.target;
  const text = [
    `Finish of the restores of "${database}" on ${host}:${port}, after which there is no undo:`,
    ...kept.map((each, index) => `  ${index + 1}. Drop ${keptText(each)}; ITS DATA IS LOST`),
  ].join("\n");
  return { text, database, destroys: true };
}

/**
 * Drops what restores and undoings have kept of a database; that is all that is lost.
 *
 * @throws OperationError `not_dropped` when the server refuses to drop one; those before it are gone
 */
export async function finish(ctx: Context, { database, wait }: KeptOptions): Promise<Result> {
  if (ctx.dryRun) return finished(database, { dropped: [], kept: await keptOf(ctx, database) });
  return await withServerLock(ctx, restoreLock(database, wait), async (signal) => {
    const session = await ctx.db.maintenance({ notices: "drop" });
    try {
      const { serverVersion } = await inspectRights(session, database);
      const kept = await listKept(session, database);
      const dropped: Beside[] = [];
      // The oldest first: what is left when one cannot be dropped is what is wanted sooner.
      for (const each of kept.toReversed()) {
        signal.throwIfAborted();
        ctx.log.info(`Dropping ${keptText(each)}...`);
        try {
          await session.query(dropStatement(each.name, serverVersion));
        } catch (error) {
          throw error instanceof DatabaseError ? notDropped(error, { each, dropped }) : error;
        }
        dropped.push(each);
      }
      return finished(database, { dropped, kept: [] });
    } finally {
      await session.close();
    }
  });
}

/** What is kept of a database, the newest first; asked on a session of its own. */
export async function keptOf(ctx: Context, database: string): Promise<Beside[]> {
  const session = await ctx.db.maintenance({ notices: "drop" });
  try {
    return await listKept(session, database);
  } finally {
    await session.close();
  }
}

/** A kept database in words, with its size and what put it aside. */
export function keptText({ name, size, mark }: Beside): string {
  const { kind, at, of, database } = mark;
  const restore = of === null ? "a restore" : `the restore of ${of}`;
  const what = kind === "undone"
    ? `what ${restore} had brought, undone`
    : `"${database}" as it was before ${restore}`;
  return `"${name}" (${what} at ${timeText(Date.parse(at))} UTC; ${
    size === null ? "size unknown" : sizeText(size)
  })`;
}

/** A kept database for programs. */
export function keptData({ name, size, mark: { kind, id, at, of } }: Beside) {
  return { name, kind, id, kept_at: at, backup: of, bytes: size };
}

function nothingKept(database: string): string {
  return `Nothing is kept of "${database}": there is nothing to finish`;
}

function finished(
  database: string,
  { dropped, kept }: { readonly dropped: readonly Beside[]; readonly kept: readonly Beside[] },
): Result {
  const data = { database, dropped: dropped.map(keptData), kept: kept.map(keptData) };
  const text = dropped.length + kept.length === 0 ? nothingKept(database) : [
    ...dropped.map((each) => `Dropped ${keptText(each)}`),
    ...kept.map((each) => `Kept so far: ${keptText(each)}`),
  ].join("\n");
  return { data, text, changed: dropped.length > 0 };
}

function notDropped(
  error: DatabaseError,
  { each, dropped }: { each: Beside; dropped: readonly Beside[] },
) {
  const gone = dropped.map(({ name }) => `"${name}"`).join(", ");
  return refusedByServer(error, {
    what: `Cannot drop "${each.name}"`,
    left: gone === ""
      ? "it stands as it was"
      : `it stands as it was; ${gone} ${dropped.length === 1 ? "is" : "are"} dropped`,
    code: "not_dropped",
    hint: error.server.hint ?? "Connect as its owner, or as a superuser",
  });
}
