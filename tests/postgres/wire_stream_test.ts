import assert from "assert";
import { DatabaseError, OperationError, type ServerError } from "../../core/plugin.ts";
import { startServer } from "../../tasks/server.ts";
import { sharedServer } from "../database.ts";
import { makeAuthority, skipWithoutOpenssl } from "./tls_certificates.ts";
import { faultyDialer, open } from "./wire_connection.ts";
import {
  collect,
  countingDialer,
  ENDLESS,
  goesOn,
  operationError,
  rowsOf,
  run,
  untilServer,
} from "./wire_streams.ts";

Deno.test("execute: each statement gives its columns, rows and end, values as text", async () => {
  await using session = await open(await sharedServer());
  const { parts, error } = await run(
    session,
    "SELECT 1 AS a, NULL AS b, 'é€😀' AS c, '\\x00ff'::bytea AS d; CREATE TEMP TABLE t (n int);" +
      "INSERT INTO t VALUES (1), (2); TABLE t; SELECT n FROM t WHERE false; SELECT; ;",
  );
  assert.equal(error, undefined);
  assert.deepEqual(parts, [
    {
      kind: "columns",
      columns: [
        { name: "a", type: 23 },
        { name: "b", type: 25 },
        { name: "c", type: 25 },
        { name: "d", type: 17 },
      ],
    },
    { kind: "rows", rows: [["1", null, "é€😀", "\\x00ff"]] },
    { kind: "end", command: "SELECT", count: 1 },
    { kind: "end", command: "CREATE TABLE", count: 0 },
    { kind: "end", command: "INSERT", count: 2 },
    { kind: "columns", columns: [{ name: "n", type: 23 }] },
    { kind: "rows", rows: [["1"], ["2"]] },
    { kind: "end", command: "SELECT", count: 2 },
    { kind: "columns", columns: [{ name: "n", type: 23 }] },
    { kind: "end", command: "SELECT", count: 0 },
    { kind: "columns", columns: [] },
    { kind: "rows", rows: [[]] },
    { kind: "end", command: "SELECT", count: 1 },
  ]);
});

Deno.test("execute: an empty query gives an end without a command", async () => {
  await using session = await open(await sharedServer());
  const end = { kind: "end", command: "", count: 0 };
  for (const sql of ["", " -- nothing\n;", new Uint8Array()]) {
    assert.deepEqual(await run(session, sql), { parts: [end], error: undefined });
    assert.deepEqual(await run(session, sql, { params: [] }), { parts: [end], error: undefined });
  }
});

Deno.test("execute: parameters make it one statement", async () => {
  await using session = await open(await sharedServer());
  const { parts } = await run(session, "SELECT $1::int + 1 AS n, $2 AS b", {
    params: [1, Uint8Array.of(0, 1)],
  });
  assert.deepEqual(parts, [
    { kind: "columns", columns: [{ name: "n", type: 23 }, { name: "b", type: 17 }] },
    { kind: "rows", rows: [["2", "\\x0001"]] },
    { kind: "end", command: "SELECT", count: 1 },
  ]);
  const { parts: none, error } = await run(session, "SELECT 1; SELECT 2", { params: [] });
  assert.deepEqual(none, []);
  assert.ok(error instanceof DatabaseError);
  assert.match(error.message, /cannot insert multiple commands/);
});

Deno.test("execute: many rows come whole, in batches of about 64 KiB", async () => {
  await using session = await open(await sharedServer());
  const { parts } = await run(
    session,
    `SELECT i, CASE i % 4 WHEN 0 THEN 'ä€😀' || i WHEN 1 THEN repeat('x', i % 300) WHEN 2 THEN '' END,
       decode(lpad(to_hex(i), 8, '0'), 'hex')
     FROM generate_series(1, 200000) i`,
  );
  let i = 0;
  for (const part of parts) {
    if (part.kind !== "rows") continue;
    let size = 0;
    for (const [number, text, bytes] of part.rows) {
      i++;
      assert.equal(number, String(i));
      assert.equal(text, [`ä€😀${i}`, "x".repeat(i % 300), "", null][i % 4]);
      assert.equal(bytes, `\\x${i.toString(16).padStart(8, "0")}`);
      size += (text ?? "").length + 20;
    }
    assert.ok(size < 70_000, `a batch of ${size} characters`);
  }
  assert.equal(i, 200_000);
  assert.ok(parts.length > 100 && parts.length < 800, `${parts.length} parts`);
  assert.deepEqual(parts.at(-1), { kind: "end", command: "SELECT", count: 200_000 });
});

