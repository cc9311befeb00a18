import assert from "assert";
import { startServer } from "../../tasks/server.ts";
import { BACKUP_LOCK_KEY } from "../../plugins/sql/lock_keys.ts";
import { temporaryName } from "../../plugins/reset/recreate.ts";
import { forEachServerVersion, openDatabase, sharedServer, uniqueName } from "../database.ts";
import { type MigrationProject, migrationProject, until } from "../migration_project.ts";

/** A project whose database is migrated and holds a row. */
async function filledProject(): Promise<MigrationProject> {
  const project = await migrationProject({
    files: {
      "migrations/1_items.sql": "CREATE TABLE items (id int PRIMARY KEY);",
      "seeds/base/10_items.csv": "id\n1\n2\n",
    },
  });
  const { exit, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 0, stderr);
  await project.database.query("INSERT INTO items VALUES (7)");
  return project;
}

/** A connection to another database of the same server. */
async function server() {
  return openDatabase(await sharedServer(), "postgres");
}

async function ids({ database }: MigrationProject): Promise<unknown[]> {
  return (await database.query<{ id: number }>("SELECT id FROM items ORDER BY id"))
    .map(({ id }) => id);
}

/** What identifies a database: another one of the same name has another. */
async function oidOf({ database }: MigrationProject): Promise<unknown> {
  const [row] = await (await server()).query(
    "SELECT oid::text FROM pg_database WHERE datname = $1",
    [database.name],
  );
  return row?.["oid"];
}

Deno.test("reset: drops, creates, migrates and seeds, and tells each step", async () => {
  await using project = await filledProject();
  const before = await oidOf(project);
  const { exit, stdout, stderr } = await project.run(["reset", "--force"]);
  assert.equal(exit, 0, stderr);
  assert.notEqual(await oidOf(project), before);
  assert.deepEqual(await ids(project), [1, 2]);
  const { name, host, port } = project.database;
  assert.match(
    stderr,
    new RegExp(`Reset of database "${name}" \\(\\d.* [kM]B\\) on ${host}:${port}`),
  );
  const steps = [
    "1. Terminate",
    "2. Drop",
    "3. Create it again",
    "4. Apply 1 migration",
    "5. Load",
  ];
  for (const step of steps) assert.ok(stderr.includes(`\n  ${step}`), step);
  assert.match(
    stderr,
    /\[SUCCESS\] Database reset completed successfully\n\[INFO\] Audit: reset of [^\n]*\n$/,
  );
  assert.match(stdout, /^Applied 1 items/);
});

Deno.test("reset: --no-seed leaves the tables empty", async () => {
  await using project = await filledProject();
  const { exit, stderr } = await project.run(["reset", "--force", "--no-seed"]);
  assert.equal(exit, 0, stderr);
  assert.deepEqual(await ids(project), []);
});

Deno.test("reset: without a confirmation nothing is touched, and the line that confirms is told", async () => {
  await using project = await filledProject();
  const before = await oidOf(project);
  const { exit, stderr } = await project.run(["reset", "--no-seed"]);
  assert.equal(exit, 4);
  assert.match(
    stderr,
    new RegExp(`observatory reset --no-seed --confirm ${project.database.name}\n$`),
  );
  assert.deepEqual([await oidOf(project), await ids(project)], [before, [7]]);
});

Deno.test("reset: in production --force alone does not suffice, the name does", async () => {
  await using project = await filledProject();
  const env = { ENVIRONMENT: "production" };
  const forced = await project.run(["reset", "--force"], { env });
  assert.equal(forced.exit, 4);
  assert.deepEqual(await ids(project), [7]);
  const wrong = await project.run(["reset", "--force", "--confirm", "other"], { env });
  assert.equal(wrong.exit, 4);
  assert.deepEqual(await ids(project), [7]);
  const { name } = project.database;
  const right = await project.run(["reset", "--no-seed", "--confirm", name], { env });
  assert.equal(right.exit, 0, right.stderr);
  assert.deepEqual(await ids(project), []);
});

