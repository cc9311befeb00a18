/**
 * Tells what stands against an upgrade to a later major version of PostgreSQL, in place with
 * pg_upgrade or by logical replication. Whatever it finds is a problem, and the exit code 3.
 *
 * Copy this file into your plugins directory and run `observatory pg-upgrade-check` for each
 * database of the server. It is no substitute for `pg_upgrade --check`, which needs the new server.
 */
import { command, definePlugin } from "observatory";

type Method = "pg_upgrade" | "logical";

/** A look for one thing. */
interface Check {
  readonly name: string;
  /** The only way of upgrading that it stands against; else both. */
  readonly method?: Method;
  /** Gives one column, `subject`. */
  readonly sql: string;
  readonly remedy: string;
}

const USERS_OWN =
  "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^(pg_toast|_timescaledb)'";
const CLASSES = "pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";
const TABLE = "pg_catalog.format('%I.%I', n.nspname, c.relname)";

const CHECKS: readonly Check[] = [
  {
    name: "prepared transactions",
    method: "pg_upgrade",
    sql:
      "SELECT pg_catalog.format('%s in %I', gid, database) AS subject FROM pg_catalog.pg_prepared_xacts",
    remedy: "COMMIT PREPARED or ROLLBACK PREPARED it",
  },
  {
    name: "replication slots",
    method: "pg_upgrade",
    sql: `SELECT pg_catalog.format('%I (%s)', slot_name, slot_type) AS subject
      FROM pg_catalog.pg_replication_slots
      WHERE slot_type = 'physical' OR pg_catalog.current_setting('server_version_num')::int < 170000`,
    remedy: "It is lost in the upgrade: drop it, and make it anew for its reader afterwards",
  },
  {
    name: "databases without connections",
    method: "pg_upgrade",
    sql: `SELECT datname::text AS subject FROM pg_catalog.pg_database
      WHERE NOT datallowconn AND datname <> 'template0'`,
    remedy: "ALTER DATABASE … ALLOW_CONNECTIONS true, or drop it",
  },
  {
    name: "columns of types whose stored form does not carry over",
    method: "pg_upgrade",
    sql:
      `SELECT ${TABLE} || '.' || pg_catalog.quote_ident(attname) || ' ' || base.typname AS subject
      FROM ${CLASSES} JOIN pg_catalog.pg_attribute ON attrelid = c.oid AND attnum > 0 AND NOT attisdropped
        JOIN pg_catalog.pg_type t ON t.oid = atttypid
        JOIN pg_catalog.pg_type base
          ON base.oid = coalesce(nullif(t.typbasetype, 0), nullif(t.typelem, 0), t.oid)
        JOIN pg_catalog.pg_namespace bn ON bn.oid = base.typnamespace AND bn.nspname = 'pg_catalog'
      WHERE c.relkind IN ('r', 'm', 'i') AND ${USERS_OWN}
        AND (base.typname IN ('regcollation', 'regconfig', 'regdictionary', 'regnamespace',
            'regoper', 'regoperator', 'regproc', 'regprocedure')
          OR base.typname = 'aclitem'
            AND pg_catalog.current_setting('server_version_num')::int < 160000)`,
    remedy: "Change the column's type to text for the upgrade",
  },
  {
    name: "tables made WITH OIDS",
    // The column is there up to version 11 only.
    sql: `SELECT ${TABLE} AS subject FROM ${CLASSES}
      WHERE pg_catalog.to_jsonb(c) ->> 'relhasoids' = 'true' AND ${USERS_OWN}`,
    remedy: "ALTER TABLE … SET WITHOUT OIDS",
  },
  {
    name: "extensions that are behind their files",
    sql:
      `SELECT pg_catalog.format('%I %s, the server has %s', name, installed_version, default_version)
        AS subject FROM pg_catalog.pg_available_extensions
      WHERE installed_version IS NOT NULL AND installed_version <> default_version`,
    remedy: "ALTER EXTENSION … UPDATE before the upgrade, so that the new server knows the version",
  },
  {
    name: "libraries of functions outside extensions",
    sql: `SELECT DISTINCT probin AS subject FROM pg_catalog.pg_proc
        JOIN pg_catalog.pg_language l ON l.oid = prolang AND lanname = 'c'
      WHERE pg_proc.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend
        WHERE classid = 'pg_catalog.pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e')`,
    remedy: "Install it for the new server too, or drop the functions",
  },
  {
    name: "collations that have changed under the indexes",
    sql: `SELECT pg_catalog.format('the database: made with %s, the system has %s', datcollversion,
        pg_catalog.pg_database_collation_actual_version(oid)) AS subject
      FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()
        AND datcollversion <> pg_catalog.pg_database_collation_actual_version(oid)
      UNION ALL
      SELECT pg_catalog.format('%I: made with %s, the system has %s', collname, collversion,
        pg_catalog.pg_collation_actual_version(oid)) FROM pg_catalog.pg_collation
      WHERE collversion <> pg_catalog.pg_collation_actual_version(oid)`,
    remedy: "REINDEX what depends on it, then ALTER … REFRESH COLLATION VERSION",
  },
  {
    name: "invalid indexes",
    sql: `SELECT ${TABLE} AS subject FROM ${CLASSES} JOIN pg_catalog.pg_index ON indexrelid = c.oid
      WHERE NOT indisvalid AND c.relkind = 'i'`,
    remedy: "REINDEX INDEX CONCURRENTLY, or drop it",
  },
  {
    name: "tables without a key to replicate by",
    method: "logical",
    sql: `SELECT ${TABLE} AS subject FROM ${CLASSES}
      WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND ${USERS_OWN}
        AND (c.relreplident = 'n' OR c.relreplident = 'd' AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_index WHERE indrelid = c.oid AND indisprimary))`,
    remedy: "Add a primary key, or ALTER TABLE … REPLICA IDENTITY",
  },
  {
    name: "unlogged tables",
    method: "logical",
    sql:
      `SELECT ${TABLE} AS subject FROM ${CLASSES} WHERE c.relkind = 'r' AND c.relpersistence = 'u' AND ${USERS_OWN}`,
    remedy: "It is not replicated: ALTER TABLE … SET LOGGED, or copy it by itself",
  },
  {
    name: "large objects",
    method: "logical",
    sql: `SELECT pg_catalog.format('%s of them', count(*)) AS subject
      FROM pg_catalog.pg_largeobject_metadata HAVING count(*) > 0`,
    remedy: "They are not replicated: copy them by themselves",
  },
];

