/**
 * Merges the waiting rows when one statement over all of them fails for the sake of a constraint
 * that is not the key: first those that are there by the key are updated, in an order in which
 * none stands in another's way, then the others are inserted unless a constraint stands against it.
 */
import { DatabaseError, type Session } from "../../core/plugin.ts";
import {
  inRow,
  isOfForeignKey,
  isOfRow,
  meetsAnother,
  rowByCounting,
  rowWithoutParent,
  WAITING,
} from "./diagnosis.ts";
import {
  differentSql,
  insertSql,
  type KeyedMerge,
  leftAloneSql,
  mergeSql,
  sameKeySql,
} from "./merge_sql.ts";
import { columnList } from "./table.ts";

/** What became of the rows; the others are as they were. */
export interface Steps {
  readonly inserted: number;
  readonly updated: number;
}

/**
 * Merges rows whose keys are all different.
 *
 * @throws DatabaseError with the detail `ordinal` where one row is at fault; all is then as it was
 *   before
 */
export async function stepwise(session: Session, merge: KeyedMerge): Promise<Steps> {
  await session.query("SAVEPOINT seed_stepwise");
  try {
    // What can wait for the end may hold only then, as with one statement.
    await session.query("SET CONSTRAINTS ALL DEFERRED");
    await makeRest(session, merge);
    const steps = await takeSteps(session, merge);
    await session.query("SET CONSTRAINTS ALL IMMEDIATE");
    return steps;
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    await session.query("ROLLBACK TO SAVEPOINT seed_stepwise");
    if ("ordinal" in error.details || !isOfForeignKey(error)) throw error;
    const names = merge.columns.map(({ name }) => name);
    const ordinal = await rowWithoutParent(session, error, names);
    throw ordinal === undefined ? error : inRow(error, ordinal);
  }
}

const REST = "pg_temp.seed_rest";

/** The rows that are still to be put into the target, numbered as in the file. */
async function makeRest(session: Session, merge: KeyedMerge): Promise<void> {
  const { table, key } = merge;
  const found = (condition: string) =>
    `EXISTS (SELECT FROM ${table.sql} t WHERE ${sameKeySql(merge, key)}${condition})`;
  await session.query(
    `CREATE TEMPORARY TABLE seed_rest ON COMMIT DROP AS
       SELECT * FROM (SELECT row_number() OVER () AS seed_number, * FROM ${WAITING}) s,
         LATERAL (SELECT ${found("")} AS seed_known) k
       WHERE NOT seed_known OR ${found(` AND ${differentSql(merge, key, "s")}`)}`,
  );
  await session.query(`CREATE INDEX ON ${REST} (seed_known, seed_number)`);
  await session.query(`ANALYZE ${REST}`);
}

async function takeSteps(session: Session, merge: KeyedMerge): Promise<Steps> {
  let [inserted, updated] = [0, 0];
  for (;;) {
    const known = await updateKnown(session, merge);
    const added = await insertOthers(session, merge);
    updated += known.updated;
    inserted += added;
    if (known.blocked === undefined) return { inserted, updated };
    // What was inserted may be what a row that is known refers to.
    if (added === 0) throw inRow(known.blocked.error, known.blocked.number, IN_THE_WAY);
  }
}

const IN_THE_WAY = "Change the row that is in the way first; rows can only exchange values under " +
  "a constraint that is DEFERRABLE";

/** A row that cannot be updated as things are. */
interface Blocked {
  readonly number: number;
  readonly error: DatabaseError;
}

interface Updates {
  readonly updated: number;
  /** The first row of the file that is left. */
  readonly blocked: Blocked | undefined;
}

/** Updates rows as long as one that was updated may have made way for another. */
async function updateKnown(session: Session, merge: KeyedMerge): Promise<Updates> {
  let updated = 0;
  // Forwards is how it has failed already.
  for (let backwards = true;; backwards = !backwards) {
    const sweep = new Sweep(session, merge, backwards);
    const range = await knownRange(session);
    if (range === undefined) return { updated, blocked: undefined };
    await sweep.over(range);
    updated += sweep.updated;
    if (sweep.blocked === undefined || sweep.taken === 0) {
      return { updated, blocked: sweep.blocked };
    }
  }
}

/** Numbers of rows, both included. */
interface Range {
  readonly from: number;
  readonly to: number;
}

async function knownRange(session: Session): Promise<Range | undefined> {
  const { rows: [row] } = await session.query<{ from: bigint | null; to: bigint | null }>(
    `SELECT min(seed_number) AS from, max(seed_number) AS to FROM ${REST} WHERE seed_known`,
  );
  if (row === undefined || row.from === null || row.to === null) return undefined;
  return { from: Number(row.from), to: Number(row.to) };
}

