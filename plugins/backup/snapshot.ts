/** The snapshot that a dump and the counts beside it share. */
import { type Context, DatabaseError, OperationError, type Session } from "../../core/plugin.ts";
import { TEXT_SETTINGS } from "../repository/counts.ts";

/** A transaction that holds a snapshot for others. */
export interface Snapshot {
  readonly session: Session;
  /** What pg_dump is given with `--snapshot`. */
  readonly id: string;
  /** What a failure means here: that of a lock that was waited for too long gets words of its own. */
  explained(error: unknown): unknown;
  close(): Promise<void>;
}

/** What ends a session or statement that takes long; a dump does. Versions differ in what there is. */
const TIMEOUTS = [
  "statement_timeout",
  "idle_in_transaction_session_timeout",
  "transaction_timeout",
  "idle_session_timeout",
];

/** The longest timeout that the server knows, in milliseconds. */
const LONGEST = 2 ** 31 - 1;

/**
 * Takes a snapshot and exports it.
 *
 * @param options.name what the session and its statements are known by in `pg_stat_activity`
 * @param options.patience seconds that it waits for a lock; 0 for ever
 */
export async function takeSnapshot(
  ctx: Context,
  { name, patience }: { readonly name: string; readonly patience: number },
): Promise<Snapshot> {
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
  await session.query("SELECT pg_catalog.set_config('lock_timeout', $1, false)", [
    String(Math.min(Math.ceil(patience * 1000), LONGEST)),
  ]);
  await session.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  const { rows: [row] } = await session.query<{ id: string }>(
    "SELECT pg_catalog.pg_export_snapshot() AS id",
  );
  return {
    session,
    id: row?.id ?? "",
    explained: (error) => isLockTimeout(error) ? waitedTooLong(patience, error) : error,
    close: () => session.close(),
  };
}

function isLockTimeout(error: unknown): boolean {
  return error instanceof DatabaseError && error.server.sqlstate === "55P03";
}

function waitedTooLong(seconds: number, cause: unknown): OperationError {
  return new OperationError(
    `Cannot back up: a lock that somebody else holds was waited for in vain for ${seconds} s`,
    {
      kind: "locked",
      code: "lock_timeout",
      hint: "End the statement that holds it; --stall-timeout gives it more time",
      cause,
    },
  );
}
