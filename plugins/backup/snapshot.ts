/** The snapshot that a dump and the counts beside it share. */
import type { Context, Session } from "../../core/plugin.ts";
import { TEXT_SETTINGS } from "./counts.ts";

/** A transaction that holds a snapshot for others. */
export interface Snapshot {
  readonly session: Session;
  /** What pg_dump is given with `--snapshot`. */
  readonly id: string;
  close(): Promise<void>;
}

/** What ends a session or statement that takes long; a dump does. Versions differ in what there is. */
const TIMEOUTS = [
  "statement_timeout",
  "lock_timeout",
  "idle_in_transaction_session_timeout",
  "transaction_timeout",
  "idle_session_timeout",
];

/**
 * Takes a snapshot and exports it.
 *
 * @param name what the session and its statements are known by in `pg_stat_activity`
 */
export async function takeSnapshot(ctx: Context, name: string): Promise<Snapshot> {
  const session = await ctx.db.session({
    notices: "drop",
    settings: {
      application_name: name,
      // Rows that a policy hides would be missing without a word.
      row_security: "off",
      ...TEXT_SETTINGS,
    },
  });
  await session.query(
    `SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings
      WHERE name = ANY ($1::text[])`,
    [`{${TIMEOUTS.join(",")}}`],
  );
  await session.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  const { rows: [row] } = await session.query<{ id: string }>(
    "SELECT pg_catalog.pg_export_snapshot() AS id",
  );
  return { session, id: row?.id ?? "", close: () => session.close() };
}