/**
 * Goes through all known rows once, in as few statements as it can: rows that one statement does
 * not update are halved until those that are blocked stand alone. Every other sweep goes backwards,
 * since rows that make way for each other often do so in one direction.
 */
class Sweep {
  /** How many rows need no second look. */
  taken = 0;
  updated = 0;
  blocked: Blocked | undefined;
  readonly #session: Session;
  readonly #merge: KeyedMerge;
  readonly #backwards: boolean;

  constructor(session: Session, merge: KeyedMerge, backwards: boolean) {
    this.#session = session;
    this.#merge = merge;
    this.#backwards = backwards;
  }

  async over(range: Range): Promise<void> {
    const error = await this.#attempt(range);
    if (error === undefined) return;
    const { from, to } = range;
    if (from < to) {
      const middle = Math.floor((from + to) / 2);
      const halves = [{ from, to: middle }, { from: middle + 1, to }];
      for (const half of this.#backwards ? halves.reverse() : halves) await this.over(half);
    } else if (meetsAnother(error) || isOfForeignKey(error)) {
      if (this.blocked === undefined || from < this.blocked.number) {
        this.blocked = { number: from, error };
      }
    } else throw inRow(error, from);
  }

  async #attempt({ from, to }: Range): Promise<DatabaseError | undefined> {
    const wanted = `seed_known AND seed_number BETWEEN ${from} AND ${to}`;
    const order = `seed_number ${this.#backwards ? "DESC" : "ASC"}`;
    try {
      const [, update, taken] = await this.#session.pipeline([
        { sql: "SAVEPOINT seed_step" },
        {
          sql: mergeSql(
            this.#merge,
            `(SELECT * FROM ${REST} WHERE ${wanted} ORDER BY ${order}) s`,
          ),
        },
        { sql: `DELETE FROM ${REST} WHERE ${wanted}` },
        { sql: "RELEASE SAVEPOINT seed_step" },
      ]);
      this.updated += update?.count ?? 0;
      this.taken += taken?.count ?? 0;
      return undefined;
    } catch (error) {
      if (!(error instanceof DatabaseError) || !isOfRow(error)) throw error;
      await this.#session.pipeline([
        { sql: "ROLLBACK TO SAVEPOINT seed_step" },
        { sql: "RELEASE SAVEPOINT seed_step" },
      ]);
      return error;
    }
  }
}

/** Inserts the rows that are not there by the key; those that another constraint keeps out stay. */
async function insertOthers(session: Session, merge: KeyedMerge): Promise<number> {
  // Without OFFSET the rows would be counted before they are sorted, when one at fault is sought.
  const from = `(SELECT ${columnList(merge.columns)} FROM ${REST} WHERE NOT seed_known ` +
    "ORDER BY seed_number OFFSET 0) s";
  const sql = (rows: string) => insertSql(merge, rows) + leftAloneSql(merge);
  await session.query("SAVEPOINT seed_others");
  try {
    const { count } = await session.query(sql(from));
    await session.query(
      `DELETE FROM ${REST} s WHERE NOT seed_known
         AND EXISTS (SELECT FROM ${merge.table.sql} t WHERE ${sameKeySql(merge, merge.key)})`,
    );
    await session.query("RELEASE SAVEPOINT seed_others");
    return count;
  } catch (error) {
    // A foreign key is looked into among all waiting rows, when this has been undone.
    if (!(error instanceof DatabaseError) || !isOfRow(error) || isOfForeignKey(error)) throw error;
    await session.query("ROLLBACK TO SAVEPOINT seed_others");
    const ordinal = await numberOfNth(
      session,
      await rowByCounting(session, {
        from,
        sql,
        total: await countOthers(session),
      }),
    );
    throw ordinal === undefined ? error : inRow(error, ordinal);
  }
}

async function countOthers(session: Session): Promise<number> {
  const { rows: [row] } = await session.query<{ count: bigint }>(
    `SELECT count(*) AS count FROM ${REST} WHERE NOT seed_known`,
  );
  return Number(row?.count ?? 0);
}

async function numberOfNth(session: Session, nth: number | undefined): Promise<number | undefined> {
  if (nth === undefined) return undefined;
  const { rows: [row] } = await session.query<{ number: bigint }>(
    `SELECT seed_number AS number FROM ${REST} WHERE NOT seed_known
     ORDER BY seed_number OFFSET ${nth - 1} LIMIT 1`,
  );
  return row === undefined ? undefined : Number(row.number);
}
