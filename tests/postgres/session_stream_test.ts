import assert from "assert";
import { DatabaseError, OperationError } from "../../core/plugin.ts";
import { SignalError } from "../../core/errors.ts";
import { runDatabase, until } from "../core/run_database.ts";
import { freshDatabase } from "../database.ts";
import { collect, databaseError, ENDLESS, operationError, rowsOf } from "./wire_streams.ts";

Deno.test("Session.execute: a signal fails the stream with its reason, whether it is read or not", async () => {
  await using database = await freshDatabase();
  for (const readOnly of [false, true]) {
    for (const reads of [false, true]) {
      const ending = new AbortController();
      await using run = runDatabase({ ...database, readOnly, signal: ending.signal });
      const session = await run.session();
      const stream = await session.execute(ENDLESS);
      const reader = stream.getReader();
      await reader.read();
      await reader.read();
      const read = async () => {
        while (!(await reader.read()).done);
      };
      const reading = reads ? read() : undefined;
      reading?.catch(() => {});
      const signal = new SignalError("SIGINT");
      ending.abort(signal);
      await assert.rejects(reading ?? read(), signal);
      await assert.rejects(session.query("SELECT 1"), signal);
      await until("nothing runs", async () => {
        const rows = await database.query(
          "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND state <> 'idle'",
          [session.pid],
        );
        return rows.length === 0;
      });
    }
  }
});

Deno.test("Session.execute: a read-only run reads one statement at a time, and can go on", async () => {
  await using database = await freshDatabase({
    sql: "CREATE TABLE t (n int); INSERT INTO t VALUES (1)",
  });
  await using run = runDatabase({ ...database, readOnly: true });
  const session = await run.session();
  const answer = async (sql: string) => await collect(await session.execute(sql));
  assert.deepEqual(rowsOf((await answer("SELECT n FROM t")).parts), [["1"]]);
  const bound = await collect(await session.execute("SELECT n + $1 FROM t", [1]));
  assert.deepEqual(rowsOf(bound.parts), [["2"]]);
  for (
    const sql of [
      "INSERT INTO t VALUES (2)",
      "SELECT 1; INSERT INTO t VALUES (2)",
      "COMMIT; INSERT INTO t VALUES (2)",
      "WITH x AS (DELETE FROM t RETURNING n) SELECT * FROM x",
      "COPY t FROM STDIN",
      "COPY t FROM PROGRAM 'echo 9'",
      "SET TRANSACTION READ WRITE",
      "DO $$ BEGIN COMMIT; SET TRANSACTION READ WRITE; INSERT INTO t VALUES (9); END $$",
    ]
  ) {
    const { error } = await answer(sql);
    assert.ok(error instanceof DatabaseError || sql === "COPY t FROM STDIN", `${sql}: ${error}`);
    assert.ok(error instanceof OperationError);
  }
  for (const sql of ["COMMIT", "COMMIT AND CHAIN", "BEGIN READ WRITE", "SET work_mem = '5MB'"]) {
    await answer(sql);
    const { error } = await answer("INSERT INTO t VALUES (2)");
    assert.ok(error instanceof DatabaseError, sql);
  }
  await operationError(session.execute("SELECT '\0'"), "statement_invalid");
  await (await session.execute(ENDLESS)).cancel();
  await databaseError(session.query("INSERT INTO t VALUES (2)"));
  assert.deepEqual((await session.query("SHOW work_mem")).rows, [{ work_mem: "4MB" }]);
  assert.deepEqual(await database.query("SELECT n FROM t"), [{ n: 1 }]);
});

Deno.test("Session.execute: the read-only transaction has ended when the stream has", async () => {
  await using database = await freshDatabase();
  await using run = runDatabase({ ...database, readOnly: true });
  const session = await run.session();
  for (const sql of ["SELECT 1", "SELECT 1/0"]) {
    await collect(await session.execute(sql));
    const rows = await database.query("SELECT state FROM pg_stat_activity WHERE pid = $1", [
      session.pid,
    ]);
    assert.deepEqual(rows, [{ state: "idle" }]);
  }
});

Deno.test("Session.execute: the run's end fails an open stream", async () => {
  await using database = await freshDatabase();
  const run = runDatabase(database);
  const session = await run.session();
  const answer = collect(await session.execute("SELECT pg_sleep(60)"));
  await run.close();
  const { error } = await answer;
  assert.ok(error instanceof OperationError);
  assert.equal(error.code, "connection_closed");
  await database.query("SELECT pg_terminate_backend($1)", [session.pid]);
});
