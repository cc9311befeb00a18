/** What `Database` streams on sessions of its own, over a real server. */
import assert from "assert";
import { SignalError } from "../../core/errors.ts";
import { runDatabase, type TestRunDatabase, until } from "../core/run_database.ts";
import { freshDatabase, type TestDatabase } from "../database.ts";
import { collect, databaseError, ENDLESS, operationError, streamOf } from "./wire_streams.ts";

/** Runs a test with a database of its own, and waits until no session is left in it but the default one. */
async function withRun(
  test: (run: TestRunDatabase, database: TestDatabase) => Promise<void>,
  { readOnly = false } = {},
): Promise<void> {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (n int)" });
  await using run = runDatabase({ ...database, readOnly });
  await run.query("SELECT 1");
  await test(run, database);
  await until("every session is closed with its stream", async () => {
    const rows = await database.query(
      `SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
         AND application_name = 'observatory'`,
    );
    return rows.length === 1;
  });
}

Deno.test("Database.stream: rows have the names and values that a query gives", async () => {
  const sql = `SELECT g AS int4, g::int2, g::int8 * 100000000000000000 AS int8, g::oid,
      CASE g WHEN 1 THEN 'NaN' WHEN 2 THEN '-0' WHEN 3 THEN '-Infinity' ELSE 0.1 * g END::float8,
      (0.1 * g)::float4, g % 2 = 0 AS yes, nullif(g, 2) AS nothing, 1.50::numeric AS exact,
      timestamptz '2026-01-01 00:00+00' + g * interval '1 day' AS at, '{"a": 1}'::jsonb AS json,
      ARRAY[g, 2] AS list, 'größer 🐘 ' || g AS text, '' AS empty,
      decode(CASE g WHEN 1 THEN '' ELSE '005c27ff61' END, 'hex') AS bytes,
      1 AS twice, g AS twice, 'own' AS __proto__, g + $1::int AS given
    FROM generate_series(1, 4) g`;
  await withRun(async (run) => {
    for (const format of ["hex", "escape"]) {
      await run.query(`ALTER ROLE CURRENT_USER IN DATABASE "${run.target.database}"
        SET bytea_output = '${format}'`);
      const session = await run.session();
      const expected = await session.query(sql, [1]);
      await session.close();
      const rows = (await collect(await run.stream(sql, [1]))).parts.flat();
      assert.deepEqual(rows, expected.rows, format);
      assert.equal(rows.length, 4);
      assert.ok(Object.hasOwn(rows[0] ?? {}, "__proto__"));
    }
  });
});

Deno.test("Database.stream: many rows come in batches, none is an empty stream", async () => {
  await withRun(async (run) => {
    const { parts } = await collect(
      await run.stream<{ g: number }>("SELECT g FROM generate_series(1, 50000) g"),
    );
    assert.ok(parts.length > 5 && parts.every((batch) => batch.length > 0));
    assert.deepEqual(
      parts.flat().map(({ g }) => g),
      Array.from({ length: 50000 }, (_, i) => i + 1),
    );
    for (const sql of ["SELECT 1 WHERE false", "INSERT INTO t VALUES (1)", ""]) {
      assert.deepEqual(await collect(await run.stream(sql)), { parts: [], error: undefined }, sql);
    }
  });
});

Deno.test("Database.stream: is read no faster than it is taken, and cancelled in the server", async () => {
  await withRun(async (run, database) => {
    const reader = (await run.stream(ENDLESS)).getReader();
    await reader.read();
    const waiting = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
      AND query = '${ENDLESS.replaceAll("'", "''")}' AND wait_event = 'ClientWrite'`;
    await until("the server waits", async () => (await database.query(waiting)).length === 1);
    await reader.cancel();
    for await (const [row] of await run.stream(ENDLESS)) {
      assert.ok(row !== undefined);
      break;
    }
  });
});

