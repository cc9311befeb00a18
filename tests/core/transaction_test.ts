import assert from "assert";
import { freshDatabase } from "../database.ts";
import { runDatabase } from "./run_database.ts";

const COUNT = "SELECT count(*)::int AS count FROM t";

Deno.test("transaction: commits when the work returns, rolls back when it throws, and closes its session", async () => {
  const database = await freshDatabase({ sql: "CREATE TABLE t (id int)" });
  try {
    await using run = runDatabase(database);
    const pid = await run.transaction(async (session) => {
      await session.query("INSERT INTO t VALUES (1)");
      assert.deepEqual(await database.query(COUNT), [{ count: 0 }]);
      return session.pid;
    });
    assert.deepEqual(await database.query(COUNT), [{ count: 1 }]);
    const failing = run.transaction(async (session) => {
      await session.query("INSERT INTO t VALUES (2)");
      throw new Error("changed my mind");
    });
    await assert.rejects(failing, /changed my mind/);
    assert.deepEqual(await database.query(COUNT), [{ count: 1 }]);
    const left = await database.query("SELECT 1 FROM pg_stat_activity WHERE pid = $1", [pid]);
    assert.deepEqual(left, []);
  } finally {
    await database.drop();
  }
});

Deno.test("transaction: work that goes on after a failed statement is told that nothing was kept", async () => {
  const database = await freshDatabase({ sql: "CREATE TABLE t (id int PRIMARY KEY)" });
  try {
    await using run = runDatabase(database);
    const work = run.transaction(async (session) => {
      await session.query("INSERT INTO t VALUES (1)");
      await session.query("SELECT 1/0").catch(() => {});
    });
    await assert.rejects(work, { code: "not_committed" });
    assert.deepEqual(await database.query(COUNT), [{ count: 0 }]);
    // A deferred constraint fails at the commit itself.
    await database.query(
      "CREATE TABLE c (id int REFERENCES t DEFERRABLE INITIALLY DEFERRED)",
    );
    const deferred = run.transaction(async (session) => {
      await session.query("INSERT INTO c VALUES (9)");
    });
    await assert.rejects(deferred, { name: "DatabaseError" });
  } finally {
    await database.drop();
  }
});

Deno.test("maintenance: never opens the target itself", async () => {
  const database = await freshDatabase();
  try {
    await using run = runDatabase(database);
    const session = await run.maintenance();
    const { rows } = await session.query("SELECT current_database()::text AS name");
    assert.deepEqual(rows, [{ name: "postgres" }]);
    await using onPostgres = runDatabase({ ...database, name: "postgres" });
    const other = await onPostgres.maintenance();
    const { rows: [row] } = await other.query("SELECT current_database()::text AS name");
    await other.close();
    assert.deepEqual(row, { name: "template1" });
  } finally {
    await database.drop();
  }
});

Deno.test("transaction: in a read-only run it only runs, and the server notes nothing", async () => {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (id int)" });
  for (const readOnly of [true, false]) {
    await using run = runDatabase({ ...database, readOnly });
    const given = { readOnly: true };
    const value = await run.transaction(async (session) => {
      assert.deepEqual((await session.query(COUNT)).rows, [{ count: 0 }]);
      await assert.rejects(session.query("INSERT INTO t VALUES (1)"), { code: "database_error" });
      // The next one is not lost with it.
      return (await session.query("SELECT 7 AS n")).rows[0]?.["n"];
    }, given);
    assert.equal(value, 7);
    assert.ok(!run.lines.some((line) => /The server notes/.test(line)), run.lines.join("\n"));
  }
});
