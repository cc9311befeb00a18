/** Subscriptions to other servers, which keep a database from being dropped, by force too. */
import type { Context, Session } from "../../core/plugin.ts";
import { identifier } from "../sql/names.ts";

/**
 * Drops the subscriptions in a database of this program's making, before it is dropped itself. The
 * publisher is not asked: a subscription that came with a dump has never been connected, and the slot
 * that it names is the one of the database that was backed up.
 *
 * @param session a session in another database
 * @throws DatabaseError of what the server refuses
 */
export async function dropSubscriptions(
  ctx: Context,
  { session, database }: { readonly session: Session; readonly database: string },
): Promise<void> {
  const { rows } = await session.query<{ name: string }>(
    `SELECT s.subname::text AS name FROM pg_catalog.pg_subscription s
       JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = $1`,
    [database],
  );
  if (rows.length === 0) return;
  const inside = await ctx.db.session({ database, notices: "drop", lasting: true });
  try {
    for (const name of rows.map((row) => identifier(row.name))) {
      await inside.query(`ALTER SUBSCRIPTION ${name} DISABLE`);
      await inside.query(`ALTER SUBSCRIPTION ${name} SET (slot_name = NONE)`);
      await inside.query(`DROP SUBSCRIPTION ${name}`);
    }
  } finally {
    await inside.close();
  }
}