Deno.test("reset: on a terminal the database's name must be typed", async () => {
  await using project = await filledProject();
  const typing = (line: string) =>
    project.run(["reset", "--no-seed", "--quiet"], {
      host: (host) => ({ ...host, interactive: true, readLine: () => Promise.resolve(line) }),
    });
  const refused = await typing("yes");
  assert.equal(refused.exit, 4);
  // Who is asked sees what would be done, even under --quiet.
  assert.match(refused.stderr, /ALL ITS DATA IS LOST[\s\S]*Type the database's name to go on: /);
  assert.deepEqual(await ids(project), [7]);
  const passed = await typing(project.database.name);
  assert.equal(passed.exit, 0, passed.stderr);
  assert.deepEqual(await ids(project), []);
});

Deno.test("reset: --dry-run shows the plan and changes nothing", async () => {
  await using project = await filledProject();
  const before = await oidOf(project);
  const { exit, stdout, stderr } = await project.run(["reset", "--dry-run", "--json"]);
  assert.equal(exit, 0, stderr);
  assert.match(stderr, /ALL ITS DATA IS LOST/);
  const { data } = JSON.parse(stdout);
  assert.deepEqual([data.database, data.reset, data.existed], [project.database.name, false, true]);
  assert.deepEqual([await oidOf(project), await ids(project)], [before, [7]]);
});

Deno.test("reset: an absent database is made", async () => {
  await using project = await migrationProject({
    withoutDatabase: true,
    files: { "migrations/1_items.sql": "CREATE TABLE items (id int);" },
  });
  const { exit, stderr } = await project.run(["reset", "--force", "--no-seed"]);
  assert.equal(exit, 0, stderr);
  assert.match(stderr, /\(absent\)[\s\S]*Drop nothing: there is no such database/);
  assert.deepEqual(await ids(project), []);
});

Deno.test("reset: sessions in the database are named, and ended", async () => {
  await using project = await filledProject();
  const client = await project.database.connect();
  const lost = new Promise((resolve) => client.on("error", resolve));
  await client.query("SET application_name = 'shop app'");
  await client.query("BEGIN; SELECT * FROM items");
  const { exit, stdout, stderr } = await project.run(["reset", "--force", "--no-seed", "--json"]);
  assert.equal(exit, 0, stderr);
  assert.match(stderr, /1\. Terminate 1 active connection: 1 × shop app as postgres\n/);
  assert.equal(JSON.parse(stdout).data.terminated_connections, 1);
  await lost;
});

const IDENTITY =
  `SELECT (to_jsonb(d) - 'oid' - 'datfrozenxid' - 'datminmxid' - 'datacl')::text AS row,
  (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(d.datacl) a) AS acl,
  shobj_description(d.oid, 'pg_database') AS comment,
  (SELECT array_agg(s.setrole::text || s.setconfig::text ORDER BY s.setrole)
    FROM pg_db_role_setting s WHERE s.setdatabase = d.oid) AS settings
  FROM pg_database d WHERE datname = $1`;

await forEachServerVersion(
  "reset: owner, encoding, locale, settings, privileges, limit and comment are as before",
  async (started) => {
    const name = `sh"op é`;
    const maintenance = openDatabase(started, "postgres");
    const version = Number(
      (await maintenance.query("SHOW server_version_num"))[0]
        ?.["server_version_num"],
    );
    const locale = version >= 170000
      ? "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
      : "LC_COLLATE 'C' LC_CTYPE 'C'";
    const quoted = `"sh""op é"`;
    for (
      const sql of [
        `CREATE ROLE app; CREATE ROLE reader; CREATE ROLE "odd ""role"`,
        `CREATE DATABASE ${quoted} OWNER app TEMPLATE template0 ENCODING 'UTF8' ${locale} CONNECTION LIMIT 50`,
        `REVOKE ALL ON DATABASE ${quoted} FROM PUBLIC;
         GRANT CONNECT, TEMPORARY ON DATABASE ${quoted} TO reader WITH GRANT OPTION;
         SET ROLE reader; GRANT CONNECT ON DATABASE ${quoted} TO "odd ""role"; RESET ROLE`,
        `ALTER DATABASE ${quoted} SET search_path = "$user", public, "we ird"`,
        `ALTER DATABASE ${quoted} SET work_mem = '65536kB'`,
        `ALTER DATABASE ${quoted} SET app.tenant = 'a, ''b'' \\ c'`,
        `ALTER ROLE reader IN DATABASE ${quoted} SET statement_timeout = '5min'`,
        `COMMENT ON DATABASE ${quoted} IS 'It''s the shop'`,
      ]
    ) await maintenance.query(sql);
    const identity = async () => await maintenance.query(IDENTITY, [name]);
    const before = await identity();
    assert.equal(before.length, 1);
    await using project = await migrationProject({
      withoutDatabase: true,
      files: { "migrations/1_items.sql": "CREATE TABLE public.items (id int);" },
    });
    const env = {
      DATABASE_URL: "",
      DB_HOST: started.host,
      DB_PORT: String(started.port),
      DB_NAME: name,
      DB_USER: "postgres",
    };
    const { exit, stderr } = await project.run(["reset", "--confirm", name, "--no-seed"], { env });
    assert.equal(exit, 0, stderr);
    assert.deepEqual(await identity(), before);
    const names = await maintenance.query(
      "SELECT 1 FROM pg_database WHERE datname ~ '^observatory_'",
    );
    assert.deepEqual(names, []);
  },
);

Deno.test("reset: what template1 holds is in the new database too", async () => {
  // The shared server's template belongs to everybody: a server of its own.
  await using started = await startServer();
  await openDatabase(started, "template1").query("CREATE TABLE from_template (id int)");
  await openDatabase(started, "postgres").query("CREATE DATABASE shop");
  await using project = await migrationProject({
    withoutDatabase: true,
    files: { "migrations/1_items.sql": "CREATE TABLE items (id int);" },
  });
  const env = { DATABASE_URL: started.url("shop") };
  const { exit, stderr } = await project.run(["reset", "--force", "--no-seed"], { env });
  assert.equal(exit, 0, stderr);
  assert.deepEqual(await openDatabase(started, "shop").query("SELECT * FROM from_template"), []);
});

// ---------------------------------------------------------------------------
// Refusals
// ---------------------------------------------------------------------------

Deno.test("reset: system databases and templates are refused, whatever confirms", async () => {
  await using project = await filledProject();
  const { host, port } = project.database;
  for (const name of ["postgres", "template0", "template1", "rdsadmin"]) {
    const env = { DATABASE_URL: `postgres://postgres@${host}:${port}/${name}` };
    for (const words of [["--force"], ["--confirm", name], ["--dry-run"]]) {
      const { exit, stderr } = await project.run(["reset", ...words], { env });
      assert.equal(exit, 4, stderr);
      assert.match(stderr, new RegExp(`"${name}" is a system database; nothing was changed`));
    }
  }
  const { name } = project.database;
  await (await server()).query(`ALTER DATABASE ${name} IS_TEMPLATE true`);
  try {
    const { exit, stderr } = await project.run(["reset", "--force"]);
    assert.equal(exit, 4, stderr);
    assert.match(stderr, /is a template; nothing was changed/);
    assert.deepEqual(await ids(project), [7]);
  } finally {
    await (await server()).query(`ALTER DATABASE ${name} IS_TEMPLATE false`);
  }
});

Deno.test("reset: a role that may not drop or create is refused, with all reasons", async () => {
  await using project = await filledProject();
  const role = uniqueName("role");
  await (await server()).query(`CREATE ROLE ${role} LOGIN`);
  try {
    const url = new URL(project.database.url);
    url.username = role;
    const { exit, stderr } = await project.run(["reset", "--force"], {
      env: { DATABASE_URL: url.href },
    });
    assert.equal(exit, 4, stderr);
    assert.match(
      stderr,
      new RegExp(`role "${role}" is not its owner, "postgres", and no member of it`),
    );
    assert.match(stderr, /may not create databases; nothing was changed/);
    assert.match(stderr, new RegExp(`ALTER ROLE "${role}" CREATEDB`));
    assert.deepEqual(await ids(project), [7]);
  } finally {
    await (await server()).query(`DROP ROLE ${role}`);
  }
});

Deno.test("reset: an owner who is no superuser can", async () => {
  const role = uniqueName("role");
  await (await server()).query(`CREATE ROLE ${role} LOGIN CREATEDB`);
  const project = await migrationProject({
    withoutDatabase: true,
    files: { "migrations/1_items.sql": "CREATE TABLE items (id int);" },
  });
  try {
    const url = new URL(project.database.url);
    url.username = role;
    const env = { DATABASE_URL: url.href };
    for (let time = 0; time < 2; time++) {
      const { exit, stderr } = await project.run(["reset", "--force", "--no-seed"], { env });
      assert.equal(exit, 0, stderr);
    }
    const [row] = await (await server()).query(
      "SELECT pg_get_userbyid(datdba)::text AS owner FROM pg_database WHERE datname = $1",
      [project.database.name],
    );
    assert.equal(row?.["owner"], role);
  } finally {
    await project[Symbol.asyncDispose]();
    await (await server()).query(`DROP ROLE ${role}`);
  }
});

Deno.test("reset: what the server would not drop is refused beforehand, by name", async () => {
  await using started = await startServer({
    settings: { wal_level: "logical", max_prepared_transactions: "2" },
  });
  await openDatabase(started, "postgres").query("CREATE DATABASE shop");
  const shop = openDatabase(started, "shop");
  await shop.query("CREATE TABLE kept (id int)");
  await shop.query("SELECT pg_create_logical_replication_slot('the_slot', 'pgoutput')");
  await shop.query("BEGIN; INSERT INTO kept VALUES (1); PREPARE TRANSACTION 'the_transaction'");
  await shop.query(
    "CREATE SUBSCRIPTION the_subscription CONNECTION 'dbname=other' PUBLICATION p WITH (connect = false)",
  );
  await using project = await migrationProject({
    withoutDatabase: true,
    files: { "migrations/1_items.sql": "CREATE TABLE items (id int);" },
  });
  const { exit, stderr } = await project.run(["reset", "--force", "--no-seed"], {
    env: { DATABASE_URL: started.url("shop") },
  });
  assert.equal(exit, 4, stderr);
  for (const name of ["the_slot", "the_transaction", "the_subscription"]) {
    assert.ok(stderr.includes(`"${name}"`), stderr);
  }
  assert.deepEqual(await shop.query("SELECT * FROM kept"), []);
});

Deno.test("reset: migration files that cannot be applied are refused before anything is lost", async () => {
  await using project = await filledProject();
  await project.write({ "migrations/2_bad.sql": "SELECT 'not closed" });
  const { exit, stderr } = await project.run(["reset", "--force"]);
  assert.equal(exit, 4, stderr);
  assert.match(stderr, /2_bad\.sql[\s\S]*nothing was changed/);
  assert.deepEqual(await ids(project), [7]);
  await project.remove("migrations/2_bad.sql", "migrations/1_items.sql", "migrations/.keep");
  await Deno.remove(`${project.directory}/migrations`);
  const missing = await project.run(["reset", "--force"]);
  assert.notEqual(missing.exit, 0);
  assert.deepEqual(await ids(project), [7]);
});

Deno.test("reset: a role that cannot be given what the old one had is told so, and the old one stands", async () => {
  await using project = await filledProject();
  const { name } = project.database;
  const temporary = temporaryName(name);
  await (await server()).query(
    `CREATE DATABASE ${temporary} TEMPLATE template0 STRATEGY file_copy`,
  );
  try {
    const { exit, stderr } = await project.run(["reset", "--force"]);
    assert.equal(exit, 4, stderr);
    assert.match(stderr, new RegExp(`a database "${temporary}" is in the way`));
    assert.deepEqual(await ids(project), [7]);
  } finally {
    await (await server()).query(`DROP DATABASE ${temporary}`);
  }
});

// ---------------------------------------------------------------------------
// Half-way
// ---------------------------------------------------------------------------

Deno.test("reset: a migration that fails leaves a state that is told, with the command that continues", async () => {
  await using project = await filledProject();
  await project.write({ "migrations/2_fails.sql": "SELECT 1/0;" });
  const { exit, stdout } = await project.run([
    "reset",
    "--force",
    "--env",
    "development",
    "--json",
  ]);
  assert.equal(exit, 1);
  const { error } = JSON.parse(stdout);
  assert.match(error.message, /2_fails\.sql:1:1: division by zero/);
  assert.match(error.excerpt, /is dropped and created anew; `observatory migrate status`/);
  assert.match(error.hint, /To go on: observatory migrate && observatory seed --env development$/);
  assert.equal(error.details.reset_step, "migrate");
  await project.write({ "migrations/2_fails.sql": "SELECT 1;" });
  const migrated = await project.run(["migrate"]);
  assert.equal(migrated.exit, 0, migrated.stderr);
  const seeded = await project.run(["seed", "--env", "development"]);
  assert.equal(seeded.exit, 0, seeded.stderr);
  assert.deepEqual(await ids(project), [1, 2]);
});

Deno.test("reset: seeds that fail leave a migrated database, with the command that continues", async () => {
  await using project = await filledProject();
  await project.write({ "seeds/base/20_items.sql": "INSERT INTO nowhere VALUES (1);" });
  const { exit, stderr } = await project.run(["reset", "--force"]);
  assert.equal(exit, 1);
  assert.match(
    stderr,
    /The reset was broken off: .* created anew and migrated; not all of its seeds are loaded/,
  );
  assert.match(stderr, /To go on: observatory seed\n/);
  assert.deepEqual(await ids(project), [1, 2]);
});

Deno.test("reset: a run that ended between drop and renaming is taken up", async () => {
  await using project = await filledProject();
  const { name } = project.database;
  const maintenance = await server();
  const temporary = temporaryName(name);
  await maintenance.query(`CREATE DATABASE ${temporary} TEMPLATE template0 STRATEGY file_copy`);
  await maintenance.query(
    `COMMENT ON DATABASE ${temporary} IS 'Made by observatory to replace ''${name}'' in a reset'`,
  );
  await maintenance.query(`ALTER DATABASE ${temporary} SET work_mem = '5MB'`);
  await maintenance.query(`DROP DATABASE ${name}`);
  const { exit, stderr } = await project.run(["reset", "--force", "--no-seed"]);
  assert.equal(exit, 0, stderr);
  assert.match(stderr, /Taking up the reset that was broken off/);
  assert.deepEqual(await ids(project), []);
  assert.deepEqual(await project.database.query("SHOW work_mem"), [{ work_mem: "5MB" }]);
  const left = await maintenance.query("SELECT 1 FROM pg_database WHERE datname = $1", [temporary]);
  assert.deepEqual(left, []);
});

Deno.test("reset: what a run that ended before the drop left is cleared away", async () => {
  await using project = await filledProject();
  const { name } = project.database;
  const maintenance = await server();
  const temporary = temporaryName(name);
  await maintenance.query(`CREATE DATABASE ${temporary} TEMPLATE template0 STRATEGY file_copy`);
  await maintenance.query(
    `COMMENT ON DATABASE ${temporary} IS 'Made by observatory to replace ''${name}'' in a reset'`,
  );
  const { exit, stderr } = await project.run(["reset", "--force", "--no-seed"]);
  assert.equal(exit, 0, stderr);
  assert.deepEqual(await ids(project), []);
});

Deno.test("reset: a signal in the middle tells the state and ends with 130", async () => {
  await using project = await filledProject();
  await project.write({ "migrations/2_slow.sql": "SELECT pg_sleep(60);" });
  const run = project.start(["reset", "--force"]);
  // Asked from another database: sessions in this one are ended.
  const maintenance = await server();
  await until(async () => {
    const rows = await maintenance.query(
      "SELECT 1 FROM pg_stat_activity WHERE datname = $1 AND query LIKE '%pg_sleep(60)%' AND state = 'active'",
      [project.database.name],
    );
    return rows.length > 0;
  });
  run.send("SIGINT");
  const { exit, stderr } = await run.ended;
  assert.equal(exit, 130);
  assert.match(
    stderr,
    /The reset was broken off: .* is dropped and created anew.*to go on: observatory migrate/,
  );
});

Deno.test("reset: a second one at the same time waits, or is locked out", async () => {
  await using project = await filledProject();
  await project.write({ "migrations/2_slow.sql": "SELECT pg_sleep(3);" });
  const first = project.start(["reset", "--force", "--no-seed"]);
  await until(() => Promise.resolve(first.stderr.includes("Running database migrations")));
  const second = await project.run(["reset", "--force", "--no-seed", "--lock-wait", "0"]);
  assert.equal(second.exit, 6, second.stderr);
  assert.match(
    second.stderr,
    /Cannot lock the reset of "[^"]+" within 0 s: the lock is held by process/,
  );
  const { exit, stderr } = await first.ended;
  assert.equal(exit, 0, stderr);
});

