import assert from "assert";
import { migrationProject, until } from "../migration_project.ts";

const ROWS = "SELECT version, success FROM _sqlx_migrations ORDER BY version";
const INVALID = "SELECT indexrelid::regclass::text AS name FROM pg_index WHERE NOT indisvalid";

Deno.test("migrate: sends each statement of a file without a transaction by itself", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_a.sql": "CREATE TABLE a (id int);",
      "migrations/2_indexes.sql": "-- no-transaction\nSET lock_timeout = '5s';\n" +
        "CREATE INDEX CONCURRENTLY i ON a (id);\nCREATE INDEX CONCURRENTLY j ON a (id);\nVACUUM a;\n" +
        "BEGIN;\nINSERT INTO a VALUES (1);\nCOMMIT;\nDO $$ BEGIN PERFORM 1; END $$;\n",
    },
  });
  const { exit, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 0, stderr);
  assert.deepEqual(await project.database.query(ROWS), [
    { version: "1", success: true },
    { version: "2", success: true },
  ]);
});

Deno.test("migrate: records nothing of a single statement that fails outside a transaction", async () => {
  await using project = await migrationProject({
    files: { "migrations/1_a.sql": "-- no-transaction\nVACUUM nowhere;\n" },
  });
  const { exit, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 1);
  assert.match(stderr, /1_a\.sql:2:1: relation "nowhere" does not exist/);
  assert.deepEqual(await project.database.query(ROWS), []);
});

Deno.test("migrate: records a file that breaks off half-way as sqlx's dirty, and refuses to go on", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_a.sql":
        "-- no-transaction\nCREATE TABLE a (id int);\nSELECT 1 / 0;\nSELECT 2;\n",
      "migrations/2_b.sql": "SELECT 1;",
    },
  });
  const { exit, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 1);
  assert.match(stderr, /1_a\.sql:3:1: division by zero/);
  assert.match(stderr, /1 of 3 statements of this file are done/);
  assert.deepEqual(await project.database.query(ROWS), [{ version: "1", success: false }]);
  for (const args of [["migrate"], ["migrate", "rollback"]]) {
    const refused = await project.run(args);
    assert.equal(refused.exit, 4);
    assert.match(refused.stderr, /Migration 1 \(a\) is recorded as broken off half-way/);
  }
});

Deno.test("migrate: leaves no record when only settings were made before the failure", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_a.sql": "-- no-transaction\nSET lock_timeout = '5s';\n" +
        "BEGIN;\nCREATE TABLE gone ();\nROLLBACK;\nBEGIN;\nCREATE TABLE gone ();\nSELECT 1 / 0;\nCOMMIT;\n",
    },
  });
  const { exit, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 1);
  assert.match(stderr, /Nothing of this file was kept, and it is not recorded/);
  assert.deepEqual(await project.database.query(ROWS), []);
});

Deno.test("migrate: drops the invalid index that a failed build leaves", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_a.sql": "CREATE TABLE a (id int);\nINSERT INTO a VALUES (1), (1);",
      "migrations/2_b.sql":
        '-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY "One b" ON a (id);',
    },
  });
  const { exit, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 1);
  assert.match(
    stderr,
    /The invalid index public\."One b", which the failed build left, was dropped/,
  );
  assert.deepEqual(await project.database.query(INVALID), []);
  await project.database.query("DELETE FROM a");
  assert.equal((await project.run(["migrate"])).exit, 0);
});

Deno.test("migrate: drops the invalid index of an attempt that was killed, also where IF NOT EXISTS would keep it", async () => {
  await using project = await migrationProject({
    files: { "migrations/1_a.sql": "CREATE TABLE a (id int);\nINSERT INTO a VALUES (1), (1);" },
  });
  assert.equal((await project.run(["migrate"])).exit, 0);
  await assert.rejects(project.database.query("CREATE UNIQUE INDEX CONCURRENTLY u ON a (id)"));
  await project.database.query("DELETE FROM a");
  await project.write({
    "migrations/2_b.sql":
      "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS U ON public.a (id);",
  });
  const { exit, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 0, stderr);
  assert.match(stderr, /dropping the invalid index public\.u, which an earlier attempt left/);
  assert.deepEqual(await project.database.query(INVALID), []);
});

