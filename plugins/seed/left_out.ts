/** Which rows of a file are not in the table, since others stand against them. */
import { DatabaseError, type Session } from "../../core/plugin.ts";
import { meetsAnother, WAITING } from "./diagnosis.ts";
import { insertSql, sameKeySql } from "./merge_sql.ts";
import { identifier } from "../sql/names.ts";
import type { Key, Target } from "./table.ts";

/** Rows that were left out. */
export interface LeftOut {
  readonly rows: number;
  /** What stands against them, each once. */
  readonly constraints: readonly string[];
  /** The number of the first row, from 1. */
  readonly ordinal: number;
}

/** Rows that are tried for the constraint that stands against them; each is a round trip. */
const TRIED = 100;

/**
 * Looks for waiting rows that are not in the table by their key although they were merged, and
 * tries them alone, since the server does not tell what it passes over.
 *
 * @returns undefined when there is none, or none that a constraint stands against
 */
export async function leftOutRows(
  session: Session,
  target: Target,
  key: Key,
): Promise<LeftOut | undefined> {
  const { rows } = await session.query<{ count: bigint; place: string }>(
    `SELECT count(*) OVER () AS count, s.ctid::text AS place FROM ${WAITING} s
     WHERE ${key.columns.map((column) => hasValue(key, column)).join(" AND ")}
       AND NOT EXISTS (SELECT FROM ${target.table.sql} t WHERE ${sameKeySql(target, key)})
     ORDER BY s.ctid LIMIT ${TRIED}`,
  );
  const [first] = rows;
  if (first === undefined) return undefined;
  const constraints = new Set<string>();
  for (const { place } of rows) {
    const constraint = await constraintAgainst(session, target, place);
    if (constraint !== undefined) constraints.add(constraint);
  }
  if (constraints.size === 0) return undefined;
  return {
    rows: Number(first.count),
    constraints: [...constraints].sort(),
    ordinal: await numberOf(session, first.place),
  };
}

/** Of rows whose key holds no value it cannot be told whether they are there. */
function hasValue({ nullsDistinct }: Key, column: string): string {
  return nullsDistinct ? `s.${identifier(column)} IS NOT NULL` : "true";
}

async function numberOf(session: Session, place: string): Promise<number> {
  const { rows: [row] } = await session.query<{ number: bigint }>(
    `SELECT count(*) AS number FROM ${WAITING} WHERE ctid <= '${place}'`,
  );
  return Number(row?.number);
}

async function constraintAgainst(
  session: Session,
  target: Target,
  place: string,
): Promise<string | undefined> {
  try {
    await session.pipeline([
      { sql: "SAVEPOINT seed_trial" },
      { sql: insertSql(target, `${WAITING} WHERE ctid = '${place}'`) },
      { sql: "ROLLBACK TO SAVEPOINT seed_trial" },
      { sql: "RELEASE SAVEPOINT seed_trial" },
    ]);
    return undefined;
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    // Anything else, such as what a trigger says, is not why the row was passed over.
    return meetsAnother(error) ? error.server.constraint : undefined;
  }
}
