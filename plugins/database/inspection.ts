/** What there is to know of a database before it is dropped, asked from another one. */
import type { Session } from "../../core/plugin.ts";
import { BACKUP_LOCK_KEY } from "../sql/lock_keys.ts";

/** A database as its server describes it. */
export interface DatabaseFacts {
  readonly name: string;
  readonly owner: string;
  readonly encoding: string;
  readonly collate: string;
  readonly ctype: string;
  /** `c` for libc, `i` for ICU, `b` for the server's own; the server's default before 15. */
  readonly provider: string | undefined;
  /** The ICU or built-in locale. */
  readonly locale: string | undefined;
  readonly icuRules: string | undefined;
  readonly tablespace: string;
  /** -1 means none. */
  readonly connectionLimit: number;
  readonly isTemplate: boolean;
  /** Whether it lets sessions in at all. */
  readonly open: boolean;
  readonly comment: string | undefined;
  /** Undefined when the privileges are the default ones. */
  readonly privileges: readonly Privilege[] | undefined;
  readonly settings: readonly Setting[];
  readonly securityLabels: number;
  /** Bytes; undefined when the role may not ask. */
  readonly size: number | undefined;
  readonly connections: readonly Connections[];
  /** What the server would refuse to drop it for, each with its names. */
  readonly slots: readonly string[];
  readonly subscriptions: readonly string[];
  readonly preparedTransactions: readonly string[];
  /** Processes that back it up or migrate it, as the lock that both take tells. */
  readonly busy: readonly string[];
}

/** One privilege on the database. */
export interface Privilege {
  readonly grantor: string;
  /** Undefined stands for PUBLIC. */
  readonly grantee: string | undefined;
  readonly privilege: string;
  readonly grantable: boolean;
}

/** A setting of the database, or of one role in it. */
export interface Setting {
  readonly role: string | undefined;
  readonly name: string;
  readonly value: string;
}

/** Sessions of one program and role. */
export interface Connections {
  readonly program: string;
  readonly role: string;
  readonly count: number;
}

/** What the own role and server allow. */
export interface Rights {
  readonly user: string;
  readonly superuser: boolean;
  readonly mayCreate: boolean;
  /** Whether the role owns the database, or is a member of its owner. */
  readonly owns: boolean;
  readonly standby: boolean;
  /** Such as 150018. */
  readonly serverVersion: number;
}

// Columns differ from version to version; as JSON they are there or not. Names are told by the
// server, since an OID may have become nobody's.
const DATABASE = `
  SELECT pg_catalog.to_jsonb(d)::text AS row, pg_catalog.pg_get_userbyid(d.datdba)::text AS owner,
    pg_catalog.pg_encoding_to_char(d.encoding)::text AS encoding, t.spcname::text AS tablespace,
    pg_catalog.shobj_description(d.oid, 'pg_database') AS comment,
    d.datacl IS NOT NULL AS has_acl,
    (SELECT count(*)::int FROM pg_catalog.pg_shseclabel l
      WHERE l.objoid = d.oid AND l.classoid = 'pg_catalog.pg_database'::regclass) AS labels,
    pg_catalog.has_database_privilege(d.oid, 'CONNECT')
      OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AS sizable
  FROM pg_catalog.pg_database d JOIN pg_catalog.pg_tablespace t ON t.oid = d.dattablespace
  WHERE d.datname = $1`;

const PRIVILEGES = `
  SELECT pg_catalog.pg_get_userbyid(a.grantor)::text AS grantor,
    CASE WHEN a.grantee = 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(a.grantee)::text END AS grantee,
    a.privilege_type::text AS privilege, a.is_grantable AS grantable
  FROM pg_catalog.pg_database d, LATERAL pg_catalog.aclexplode(d.datacl) a WHERE d.datname = $1`;

const SETTINGS = `
  SELECT CASE WHEN s.setrole = 0 THEN NULL ELSE pg_catalog.pg_get_userbyid(s.setrole)::text END AS role,
    split_part(c.item, '=', 1) AS name, substring(c.item FROM position('=' IN c.item) + 1) AS value
  FROM pg_catalog.pg_db_role_setting s JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase,
    LATERAL unnest(s.setconfig) WITH ORDINALITY AS c(item, nr)
  WHERE d.datname = $1 ORDER BY s.setrole, c.nr`;

const CONNECTIONS = `
  SELECT coalesce(nullif(application_name, ''), backend_type, 'a program without a name') AS program,
    coalesce(usename::text, '') AS role, count(*)::int AS count
  FROM pg_catalog.pg_stat_activity WHERE datname = $1 AND pid <> pg_catalog.pg_backend_pid()
  GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2`;

