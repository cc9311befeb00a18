import assert from "assert";
import { DatabaseError, OperationError, type Step } from "../../core/plugin.ts";
import type { Connection } from "../../core/postgres/connection.ts";
import { freshDatabase, sharedServer } from "../database.ts";
import { dialer, faultyDialer, open } from "./wire_connection.ts";

Deno.test("pipeline: steps of both kinds give their commands and counts, and no rows", async () => {
  await using database = await freshDatabase();
  await using session = await open(database);
  const results = await session.pipeline([
    { sql: "BEGIN" },
    { sql: new TextEncoder().encode("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1)") },
    { sql: "INSERT INTO t SELECT generate_series(1, $1::int), $2", params: [5, "é"] },
    { sql: "SELECT * FROM t", params: [] },
    { sql: "SELECT * FROM t" },
    { sql: "" },
    { sql: "COMMIT" },
  ]);
  assert.deepEqual(results, [
    { rows: [], command: "BEGIN", count: 0 },
    { rows: [], command: "INSERT", count: 1 },
    { rows: [], command: "INSERT", count: 5 },
    { rows: [], command: "SELECT", count: 6 },
    { rows: [], command: "SELECT", count: 6 },
    { rows: [], command: "", count: 0 },
    { rows: [], command: "COMMIT", count: 0 },
  ]);
  assert.deepEqual(await database.query("SELECT count(*)::int AS n FROM t"), [{ n: 6 }]);
  assert.deepEqual(await session.pipeline([]), []);
});

Deno.test("pipeline: the first failed step is told, after all answers, and the rest is refused", async () => {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (a int PRIMARY KEY)" });
  await using session = await open(database);
  const error = await failure(session.pipeline([
    { sql: "BEGIN" },
    { sql: "INSERT INTO t VALUES (1)" },
    { sql: "INSERT INTO t VALUES ($1)", params: [1] },
    { sql: "INSERT INTO t VALUES (2)" },
    { sql: "COMMIT" },
  ]));
  assert.equal(error.step, 2);
  assert.equal(error.server.sqlstate, "23505");
  assert.equal(session.transactionStatus, "idle");
  assert.deepEqual((await session.query("SELECT count(*) FROM t")).rows, [{ count: 0n }]);
});

Deno.test("pipeline: a copy from the client fails as a step, whatever follows it", async () => {
  await using session = await open(await sharedServer());
  await session.query("CREATE TEMP TABLE t (a int)");
  for (const params of [undefined, []]) {
    const error = await failure(session.pipeline([
      { sql: "SELECT 1" },
      { sql: "COPY t FROM STDIN", ...(params === undefined ? {} : { params }) },
      { sql: "SELECT 2" },
      { sql: "SELECT 'stdin'" },
    ]));
    assert.equal(error.step, 1);
    assert.equal(error.server.sqlstate, "57014");
  }
  const [out] = await session.pipeline([{ sql: "COPY (SELECT 1) TO STDOUT" }, { sql: "SELECT 1" }]);
  assert.deepEqual(out, { rows: [], command: "COPY", count: 1 });
});

Deno.test("pipeline: many small steps go in few writes", async () => {
  let writes = 0;
  await using session = await open(await sharedServer(), {}, {
    dialer: faultyDialer({ onWrite: () => writes++ }),
  });
  writes = 0;
  const steps = Array.from({ length: 1000 }, (_, index) => ({
    sql: "SELECT $1::int",
    params: [index],
  }));
  assert.equal((await session.pipeline(steps)).length, 1000);
  assert.ok(writes <= 3, `${writes} writes`);
});

Deno.test("pipeline: answers that flood in while steps are still being sent do not block", async () => {
  await using session = await open(await sharedServer());
  const filler = `/* ${"x".repeat(100_000)} */`;
  const steps = Array.from({ length: 60 }, () => ({
    sql: `SELECT repeat('y', 1000000) ${filler}`,
  }));
  const results = await session.pipeline(steps);
  assert.equal(results.length, 60);
  assert.ok(results.every(({ count }) => count === 1));
});

Deno.test("pipeline: nothing is sent when one step of a list cannot be", async () => {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (a int)" });
  await using session = await open(database);
  await assert.rejects(
    session.pipeline([{ sql: "INSERT INTO t VALUES (1)" }, { sql: "SELECT '\0'" }]),
    { code: "statement_invalid" },
  );
  assert.deepEqual((await session.query("SELECT count(*) FROM t")).rows, [{ count: 0n }]);
});

Deno.test("pipeline: a stream is read no faster than the server answers", async () => {
  await using session = await open(await sharedServer());
  await using observer = await open(await sharedServer());
  let pulled = 0;
  const stream = new ReadableStream<Step>({
    pull(controller) {
      pulled += 1;
      if (pulled > 100) controller.close();
      else controller.enqueue({ sql: pulled === 1 ? "SELECT pg_sleep(60)" : "SELECT 1" });
    },
  }, { highWaterMark: 0 });
  const running = failure(session.pipeline(stream));
  await asleep(observer, session.pid);
  await observer.query("SELECT pg_sleep(0.1)");
  assert.ok(pulled <= 4, `${pulled} steps are under way`);
  await session.cancel();
  assert.equal((await running).step, 0);
  assert.ok(pulled <= 5, `${pulled} steps were read in all`);
  assert.deepEqual((await session.query("SELECT 1 AS one")).rows, [{ one: 1 }]);
});

