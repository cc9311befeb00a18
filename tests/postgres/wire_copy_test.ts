import assert from "assert";
import { DatabaseError, OperationError } from "../../core/plugin.ts";
import { SignalError } from "../../core/errors.ts";
import { runDatabase, until } from "../core/run_database.ts";
import { forEachServerVersion, freshDatabase, sharedServer } from "../database.ts";
import { errorFields, fakeServer } from "./fake_server.ts";
import { faultyDialer, open } from "./wire_connection.ts";
import {
  collect,
  countingDialer,
  databaseError,
  goesOn,
  joinedText,
  operationError,
  rowsOf,
  run,
  streamOf,
  untilServer,
} from "./wire_streams.ts";

const COPY_IN = "COPY t FROM STDIN";

await forEachServerVersion(
  "copyIn, copyOut, execute: values come back as they were",
  async (server) => {
    await using session = await open(server);
    await session.simple("CREATE TABLE t (n int, s text, b bytea)");
    const lines = Array.from(
      { length: 120_000 },
      (_, i) =>
        `${i}\t${["ä€😀", "\\\\x", "", "\\N", "a\\tb\\nc"][i % 5]}${i % 5 === 3 ? "" : i}\t\\\\x00${
          i % 2 ? "ff" : "0a"
        }\n`,
    );
    const text = lines.join("");
    const result = await session.copyIn(COPY_IN, { data: streamOf([text]) });
    assert.deepEqual(result, { rows: [], command: "COPY", count: 120_000 });
    assert.equal(session.transactionStatus, "idle");
    const { stream } = await session.copyOut(
      "/* all /* of */ it */ -- now\n copy (TABLE t ORDER BY n) to stdout",
    );
    // Not `equal`, which takes minutes to tell how two such texts differ.
    assert.ok(await joinedText(stream) === text);
    const { parts } = await run(session, "SELECT n, s, b FROM t ORDER BY n");
    const rows = rowsOf(parts);
    assert.equal(rows.length, 120_000);
    rows.forEach(([n, s, b], i) => {
      assert.equal(n, String(i));
      assert.equal(s, [`ä€😀${i}`, `\\x${i}`, `${i}`, null, `a\tb\nc${i}`][i % 5]);
      assert.equal(b, i % 2 ? "\\x00ff" : "\\x000a");
    });
  },
);

Deno.test("copyIn: pieces of any size make the same messages", async () => {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (n int, s text)" });
  const lines = Array.from({ length: 5000 }, (_, i) => `${i},${"é".repeat(i % 200)}\n`).join("");
  const bytes = new TextEncoder().encode(lines);
  for (const size of [1, 997, 65_536, 131_072, 131_073, bytes.length]) {
    const sizes: number[] = [];
    await using session = await open(database, {}, {
      dialer: faultyDialer({ onWrite: (message) => sizes.push(message.length) }),
    });
    await session.query("TRUNCATE t");
    sizes.length = 0;
    const pieces = function* () {
      for (let at = 0; at < bytes.length; at += size) {
        yield bytes.subarray(at, at + size);
        yield new Uint8Array();
      }
    };
    const { count } = await session.copyIn("COPY t FROM STDIN (FORMAT csv)", {
      data: streamOf(pieces()),
    });
    assert.equal(count, 5000);
    assert.ok(sizes.length <= 4 + Math.ceil(bytes.length / 131_072), `${sizes}`);
    assert.ok(Math.max(...sizes) <= 131_072 + 5, `${sizes}`);
    const { stream } = await session.copyOut("COPY (TABLE t ORDER BY n) TO STDOUT (FORMAT csv)");
    assert.ok(await joinedText(stream) === lines);
  }
});