Deno.test("migrate: builds again the index whose build was the victim of a deadlock", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_a.sql": "CREATE TABLE a (id int);",
    },
  });
  assert.equal((await project.run(["migrate"])).exit, 0);
  await project.write({
    "migrations/2_b.sql": "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON a (id);",
  });
  const other = await project.database.connect();
  try {
    // The other session looks for deadlocks too late, so that the build becomes the victim.
    await other.query("SET deadlock_timeout = '60s'");
    await other.query("BEGIN; INSERT INTO a VALUES (1)");
    const started = project.start(["migrate"]);
    await until(async () =>
      (await project.database.query(
        "SELECT FROM pg_stat_activity WHERE query LIKE '%INDEX CONCURRENTLY i%' " +
          "AND wait_event_type = 'Lock' AND datname = current_database()",
      )).length > 0
    );
    await other.query("LOCK TABLE a IN SHARE UPDATE EXCLUSIVE MODE");
    await other.query("COMMIT");
    const { exit, stderr } = await started.ended;
    assert.equal(exit, 0, stderr);
    assert.match(stderr, /\[WARNING\] .*2_b\.sql:2:1: .* was the victim of a deadlock/);
    assert.deepEqual(await project.database.query(INVALID), []);
  } finally {
    await other.end();
  }
});

Deno.test("migrate rollback: runs a down file without a transaction, and tells when it breaks off", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_a.up.sql": "CREATE TABLE a (id int);\nCREATE INDEX i ON a (id);",
      "migrations/1_a.down.sql":
        "-- no-transaction\nDROP INDEX CONCURRENTLY i;\nDROP TABLE a;\nDROP TABLE nothing;\n",
    },
  });
  assert.equal((await project.run(["migrate"])).exit, 0);
  const { exit, stderr } = await project.run(["migrate", "rollback"]);
  assert.equal(exit, 1);
  assert.match(stderr, /Cannot roll back .*1_a\.down\.sql:4:1: table "nothing" does not exist/);
  assert.match(stderr, /Hint: Finish the rollback by hand/);
  assert.deepEqual(await project.database.query(ROWS), [{ version: "1", success: false }]);
});

Deno.test("migrate: the run after a signal during an index build drops what it left, and builds it", async () => {
  await using project = await migrationProject({
    files: { "migrations/1_a.sql": "CREATE TABLE a (id int);" },
  });
  assert.equal((await project.run(["migrate"])).exit, 0);
  await project.write({
    "migrations/2_b.sql":
      "-- no-transaction\nSET lock_timeout = '1min';\nCREATE INDEX CONCURRENTLY i ON a (id);",
  });
  const other = await project.database.connect();
  try {
    await other.query("BEGIN; INSERT INTO a VALUES (1)");
    const started = project.start(["migrate"]);
    await until(async () =>
      (await project.database.query(
        "SELECT FROM pg_stat_activity WHERE query LIKE '%INDEX CONCURRENTLY i%' " +
          "AND wait_event_type = 'Lock' AND datname = current_database()",
      )).length > 0
    );
    started.send("SIGINT");
    const { exit, stderr } = await started.ended;
    assert.equal(exit, 130);
    assert.match(stderr, /\[WARNING\] .*may have left an invalid index; the next run drops it/);
    assert.match(stderr, /1 of 2 statements of this file are done/);
    assert.deepEqual(await project.database.query(ROWS), [{ version: "1", success: true }]);
    await other.query("COMMIT");
    const again = await project.run(["migrate"]);
    assert.equal(again.exit, 0, again.stderr);
    assert.match(again.stderr, /dropping the invalid index public\.i/);
    assert.deepEqual(await project.database.query(INVALID), []);
  } finally {
    await other.end();
  }
});

Deno.test("migrate: tells when the connection breaks between statements, and what is recorded then", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_a.sql": "-- no-transaction\nCREATE TABLE a ();\nCREATE TABLE b ();\n" +
        "SELECT pg_terminate_backend(pg_backend_pid());\n",
    },
  });
  const { exit, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 5);
  assert.match(stderr, /The connection to .* was lost: terminating connection/);
  assert.match(
    stderr,
    /2 of 3 statements of this file are done; migration 1 is recorded as broken off/,
  );
  assert.deepEqual(await project.database.query(ROWS), [{ version: "1", success: false }]);
});

Deno.test("migrate: marks a file as broken off when what follows its one lasting statement fails", async () => {
  await using project = await migrationProject({
    files: { "migrations/1_a.sql": "-- no-transaction\nCREATE TABLE a ();\nSET nonsense = 1;\n" },
  });
  const { exit, stderr } = await project.run(["migrate"]);
  assert.equal(exit, 1);
  assert.match(stderr, /1_a\.sql:3:1: unrecognized configuration parameter/);
  assert.deepEqual(await project.database.query(ROWS), [{ version: "1", success: false }]);
});
