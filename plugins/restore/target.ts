/** The database that is restored into, and its server: what is there, and what it can take. */
import type { Context, Session } from "../../core/plugin.ts";
import {
  type DatabaseFacts,
  inspectDatabase,
  inspectRights,
  type Rights,
} from "../database/inspection.ts";
import { OWN_SCHEMA } from "./bookkeeping.ts";

/** A database as it is found before a restore. */
export interface Target {
  readonly database: string;
  /** Undefined when it is absent. */
  readonly facts: DatabaseFacts | undefined;
  readonly rights: Rights;
  /** Undefined when it is absent. */
  readonly contents: TargetContents | undefined;
  /** Names of all roles of the server, each with whether the own role may act for it. */
  readonly roles: ReadonlyMap<string, boolean>;
  /** Extensions that the server has the files of, with whether the own role may create them. */
  readonly extensions: ReadonlyMap<string, AvailableExtension>;
  readonly tablespaces: ReadonlySet<string>;
  /** How many locks one transaction may take at most, when nobody else takes any. */
  readonly locks: number;
  /** Where the server keeps its data; undefined where the role may not ask. */
  readonly dataDirectory: string | undefined;
  /** Whether it is reached on this machine. */
  readonly isLocal: boolean;
}

/** An extension that could be created. */
export interface AvailableExtension {
  readonly versions: ReadonlySet<string>;
  /** Whether any owner of a database may create it. */
  readonly trusted: boolean;
}

/** What a database holds. */
export interface TargetContents {
  /** Objects of users by kind and name, as `keyOf` makes them; members of extensions are none. */
  readonly objects: ReadonlySet<string>;
  readonly extensions: ReadonlyMap<string, string>;
  readonly largeObjects: number;
  /** The tool's own schema is no content of anybody's. */
  readonly isEmpty: boolean;
}

/** Names for objects that exclude each other: tables, views and indexes share theirs. */
export type ObjectSpace =
  | "schema"
  | "relation"
  | "type"
  | "routine"
  | "event trigger"
  | "publication"
  | "subscription";

/** What tells an object from all others of a database. */
export function keyOf(space: ObjectSpace, schema: string, name: string): string {
  return JSON.stringify([space, schema, name]);
}

// What belongs to an extension comes and goes with it.
const OBJECTS = `
  WITH member AS (SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'),
    own AS (SELECT oid, nspname FROM pg_catalog.pg_namespace
      WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
  SELECT 'schema' AS space, '' AS schema, nspname::text AS name FROM own
   WHERE nspname <> 'public'
     AND NOT EXISTS (SELECT FROM member WHERE classid = 'pg_namespace'::regclass AND objid = own.oid)
  UNION ALL SELECT 'relation', nspname::text, relname::text
    FROM pg_catalog.pg_class c JOIN own ON own.oid = relnamespace
   WHERE relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'i', 'I', 'c')
     AND NOT EXISTS (SELECT FROM member WHERE classid = 'pg_class'::regclass AND objid = c.oid)
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_index x JOIN member ON objid = x.indrelid
       WHERE x.indexrelid = c.oid AND classid = 'pg_class'::regclass)
  UNION ALL SELECT 'type', nspname::text, typname::text
    FROM pg_catalog.pg_type t JOIN own ON own.oid = typnamespace
   WHERE typtype IN ('d', 'e', 'r', 'b') AND typelem = 0
     AND NOT EXISTS (SELECT FROM member WHERE classid = 'pg_type'::regclass AND objid = t.oid)
  UNION ALL SELECT 'routine', nspname::text,
      proname || '(' || pg_catalog.oidvectortypes(proargtypes) || ')'
    FROM pg_catalog.pg_proc p JOIN own ON own.oid = pronamespace
   WHERE NOT EXISTS (SELECT FROM member WHERE classid = 'pg_proc'::regclass AND objid = p.oid)
  UNION ALL SELECT 'event trigger', '', evtname::text FROM pg_catalog.pg_event_trigger t
   WHERE NOT EXISTS
     (SELECT FROM member WHERE classid = 'pg_event_trigger'::regclass AND objid = t.oid)
  UNION ALL SELECT 'publication', '', pubname::text FROM pg_catalog.pg_publication`;

