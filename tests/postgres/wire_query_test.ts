import assert from "assert";
import { DatabaseError, OperationError, type ServerError } from "../../core/plugin.ts";
import { freshDatabase, sharedServer } from "../database.ts";
import { faultyDialer, open } from "./wire_connection.ts";

Deno.test("query: values come by the rules of SqlValue", async () => {
  await using session = await open(await sharedServer());
  const { rows, command, count } = await session.query(
    `SELECT 1::int2 AS int2, (-2147483648)::int4 AS int4, 4294967295::oid AS oid,
       9223372036854775807 AS most, (-9223372036854775808) AS least, (-7)::int8 AS few,
       true AS yes, false AS no, '\\x00ff7e'::bytea AS bytes, ''::bytea AS no_bytes,
       0.1::float8 AS double, 'NaN'::float8 AS nan, '-Infinity'::float4 AS least_real,
       1e300::float8 AS large, 12345678901234567890.123456789::numeric AS exact, NULL::int AS nothing,
       'é€😀' AS text, '' AS empty, '{"a": 1}'::jsonb AS json, '{1,2}'::int[] AS list,
       '2024-02-29 12:34:56.789+02'::timestamptz AS moment`,
  );
  assert.deepEqual(rows, [{
    int2: 1,
    int4: -2147483648,
    oid: 4294967295,
    most: 9223372036854775807n,
    least: -9223372036854775808n,
    few: -7n,
    yes: true,
    no: false,
    bytes: Uint8Array.of(0, 255, 126),
    no_bytes: new Uint8Array(),
    double: 0.1,
    nan: NaN,
    least_real: -Infinity,
    large: 1e300,
    exact: "12345678901234567890.123456789",
    nothing: null,
    text: "é€😀",
    empty: "",
    json: '{"a": 1}',
    list: "{1,2}",
    moment: "2024-02-29 10:34:56.789+00",
  }]);
  assert.deepEqual([command, count], ["SELECT", 1]);
});

Deno.test("query: bytea comes in the older escape format too", async () => {
  await using session = await open(await sharedServer());
  await session.query("SET bytea_output = escape");
  const { rows } = await session.query("SELECT '\\x005c41ff27'::bytea AS bytes");
  assert.deepEqual(rows, [{ bytes: Uint8Array.of(0, 0x5c, 0x41, 0xff, 0x27) }]);
});

Deno.test("query: parameters of every type arrive as they are", async () => {
  await using session = await open(await sharedServer());
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
  const { rows } = await session.query(
    `SELECT $1::text AS text, $2::int AS number, $3::float8 AS fraction, $4::int8 AS large,
       $5::bool AS yes, $6::text AS nothing, $7 AS bytes, length($8) AS length`,
    ["a'b\\c\n😀", -5, 1e-7, 9007199254740993n, true, null, bytes, "x".repeat(3_000_000)],
  );
  assert.deepEqual(rows, [{
    text: "a'b\\c\n😀",
    number: -5,
    fraction: 1e-7,
    large: 9007199254740993n,
    yes: true,
    nothing: null,
    bytes,
    length: 3_000_000,
  }]);
});

Deno.test("query: rows larger than any buffer, and many rows, come whole", async () => {
  await using session = await open(await sharedServer());
  const large = await session.query<{ text: string; bytes: Uint8Array }>(
    "SELECT repeat('äb', 5000000) AS text, decode(repeat('00ff', 100000), 'hex') AS bytes",
  );
  assert.equal(large.rows[0]?.text, "äb".repeat(5_000_000));
  assert.equal(large.rows[0]?.bytes.length, 200_000);
  const many = await session.query<{ i: number; t: string }>(
    `SELECT i, CASE WHEN i % 3 = 0 THEN 'ä' || i WHEN i % 3 = 1 THEN repeat('x', i % 300) END AS t
     FROM generate_series(1, 50000) i`,
  );
  assert.equal(many.count, 50_000);
  many.rows.forEach(({ i, t }, index) => {
    assert.equal(i, index + 1);
    assert.equal(t, i % 3 === 0 ? `ä${i}` : i % 3 === 1 ? "x".repeat(i % 300) : null);
  });
});