Deno.test("pipeline: large pieces of a stream are under way one or two at a time", async () => {
  await using session = await open(await sharedServer());
  await using observer = await open(await sharedServer());
  const filler = `/* ${"x".repeat(700_000)} */`;
  let pulled = 0;
  const stream = new ReadableStream<Step>({
    pull(controller) {
      pulled += 1;
      if (pulled > 20) controller.close();
      else controller.enqueue({ sql: `SELECT pg_sleep(${pulled === 1 ? 60 : 0}) ${filler}` });
    },
  }, { highWaterMark: 0 });
  const running = failure(session.pipeline(stream));
  await asleep(observer, session.pid);
  await observer.query("SELECT pg_sleep(0.1)");
  assert.equal(pulled, 2);
  await session.cancel();
  assert.equal((await running).step, 0);
  assert.ok(pulled <= 3, `${pulled} steps were read in all`);
});

Deno.test("pipeline: pieces of a stream are sent as they are, never copied", async () => {
  const large: ArrayBufferLike[] = [];
  await using session = await open(await sharedServer(), {}, {
    dialer: faultyDialer({
      onWrite: (bytes) => bytes.length > 1000 ? large.push(bytes.buffer) : undefined,
    }),
  });
  const piece = new TextEncoder().encode(`SELECT length('${"x".repeat(200_000)}')`);
  await session.pipeline(streamOf([{ sql: piece }, { sql: piece }]));
  assert.ok(large.length >= 2);
  assert.ok(large.every((buffer) => buffer === piece.buffer));
});

Deno.test("pipeline: a stream is cancelled when a step failed, even while it has nothing to give", async () => {
  await using session = await open(await sharedServer());
  let cancelled: unknown;
  const error = await failure(session.pipeline(
    new ReadableStream<Step>({
      start(controller) {
        controller.enqueue({ sql: "SELECT 1" });
        controller.enqueue({ sql: "SELECT oops" });
        // No more, and no end: the source waits for something.
      },
      cancel(reason) {
        cancelled = reason;
      },
    }),
  ));
  assert.equal(error.step, 1);
  assert.equal(cancelled, error);
  assert.deepEqual((await session.query("SELECT 1 AS one")).rows, [{ one: 1 }]);
});

Deno.test("pipeline: what a stream throws is thrown after the answers to what was sent", async () => {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (a int)" });
  await using session = await open(database);
  const broken = new Error("the source broke");
  let pulled = 0;
  const stream = new ReadableStream<Step>({
    pull(controller) {
      if (pulled++ === 0) controller.enqueue({ sql: "INSERT INTO t VALUES (1)" });
      else throw broken;
    },
  }, { highWaterMark: 0 });
  await assert.rejects(session.pipeline(stream), broken);
  assert.deepEqual((await session.query("SELECT count(*) FROM t")).rows, [{ count: 1n }]);
});

Deno.test("pipeline: a lost connection ends it, and cancels the stream", async () => {
  await using session = await open(await sharedServer());
  let cancelled: unknown;
  const work = session.pipeline(
    new ReadableStream<Step>({
      start(controller) {
        controller.enqueue({ sql: "SELECT pg_terminate_backend(pg_backend_pid())" });
      },
      cancel(reason) {
        cancelled = reason;
      },
    }),
  );
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof OperationError);
    assert.equal(error.code, "connection_lost");
    assert.equal(error.details["sqlstate"], "57P01");
    assert.equal(cancelled, error);
    return true;
  });
});

Deno.test("pipeline: a server killed while it is sent a long list is told as lost", async () => {
  await using session = await open(await sharedServer(), {}, { dialer });
  const filler = `/* ${"x".repeat(1_000_000)} */`;
  const steps = [
    { sql: "SELECT pg_terminate_backend(pg_backend_pid())" },
    ...Array.from({ length: 40 }, () => ({ sql: `SELECT 1 ${filler}` })),
  ];
  await assert.rejects(session.pipeline(steps), { code: "connection_lost", kind: "connection" });
});

Deno.test("pipeline: works with bytes given and taken singly", async () => {
  await using session = await open(await sharedServer(), {}, {
    dialer: faultyDialer({ readBytes: 1, writeBytes: 7 }),
  });
  const error = await failure(session.pipeline(streamOf([
    { sql: "SELECT 1, repeat('z', 100)" },
    { sql: "SELECT $1", params: ["x".repeat(50)] },
    { sql: "SELECT 1/0" },
  ])));
  assert.equal(error.step, 2);
});

/** Waits until a session's process sleeps in `pg_sleep`. */
async function asleep(observer: Connection, pid: number): Promise<void> {
  const sleeps = async () => {
    const { count } = await observer.query(
      "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'",
      [pid],
    );
    return count === 1;
  };
  while (!await sleeps());
}

function streamOf(steps: Step[]): ReadableStream<Step> {
  return new ReadableStream({
    start(controller) {
      steps.forEach((step) => controller.enqueue(step));
      controller.close();
    },
  });
}

async function failure(work: Promise<unknown>): Promise<DatabaseError> {
  try {
    await work;
  } catch (error) {
    assert.ok(error instanceof DatabaseError, String(error));
    return error;
  }
  assert.fail("nothing was thrown");
}