Deno.test("execute: rows larger than any buffer, and ones without bytes, come whole", async () => {
  await using session = await open(await sharedServer());
  const large = await run(
    session,
    "SELECT repeat('äb', i) FROM generate_series(2000000, 2000002) i",
  );
  assert.deepEqual(
    rowsOf(large.parts).map(([text]) =>
      text === "äb".repeat((text ?? "").length / 2) && text.length
    ),
    [4_000_000, 4_000_002, 4_000_004],
  );
  const { parts } = await run(session, "SELECT FROM generate_series(1, 100000)");
  assert.equal(rowsOf(parts).length, 100_000);
});

Deno.test("execute: a large statement goes as the bytes it is given as", async () => {
  await using session = await open(await sharedServer());
  const sql = new TextEncoder().encode(`SELECT length('${"é".repeat(500_000)}')`);
  assert.deepEqual(rowsOf((await run(session, sql)).parts), [["500000"]]);
  await operationError(session.execute("SELECT '\0'"), "statement_invalid");
  await goesOn(session);
});

Deno.test("execute: what came before an error is delivered, then the stream fails", async () => {
  await using session = await open(await sharedServer());
  const { parts, error } = await run(
    session,
    "SELECT 1 AS a; SELECT 6 / (4 - i) AS b FROM generate_series(1, 5) i; SELECT 3 AS c",
  );
  assert.deepEqual(parts, [
    { kind: "columns", columns: [{ name: "a", type: 23 }] },
    { kind: "rows", rows: [["1"]] },
    { kind: "end", command: "SELECT", count: 1 },
    { kind: "columns", columns: [{ name: "b", type: 23 }] },
    { kind: "rows", rows: [["2"], ["3"], ["6"]] },
  ]);
  assert.ok(error instanceof DatabaseError);
  assert.deepEqual([error.server.sqlstate, error.completed, error.step], ["22012", 1, 0]);
  const late = await run(session, "SELECT 1 / (100000 - i) FROM generate_series(1, 200000) i");
  assert.equal(rowsOf(late.parts).length, 99_999);
  assert.ok(late.error instanceof DatabaseError);
  assert.equal(late.error.completed, 0);
  await goesOn(session);
});

Deno.test("execute: a consumer that reads late still gets what came before an error", async () => {
  await using session = await open(await sharedServer());
  const { stream, finished } = await session.execute("SELECT 1 AS a; SELECT oops");
  await finished;
  await goesOn(session);
  const { parts, error } = await collect(stream);
  assert.equal(parts.length, 3);
  assert.ok(error instanceof DatabaseError);
  assert.deepEqual([error.server.sqlstate, error.completed], ["42703", 1]);
});

Deno.test("execute: a consumer that stops reading stops the server, and can go on", async () => {
  const counting = countingDialer();
  await using session = await open(await sharedServer(), {}, { dialer: counting.dialer });
  await using observer = await open(await sharedServer());
  const before = counting.read();
  const { stream } = await session.execute(
    "SELECT i, repeat('x', 1000) FROM generate_series(1, 60000) i",
  );
  const reader = stream.getReader();
  const parts = [(await reader.read()).value, (await reader.read()).value];
  await untilServer(observer, session.pid, "wait_event = 'ClientWrite'");
  const taken = counting.read() - before;
  assert.ok(taken < 1_000_000, `${taken} bytes are under way`);
  await observer.query("SELECT pg_sleep(0.1)");
  assert.equal(counting.read() - before, taken);
  reader.releaseLock();
  const rest = await collect(stream);
  const rows = rowsOf(
    [...parts, ...rest.parts].flatMap((part) => part === undefined ? [] : [part]),
  );
  assert.equal(rows.length, 60_000);
  rows.forEach(([i], index) => assert.equal(i, String(index + 1)));
});