const ROLES = `
  SELECT rolname::text AS name, pg_catalog.pg_has_role(oid, 'MEMBER') AS acts
    FROM pg_catalog.pg_roles`;

const EXTENSIONS = `
  SELECT v.name::text AS name, v.version, v.superuser, v.trusted
    FROM pg_catalog.pg_available_extension_versions v`;

/** Looks at a database and its server; nothing is changed. */
export async function inspectTarget(ctx: Context, database: string): Promise<Target> {
  const session = await ctx.db.maintenance({ notices: "drop" });
  try {
    const rights = await inspectRights(session, database);
    const facts = await inspectDatabase(session, database);
    const { rows: roles } = await session.query<{ name: string; acts: boolean }>(ROLES);
    const { rows: spaces } = await session.query<{ name: string }>(
      "SELECT spcname::text AS name FROM pg_catalog.pg_tablespace",
    );
    return {
      database,
      facts,
      rights,
      contents: facts === undefined ? undefined : await inspectContents(ctx, database),
      roles: new Map(roles.map(({ name, acts }) => [name, acts])),
      extensions: await readExtensions(session),
      tablespaces: new Set(spaces.map(({ name }) => name)),
      ...await readSettings(session),
      isLocal: isLocal(ctx.db.target.host),
    };
  } finally {
    await session.close();
  }
}

function isLocal(host: string): boolean {
  return host.startsWith("/") || host === "localhost" || host === "::1" || host.startsWith("127.");
}

async function inspectContents(ctx: Context, database: string): Promise<TargetContents> {
  const session = await ctx.db.session({ database, notices: "drop" });
  try {
    const { rows: objects } = await session.query<
      { space: ObjectSpace; schema: string; name: string }
    >(OBJECTS);
    const { rows: extensions } = await session.query<{ name: string; version: string }>(
      "SELECT extname::text AS name, extversion AS version FROM pg_catalog.pg_extension",
    );
    const { rows: [large] } = await session.query<{ count: number }>(
      "SELECT count(*)::int AS count FROM pg_catalog.pg_largeobject_metadata",
    );
    const theirs = objects.filter(({ schema, name }) =>
      schema !== OWN_SCHEMA && !(schema === "" && name === OWN_SCHEMA)
    );
    return {
      objects: new Set(objects.map(({ space, schema, name }) => keyOf(space, schema, name))),
      extensions: new Map(extensions.map(({ name, version }) => [name, version])),
      largeObjects: large?.count ?? 0,
      isEmpty: theirs.length === 0 && (large?.count ?? 0) === 0,
    };
  } finally {
    await session.close();
  }
}

async function readExtensions(session: Session): Promise<Map<string, AvailableExtension>> {
  const { rows } = await session.query<
    { name: string; version: string; superuser: boolean; trusted: boolean }
  >(EXTENSIONS);
  const found = new Map<string, { versions: Set<string>; trusted: boolean }>();
  for (const { name, version, superuser, trusted } of rows) {
    const each = found.get(name) ?? { versions: new Set<string>(), trusted: false };
    each.versions.add(version);
    each.trusted ||= trusted || !superuser;
    found.set(name, each);
  }
  return found;
}

async function readSettings(
  session: Session,
): Promise<Pick<Target, "locks" | "dataDirectory">> {
  const { rows: [row] } = await session.query<{ locks: number; directory: string | null }>(
    `SELECT (current_setting('max_locks_per_transaction')::int *
         (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int))
         AS locks,
       CASE WHEN pg_catalog.pg_has_role('pg_read_all_settings', 'USAGE')
         THEN current_setting('data_directory') END AS directory`,
  );
  return { locks: row?.locks ?? 0, dataDirectory: row?.directory ?? undefined };
}