Deno.test("query: a column named __proto__ is a value like any other", async () => {
  await using session = await open(await sharedServer());
  const { rows } = await session.query('SELECT 1 AS "__proto__", 2 AS "constructor"');
  assert.deepEqual(Object.entries(rows[0] ?? {}), [["__proto__", 1], ["constructor", 2]]);
});

Deno.test("query: commands tell their tag and count", async () => {
  await using database = await freshDatabase();
  await using session = await open(database);
  const told = async (sql: string) => {
    const { command, count } = await session.query(sql);
    return [command, count];
  };
  assert.deepEqual(await told("CREATE TABLE t (a int)"), ["CREATE TABLE", 0]);
  assert.deepEqual(await told("INSERT INTO t SELECT generate_series(1, 12)"), ["INSERT", 12]);
  assert.deepEqual(await told("UPDATE t SET a = 0 WHERE a < 4"), ["UPDATE", 3]);
  assert.deepEqual(await told("TABLE t"), ["SELECT", 12]);
  assert.deepEqual(await told("DELETE FROM t"), ["DELETE", 12]);
  assert.deepEqual(await told("-- nothing"), ["", 0]);
});

Deno.test("query: an error of the server carries every field, and the session goes on", async () => {
  await using database = await freshDatabase({
    sql: "CREATE SCHEMA s; CREATE TABLE s.t (a int CONSTRAINT positive CHECK (a > 0) NOT NULL)",
  });
  await using session = await open(database);
  const syntax = await failure(session.query("SELECT 'ä😀', x FROM s.t"));
  assert.deepEqual(syntax.server, {
    severity: "ERROR",
    sqlstate: "42703",
    message: 'column "x" does not exist',
    position: 14,
  });
  assert.equal(syntax.step, 0);
  const check = await failure(session.query("INSERT INTO s.t VALUES ($1)", [-1]));
  assert.deepEqual(check.server, {
    severity: "ERROR",
    sqlstate: "23514",
    message: 'new row for relation "t" violates check constraint "positive"',
    detail: "Failing row contains (-1).",
    schema: "s",
    table: "t",
    constraint: "positive",
  });
  const column = await failure(session.query("INSERT INTO s.t VALUES (NULL)"));
  assert.equal(column.server.column, "a");
  const inner = await failure(session.query("DO $$BEGIN EXECUTE 'SELECT y'; END$$"));
  assert.equal(inner.server.internalQuery, "SELECT y");
  assert.equal(inner.server.internalPosition, 8);
  assert.match(inner.server.where ?? "", /PL\/pgSQL/);
  assert.deepEqual((await session.query("SELECT 1 AS one")).rows, [{ one: 1 }]);
});

Deno.test("query: text that no server takes is refused before it is sent", async () => {
  await using session = await open(await sharedServer());
  await assert.rejects(session.query("SELECT\0 1"), { code: "statement_invalid" });
  await assert.rejects(session.simple(Uint8Array.of(0x31, 0)), { code: "statement_invalid" });
  await assert.rejects(session.query("SELECT 1", Array(65536).fill(1)), {
    code: "statement_invalid",
  });
  assert.deepEqual((await session.query("SELECT 1 AS one")).rows, [{ one: 1 }]);
});

Deno.test("query: operations asked for at once run one after another", async () => {
  await using session = await open(await sharedServer());
  const order: number[] = [];
  await Promise.all([1, 2, 3, 4].map(async (n) => {
    const { rows } = await session.query<{ n: number }>(
      "SELECT $1::int AS n FROM pg_sleep($2)",
      [n, n === 1 ? 0.05 : 0],
    );
    order.push(rows[0]?.n ?? 0);
  }));
  assert.deepEqual(order, [1, 2, 3, 4]);
});

Deno.test("simple: each statement gives its own result, as text", async () => {
  await using session = await open(await sharedServer());
  const results = await session.simple(
    "SELECT 1 AS a, NULL AS b, 'é' AS c; CREATE TEMP TABLE t (a int); " +
      "INSERT INTO t VALUES (1), (2); TABLE t; ;",
  );
  assert.deepEqual(results, [
    {
      command: "SELECT",
      count: 1,
      fields: [{ name: "a", type: 23 }, { name: "b", type: 25 }, { name: "c", type: 25 }],
      rows: [["1", null, "é"]],
    },
    { command: "CREATE TABLE", count: 0, rows: [] },
    { command: "INSERT", count: 2, rows: [] },
    { command: "SELECT", count: 2, fields: [{ name: "a", type: 23 }], rows: [["1"], ["2"]] },
  ]);
  assert.deepEqual(await session.simple(""), [{ command: "", count: 0, rows: [] }]);
});

