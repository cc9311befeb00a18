/**
 * Who waits for whom while a dump runs. A dump holds a light lock on every table; a statement that
 * needs a strong one waits for it, and everybody else behind that statement, the readers too.
 */
import type { Context, Session } from "../../core/plugin.ts";

/** Milliseconds. */
const PAUSE = 5000;
/** Seconds. */
const PATIENCE = 3;

interface Waiting {
  readonly pid: number;
  readonly program: string;
  readonly role: string;
  readonly seconds: number;
  readonly statement: string;
  /** Whether it is the dump that waits. */
  readonly ours: boolean;
}

// Of a statement only the leading words are shown: what follows may hold a password or data.
const WAITING = `
  SELECT w.pid, coalesce(nullif(w.application_name, ''), 'a program without a name') AS program,
      coalesce(w.usename::text, '') AS role,
      extract(epoch FROM pg_catalog.clock_timestamp() - w.query_start)::int AS seconds,
      left(rtrim(regexp_replace(coalesce(substring(w.query FROM '^[\\w\\s.]+'), ''), '\\s+', ' ', 'g')), 80) AS statement,
      w.application_name = $1 AS ours
    FROM pg_catalog.pg_stat_activity w
   WHERE w.wait_event_type = 'Lock' AND w.datname = pg_catalog.current_database()
     AND (w.application_name = $1 OR EXISTS (
       SELECT FROM pg_catalog.pg_stat_activity b
        WHERE b.application_name = $1 AND b.pid = ANY (pg_catalog.pg_blocking_pids(w.pid))))`;

/**
 * Tells, once each, who waits for the dump and whether the dump waits, until `over` settles.
 *
 * @param name what the dump's sessions are known by
 */
export async function watchLocks(
  ctx: Context,
  { session, name, over, pause = PAUSE, patience = PATIENCE }: {
    readonly session: Session;
    readonly name: string;
    readonly over: Promise<unknown>;
    /** Milliseconds between two looks. */
    readonly pause?: number;
    /** Seconds that somebody has to wait before it is told. */
    readonly patience?: number;
  },
): Promise<void> {
  const told = new Set<string>();
  let going = true;
  const ended = over.then(() => going = false, () => going = false);
  while (going) {
    await Promise.race([ended, ctx.sleep(pause)]);
    if (!going) return;
    const { rows } = await session.query<Waiting & Record<string, never>>(WAITING, [name]);
    for (const { pid, program, role, seconds, statement, ours } of rows) {
      const key = `${pid} ${ours}`;
      if (seconds < patience || told.has(key)) continue;
      told.add(key);
      ctx.log.warn(
        ours
          ? `The dump has waited ${seconds} s for a lock that somebody else holds`
          : `Process ${pid} ("${program}" as ${role}) has waited ${seconds} s for this backup: ${statement}`,
      );
    }
  }
}
