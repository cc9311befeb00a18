/** What a backup excludes: other backups of its database, and migrations. */
import { type Context, OperationError } from "../../core/plugin.ts";
import { BACKUP_LOCK_KEY, sqlxLockKey } from "../sql/lock_keys.ts";
import { endAbandoned } from "./sessions.ts";

/** What is done while somebody else has the database. */
export interface LockChoice {
  readonly ifLocked: "wait" | "fail" | "skip";
  /** Seconds. */
  readonly lockWait: number;
}

/** Why a backup was not made, when it was to be skipped. */
export interface Skipped {
  readonly skipped: string;
}

/**
 * Runs a backup's work while nobody else backs up or migrates its database. Migrations of this
 * program take the same lock. Others, sqlx's, take none of ours: theirs is looked at before the
 * work begins, and never taken, since applications wait for it at their start.
 *
 * A migration of this program takes sqlx's lock before it takes ours. So ours is given back while
 * sqlx's is waited for: else each of the two would wait for the other.
 *
 * @throws OperationError of kind `locked`, naming the holder
 */
export async function aloneInDatabase<T>(
  ctx: Context,
  { ifLocked, lockWait }: LockChoice,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | Skipped> {
  const deadline = ctx.now() + (ifLocked === "wait" ? lockWait : 0) * 1000;
  let begun = false;
  try {
    for (;;) {
      // Seconds with one digit, as they are told.
      const wait = Math.ceil(Math.max(0, deadline - ctx.now()) / 100) / 10;
      const done = await ctx.db.withLock(
        { key: BACKUP_LOCK_KEY, purpose: "backup", wait },
        async (signal) => {
          await endAbandoned(ctx);
          if (await migrating(ctx) !== undefined) return undefined;
          begun = true;
          return { value: await work(signal) };
        },
      );
      if (done !== undefined) return done.value;
      await awaitMigrations(ctx, deadline);
    }
  } catch (error) {
    const locked = !begun && error instanceof OperationError && error.kind === "locked";
    if (!locked || ifLocked !== "skip") throw error;
    return { skipped: error.message };
  }
}

async function awaitMigrations(ctx: Context, deadline: number): Promise<void> {
  let told = false;
  for (let pause = 50;; pause = Math.min(pause * 1.5, 1000)) {
    const holder = await migrating(ctx);
    if (holder === undefined) return;
    if (ctx.now() + pause > deadline) {
      throw new OperationError(`Cannot back up: the database is being migrated by ${holder}`, {
        kind: "locked",
        code: "locked",
        hint: "Wait for it to end, or give more time with --lock-wait",
      });
    }
    if (!told) ctx.log.info(`Waiting for migrations to end, which ${holder} applies...`);
    told = true;
    await ctx.sleep(pause);
  }
}

/** Who holds sqlx's lock on the database. */
async function migrating(ctx: Context): Promise<string | undefined> {
  const { rows: [own] } = await ctx.db.query<{ name: string }>(
    "SELECT pg_catalog.current_database()::text AS name",
  );
  const { rows: [row] } = await ctx.db.query<{ pid: number; program: string; role: string }>(
    `SELECT l.pid, coalesce(a.application_name, '') AS program, coalesce(a.usename::text, '') AS role
       FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a USING (pid)
      WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND l.database = (SELECT oid FROM pg_catalog.pg_database
          WHERE datname = pg_catalog.current_database())
        AND l.classid::bigint = ($1::bigint >> 32) & 4294967295
        AND l.objid::bigint = $1::bigint & 4294967295`,
    [sqlxLockKey(own?.name ?? ctx.db.target.database)],
  );
  return row && `process ${row.pid} ("${row.program}" as ${row.role})`;
}