Deno.test("simple: an error undoes the whole message", async () => {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (a int)" });
  await using session = await open(database);
  const error = await failure(session.simple("INSERT INTO t VALUES (1); SELECT 1/0"));
  assert.equal(error.server.sqlstate, "22012");
  assert.deepEqual((await session.query("SELECT count(*) FROM t")).rows, [{ count: 0n }]);
});

Deno.test("copy: data from the client is refused, data to it dropped, and the session goes on", async () => {
  await using session = await open(await sharedServer());
  await session.query("CREATE TEMP TABLE t (a int)");
  const runs = [
    () => session.query("copy t from StdIn"),
    () => session.simple("COPY t FROM stdin"),
  ];
  for (const run of runs) {
    const error = await failure(run());
    assert.equal(error.server.sqlstate, "57014");
    assert.match(error.message, /this client sends no data for COPY FROM STDIN/);
  }
  await session.query("INSERT INTO t SELECT generate_series(1, 10000)");
  const out = await session.query("COPY t TO STDOUT");
  assert.deepEqual(out, { rows: [], command: "COPY", count: 10_000 });
  const [copied, one] = await session.simple("COPY t TO STDOUT; SELECT 1");
  assert.deepEqual([copied?.command, copied?.count], ["COPY", 10_000]);
  assert.deepEqual(one?.rows, [["1"]]);
});

Deno.test("transactionStatus: follows the server", async () => {
  await using session = await open(await sharedServer());
  assert.equal(session.transactionStatus, "idle");
  await session.query("BEGIN");
  assert.equal(session.transactionStatus, "in transaction");
  await failure(session.query("SELECT 1/0"));
  assert.equal(session.transactionStatus, "failed");
  await session.query("ROLLBACK");
  assert.equal(session.transactionStatus, "idle");
});

Deno.test("onNotice: notices come while a statement runs, with their fields", async () => {
  const notices: ServerError[] = [];
  await using session = await open(await sharedServer(), {}, {
    onNotice: (notice) => notices.push(notice),
  });
  await session.simple(
    "DO $$BEGIN RAISE WARNING 'careful' USING DETAIL = 'more', HINT = 'less'; END$$;" +
      "DROP TABLE IF EXISTS nothing_of_that_name",
  );
  assert.deepEqual(
    notices.map(({ severity, message, detail, hint }) => [
      severity,
      message,
      detail,
      hint,
    ]),
    [
      ["WARNING", "careful", "more", "less"],
      ["NOTICE", 'table "nothing_of_that_name" does not exist, skipping', undefined, undefined],
    ],
  );
});

Deno.test("connect: settings are sent with the start, and the server's are known", async () => {
  const server = await sharedServer();
  await using session = await open(server, { options: "-c work_mem=3MB" }, {
    settings: { DateStyle: "ISO, DMY", TimeZone: "Asia/Tokyo", extra_float_digits: "2" },
  });
  const { rows } = await session.query(
    `SELECT current_setting('DateStyle') AS style, current_setting('TimeZone') AS zone,
       current_setting('work_mem') AS memory, current_setting('extra_float_digits') AS digits,
       current_setting('application_name') AS name, pg_backend_pid() AS pid,
       current_setting('server_version_num')::int AS version`,
  );
  assert.deepEqual(rows, [{
    style: "ISO, DMY",
    zone: "Asia/Tokyo",
    memory: "3MB",
    digits: "2",
    name: "observatory-tests",
    pid: session.pid,
    version: session.serverVersion,
  }]);
  assert.equal(session.parameter("TimeZone"), "Asia/Tokyo");
  await session.query("SET TimeZone = 'Europe/Paris'");
  assert.equal(session.parameter("TimeZone"), "Europe/Paris");
  assert.equal(session.address, `127.0.0.1:${server.port}`);
  assert.equal(session.tls, false);
});

