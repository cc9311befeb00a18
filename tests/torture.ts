/**
 * A database with everything in it that breaks restores: objects that need each other in an odd
 * order, names that need care, values at the ends of their types. Extensions of PostgreSQL's own
 * contrib modules are needed.
 */
import { freshDatabase, sharedServer, type TestDatabase, uniqueName } from "./database.ts";
import type { ServerAddress } from "../tasks/server.ts";
import { quoted, type TortureRoles } from "./torture_names.ts";
import { FUNCTIONS, LATER, rights, VIEWS } from "./torture_programs.ts";
import { ROWS } from "./torture_rows.ts";
import { tables, TYPES } from "./torture_tables.ts";

/** Roles that are removed at the end, after the databases in which they own anything. */
export interface OwnRoles extends AsyncDisposable {
  readonly roles: TortureRoles;
}

/**
 * Makes the roles that the schema speaks of.
 *
 * @param names of another server, where they are to be the same
 */
export async function tortureRoles(
  { server: given, names }: { readonly server?: ServerAddress; readonly names?: TortureRoles } = {},
): Promise<OwnRoles> {
  const server = given ?? await sharedServer();
  const unique = uniqueName("torture");
  const roles = names ?? {
    owner: `${unique}_owner`,
    reader: `${unique}_reader`,
    odd: `${unique}"; -- 😀 x`,
  };
  await using admin = await freshDatabase({ server, prefix: "roles" });
  for (const role of Object.values(roles)) await admin.query(`CREATE ROLE ${quoted(role)}`);
  return {
    roles,
    async [Symbol.asyncDispose]() {
      await using last = await freshDatabase({ server, prefix: "roles" });
      await last.query(`DROP ROLE ${Object.values(roles).map(quoted).join(", ")}`);
    },
  };
}

/** A database with the torture schema. */
export interface TortureDatabase extends TestDatabase {
  readonly roles: TortureRoles;
}

/** Makes one, with roles of its own unless some are given. */
export async function tortureDatabase(
  { server: given, roles: names }: {
    readonly server?: ServerAddress;
    /** Those that are there already. */
    readonly roles?: TortureRoles;
  } = {},
): Promise<TortureDatabase> {
  const server = given ?? await sharedServer();
  const own = names === undefined ? await tortureRoles({ server }) : undefined;
  const roles = names ?? own?.roles ?? { owner: "", reader: "", odd: "" };
  const database = await freshDatabase({ server, prefix: "torture" });
  async function drop(): Promise<void> {
    await database.drop();
    await own?.[Symbol.asyncDispose]();
  }
  try {
    await database.query("CREATE EXTENSION btree_gist");
    for (const sql of tortureSql(roles, server.version)) await database.query(sql);
  } catch (error) {
    await drop();
    throw error;
  }
  return { ...database, roles, drop, [Symbol.asyncDispose]: drop };
}

/** The statements, in the order in which they have to be run. */
export function tortureSql(roles: TortureRoles, version: number): string[] {
  const later = Object.entries(LATER).filter(([major]) => version >= Number(major));
  return [
    TYPES,
    tables(roles),
    FUNCTIONS,
    ROWS,
    ...later.map(([, sql]) => sql),
    VIEWS,
    rights(roles),
    "REFRESH MATERIALIZED VIEW z_moods",
    "REFRESH MATERIALIZED VIEW a_moods",
  ];
}

/** So many small tables, each with a key, an index, rows and a comment; every other one refers to the first. */
export function many(tables: number): string {
  return `DO $$ BEGIN FOR i IN 1..${tables} LOOP
    EXECUTE format('CREATE TABLE many_%s (id int PRIMARY KEY, note text, first int)', i);
    EXECUTE format('INSERT INTO many_%s SELECT n, ''row '' || n, 1 FROM generate_series(1, %s) n', i, i % 7 + 1);
    EXECUTE format('CREATE INDEX ON many_%s (note)', i);
    EXECUTE format('COMMENT ON TABLE many_%s IS ''table %s''', i, i);
    IF i % 2 = 0 THEN EXECUTE format('ALTER TABLE many_%s ADD FOREIGN KEY (first) REFERENCES many_1', i); END IF;
  END LOOP; END $$`;
}

/** One table of about so many bytes, half noise and half text, with a key. */
export function big(bytes: number): string {
  // 100 bytes of columns, and what a row has beside them.
  const rows = Math.ceil(bytes / 130);
  return `CREATE TABLE big AS SELECT i::bigint AS id, md5(i::text) || md5((-i)::text) AS noise,
      'the text of row ' || i % 1000 AS note FROM generate_series(1, ${rows}) i;
    ALTER TABLE big ADD PRIMARY KEY (id)`;
}
