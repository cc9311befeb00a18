import assert from "assert";
import { migrationProject, type ProjectRun } from "../migration_project.ts";

interface Answer {
  readonly ok: boolean;
  readonly data: {
    readonly applied: readonly { readonly version: string; readonly description: string }[];
    readonly pending: readonly { readonly version: string }[];
    readonly already_applied: number;
    readonly database_created: boolean;
  };
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly excerpt: string;
    readonly details: Readonly<Record<string, unknown>>;
  };
}

function answerOf({ stdout }: ProjectRun): Answer {
  return JSON.parse(stdout);
}

const ROWS = "SELECT version, description, success FROM _sqlx_migrations ORDER BY version";
const TABLES = `SELECT array_agg(relname::text ORDER BY relname) AS names FROM pg_class
  WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname !~ '^_sqlx'`;

Deno.test("migrate: makes the database, applies everything in order, and says what the manual says", async () => {
  await using project = await migrationProject({
    withoutDatabase: true,
    files: {
      "migrations/10_last.sql": "CREATE TABLE c ();",
      "migrations/1_first.up.sql": "CREATE TABLE a ();",
      "migrations/1_first.down.sql": "DROP TABLE a;",
      "migrations/2_second_one.sql": "CREATE TABLE b ();",
    },
  });
  const { exit, stdout, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 0, stderr);
  assert.deepEqual(stderr.trimEnd().split("\n"), [
    "[INFO] Waiting for database to be ready...",
    "[SUCCESS] Database is ready",
    `[INFO] Created database "${project.database.name}"`,
    "[INFO] Running database migrations...",
    "[SUCCESS] Migrations completed successfully",
  ]);
  assert.match(
    stdout,
    /^Applied 1 first \(\d+ ms\)\nApplied 2 second one \(\d+ ms\)\nApplied 10 last \(\d+ ms\)\n$/,
  );
  assert.deepEqual(await project.database.query(ROWS), [
    { version: "1", description: "first", success: true },
    { version: "2", description: "second one", success: true },
    { version: "10", description: "last", success: true },
  ]);
  const again = await project.run(["migrate"]);
  assert.deepEqual([again.exit, again.stdout], [
    0,
    "Nothing to apply: 3 migrations are applied already\n",
  ]);
});

Deno.test("migrate: tells the same to programs", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/9223372036854775807_large.sql": "SELECT 1;",
      "migrations/1_a.sql": "SELECT 1;",
    },
  });
  const first = answerOf(await project.run(["migrate", "--json", "--to", "1"]));
  assert.deepEqual(first.data.applied.map(({ version, description }) => [version, description]), [
    ["1", "a"],
  ]);
  assert.deepEqual(first.data.pending.map(({ version }) => version), ["9223372036854775807"]);
  const second = answerOf(await project.run(["migrate", "--json"]));
  assert.deepEqual([second.data.applied.length, second.data.already_applied], [1, 1]);
});

Deno.test("migrate: points to the statement that failed, and keeps nothing of its file", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_good.sql": "CREATE TABLE good ();",
      "migrations/2_bad.sql": "-- ä\nCREATE TABLE bad (n int);\nINSERT INTO bad VALUES (1);\n\n" +
        "INSERT INTO bad\n  SELECT 1 / (n - 1) FROM bad;\nSELECT 1;\n",
    },
  });
  const { exit, stdout } = await project.run(["migrate", "--json"]);
  const { error } = answerOf({ exit, stdout, stderr: "" });
  assert.equal(exit, 1);
  assert.match(error.message, /2_bad\.sql:5:1: division by zero \(SQLSTATE 22012\)$/);
  assert.ok(
    error.excerpt.startsWith(
      "3 | INSERT INTO bad VALUES (1);\n4 |\n5 | INSERT INTO bad\n  | ^\n",
    ),
    error.excerpt,
  );
  assert.match(error.excerpt, /Nothing of this file was kept; the one before it .* is applied/);
  const { line, column, sqlstate, version } = error.details;
  assert.deepEqual({ line, column, sqlstate, version }, {
    line: 5,
    column: 1,
    sqlstate: "22012",
    version: "2",
  });
  assert.deepEqual(await project.database.query(TABLES), [{ names: ["good"] }]);
  assert.equal((await project.database.query(ROWS)).length, 1);
});

Deno.test("migrate: points to the place that the server names, in a file with its own transaction too", async () => {
  await using project = await migrationProject({
    files: { "migrations/1_bad.sql": "BEGIN; /* ü */ SELECT 'ö';\n  SELEKT 1;\nCOMMIT;\n" },
  });
  const { stderr } = await project.run(["migrate"]);
  assert.match(stderr, /1_bad\.sql:2:3: syntax error at or near "SELEKT"/);
  const shown = "1 | BEGIN; /* ü */ SELECT 'ö';\n2 |   SELEKT 1;\n  |   ^\n";
  assert.ok(stderr.includes(shown), stderr);
});

Deno.test("migrate: tells what failed at the commit", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_deferred.sql": "CREATE TABLE a (id int PRIMARY KEY, other int REFERENCES a " +
        "DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO a VALUES (1, 2);\n",
    },
  });
  const { exit, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 1);
  assert.match(stderr, /1_deferred\.sql: its transaction cannot be committed: .*23503/);
  assert.match(stderr, /Detail: Key \(other\)=\(2\) is not present/);
  assert.deepEqual(await project.database.query(TABLES), [{ names: null }]);
});