/** Describes a database; undefined when there is none of that name. */
export async function inspectDatabase(
  session: Session,
  name: string,
): Promise<DatabaseFacts | undefined> {
  const { rows: [found] } = await session.query<
    {
      row: string;
      owner: string;
      encoding: string;
      tablespace: string;
      comment: string | null;
      has_acl: boolean;
      labels: number;
      sizable: boolean;
    }
  >(DATABASE, [name]);
  if (found === undefined) return undefined;
  const row: Record<string, unknown> = JSON.parse(found.row);
  const text = (column: string) => typeof row[column] === "string" ? row[column] : undefined;
  const names = async (sql: string) =>
    (await session.query<{ name: string }>(sql, [name])).rows.map((each) => each.name);
  const { rows: privileges } = await session.query<
    { grantor: string; grantee: string | null; privilege: string; grantable: boolean }
  >(PRIVILEGES, [name]);
  const { rows: settings } = await session.query<
    { role: string | null; name: string; value: string }
  >(SETTINGS, [name]);
  const { rows: connections } = await session.query<Connections>(CONNECTIONS, [name]);
  return {
    name,
    owner: found.owner,
    encoding: found.encoding,
    collate: text("datcollate") ?? "",
    ctype: text("datctype") ?? "",
    provider: text("datlocprovider"),
    locale: text("datlocale") ?? text("daticulocale"),
    icuRules: text("daticurules"),
    tablespace: found.tablespace,
    connectionLimit: Number(row["datconnlimit"]),
    isTemplate: row["datistemplate"] === true,
    open: row["datallowconn"] === true,
    comment: found.comment ?? undefined,
    privileges: found.has_acl
      ? privileges.map((each) => ({ ...each, grantee: each.grantee ?? undefined }))
      : undefined,
    settings: settings.map((each) => ({ ...each, role: each.role ?? undefined })),
    securityLabels: found.labels,
    size: found.sizable ? await sizeOf(session, name) : undefined,
    connections,
    slots: await names(
      "SELECT slot_name::text AS name FROM pg_catalog.pg_replication_slots WHERE database = $1",
    ),
    // The catalogue of subscriptions is shared; who may not read all of it may read these columns.
    subscriptions: await names(
      `SELECT s.subname::text AS name FROM pg_catalog.pg_subscription s
         JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = $1`,
    ),
    preparedTransactions: await names(
      "SELECT gid AS name FROM pg_catalog.pg_prepared_xacts WHERE database = $1",
    ),
    busy: await busyWith(session, name),
  };
}

async function busyWith(session: Session, name: string): Promise<string[]> {
  const { rows } = await session.query<{ pid: number; program: string }>(
    `SELECT l.pid, coalesce(a.application_name, '') AS program
       FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database
         LEFT JOIN pg_catalog.pg_stat_activity a USING (pid)
      WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND d.datname = $1
        AND l.classid::bigint = ($2::bigint >> 32) & 4294967295
        AND l.objid::bigint = $2::bigint & 4294967295`,
    [name, BACKUP_LOCK_KEY],
  );
  return rows.map(({ pid, program }) => `process ${pid} ("${program}")`);
}

async function sizeOf(session: Session, name: string): Promise<number> {
  const { rows: [row] } = await session.query<{ size: bigint }>(
    "SELECT pg_catalog.pg_database_size($1) AS size",
    [name],
  );
  return Number(row?.size ?? 0);
}

/** Asks what the own role may do with a database. */
export async function inspectRights(session: Session, name: string): Promise<Rights> {
  const { rows: [row] } = await session.query<
    {
      name: string;
      superuser: boolean;
      create: boolean;
      owns: boolean;
      standby: boolean;
      version: number;
    }
  >(
    `SELECT r.rolname::text AS name, r.rolsuper AS superuser, r.rolcreatedb AS create,
       coalesce((SELECT pg_catalog.pg_has_role(d.datdba, 'USAGE') FROM pg_catalog.pg_database d
         WHERE d.datname = $1), true) AS owns,
       pg_catalog.pg_is_in_recovery() AS standby,
       pg_catalog.current_setting('server_version_num')::int AS version
     FROM pg_catalog.pg_roles r WHERE r.rolname = current_user`,
    [name],
  );
  return {
    user: row?.name ?? "",
    superuser: row?.superuser ?? false,
    mayCreate: row?.superuser === true || row?.create === true,
    owns: row?.owns ?? false,
    standby: row?.standby ?? false,
    serverVersion: row?.version ?? 0,
  };
}
