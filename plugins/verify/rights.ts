/** What the role may do, against what the operations need. */
import { identifier } from "../sql/names.ts";
import { type Check, type Finding, type Server } from "./check.ts";

/** The rights as the server tells them. */
export interface Rights {
  readonly role: string;
  readonly superuser: boolean;
  readonly createdb: boolean;
  readonly signal: boolean;
  readonly database: string;
  readonly owner: boolean;
  readonly create_in_database: boolean;
  /** Where tables without a schema in their name are made; null when `search_path` leads nowhere. */
  readonly schema: string | null;
  readonly create_in_schema: boolean | null;
  /** Whether the history of migrations may be written; null when there is none. */
  readonly history: boolean | null;
  /** Whether the tool's own schema may be written; null when there is none. */
  readonly state: boolean | null;
}

/** Tables that a dump could not read. */
export interface Unreadable {
  /** Up to five. */
  readonly names: readonly string[];
  readonly total: number;
}

/** The tables that stand in a backup's way. */
export interface Tables {
  /** Without the right to read them. */
  readonly closed: Unreadable;
  /** With policies that hide rows from the role. */
  readonly filtered: Unreadable;
}

/** What else the rights are judged by. */
export interface RightsFacts {
  readonly tables: Tables;
  /** The server's. */
  readonly major: number;
}

const RIGHTS = `
SELECT rolname::text AS role, rolsuper AS superuser, rolcreatedb AS createdb,
  pg_has_role('pg_signal_backend', 'USAGE') AS signal,
  datname::text AS database, pg_has_role(datdba, 'USAGE') AS owner,
  has_database_privilege(pg_database.oid, 'CREATE') AS create_in_database,
  current_schema()::text AS schema,
  has_schema_privilege(current_schema()::text, 'CREATE') AS create_in_schema,
  has_table_privilege(to_regclass('_sqlx_migrations'), 'SELECT')
    AND has_table_privilege(to_regclass('_sqlx_migrations'), 'INSERT')
    AND has_table_privilege(to_regclass('_sqlx_migrations'), 'UPDATE')
    AND has_table_privilege(to_regclass('_sqlx_migrations'), 'DELETE') AS history,
  has_schema_privilege(to_regnamespace('observatory')::oid, 'USAGE')
    AND has_schema_privilege(to_regnamespace('observatory')::oid, 'CREATE') AS state
FROM pg_roles, pg_database
WHERE rolname = current_user AND datname = current_database()`;

/** What pg_dump reads: the rows of tables, and the state of sequences; extensions' own are left out. */
const TABLES = `
WITH read AS (
  SELECT format('%I.%I', nspname, relname) AS name,
    NOT (has_schema_privilege(pg_namespace.oid, 'USAGE')
      AND has_table_privilege(pg_class.oid, 'SELECT')) AS closed,
    row_security_active(pg_class.oid) AS filtered
  FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
  WHERE relkind IN ('r', 'p', 'S') AND relpersistence <> 't'
    AND nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'observatory')
    AND NOT EXISTS (SELECT FROM pg_depend
      WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e')
), found AS (
  SELECT name, closed, row_number() OVER (PARTITION BY closed ORDER BY name) AS place,
    count(*) OVER (PARTITION BY closed) AS total
  FROM read WHERE closed OR filtered
)
SELECT name, closed, total::int AS total FROM found WHERE place <= 5 ORDER BY name`;

/** What the role may do. */
export const rights: Check = {
  needs: "server",
  async run({ session, inTarget, context, major }: Server) {
    const { rows: [row] } = await session.query<Rights>(RIGHTS);
    if (row === undefined) return { status: "skipped", message: "The server told nothing" };
    if (!inTarget) return judgeCreator(row, context.db.target.database);
    if (row.superuser) return judgeRights(row, { tables: { closed: NONE, filtered: NONE }, major });
    const { rows } = await session.query<{ name: string; closed: boolean; total: number }>(TABLES);
    const gathered = (closed: boolean): Unreadable => {
      const some = rows.filter((each) => each.closed === closed);
      return { names: some.map(({ name }) => name), total: some[0]?.total ?? 0 };
    };
    const tables = { closed: gathered(true), filtered: gathered(false) };
    return judgeRights(row, { tables, major });
  },
};

const NONE: Unreadable = { names: [], total: 0 };

/** A right that is missing. */
interface Lack {
  /** The operation that needs it. */
  readonly operation: "migrate" | "seed" | "backup" | "reset";
  /** What for, where the grant does not tell. */
  readonly why?: string;
  /** SQL that grants it. */
  readonly grant: string;
}

