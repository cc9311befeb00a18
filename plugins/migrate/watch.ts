/** Tells what a migration waits for, and ends a deadlock that the server cannot see. */
import type { Context } from "../../core/plugin.ts";

/** What is watched. */
export interface WatchOptions {
  /** The server process that applies the migrations. */
  readonly pid: number;
  /** The lock of the whole run. */
  readonly lockKey: bigint;
}

/** A watch that runs beside the migrations. */
export interface Watch {
  /** Tells which file is being applied now. */
  file(path: string): void;
  /** Ends the watch. */
  stop(): Promise<void>;
}

const LOOK_MILLISECONDS = 2_000;
/** How long between two lines about the same processes. */
const TELL_MILLISECONDS = 30_000;

interface Blocker {
  readonly pid: number;
  readonly who: string;
  readonly waits_for_us: boolean;
}

// The lock's key is shown in halves, and the processes of other roles without their statements. Of
// a statement only the leading words are told: what follows may hold a password or data.
const BLOCKERS = `SELECT b.pid, format('process %s ("%s" as %s%s)', b.pid,
      coalesce(a.application_name, ''), coalesce(a.usename, '?'),
      CASE WHEN a.query IS NULL OR a.query = '' THEN ''
        ELSE ', ' || a.state || ': ' || left(rtrim(regexp_replace(coalesce(substring(a.query FROM '^[\\w\\s.]+'), ''), '\\s+', ' ', 'g')), 60) END) AS who,
    EXISTS (SELECT FROM pg_locks l WHERE l.pid = b.pid AND NOT l.granted
      AND l.locktype = 'advisory' AND l.objsubid = 1
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.classid::bigint = ($2::bigint >> 32) & 4294967295
      AND l.objid::bigint = $2::bigint & 4294967295) AS waits_for_us
  FROM unnest(pg_blocking_pids($1)) AS b(pid) LEFT JOIN pg_stat_activity a USING (pid)`;

/**
 * Looks now and then, on a connection of its own, what stands in the way of the
 * migrations, and tells it.
 *
 * An application that embeds sqlx waits for the migrations' lock inside the
 * server and holds a snapshot meanwhile, for which CREATE INDEX CONCURRENTLY
 * waits in turn. The lock is held by a third session, so the server sees no
 * deadlock and both would wait for ever: the application's statement is then
 * cancelled, as the server does with the victim of a deadlock.
 */
export function watchBlockers(context: Context, options: WatchOptions): Watch {
  let path = "";
  let told = { pids: "", at: -Infinity };
  let timer: ReturnType<typeof setTimeout> | undefined;
  let stopped = false;
  let looking: Promise<void> = Promise.resolve();

  function next(): void {
    if (!stopped) timer = setTimeout(() => looking = look().then(next, giveUp), LOOK_MILLISECONDS);
  }
  function giveUp(error: unknown): void {
    // The watch only explains; the migration itself meets what is wrong.
    context.log.debug(`Cannot see what the migration waits for: ${messageOf(error)}`);
  }
  async function look(): Promise<void> {
    if (context.signal.aborted) return;
    const { rows } = await context.db.query<Blocker>(BLOCKERS, [options.pid, options.lockKey]);
    for (const blocker of rows) if (blocker.waits_for_us) await cancel(context, blocker, path);
    const others = rows.filter((blocker) => !blocker.waits_for_us);
    const pids = others.map(({ pid }) => pid).sort().join();
    if (pids === "" || (pids === told.pids && context.now() - told.at < TELL_MILLISECONDS)) return;
    told = { pids, at: context.now() };
    const who = others.map((blocker) => blocker.who).join("; ");
    context.log.info(`"${path}" waits for a lock held by ${who}`);
  }

  next();
  return {
    file: (current) => void (path = current),
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await looking;
    },
  };
}

async function cancel(context: Context, blocker: Blocker, path: string): Promise<void> {
  try {
    await context.db.query("SELECT pg_cancel_backend($1)", [blocker.pid]);
    context.log.warn(
      `Cancelled the statement of ${blocker.who}: it waits for the migrations lock of this run, ` +
        `and "${path}" cannot go on before it ends`,
    );
  } catch (error) {
    context.log.warn(
      `"${path}" waits for ${blocker.who}, which waits for the migrations lock of this run: ` +
        `neither can go on, and this role may not cancel it (${messageOf(error)}); end it by hand`,
    );
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