Deno.test("Database.stream: a failure fails the stream when what came before it is read", async () => {
  await withRun(async (run) => {
    const failing = await collect(
      await run.stream("SELECT 1 / (20000 - g) FROM generate_series(1, 30000) g"),
    );
    assert.ok(failing.parts.length > 0);
    await databaseError(Promise.reject(failing.error));
    await databaseError(Promise.reject((await collect(await run.stream("SELECT nope"))).error));
    await databaseError(
      Promise.reject((await collect(await run.stream("SELECT 1; SELECT 2"))).error),
    );
    await operationError(run.stream("SELECT '\0'"), "statement_invalid");
  });
});

Deno.test("Database.stream: obeys the effect of the run", async () => {
  await withRun(async (run, database) => {
    for (
      const sql of [
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t VALUES (1) RETURNING n",
        "WITH x AS (INSERT INTO t VALUES (1) RETURNING n) SELECT n FROM x",
        "COMMIT; INSERT INTO t VALUES (1)",
      ]
    ) await databaseError(Promise.reject((await collect(await run.stream(sql))).error));
    await operationError(run.copyIn("COPY t FROM STDIN", streamOf(["1\n"])), "read_only");
    const text = await new Response(await run.copyOut("COPY (SELECT 7) TO STDOUT")).text();
    assert.equal(text, "7\n");
    assert.deepEqual(await database.query("SELECT n FROM t"), []);
  }, { readOnly: true });
});

Deno.test("Database.stream: a signal fails it with its reason", async () => {
  await using database = await freshDatabase();
  const ending = new AbortController();
  await using run = runDatabase({ ...database, signal: ending.signal });
  const stream = await run.stream(ENDLESS);
  const signal = new SignalError("SIGTERM");
  const reading = collect(stream);
  ending.abort(signal);
  assert.equal((await reading).error, signal);
  await assert.rejects(run.stream("SELECT 1"), signal);
});

Deno.test("Database.copyIn and copyOut: copy both ways, each on a session of its own", async () => {
  await withRun(async (run) => {
    const lines = Array.from({ length: 20000 }, (_, index) => `${index}\n`);
    assert.deepEqual(await run.copyIn("COPY t FROM STDIN", streamOf(lines)), {
      rows: [],
      command: "COPY",
      count: 20000,
    });
    const text = await new Response(
      await run.copyOut("COPY (TABLE t ORDER BY n) TO STDOUT"),
    ).text();
    assert.equal(text, lines.join(""));
    await (await run.copyOut(`COPY (${ENDLESS}) TO STDOUT`)).cancel();
    const { error } = await collect(await run.copyOut("COPY nope TO STDOUT"));
    await databaseError(Promise.reject(error));
  });
});

Deno.test("Database.copyIn: keeps nothing of data that breaks off, and gives up data it cannot send", async () => {
  await withRun(async (run, database) => {
    let given = 0;
    const broken = () =>
      new ReadableStream<Uint8Array>({
        pull(controller) {
          if (++given > 3) throw new RangeError("torn");
          controller.enqueue(new TextEncoder().encode(`${given}\n`));
        },
      });
    await assert.rejects(run.copyIn("COPY t FROM STDIN", broken()), { message: /torn/ });
    let cancelled: unknown;
    const endless = () =>
      new ReadableStream<Uint8Array>({
        pull: (controller) => controller.enqueue(new TextEncoder().encode("x\n".repeat(10_000))),
        cancel: (reason) => void (cancelled = reason),
      });
    await databaseError(run.copyIn("COPY t FROM STDIN", endless()));
    assert.ok(cancelled !== undefined);
    assert.deepEqual(await database.query("SELECT n FROM t"), []);
    await using nowhere = runDatabase({ ...database, name: "no_such_database" });
    cancelled = undefined;
    await operationError(nowhere.copyIn("COPY t FROM STDIN", endless()), "database_missing");
    assert.ok(cancelled !== undefined);
    await operationError(nowhere.stream("SELECT 1"), "database_missing");
  });
});
