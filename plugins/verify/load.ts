/** What wears a server out: connections, transaction ids, and indexes that were left half-built. */
import { identifier } from "../sql/names.ts";
import { type Check, type Finding, type Server } from "./check.ts";

/** How many connections are used, of how many. */
export interface ConnectionCounts {
  readonly used: number;
  readonly limit: number;
  /** In this database, and its own limit; -1 means none. */
  readonly database_used: number;
  readonly database_limit: number;
  /** By this role, and its own limit; -1 means none. */
  readonly role_used: number;
  readonly role_limit: number;
}

// numbackends is shown to every role; of other roles' sessions pg_stat_activity hides the kind.
const CONNECTIONS = `
SELECT (SELECT sum(numbackends)::int FROM pg_stat_database WHERE datid <> 0) AS used,
  current_setting('max_connections')::int AS limit,
  (SELECT numbackends FROM pg_stat_database WHERE datid = pg_database.oid) AS database_used,
  datconnlimit AS database_limit,
  (SELECT count(*)::int FROM pg_stat_activity WHERE usesysid = pg_roles.oid) AS role_used,
  rolconnlimit AS role_limit
FROM pg_database, pg_roles WHERE datname = current_database() AND rolname = session_user`;

/** Whether new sessions still find a place. */
export const connections: Check = {
  needs: "server",
  async run({ session }: Server) {
    const { rows: [row] } = await session.query<ConnectionCounts>(CONNECTIONS);
    return row === undefined
      ? { status: "skipped", message: "The server told nothing" }
      : judgeConnections(row);
  },
};

const FULL = 0.9;

/** Judges the use of connections by the limit that is nearest. */
export function judgeConnections(row: ConnectionCounts): Finding {
  const limits = [
    { used: row.used, limit: row.limit, whose: "the server", raise: "max_connections" },
    {
      used: row.database_used,
      limit: row.database_limit,
      whose: "the database",
      raise: "the database's CONNECTION LIMIT",
    },
    {
      used: row.role_used,
      limit: row.role_limit,
      whose: "the role",
      raise: "the role's CONNECTION LIMIT",
    },
  ].filter(({ limit }) => limit > 0);
  const [nearest] = limits.sort((a, b) => b.used / b.limit - a.used / a.limit);
  const details = { ...row };
  if (nearest === undefined || nearest.used <= FULL * nearest.limit) {
    return {
      status: "ok",
      message: `${row.used} of ${row.limit} connections are used`,
      details,
    };
  }
  const { used, limit, whose, raise } = nearest;
  return {
    status: "warning",
    message: `${used} of ${limit} connections of ${whose} are used`,
    remedy: `Close sessions that idle, put a connection pooler before it, or raise ${raise}`,
    details,
  };
}

/** The database whose ids are oldest. */
export interface OldestIds {
  readonly database: string;
  /** How many transactions ago its oldest transaction id was given. */
  readonly transactions: number;
  /** The same for ids of several transactions together. */
  readonly multixacts: number;
}

const OLDEST_IDS = `
SELECT datname::text AS database, age(datfrozenxid) AS transactions,
  mxid_age(datminmxid) AS multixacts
FROM pg_database ORDER BY greatest(age(datfrozenxid), mxid_age(datminmxid)) DESC LIMIT 1`;

/** Whether the server nears the end of its transaction ids, where it stops to take writes. */
export const transactionIds: Check = {
  needs: "server",
  async run({ session }: Server) {
    const { rows: [row] } = await session.query<OldestIds>(OLDEST_IDS);
    return row === undefined
      ? { status: "skipped", message: "The server told nothing" }
      : judgeTransactionIds(row);
  },
};

const OLD = 1e9;
const TOO_OLD = 1.5e9;

/** Judges the age of the oldest ids; at about 2.1 billion the server stops to take writes. */
export function judgeTransactionIds(row: OldestIds): Finding {
  const { database, transactions, multixacts } = row;
  const age = Math.max(transactions, multixacts);
  const kind = multixacts > transactions ? "multixact" : "transaction";
  const told = `The oldest ${kind} id is ${age.toLocaleString("en-US")} old`;
  const details = { ...row };
  if (age <= OLD) return { status: "ok", message: told, details };
  return {
    status: age > TOO_OLD ? "failed" : "warning",
    message: `${told} (database "${database}"); above 2.1 billion the server takes no more writes`,
    remedy: `Run vacuumdb --freeze ${identifier(database)}; when that does not help, end old ` +
      "transactions (pg_stat_activity), prepared ones (pg_prepared_xacts) and unused " +
      "replication slots (pg_replication_slots)",
    details,
  };
}

/** An index that queries do not use, though writes keep it up. */
export interface InvalidIndex {
  readonly name: string;
  /** Whether a rebuild left it, beside the one it was to replace. */
  readonly leftover: boolean;
  readonly total: number;
}

// One that is being built is invalid too; what another role builds is only shown without its name.
const INVALID_INDEXES = `
SELECT format('%I.%I', nspname, relname) AS name,
  relname ~ '_cc(new|old)\\d*$' AS leftover, (count(*) OVER ())::int AS total
FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE NOT indisvalid AND relkind = 'i' AND relpersistence <> 't'
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index AS progress
    WHERE progress.datname = current_database()
      AND (progress.index_relid = indexrelid OR progress.relid IS NULL))
ORDER BY name LIMIT 5`;

/** Whether indexes were left half-built. */
export const indexes: Check = {
  needs: "database",
  async run({ session }: Server) {
    const { rows } = await session.query<InvalidIndex>(INVALID_INDEXES);
    return judgeIndexes(rows);
  },
};

/** Judges the invalid indexes, of which at most five are given. */
export function judgeIndexes(rows: readonly InvalidIndex[]): Finding {
  const total = rows[0]?.total ?? 0;
  if (total === 0) return { status: "ok", message: "All indexes are valid" };
  const names = rows.map(({ name }) => name);
  const more = total > names.length ? ` and ${total - names.length} more` : "";
  return {
    status: "warning",
    message: `${
      total === 1 ? "1 index is" : `${total} indexes are`
    } invalid, so queries cannot use them: ${names.join(", ")}${more}`,
    remedy: rows.map(({ name, leftover }) =>
      leftover ? `DROP INDEX CONCURRENTLY ${name};` : `REINDEX INDEX CONCURRENTLY ${name};`
    ).join("\n"),
    details: { total, indexes: names },
  };
}
