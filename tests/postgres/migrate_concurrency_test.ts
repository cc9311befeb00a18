import assert from "assert";
import { sessionLockKey, sqlxLockKey } from "../../plugins/sql/lock_keys.ts";
import { migrationProject, until } from "../migration_project.ts";

Deno.test("migrate: ten runs at once make the database and apply each migration once, and all succeed", async () => {
  const files: Record<string, string> = {
    "migrations/1_log.sql": "CREATE TABLE log (n int);\nSELECT pg_sleep(0.3);",
  };
  for (let version = 2; version <= 20; version++) {
    files[`migrations/${version}_add.sql`] = `INSERT INTO log VALUES (${version});`;
  }
  await using project = await migrationProject({ withoutDatabase: true, files });
  const runs = await Promise.all(Array.from({ length: 10 }, () => project.run(["migrate"])));
  for (const { exit, stderr } of runs) assert.equal(exit, 0, stderr);
  assert.deepEqual(
    await project.database.query(
      "SELECT count(*)::int, count(DISTINCT n)::int AS different FROM log",
    ),
    [{ count: 19, different: 19 }],
  );
  const applied = runs.flatMap(({ stdout }) => stdout.match(/^Applied \d+/gm) ?? []);
  assert.deepEqual([applied.length, new Set(applied).size], [20, 20]);
});

Deno.test("migrate: names the holder of the lock when it cannot be had, and changes nothing", async () => {
  await using project = await migrationProject({ files: { "migrations/1_a.sql": "SELECT 1;" } });
  const other = await project.database.connect();
  try {
    await other.query("SELECT pg_advisory_lock($1)", [String(sqlxLockKey(project.database.name))]);
    const { exit, stderr } = await project.run(["migrate", "--lock-wait", "0"]);
    assert.equal(exit, 6);
    assert.match(stderr, /the lock is held by process \d+ \("observatory-tests" as postgres/);
    const [table] = await project.database.query("SELECT to_regclass('_sqlx_migrations') AS found");
    assert.deepEqual(table, { found: null });
  } finally {
    await other.end();
  }
});

Deno.test("migrate: needs no lock when nothing is pending, and takes none with --no-lock", async () => {
  await using project = await migrationProject({ files: { "migrations/1_a.sql": "SELECT 1;" } });
  const other = await project.database.connect();
  try {
    await other.query("SELECT pg_advisory_lock($1)", [String(sqlxLockKey(project.database.name))]);
    const without = await project.run(["migrate", "--no-lock"]);
    assert.equal(without.exit, 0, without.stderr);
    const idle = await project.run(["migrate", "--lock-wait", "0"]);
    assert.equal(idle.exit, 0, idle.stderr);
  } finally {
    await other.end();
  }
});

Deno.test("migrate: waits for the server process of a killed run, and applies what it did not", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_a.sql": "CREATE TABLE a ();",
      "migrations/2_b.sql": "CREATE TABLE b ();",
    },
  });
  assert.equal((await project.run(["migrate", "--to", "1"])).exit, 0);
  const orphan = await project.database.connect();
  try {
    await orphan.query("SELECT pg_advisory_lock($1)", [
      String(sessionLockKey(project.database.name)),
    ]);
    const late = await project.run(["migrate", "--lock-wait", "0"]);
    assert.equal(late.exit, 6);
    assert.match(late.stderr, /an earlier run left a server process that is still at work/);
    const started = project.start(["migrate"]);
    await until(() => Promise.resolve(/Waiting for a server process/.test(started.stderr)));
    await orphan.query(`BEGIN; CREATE TABLE b ();
      INSERT INTO _sqlx_migrations SELECT 2, 'b', now(), true,
        '\\x6ed1cb4a22d7a5bbd4ea3ff5ee8d6f95', 1; ROLLBACK`);
    await orphan.query("SELECT pg_advisory_unlock_all()");
    const { exit, stdout, stderr } = await started.ended;
    assert.equal(exit, 0, stderr);
    assert.match(stdout, /^Applied 2 b/);
  } finally {
    await orphan.end();
  }
});

Deno.test("migrate: builds an index while an application waits for the lock in the server", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_a.sql": "CREATE TABLE a (id int);",
      "migrations/2_wait.sql":
        "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' " +
        "AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = " +
        "current_database())) LOOP PERFORM pg_sleep(0.02); END LOOP; END $$;",
      "migrations/3_index.sql": "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON a (id);",
    },
  });
  const application = await project.database.connect();
  try {
    const key = String(sqlxLockKey(project.database.name));
    const started = project.start(["migrate"]);
    await until(async () =>
      (await project.database.query(
        "SELECT FROM pg_stat_activity WHERE query LIKE 'DO $$ BEGIN%' " +
          "AND state = 'active' AND datname = current_database()",
      )).length > 0
    );
    const waiting = assert.rejects(application.query("SELECT pg_advisory_lock($1)", [key]), {
      code: "57014",
    });
    const { exit, stderr } = await started.ended;
    await waiting;
    assert.equal(exit, 0, stderr);
    assert.match(
      stderr,
      /\[WARNING\] Cancelled the statement of process \d+ \("observatory-tests"/,
    );
    assert.deepEqual(
      await project.database.query(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass",
      ),
      [{ indisvalid: true }],
    );
  } finally {
    await application.end();
  }
});

Deno.test("migrate: tells whose lock a migration waits for", async () => {
  await using project = await migrationProject({
    files: { "migrations/1_a.sql": "CREATE TABLE a (id int);" },
  });
  await project.run(["migrate"]);
  await project.write({ "migrations/2_b.sql": "ALTER TABLE a ADD b int;" });
  const reader = await project.database.connect();
  try {
    await reader.query("BEGIN; SELECT * FROM a");
    const started = project.start(["migrate"]);
    const told = /2_b\.sql" waits for a lock held by process \d+ \("observatory-tests" as postgres/;
    await until(() => Promise.resolve(told.test(started.stderr)));
    await reader.query("COMMIT");
    assert.equal((await started.ended).exit, 0);
  } finally {
    await reader.end();
  }
});

Deno.test("migrate: ends between two migrations when the connection that holds the lock is lost", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_lose.sql": "CREATE TABLE kept ();\nSELECT pg_terminate_backend(pid) " +
        "FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid() AND granted " +
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database());\n" +
        "SELECT pg_sleep(0.3);\n",
      "migrations/2_never.sql": "CREATE TABLE never ();",
    },
  });
  const { exit, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 5, stderr);
  assert.match(stderr, /The connection that held the migrations lock was lost/);
  assert.deepEqual(
    await project.database.query("SELECT version FROM _sqlx_migrations"),
    [{ version: "1" }],
  );
});

Deno.test("migrate: a signal cancels the running migration, which leaves nothing", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_a.sql": "CREATE TABLE a ();",
      "migrations/2_b.sql": "CREATE TABLE b ();\nSELECT pg_sleep(60);",
    },
  });
  const started = project.start(["migrate"]);
  await until(async () =>
    (await project.database.query(
      "SELECT FROM pg_stat_activity WHERE query LIKE 'CREATE TABLE b%' " +
        "AND state = 'active' AND datname = current_database()",
    )).length > 0
  );
  started.send("SIGTERM");
  const { exit, stderr } = await started.ended;
  assert.equal(exit, 143, stderr);
  assert.deepEqual(
    await project.database.query(
      "SELECT to_regclass('b') AS b, max(version) AS last FROM _sqlx_migrations",
    ),
    [{ b: null, last: "1" }],
  );
  const again = await project.run(["migrate", "--dry-run"]);
  assert.equal(again.stdout, "Would apply 2 b\n");
});