/** Judges the rights in a database that is there. */
export function judgeRights(row: Rights, { tables, major }: RightsFacts): Finding {
  const { role, superuser } = row;
  if (superuser) {
    return { status: "ok", message: `Role "${role}" is a superuser`, details: { ...row } };
  }
  const lacks = [
    ...lacksOfMigrate(row),
    ...lacksOfState(row),
    ...lacksOfBackup(row, { tables, major }),
    ...lacksOfReset(row),
  ];
  const details = { ...row, lacks };
  if (lacks.length === 0) {
    return {
      status: "ok",
      message: `Role "${role}" has the rights that all operations need`,
      details,
    };
  }
  const operations = [...new Set(lacks.map(({ operation }) => operation))];
  return {
    status: "warning",
    message: `Role "${role}" lacks rights that ${operations.join(", ")} may need`,
    remedy: [
      "As a superuser, for the operations that it is to run:",
      ...lacks.map(({ grant, operation, why }) =>
        `${grant} -- ${operation}${why === undefined ? "" : `: ${why}`}`
      ),
    ].join("\n"),
    details,
  };
}

function lacksOfMigrate(row: Rights): Lack[] {
  const role = identifier(row.role);
  const lacks: Lack[] = [];
  if (row.schema === null) {
    lacks.push({
      operation: "migrate",
      why: "search_path leads to no schema",
      grant: `GRANT USAGE, CREATE ON SCHEMA public TO ${role};`,
    });
  } else if (row.create_in_schema === false) {
    lacks.push({
      operation: "migrate",
      grant: `GRANT CREATE ON SCHEMA ${identifier(row.schema)} TO ${role};`,
    });
  }
  if (row.history === false) {
    lacks.push({
      operation: "migrate",
      grant: `GRANT SELECT, INSERT, UPDATE, DELETE ON _sqlx_migrations TO ${role};`,
    });
  }
  return lacks;
}

/** The tool keeps its own state in a schema of its own, which it makes when it first needs it. */
function lacksOfState(row: Rights): Lack[] {
  const role = identifier(row.role);
  if (row.state === false) {
    return [{
      operation: "seed",
      grant: `GRANT USAGE, CREATE ON SCHEMA observatory TO ${role};`,
    }];
  }
  if (row.state === true || row.create_in_database) return [];
  return [{
    operation: "seed",
    why: "makes schema observatory",
    grant: `GRANT CREATE ON DATABASE ${identifier(row.database)} TO ${role};`,
  }];
}

function lacksOfReset(row: Rights): Lack[] {
  const operation = "reset";
  const role = identifier(row.role);
  const lacks: Lack[] = [];
  if (!row.createdb) lacks.push({ operation, grant: `ALTER ROLE ${role} CREATEDB;` });
  if (!row.owner) {
    lacks.push({
      operation,
      grant: `ALTER DATABASE ${identifier(row.database)} OWNER TO ${role};`,
    });
  }
  if (!row.signal) {
    lacks.push({
      operation,
      why: "ends other roles' sessions",
      grant: `GRANT pg_signal_backend TO ${role};`,
    });
  }
  return lacks;
}

/** The major that brought the role pg_read_all_data. */
const READ_ALL_SINCE = 14;

function lacksOfBackup(row: Rights, { tables, major }: RightsFacts): Lack[] {
  const operation = "backup";
  const { closed, filtered } = tables;
  const role = identifier(row.role);
  const lacks: Lack[] = [];
  if (closed.total > 0) {
    lacks.push({
      operation,
      why: `cannot read ${named(closed)}`,
      grant: major >= READ_ALL_SINCE
        ? `GRANT pg_read_all_data TO ${role};`
        : `GRANT SELECT ON ${closed.names.join(", ")} TO ${role};`,
    });
  }
  if (filtered.total > 0) {
    lacks.push({
      operation,
      why: `row security hides rows of ${named(filtered)}`,
      grant: `ALTER ROLE ${role} BYPASSRLS;`,
    });
  }
  return lacks;
}

/** Judges the rights where the database is yet to be made. */
export function judgeCreator({ role, superuser, createdb }: Rights, database: string): Finding {
  const details = { role, superuser, createdb };
  if (superuser || createdb) {
    return { status: "ok", message: `Role "${role}" may create database "${database}"`, details };
  }
  return {
    status: "warning",
    message: `Role "${role}" may not create database "${database}" (migrate)`,
    remedy: `As a superuser: CREATE DATABASE ${identifier(database)} OWNER ${identifier(role)};`,
    details,
  };
}

/** The first names, and how many more there are. */
function named({ names, total }: Unreadable): string {
  const more = total - names.length;
  return `${names.join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