Deno.test("transport: single bytes read and few written make no difference", async () => {
  await using session = await open(await sharedServer(), {}, {
    dialer: faultyDialer({ readBytes: 1, writeBytes: 3 }),
  });
  const { rows } = await session.query(
    "SELECT i, repeat('ü', i) AS t, $1::text AS p FROM generate_series(1, 30) i",
    ["ö".repeat(100)],
  );
  assert.equal(rows.length, 30);
  assert.deepEqual(rows[29], { i: 30, t: "ü".repeat(30), p: "ö".repeat(100) });
  await failure(session.simple("SELECT oops"));
  const results = await session.pipeline([{ sql: "SELECT 1" }, {
    sql: "SELECT $1",
    params: ["x"],
  }]);
  assert.deepEqual(results.map(({ count }) => count), [1, 1]);
});

Deno.test("cancel: stops what runs, and the session goes on", async () => {
  await using session = await open(await sharedServer());
  await using observer = await open(await sharedServer());
  const running = failure(session.query("SELECT pg_sleep(60)"));
  await sleeping(observer, session.pid);
  await session.cancel();
  assert.equal((await running).server.sqlstate, "57014");
  assert.deepEqual((await session.query("SELECT 1 AS one")).rows, [{ one: 1 }]);
});

Deno.test("closed: a session killed in a statement says what the server said last", async () => {
  await using session = await open(await sharedServer());
  await using observer = await open(await sharedServer());
  const running = lost(session.query("SELECT pg_sleep(60)"));
  const waiting = lost(session.query("SELECT 1"));
  await sleeping(observer, session.pid);
  await observer.query("SELECT pg_terminate_backend($1)", [session.pid]);
  const error = await running;
  assert.equal(error.kind, "connection");
  assert.equal(error.code, "connection_lost");
  assert.equal(error.details["sqlstate"], "57P01");
  assert.match(
    error.message,
    /^The connection to 127\.0\.0\.1:\d+ was lost: terminating connection due to administrator command \(SQLSTATE 57P01\)$/,
  );
  assert.equal(await session.closed, error);
  assert.equal(await waiting, error);
  assert.equal(await lost(session.query("SELECT 1")), error);
});

Deno.test("closed: an idle session tells of its end without being asked", async () => {
  await using session = await open(await sharedServer());
  await using observer = await open(await sharedServer());
  await observer.query("SELECT pg_terminate_backend($1)", [session.pid]);
  const error = await session.closed;
  assert.equal(error?.details["sqlstate"], "57P01");
});

Deno.test("close: ends the server's process, is idempotent, and later work is refused", async () => {
  const session = await open(await sharedServer());
  await using observer = await open(await sharedServer());
  await Promise.all([session.close(), session.close()]);
  await session.close();
  assert.equal(await session.closed, undefined);
  assert.equal((await lost(session.query("SELECT 1"))).code, "connection_closed");
  const alive = async (pid: number) =>
    (await observer.query("SELECT 1 FROM pg_stat_activity WHERE pid = $1", [pid])).count === 1;
  assert.equal(await alive(session.pid), false);
  const hasty = await open(await sharedServer());
  await hasty.close({ wait: false });
  assert.equal(await hasty.closed, undefined);
  while (await alive(hasty.pid));
});

Deno.test("close: what still waits for an answer is refused", async () => {
  const session = await open(await sharedServer());
  await using observer = await open(await sharedServer());
  const running = lost(session.query("SELECT pg_sleep(60)"));
  await sleeping(observer, session.pid);
  await session.close();
  assert.equal((await running).code, "connection_closed");
  await observer.query("SELECT pg_terminate_backend($1)", [session.pid]);
});

async function failure(work: Promise<unknown>): Promise<DatabaseError> {
  const error = await rejection(work);
  assert.ok(error instanceof DatabaseError, String(error));
  return error;
}

async function lost(work: Promise<unknown>): Promise<OperationError> {
  const error = await rejection(work);
  assert.ok(error instanceof OperationError && error.kind === "connection", String(error));
  return error;
}

async function rejection(work: Promise<unknown>): Promise<unknown> {
  let result: unknown;
  try {
    result = await work;
  } catch (error) {
    return error;
  }
  assert.fail(`nothing was thrown, but ${JSON.stringify(result)} returned`);
}

/** Waits until a session's process sleeps in `pg_sleep`. */
async function sleeping(observer: Awaited<ReturnType<typeof open>>, pid: number): Promise<void> {
  const asleep = async () => {
    const { count } = await observer.query(
      "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'",
      [pid],
    );
    return count === 1;
  };
  while (!await asleep());
}
