/** The rows of every table in a backup, counted in the dump's own snapshot. */
import { type Context, DatabaseError, OperationError, type Session } from "../../core/plugin.ts";
import type { TableFacts } from "./manifest.ts";
import { identifier } from "../sql/names.ts";

/** What is found out of each table: nothing, its rows, or a fingerprint of their contents too. */
export type Fingerprint = "none" | "counts" | "full";

/** A table whose rows are in the dump. */
export interface CountedTable {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly kind: TableFacts["kind"];
  /** Bytes, without indexes. */
  readonly size: number;
}

/** Which tables are in the dump. */
export interface Counted {
  readonly included: ReadonlySet<number> | undefined;
  readonly excluded: ReadonlySet<number>;
}

/**
 * The settings under which a row's text is the same wherever it is read: a fingerprint of a
 * restored table is compared with the source's.
 */
export const TEXT_SETTINGS: Readonly<Record<string, string>> = {
  DateStyle: "ISO",
  IntervalStyle: "postgres",
  TimeZone: "UTC",
  bytea_output: "hex",
  extra_float_digits: "3",
  xmloption: "content",
};

// A hypertable stands for its chunks; what TimescaleDB keeps inside, chunks and their compressed
// twins, is no table of anybody's. A view that was never filled has no rows, and a standby none of
// what is not logged: pg_dump leaves them out as well.
const TABLES = `
  SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
      pg_catalog.pg_table_size(c.oid) AS size
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'm') AND c.relispopulated AND (c.relpersistence = 'p'
       OR c.relpersistence = 'u' AND NOT pg_catalog.pg_is_in_recovery())
     AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.objid = c.oid
       AND e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND e.deptype = 'e')
   ORDER BY 5 DESC, 2, 3`;

const HYPERTABLES = `
  SELECT c.oid, coalesce(d.size, 0)::bigint AS size
    FROM _timescaledb_catalog.hypertable h
      JOIN pg_catalog.pg_namespace n ON n.nspname = h.schema_name
      JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = h.table_name,
      LATERAL (SELECT sum(pg_catalog.pg_table_size(i.inhrelid)) AS size
        FROM pg_catalog.pg_inherits i WHERE i.inhparent = c.oid) d
   WHERE h.compression_state <> 2`;

const INTERNAL = "_timescaledb_internal";

/** The tables whose rows are in the dump, the largest first. */
export async function listTables(
  session: Session,
  { counted: { included, excluded }, timescale, views }: {
    readonly counted: Counted;
    readonly timescale: boolean;
    /** Whether materialized views are filled by the dump: one of rows alone does not. */
    readonly views: boolean;
  },
): Promise<CountedTable[]> {
  const { rows } = await session.query<
    { oid: number; schema: string; name: string; kind: string; size: bigint }
  >(TABLES);
  const hypertables = new Map<number, number>();
  if (timescale) {
    const found = await session.query<{ oid: number; size: bigint }>(HYPERTABLES);
    for (const { oid, size } of found.rows) hypertables.set(oid, Number(size));
  }
  return rows.flatMap(({ oid, schema, name, kind, size }): CountedTable[] => {
    const chunks = hypertables.get(oid);
    if (included?.has(oid) === false || excluded.has(oid)) return [];
    if (kind === "m" && !views) return [];
    if (timescale && chunks === undefined && schema === INTERNAL) return [];
    return [{
      oid,
      schema,
      name,
      kind: chunks !== undefined ? "hypertable" : kind === "m" ? "materialized view" : "table",
      size: chunks ?? Number(size),
    }];
  });
}

/**
 * Counts the rows, and makes fingerprints where they are asked for. A fingerprint is the sum of a
 * hash of each row's text, so the order of the rows does not matter.
 */
export async function countRows(
  ctx: Pick<Context, "log">,
  { session, tables, fingerprint }: {
    readonly session: Session;
    readonly tables: readonly CountedTable[];
    readonly fingerprint: Fingerprint;
  },
): Promise<TableFacts[]> {
  const facts: TableFacts[] = [];
  for (const { schema, name, kind, size } of tables) {
    const table = `${identifier(schema)}.${identifier(name)}`;
    // Rows of children are counted with the children; chunks have nobody else to count them.
    const from = kind === "hypertable" ? table : `ONLY ${table}`;
    let rows: number | null = null;
    let hash: string | null = null;
    if (fingerprint !== "none") {
      ctx.log.debug(`Counting the rows of ${table}`);
      const counted = await count(session, { table, from, fingerprint });
      rows = counted.rows;
      hash = counted.hash;
    }
    facts.push({ schema, name, kind, rows, size, fingerprint: hash });
  }
  return facts;
}

async function count(
  session: Session,
  { table, from, fingerprint }: {
    readonly table: string;
    readonly from: string;
    readonly fingerprint: Exclude<Fingerprint, "none">;
  },
): Promise<{ rows: number; hash: string | null }> {
  try {
    const { rows: [row] } = await session.query<{ count: bigint; hash: string | null }>(
      fingerprint === "counts"
        ? `SELECT count(*) AS count, NULL::text AS hash FROM ${from}`
        : `SELECT count(*) AS count, coalesce(sum(pg_catalog.hashtextextended(
             ROW("observatory row".*)::text COLLATE pg_catalog."C", 0)::numeric), 0)::text AS hash
           FROM ${from} AS "observatory row"`,
    );
    return { rows: Number(row?.count ?? 0n), hash: row?.hash ?? null };
  } catch (error) {
    if (!(error instanceof DatabaseError)) throw error;
    throw new OperationError(`Cannot count the rows of ${table}: ${error.server.message}`, {
      kind: error.kind,
      code: "count_failed",
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      details: { table, sqlstate: error.server.sqlstate },
      cause: error,
    });
  }
}
