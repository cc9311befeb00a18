/** What a backup's manifest tells of its database, all from the dump's own snapshot. */
import type { Session } from "../../core/plugin.ts";
import {
  type Extension,
  type Locale,
  type Migrations,
  PROVIDER_LETTERS,
  type SequenceFacts,
  type Source,
  type Timescale,
} from "./manifest.ts";

/** The facts that need no reading of rows. */
export interface Inventory {
  readonly source: Omit<Source, "snapshot">;
  readonly extensions: readonly Extension[];
  readonly roles: readonly string[];
  readonly timescaledb: Timescale | null;
  readonly sequences: readonly SequenceFacts[];
  readonly largeObjects: number;
  readonly migrations: Migrations | null;
}

/** Asks for everything, in a transaction that holds the snapshot. */
export async function readInventory(session: Session): Promise<Inventory> {
  return {
    source: await readSource(session),
    extensions: await readExtensions(session),
    roles: await readRoles(session),
    timescaledb: await readTimescale(session),
    sequences: await readSequences(session),
    largeObjects: await readLargeObjects(session),
    migrations: await readMigrations(session),
  };
}

async function readSource(session: Session): Promise<Omit<Source, "snapshot">> {
  const { rows: [row] } = await session.query<
    {
      identifies: boolean;
      database: string;
      oid: number;
      version: string;
      number: number;
      encoding: string;
      collate: string;
      ctype: string;
      provider: string | null;
      locale: string | null;
      rules: string | null;
      owner: string;
      size: bigint;
      standby: boolean;
      lsn: string | null;
    }
  >(
    `SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') AS identifies,
       d.datname::text AS database, d.oid, pg_catalog.current_setting('server_version') AS version,
       pg_catalog.current_setting('server_version_num')::int AS number,
       pg_catalog.pg_encoding_to_char(d.encoding)::text AS encoding, d.datcollate::text AS collate,
       d.datctype::text AS ctype,
       -- Columns that not every major has.
       pg_catalog.to_jsonb(d)->>'datlocprovider' AS provider,
       coalesce(pg_catalog.to_jsonb(d)->>'datlocale', pg_catalog.to_jsonb(d)->>'daticulocale') AS locale,
       pg_catalog.to_jsonb(d)->>'daticurules' AS rules,
       pg_catalog.pg_get_userbyid(d.datdba)::text AS owner,
       pg_catalog.pg_database_size(d.oid) AS size, pg_catalog.pg_is_in_recovery() AS standby,
       CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
         ELSE pg_catalog.pg_current_wal_lsn() END::text AS lsn
     FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()`,
  );
  if (row === undefined) throw new Error("The server does not list the database it is asked in");
  return {
    system_identifier: row.identifies ? await readIdentifier(session) : null,
    database: row.database,
    database_oid: row.oid,
    server_version: row.version,
    server_version_num: row.number,
    encoding: row.encoding,
    collate: row.collate,
    ctype: row.ctype,
    locale: localeOf(row),
    owner: row.owner,
    size: Number(row.size),
    in_recovery: row.standby,
    lsn: row.lsn,
  };
}

const PROVIDERS: readonly Locale["provider"][] = ["libc", "icu", "builtin"];

function localeOf(
  { provider, locale, rules }: {
    readonly provider: string | null;
    readonly locale: string | null;
    readonly rules: string | null;
  },
): Locale | null {
  const known = PROVIDERS.find((each) => PROVIDER_LETTERS[each] === provider);
  return known === undefined ? null : { provider: known, name: locale, rules };
}

async function readIdentifier(session: Session): Promise<string | null> {
  const { rows: [row] } = await session.query<{ id: bigint }>(
    "SELECT system_identifier AS id FROM pg_catalog.pg_control_system()",
  );
  return row === undefined ? null : String(row.id);
}

async function readExtensions(session: Session): Promise<Extension[]> {
  const { rows } = await session.query<{ name: string; version: string; schema: string }>(
    `SELECT e.extname::text AS name, e.extversion AS version, n.nspname::text AS schema
       FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
      ORDER BY 1`,
  );
  return rows;
}