Deno.test("copyIn: no data, and a source that reuses its buffer, are no trouble", async () => {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (n int)" });
  await using session = await open(database);
  assert.equal((await session.copyIn(COPY_IN, { data: streamOf([]) })).count, 0);
  assert.equal((await session.copyIn(COPY_IN, { data: streamOf(["1\n2"]) })).count, 2);
  const buffer = new Uint8Array(20_000);
  let given = 0;
  const data = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (given === 100) return controller.close();
      new TextEncoder().encodeInto(`${String(++given).padStart(9)}\n`.repeat(2000), buffer);
      controller.enqueue(buffer);
    },
  }, { highWaterMark: 0 });
  assert.equal((await session.copyIn(COPY_IN, { data })).count, 200_000);
  const { rows } = await session.query("SELECT sum(n)::int AS sum FROM t");
  assert.deepEqual(rows, [{ sum: 3 + 2000 * 5050 }]);
});

Deno.test("copyIn: the source is read no faster than the server takes it", async () => {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (n int, s text)" });
  await using session = await open(database);
  await using other = await open(database);
  await other.simple("BEGIN; LOCK TABLE t IN EXCLUSIVE MODE");
  let pulled = 0;
  const piece = new TextEncoder().encode(`1\t${"x".repeat(65_000)}\n`);
  const data = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(piece);
      if (++pulled === 1000) controller.close();
    },
  }, { highWaterMark: 0 });
  const copying = session.copyIn(COPY_IN, { data });
  await untilServer(other, session.pid, "wait_event_type = 'Lock'");
  await other.query("SELECT pg_sleep(0.05)");
  assert.equal(pulled, 0);
  await other.simple("COMMIT");
  assert.equal((await copying).count, 1000);
});

Deno.test("copyIn: an error of the server stops the source at once, though it has nothing to give", async () => {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (n int PRIMARY KEY)" });
  await using session = await open(database);
  for (const more of [0, 100_000]) {
    let cancelled: unknown;
    const data = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(`1\n2\nx\n${"3\n".repeat(more)}`));
      },
      cancel(reason) {
        cancelled = reason;
      },
    });
    const error = await databaseError(session.copyIn(COPY_IN, { data }));
    assert.equal(error.server.sqlstate, "22P02");
    assert.equal(error.server.where, 'COPY t, line 3, column n: "x"');
    assert.equal(cancelled, error);
    await goesOn(session);
  }
  assert.deepEqual(await database.query("SELECT * FROM t"), []);
});

Deno.test("copyIn: an error in the middle of much data is told, and no more is read", async () => {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (n int PRIMARY KEY)" });
  await using session = await open(database);
  let given = 0;
  const numbers = function* () {
    for (let i = 2; i < 1_000_000_000; i += 10_000) {
      given++;
      yield Array.from({ length: 10_000 }, (_, n) => `${given === 20 ? 7 : i + n}\n`).join("");
    }
  };
  const error = await databaseError(session.copyIn(COPY_IN, { data: streamOf(numbers()) }));
  assert.equal(error.server.sqlstate, "23505");
  assert.ok(given < 500, `${given} pieces were read`);
  await goesOn(session);
  const late = await databaseError(session.copyIn(COPY_IN, { data: streamOf(["1\n1\n"]) }));
  assert.equal(late.server.sqlstate, "23505");
  await goesOn(session);
});

Deno.test("copyIn: what the source fails with is thrown, and nothing is kept", async () => {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (n int)" });
  await using session = await open(database);
  const broken = new Error("the disk broke");
  const pieces = function* () {
    yield "1\n".repeat(200_000);
    throw broken;
  };
  await assert.rejects(session.copyIn(COPY_IN, { data: streamOf(pieces()) }), broken);
  await goesOn(session);
  await session.query("BEGIN");
  await assert.rejects(session.copyIn(COPY_IN, { data: streamOf(pieces()) }), broken);
  assert.equal(session.transactionStatus, "failed");
  await session.query("ROLLBACK");
  const words: ReadableStream = ReadableStream.from(["1\n"]);
  await assert.rejects(session.copyIn(COPY_IN, { data: words }), TypeError);
  const locked = streamOf(["1\n"]);
  locked.getReader();
  await assert.rejects(session.copyIn(COPY_IN, { data: locked }), TypeError);
  await goesOn(session);
  assert.deepEqual(await database.query("SELECT * FROM t"), []);
});