Deno.test("migrate: commits a file with its own transaction together with its record", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_own.sql":
        "-- the manual recommends it\nBEGIN;\nCREATE TABLE own ();\nCOMMIT;\n",
      "migrations/2_level.sql": "BEGIN ISOLATION LEVEL SERIALIZABLE;\n" +
        "CREATE TABLE level AS SELECT current_setting('transaction_isolation') AS name;\nCOMMIT;\n",
    },
  });
  const { exit, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 0, stderr);
  assert.doesNotMatch(stderr, /WARNING/);
  const [same] = await project.database.query(`SELECT bool_and(c.xmin = m.xmin) AS together
    FROM _sqlx_migrations m JOIN pg_class c ON (m.version, c.relname) IN ((1, 'own'), (2, 'level'))`);
  assert.deepEqual(same, { together: true });
  assert.deepEqual(await project.database.query("SELECT name FROM level"), [{
    name: "serializable",
  }]);
});

Deno.test("migrate: tells why a file that makes its transaction read-only cannot be recorded", async () => {
  await using project = await migrationProject({
    files: { "migrations/1_look.sql": "BEGIN READ ONLY;\nSELECT 1;\nCOMMIT;\n" },
  });
  const { exit, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 1);
  assert.match(stderr, /it cannot be recorded: .*read-only transaction/);
});

Deno.test("migrate: tells of a version that another tool has recorded meanwhile", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_a.sql": "CREATE TABLE a ();\n" +
        "INSERT INTO _sqlx_migrations VALUES (1, 'a', now(), true, '', 0);\n",
    },
  });
  const { exit, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 1);
  assert.match(stderr, /it cannot be recorded: duplicate key/);
  assert.match(stderr, /Hint: Another tool .* has applied it meanwhile; run again/);
  assert.deepEqual(await project.database.query(TABLES), [{ names: null }]);
});

Deno.test("migrate: finds everything wrong before it changes anything", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/2_good.sql": "CREATE TABLE good ();",
      "migrations/3_psql.sql": "\\i other.sql\n",
      "migrations/4_index.sql": "CREATE INDEX CONCURRENTLY i ON good (id);",
      "migrations/5_twice.sql": "SELECT 1;",
      "migrations/5_again.sql": "SELECT 2;",
    },
  });
  const { exit, stdout } = await project.run(["migrate", "--json"]);
  assert.equal(exit, 4);
  const { error } = answerOf({ exit, stdout, stderr: "" });
  const { problems } = error.details;
  assert.ok(Array.isArray(problems));
  assert.deepEqual(problems.map(({ code }) => code), [
    "duplicate_version",
    "psql_command",
    "needs_no_transaction",
  ]);
  const [table] = await project.database.query("SELECT to_regclass('_sqlx_migrations') AS found");
  assert.deepEqual(table, { found: null });
});

Deno.test("migrate --dry-run: writes nothing, and makes no database", async () => {
  await using project = await migrationProject({
    withoutDatabase: true,
    files: { "migrations/1_a.sql": "CREATE TABLE a ();" },
  });
  const absent = await project.run(["migrate", "--dry-run"]);
  assert.deepEqual([absent.exit, absent.stdout], [0, "Would apply 1 a\n"]);
  await assert.rejects(project.database.query("SELECT 1"), { code: "3D000" });
  assert.equal((await project.run(["migrate"])).exit, 0);
  await project.write({ "migrations/2_b.sql": "CREATE TABLE b ();" });
  const { stdout } = await project.run(["migrate", "--dry-run"]);
  assert.equal(stdout, "Would apply 2 b\n");
  assert.equal((await project.database.query(ROWS)).length, 1);
});

Deno.test("migrate: keeps its table where sqlx would make it, and finds it wherever it is", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_a.sql": "SET search_path = elsewhere;",
      "migrations/2_b.sql": "SELECT 1;",
    },
  });
  await project.database.query(`CREATE SCHEMA elsewhere; CREATE SCHEMA "My App";
    ALTER DATABASE "${project.database.name}" SET search_path = "My App", public`);
  const { exit, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 0, stderr);
  const rows = await project.database.query('SELECT version FROM "My App"._sqlx_migrations');
  assert.equal(rows.length, 2);
  assert.equal((await project.run(["migrate", "status", "--exit-code"])).exit, 0);
});

Deno.test("migrate: records a plausible time in nanoseconds", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_slow.sql": "SELECT pg_sleep(0.2);",
      "migrations/2_outside.sql": "-- no-transaction\nSELECT pg_sleep(0.2);",
    },
  });
  await project.run(["migrate"]);
  const rows = await project.database.query<{ time: string }>(
    "SELECT execution_time AS time FROM _sqlx_migrations",
  );
  assert.equal(rows.length, 2);
  for (const { time } of rows) assert.ok(Number(time) >= 2e8 && Number(time) < 10e9, time);
});

Deno.test("migrate: tells what to do when the connection breaks during a migration", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_a.sql": "CREATE TABLE a ();\nSELECT pg_terminate_backend(pg_backend_pid());\n",
    },
  });
  const { exit, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 5);
  assert.match(stderr, /The connection to .* was lost: .*, while ".*1_a\.sql" was being applied/);
  assert.match(stderr, /Hint: The file and its record are committed together or not at all/);
  assert.deepEqual(await project.database.query(TABLES), [{ names: null }]);
});