Deno.test("execute, copyIn, copyOut: a million rows stream in a heap of 32 MiB", async () => {
  const { port } = await sharedServer();
  for (const what of ["rows", "copy"]) {
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--allow-all",
        "--v8-flags=--max-old-space-size=32",
        new URL("stream_million.ts", import.meta.url).pathname,
        String(port),
        what,
      ],
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    assert.equal(JSON.parse(new TextDecoder().decode(stdout)).rows, 1_000_000);
  }
});

Deno.test("execute: cancelling the stream cancels the statement, and the session goes on", async () => {
  await using session = await open(await sharedServer());
  await using observer = await open(await sharedServer());
  for (const params of [undefined, []]) {
    const { stream } = await session.execute(ENDLESS, { params });
    const reader = stream.getReader();
    await reader.read();
    await reader.read();
    // The server waits for its rows to be taken, and hears no cancel request meanwhile.
    await untilServer(observer, session.pid, "wait_event = 'ClientWrite'");
    await reader.cancel();
    await goesOn(session);
    const silent = await session.execute("SELECT pg_sleep(60)", { params });
    await untilServer(observer, session.pid, "wait_event = 'PgSleep'");
    await silent.stream.cancel();
    await goesOn(session);
  }
});

Deno.test("execute: a stream cancelled at once, or by leaving its loop, leaves the session free", async () => {
  await using session = await open(await sharedServer());
  for (let round = 0; round < 20; round++) {
    await (await session.execute(round % 2 === 0 ? ENDLESS : "SELECT 1")).stream.cancel();
    // A cancel request on its way would meet this statement.
    await goesOn(session);
    for await (const part of (await session.execute(ENDLESS)).stream) {
      if (part.kind === "rows") break;
    }
    await goesOn(session);
  }
});

Deno.test("execute: a cancel request that had no effect is followed by another", async () => {
  await using session = await open(await sharedServer());
  await using observer = await open(await sharedServer());
  const { stream } = await session.execute(
    "DO $$ BEGIN BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(60); END; END $$",
  );
  await untilServer(observer, session.pid, "wait_event = 'PgSleep'");
  await stream.cancel();
  await goesOn(session);
});

Deno.test("execute: a cancelled statement leaves its transaction failed", async () => {
  await using session = await open(await sharedServer());
  await session.query("BEGIN");
  await (await session.execute(ENDLESS)).stream.cancel();
  assert.equal(session.transactionStatus, "failed");
  await session.query("ROLLBACK");
  assert.equal((await run(session, "BEGIN")).error, undefined);
  assert.equal(session.transactionStatus, "in transaction");
});

Deno.test("execute: further operations wait for the stream's end, in their order", async () => {
  await using session = await open(await sharedServer());
  const order: string[] = [];
  const sql = "SELECT repeat('x', 1000) FROM generate_series(1, 5000)";
  const [first, second, third] = [
    session.execute(sql),
    session.query("SELECT 1").then(() => order.push("query")),
    session.execute(sql),
  ];
  assert.equal(rowsOf((await collect((await first).stream)).parts).length, 5000);
  order.push("first");
  await second;
  assert.equal(rowsOf((await collect((await third).stream)).parts).length, 5000);
  assert.deepEqual(order, ["first", "query"]);
});

Deno.test("execute: COPY is refused in it, and the session goes on", async () => {
  await using session = await open(await sharedServer());
  await session.query("CREATE TEMP TABLE t (n int)");
  for (const params of [undefined, []]) {
    for (const sql of ["COPY t FROM STDIN", "COPY t TO STDOUT"]) {
      const { parts, error } = await run(session, sql, { params });
      assert.deepEqual(parts, []);
      assert.ok(error instanceof OperationError);
      assert.equal(error.code, "copy_not_expected");
      assert.notEqual(error.hint, undefined);
      await goesOn(session);
    }
  }
  const { parts, error } = await run(session, "SELECT 1 AS a; COPY t TO STDOUT; SELECT 2");
  assert.equal(parts.length, 3);
  assert.ok(error instanceof OperationError);
  assert.equal(error.code, "copy_not_expected");
  const text = await run(session, "SELECT 'stdin' AS a");
  assert.deepEqual(rowsOf(text.parts), [["stdin"]]);
});