Deno.test("copyIn, copyOut: what is no such copy is refused, and nothing of it happens", async () => {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (stdin int, stdout int)" });
  await using session = await open(database);
  for (
    const sql of [
      "",
      "INSERT INTO t VALUES (1)",
      "INSERT INTO t VALUES (1) -- copy stdin stdout",
      "-- COPY t FROM STDIN, TO STDOUT",
      "/* COPY t FROM STDIN, TO STDOUT",
      "copyist stdin stdout",
      "copy t to '/tmp/nowhere'",
    ]
  ) {
    await operationError(session.copyIn(sql, { data: streamOf(["1\n"]) }), "copy_expected");
    await operationError(session.copyOut(sql), "copy_expected");
  }
  // Only the server can tell these, and they do no more than what they say.
  await operationError(
    session.copyIn("COPY t (stdin) TO STDOUT", { data: streamOf(["1\n"]) }),
    "copy_expected",
  );
  const { error } = await collect((await session.copyOut("COPY t (stdout) FROM STDIN")).stream);
  assert.ok(error instanceof OperationError);
  assert.equal(error.code, "copy_expected");
  const several = "COPY t FROM STDIN; DROP TABLE t";
  await databaseError(session.copyIn(several, { data: streamOf(["1\t2\n"]) }));
  await databaseError(session.copyIn("COPY nothing FROM STDIN", { data: streamOf(["1\n"]) }));
  await goesOn(session);
  assert.deepEqual(await database.query("SELECT * FROM t"), []);
});

Deno.test("copyIn: a connection that is lost or closed stops the source and says why", async () => {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (n int)" });
  await using observer = await open(database);
  for (const code of ["connection_lost", "connection_closed"]) {
    await using session = await open(database);
    let cancelled: unknown;
    const data = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(new TextEncoder().encode("1\n")),
      cancel: (reason) => void (cancelled = reason),
    });
    const copying = operationError(session.copyIn(COPY_IN, { data }), code);
    await untilServer(observer, session.pid, "wait_event = 'ClientRead' AND state = 'active'");
    if (code === "connection_closed") await session.close();
    else await observer.query("SELECT pg_terminate_backend($1)", [session.pid]);
    assert.equal(await copying, cancelled);
  }
  assert.deepEqual(await database.query("SELECT * FROM t"), []);
});

Deno.test("copyIn: a server that drops the connection in the middle of much data is told as lost", async () => {
  await using server = fakeServer(async (talk) => {
    await talk.letIn();
    while ((await talk.message()).type !== "H");
    await talk.send("G", 0, 0, 0);
    await talk.message();
    await talk.send("E", errorFields({ S: "FATAL", V: "FATAL", C: "57P01", M: "going down" }));
  });
  await using session = await open(server);
  const pieces = function* () {
    for (;;) yield "1\n".repeat(50_000);
  };
  const error = await operationError(
    session.copyIn(COPY_IN, { data: streamOf(pieces()) }),
    "connection_lost",
  );
  assert.match(error.message, /going down/);
});

Deno.test("copyOut: pieces are of about 64 KiB, larger rows whole, and a late reader stops the server", async () => {
  const counting = countingDialer();
  await using session = await open(await sharedServer(), {}, { dialer: counting.dialer });
  await using observer = await open(await sharedServer());
  const before = counting.read();
  const { stream } = await session.copyOut(
    "COPY (SELECT i, CASE WHEN i % 10000 = 0 THEN repeat('y', 300000) ELSE repeat('x', 500) END FROM generate_series(1, 100000) i) TO STDOUT",
  );
  const reader = stream.getReader();
  const pieces = [(await reader.read()).value ?? new Uint8Array()];
  await untilServer(observer, session.pid, "wait_event = 'ClientWrite'");
  const taken = counting.read() - before;
  assert.ok(taken < 1_000_000, `${taken} bytes are under way`);
  reader.releaseLock();
  const { parts, error } = await collect(stream);
  assert.equal(error, undefined);
  pieces.push(...parts);
  const sizes = pieces.map((piece) => piece.length);
  assert.ok(sizes.every((size) => size <= 65_536 || size > 300_000), `${Math.max(...sizes)}`);
  assert.ok(pieces.length < 1000, `${pieces.length} pieces`);
  const lines = (await joinedText(ReadableStream.from(pieces))).trimEnd().split("\n");
  assert.equal(lines.length, 100_000);
  lines.forEach((line, index) => {
    const i = index + 1;
    assert.equal(line, `${i}\t${i % 10_000 === 0 ? "y".repeat(300_000) : "x".repeat(500)}`);
  });
});

