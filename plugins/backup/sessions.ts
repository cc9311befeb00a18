/** The sessions of a backup on the server, and those that a killed run has left there. */
import type { Context } from "../../core/plugin.ts";

const NAME = "observatory backup";

/** How long an ended run's sessions may take to leave, in milliseconds. */
const LEAVE_TAKING = 500;

/** What the sessions of one backup are known by in `pg_stat_activity`. */
export function sessionName(): string {
  // Several backups may run on a server at once: each finds its own sessions by this.
  return `${NAME} ${crypto.randomUUID().slice(0, 8)}`;
}

/**
 * Ends what killed runs have left in the database. A pg_dump that writes a directory does not notice
 * that its run is gone before the end of a table, and holds a lock on every table until then; a count
 * of rows goes on as well.
 *
 * To be called with the lock of backups: then no such session is that of a run that goes on.
 */
export async function endAbandoned(ctx: Context): Promise<void> {
  if ((await findAbandoned(ctx)).length === 0) return;
  // Those of a run that has just ended in good order are about to go.
  await ctx.sleep(LEAVE_TAKING);
  const left = await findAbandoned(ctx);
  if (left.length === 0) return;
  // Apart from the search: what ends sessions must not be asked of any that is not found by it.
  await ctx.db.query(
    "SELECT pg_catalog.pg_terminate_backend(pid) FROM unnest($1::int[]) pid",
    [`{${left.join(",")}}`],
  );
  ctx.log.warn(
    `Ended what a backup had left on the server that was killed: process ${left.join(", ")}`,
  );
}

async function findAbandoned(ctx: Context): Promise<number[]> {
  const { rows } = await ctx.db.query<{ pid: number }>(
    `SELECT a.pid FROM pg_catalog.pg_stat_activity a
      WHERE a.datname = pg_catalog.current_database() AND a.usename = current_user
        AND a.application_name ~ $1 ORDER BY 1`,
    [`^${NAME} [0-9a-f]{8}$`],
  );
  return rows.map(({ pid }) => pid);
}