Deno.test("execute: closing the session fails an open stream", async () => {
  await using observer = await open(await sharedServer());
  for (const sql of [ENDLESS, "SELECT pg_sleep(60)"]) {
    const session = await open(await sharedServer());
    const { stream, finished } = await session.execute(sql);
    const answer = collect(stream);
    await untilServer(observer, session.pid, "state = 'active'");
    await session.close();
    const { error } = await answer;
    assert.ok(error instanceof OperationError);
    assert.equal(error.code, "connection_closed");
    await finished;
    await observer.query("SELECT pg_terminate_backend($1)", [session.pid]);
  }
});

Deno.test("execute: closing the session ends a stream that nobody reads, too", async () => {
  const session = await open(await sharedServer());
  await using observer = await open(await sharedServer());
  const { stream, finished } = await session.execute(ENDLESS);
  await untilServer(observer, session.pid, "wait_event = 'ClientWrite'");
  const waiting = operationError(session.query("SELECT 1"), "connection_closed");
  await session.close();
  await Promise.all([finished, waiting]);
  await stream.cancel();
});

Deno.test("execute: a server process that ends fails the stream with its last words", async () => {
  await using observer = await open(await sharedServer());
  for (const sql of [ENDLESS, "SELECT 1; SELECT pg_sleep(60)"]) {
    await using session = await open(await sharedServer());
    const { stream } = await session.execute(sql);
    const answer = collect(stream);
    await untilServer(observer, session.pid, "state = 'active'");
    await observer.query("SELECT pg_terminate_backend($1)", [session.pid]);
    const { error } = await answer;
    assert.ok(error instanceof OperationError);
    assert.deepEqual([error.kind, error.code], ["connection", "connection_lost"]);
    assert.equal(error.details["sqlstate"], "57P01");
    assert.equal(await session.closed, error);
  }
});

Deno.test("execute: notices come as usual", async () => {
  const notices: ServerError[] = [];
  await using session = await open(await sharedServer(), {}, {
    onNotice: (notice) => notices.push(notice),
  });
  await run(session, "SELECT 1; DO $$BEGIN RAISE NOTICE 'told'; END$$");
  assert.deepEqual(notices.map(({ message }) => message), ["told"]);
});

Deno.test("execute: single bytes read and few written make no difference", async () => {
  await using session = await open(await sharedServer(), {}, {
    dialer: faultyDialer({ readBytes: 1, writeBytes: 3 }),
  });
  const { parts } = await run(session, "SELECT i, repeat('ü', i) FROM generate_series(1, 30) i");
  assert.deepEqual(rowsOf(parts)[29], ["30", "ü".repeat(30)]);
  await (await session.execute("SELECT pg_sleep(60)")).stream.cancel();
});

Deno.test({
  name: "execute, copyIn, copyOut: work under TLS, cancelling included",
  ignore: await skipWithoutOpenssl("TLS"),
  async fn() {
    await using authority = await makeAuthority();
    const certificate = await authority.issue({ alternativeNames: ["IP:127.0.0.1"] });
    await using server = await startServer({ ssl: certificate });
    await using session = await open(server, { sslmode: "require" });
    assert.equal(session.tls, true);
    const { stream } = await session.execute(ENDLESS);
    const reader = stream.getReader();
    for (let part = 0; part < 20; part++) await reader.read();
    await reader.cancel();
    await session.query("CREATE TABLE t (n int)");
    const { stream: numbers } = await session.copyOut(
      "COPY (SELECT generate_series(1, 300000)) TO STDOUT",
    );
    await using other = await open(server, { sslmode: "require" });
    assert.equal((await other.copyIn("COPY t FROM STDIN", { data: numbers })).count, 300_000);
    assert.deepEqual(
      rowsOf((await run(session, "SELECT count(*), sum(n) FROM t")).parts),
      [["300000", "45000150000"]],
    );
  },
});