interface Finding {
  readonly check: string;
  readonly subject: string;
  readonly remedy: string;
}

interface Extension {
  readonly name: string;
  readonly version: string;
}

function textOf(extensions: readonly Extension[], findings: readonly Finding[]): string {
  const needed = extensions.map(({ name, version }) => `${name} ${version}`).join(", ");
  return [
    `The new server has to offer these extensions: ${needed || "none"}`,
    ...findings.map(({ check, subject, remedy }) => `${check}: ${subject}\n  ${remedy}`),
    findings.length === 0 ? "Nothing was found" : `${findings.length} found`,
  ].join("\n");
}

export default definePlugin({
  name: "pg-upgrade-check",
  api: 1,
  summary: "Look ahead to the next major version",
  commands: {
    "pg-upgrade-check": command({
      summary: "Tell what stands against an upgrade of PostgreSQL",
      examples: [
        { line: "observatory pg-upgrade-check", note: "Whichever way is taken" },
        { line: "observatory pg-upgrade-check --method logical", note: "By logical replication" },
      ],
      effect: "read",
      flags: {
        method: {
          type: "string",
          help: "Only what matters for this way; by default both",
          choices: ["pg_upgrade", "logical"],
        },
      },
      async run(ctx, { flags }) {
        const { rows: extensions } = await ctx.db.query<Extension>(
          "SELECT extname::text AS name, extversion AS version FROM pg_catalog.pg_extension ORDER BY 1",
        );
        const wanted = CHECKS.filter(({ method }) =>
          method === undefined || flags.method === undefined || method === flags.method
        );
        const findings: Finding[] = [];
        for (const { name, sql, remedy } of wanted) {
          const { rows } = await ctx.db.query<{ subject: string }>(`${sql} ORDER BY subject`);
          findings.push(...rows.map(({ subject }) => ({ check: name, subject, remedy })));
        }
        return {
          data: { extensions, findings },
          text: textOf(extensions, findings),
          problems: findings.map(({ check, subject }) => `${check}: ${subject}`),
        };
      },
    }),
  },
});