Deno.test("copyOut: what came before an error is delivered; cancelling leaves the session free", async () => {
  await using session = await open(await sharedServer());
  const { stream } = await session.copyOut(
    "COPY (SELECT 1 / (50000 - i) FROM generate_series(1, 100000) i) TO STDOUT",
  );
  const { parts, error } = await collect(stream);
  const text = await joinedText(ReadableStream.from(parts));
  assert.equal(text.split("\n").length, 50_000);
  assert.equal(error instanceof OperationError && error.details["sqlstate"], "22012");
  for (let round = 0; round < 5; round++) {
    const endless = await session.copyOut(
      "COPY (SELECT generate_series(1, 1e18::bigint)) TO STDOUT",
    );
    const reader = endless.stream.getReader();
    if (round > 0) await reader.read();
    await reader.cancel();
    await goesOn(session);
  }
  const binary = await session.copyOut("COPY (SELECT '\\x00ff'::bytea) TO STDOUT (FORMAT binary)");
  const [piece] = (await collect(binary.stream)).parts;
  assert.deepEqual([...piece ?? []].slice(-4), [0, 255, 255, 255]);
});

Deno.test("Session.copyIn, copyOut: a read-only run copies out only", async () => {
  await using database = await freshDatabase({
    sql: "CREATE TABLE t (n int); INSERT INTO t VALUES (1)",
  });
  await using run = runDatabase({ ...database, readOnly: true });
  const session = await run.session();
  let cancelled: unknown;
  const data = new ReadableStream<Uint8Array>({ cancel: (reason) => void (cancelled = reason) });
  const refusal = await operationError(session.copyIn(COPY_IN, data), "read_only");
  assert.equal(refusal.kind, "refused");
  assert.equal(cancelled, refusal);
  assert.equal(await joinedText(await session.copyOut("COPY t TO STDOUT")), "1\n");
  for (
    const sql of [
      "COPY (INSERT INTO t VALUES (2) RETURNING n) TO STDOUT",
      "COPY t TO STDOUT; INSERT INTO t VALUES (2)",
    ]
  ) {
    const { error } = await collect(await session.copyOut(sql));
    assert.equal(error instanceof DatabaseError, true, sql);
  }
  await operationError(session.copyOut("INSERT INTO t VALUES (2)"), "copy_expected");
  await databaseError(session.query("INSERT INTO t VALUES (2)"));
  assert.deepEqual(await database.query("SELECT n FROM t"), [{ n: 1 }]);
});

Deno.test("Session.copyIn: a signal ends a copy whose source has nothing to give", async () => {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (n int)" });
  const ending = new AbortController();
  await using run = runDatabase({ ...database, signal: ending.signal });
  const session = await run.session();
  let cancelled: unknown;
  const data = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new TextEncoder().encode("1\n")),
    cancel: (reason) => void (cancelled = reason),
  });
  const signal = new SignalError("SIGTERM");
  const copying = assert.rejects(session.copyIn(COPY_IN, data), signal);
  await until("the server waits for data", async () => {
    const rows = await database.query(
      "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND state = 'active' AND wait_event = 'ClientRead'",
      [session.pid],
    );
    return rows.length === 1;
  });
  ending.abort(signal);
  await copying;
  assert.equal(cancelled, signal);
  await assert.rejects(session.copyOut("COPY t TO STDOUT"), signal);
  assert.deepEqual(await database.query("SELECT * FROM t"), []);
});