/** The roles that own something or are granted something; the first superuser is written nowhere. */
async function readRoles(session: Session): Promise<string[]> {
  const { rows } = await session.query<{ role: string }>(
    `SELECT r.rolname::text AS role FROM pg_catalog.pg_roles r WHERE r.rolname !~ '^pg_' AND r.oid IN (
       SELECT d.refobjid FROM pg_catalog.pg_shdepend d
        WHERE d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
          AND d.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
       UNION SELECT relowner FROM pg_catalog.pg_class WHERE oid >= 16384
       UNION SELECT proowner FROM pg_catalog.pg_proc WHERE oid >= 16384
       UNION SELECT nspowner FROM pg_catalog.pg_namespace WHERE oid >= 16384) ORDER BY 1`,
  );
  return rows.map(({ role }) => role);
}

async function readTimescale(session: Session): Promise<Timescale | null> {
  const { rows: [extension] } = await session.query<{ version: string }>(
    "SELECT extversion AS version FROM pg_catalog.pg_extension WHERE extname = 'timescaledb'",
  );
  if (extension === undefined) return null;
  const { rows: hypertables } = await session.query<
    { schema: string; name: string; chunks: number; compressed: number }
  >(
    `SELECT h.hypertable_schema::text AS schema, h.hypertable_name::text AS name,
         count(c.chunk_name)::int AS chunks,
         (count(*) FILTER (WHERE c.is_compressed))::int AS compressed
       FROM timescaledb_information.hypertables h
         LEFT JOIN timescaledb_information.chunks c USING (hypertable_schema, hypertable_name)
      GROUP BY 1, 2 ORDER BY 1, 2`,
  );
  const { rows: aggregates } = await session.query<{ schema: string; name: string }>(
    `SELECT view_schema::text AS schema, view_name::text AS name
       FROM timescaledb_information.continuous_aggregates ORDER BY 1, 2`,
  );
  const { rows: jobs } = await session.query<{ id: number; owner: string; procedure: string }>(
    `SELECT job_id::int AS id, owner::text AS owner,
         pg_catalog.format('%I.%I', proc_schema, proc_name) AS procedure
       FROM timescaledb_information.jobs ORDER BY 1`,
  );
  return {
    version: extension.version,
    hypertables: hypertables.map(({ compressed, ...table }) => ({
      ...table,
      compressed_chunks: compressed,
    })),
    continuous_aggregates: aggregates,
    jobs,
  };
}

async function readSequences(session: Session): Promise<SequenceFacts[]> {
  const { rows } = await session.query<{ schema: string; name: string; value: bigint | null }>(
    `SELECT n.nspname::text AS schema, c.relname::text AS name, CASE WHEN
         pg_catalog.has_sequence_privilege(c.oid, 'SELECT, USAGE')
         THEN pg_catalog.pg_sequence_last_value(c.oid) END AS value
       FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE NOT pg_catalog.pg_is_other_temp_schema(n.oid)
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e
          WHERE e.objid = c.oid AND e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND e.deptype = 'e')
      ORDER BY 1, 2`,
  );
  return rows.map(({ schema, name, value }) => ({
    schema,
    name,
    last_value: value === null ? null : String(value),
  }));
}

async function readLargeObjects(session: Session): Promise<number> {
  const { rows: [row] } = await session.query<{ count: number }>(
    "SELECT count(*)::int AS count FROM pg_catalog.pg_largeobject_metadata",
  );
  return row?.count ?? 0;
}

/** What sqlx's table says; null without one, where it may not be read, and where it is another one. */
export async function readMigrations(session: Session): Promise<Migrations | null> {
  const { rows: [table] } = await session.query<{ name: string }>(
    `SELECT t.oid::pg_catalog.regclass::text AS name
       FROM (SELECT pg_catalog.to_regclass('_sqlx_migrations') AS oid) t
      WHERE t.oid IS NOT NULL AND pg_catalog.has_table_privilege(t.oid, 'SELECT')
        AND (SELECT count(*) FROM pg_catalog.pg_attribute WHERE attrelid = t.oid
          AND attname IN ('version', 'description', 'checksum')) = 3`,
  );
  if (table === undefined) return null;
  const { rows } = await session.query<
    { count: number; version: bigint | null; description: string | null; checksum: string | null }
  >(
    `SELECT (SELECT count(*)::int FROM ${table.name}) AS count, m.version, m.description,
         pg_catalog.encode(m.checksum, 'hex') AS checksum
       FROM (SELECT) one LEFT JOIN LATERAL
         (SELECT * FROM ${table.name} ORDER BY version DESC LIMIT 1) m ON true`,
  );
  const [row] = rows;
  return {
    applied: row?.count ?? 0,
    last: row === undefined || row.version === null ? null : {
      version: String(row.version),
      description: row.description ?? "",
      checksum: row.checksum ?? "",
    },
  };
}
