/** What TimescaleDB knows of tables: which are hypertables, and where their rows are. */
import { OperationError, type Session } from "../../core/plugin.ts";
import { oids, quoted, type Relation } from "../repository/relation.ts";

/** The hypertables and continuous aggregates of a database; neither without TimescaleDB. */
export interface Hypertables {
  readonly isHypertable: (relation: Relation) => boolean;
  /** The hypertable that holds the rows of a continuous aggregate; undefined for all else. */
  readonly storeOf: (relation: Relation) => Relation | undefined;
}

const HYPERTABLES = `
  SELECT h.id, c.oid, n.nspname::text AS schema, c.relname::text AS name
    FROM _timescaledb_catalog.hypertable h
      JOIN pg_catalog.pg_namespace n ON n.nspname = h.schema_name
      JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = h.table_name`;

const AGGREGATES = `
  SELECT v.oid AS view, a.mat_hypertable_id AS id
    FROM _timescaledb_catalog.continuous_agg a
      JOIN pg_catalog.pg_namespace n ON n.nspname = a.user_view_schema
      JOIN pg_catalog.pg_class v ON v.relnamespace = n.oid AND v.relname = a.user_view_name`;

/** Asks TimescaleDB, where it is there. */
export async function readHypertables(session: Session): Promise<Hypertables> {
  if (!await hasTimescale(session)) return { isHypertable: () => false, storeOf: () => undefined };
  const { rows: hypertables } = await session.query<
    { id: number; oid: number; schema: string; name: string }
  >(HYPERTABLES);
  const { rows: aggregates } = await session.query<{ view: number; id: number }>(AGGREGATES);
  const tables = new Set(hypertables.map(({ oid }) => oid));
  const stores = new Map(aggregates.map(({ view, id }) => {
    const store = hypertables.find((each) => each.id === id);
    return [view, store && { oid: store.oid, schema: store.schema, name: store.name }];
  }));
  return { isHypertable: ({ oid }) => tables.has(oid), storeOf: ({ oid }) => stores.get(oid) };
}

async function hasTimescale(session: Session): Promise<boolean> {
  const { rows } = await session.query(
    "SELECT FROM pg_catalog.pg_extension WHERE extname = 'timescaledb'",
  );
  return rows.length > 0;
}

// Versions of TimescaleDB differ in how a chunk names its table.
const COMPRESSED_CHUNKS = `
  SELECT coalesce(
      pg_catalog.to_regclass(pg_catalog.format('%I.%I', t->>'schema_name', t->>'table_name')),
      (t->>'relid')::pg_catalog.regclass)::oid AS oid
    FROM _timescaledb_catalog.hypertable h
      JOIN pg_catalog.pg_namespace n ON n.nspname = h.schema_name
      JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = h.table_name
      JOIN _timescaledb_catalog.chunk k ON k.hypertable_id = h.id
      JOIN _timescaledb_catalog.chunk z ON z.id = k.compressed_chunk_id,
      LATERAL pg_catalog.to_jsonb(z) AS t
   WHERE c.oid = ANY ($1::oid[])`;

/** The tables that hold the rows of chunks that are compressed. */
export async function compressedChunks(
  session: Session,
  hypertables: readonly Relation[],
): Promise<Relation[]> {
  if (hypertables.length === 0) return [];
  const { rows } = await session.query<{ oid: number; schema: string; name: string }>(
    `SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name
       FROM (${COMPRESSED_CHUNKS}) z JOIN pg_catalog.pg_class c USING (oid)
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY 2, 3`,
    [oids(hypertables)],
  );
  return rows;
}

/**
 * Makes sure that no chunk is compressed of hypertables that are dumped alone.
 *
 * @throws OperationError of kind `refused`
 */
export async function refuseCompressed(
  session: Session,
  hypertables: readonly Relation[],
): Promise<void> {
  for (const table of hypertables) {
    const chunks = await compressedChunks(session, [table]);
    if (chunks.length === 0) continue;
    throw new OperationError(
      `Cannot back up ${quoted(table)} alone: ${chunks.length} of its chunks are compressed, ` +
        "and their rows are readable only beside TimescaleDB's catalogue of a full backup",
      {
        kind: "refused",
        code: "compressed_chunks",
        hint: "Take a full backup, or decompress the chunks first: " +
          `SELECT decompress_chunk(c, true) FROM show_chunks('${
            quoted(table).replaceAll("'", "''")
          }') c`,
        details: { table: quoted(table), compressed_chunks: chunks.length },
      },
    );
  }
}