Deno.test("reset: --backup-first makes a backup before anything is dropped", async () => {
  await using project = await filledProject();
  const places = { env: { BACKUPS_DIR: `${project.directory}/backups` } };
  const { exit, stdout, stderr } = await project.run(
    ["reset", "--force", "--backup-first"],
    places,
  );
  assert.equal(exit, 0, stderr);
  assert.match(stderr, /\n {2}1\. Back it up to "\S*backups"\n {2}2\. Terminate/);
  assert.match(stdout, /_backup_\d{8}_\d{6}: full, custom/);
  const listed = await project.run(["backup", "list", "--json"], places);
  const [backup] = JSON.parse(listed.stdout).data.backups;
  assert.equal(backup.kind, "full");
  assert.deepEqual(await ids(project), [1, 2]);
});

Deno.test("reset: nothing is dropped when the backup before it fails", async () => {
  await using project = await filledProject();
  const before = await oidOf(project);
  const { exit, stderr } = await project.run(["reset", "--force", "--backup-first"], {
    env: { BACKUPS_DIR: "/dev/null/backups" },
  });
  assert.equal(exit, 1, stderr);
  assert.deepEqual([await oidOf(project), await ids(project)], [before, [7]]);
});

Deno.test("reset: a database that is being backed up or migrated is left alone", async () => {
  await using project = await filledProject();
  const before = await oidOf(project);
  const holder = await project.database.connect();
  await holder.query("SELECT pg_advisory_lock($1)", [String(BACKUP_LOCK_KEY)]);
  const { exit, stderr } = await project.run(["reset", "--force"]);
  await holder.end();
  assert.equal(exit, 6, stderr);
  assert.match(stderr, /it is being backed up or migrated by process \d+ \("observatory-tests"\)/);
  assert.deepEqual([await oidOf(project), await ids(project)], [before, [7]]);
});
