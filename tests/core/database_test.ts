import assert from "assert";
import { OperationError, type Session } from "../../core/plugin.ts";
import { SignalError } from "../../core/errors.ts";
import { closeQuietly, writeAll } from "../../core/postgres/transport.ts";
import { startServer } from "../../tasks/server.ts";
import { freshDatabase, type TestDatabase, uniqueName } from "../database.ts";
import { runDatabase, until } from "./run_database.ts";

const TABLES = `
  CREATE TABLE t (n int PRIMARY KEY);
  INSERT INTO t VALUES (1);
  CREATE SEQUENCE s;
  CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM t;
  CREATE FUNCTION write_it() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (9) RETURNING n';
  CREATE FUNCTION free_it() RETURNS int LANGUAGE plpgsql AS $$
  BEGIN
    PERFORM set_config('transaction_read_only', 'off', false);
    INSERT INTO t VALUES (9);
    RETURN 1;
  END $$;
  CREATE PROCEDURE commit_it() LANGUAGE plpgsql AS $$
  BEGIN
    COMMIT;
    SET TRANSACTION READ WRITE;
    INSERT INTO t VALUES (9);
  END $$;
`;

/** Everything that a statement could have changed. */
async function stateOf(database: TestDatabase): Promise<unknown> {
  const [state] = await database.query(`
    SELECT (SELECT string_agg(n::text, ',' ORDER BY n) FROM t) AS rows,
           (SELECT last_value::text || is_called FROM s) AS sequence,
           (SELECT count(*) FROM pg_class) AS relations,
           (SELECT count(*) FROM pg_proc) AS functions,
           (SELECT count(*) FROM pg_largeobject_metadata) AS large_objects,
           (SELECT count(*) FROM pg_description) AS comments,
           (SELECT count(*) FROM pg_prepared_xacts) AS prepared`);
  return state;
}

/** Runs a test in a read-only run, and makes sure that nothing was changed. */
async function readOnly(
  test: (query: (sql: string) => Promise<unknown>, session: Session) => Promise<void>,
): Promise<void> {
  await using database = await freshDatabase({ sql: TABLES });
  const before = await stateOf(database);
  {
    await using run = runDatabase({ ...database, readOnly: true });
    const session = await run.session();
    await test((sql) => session.query(sql), session);
  }
  assert.deepEqual(await stateOf(database), before);
}

Deno.test("Database: a read-only run reads, with parameters and after an error too", () =>
  readOnly(async (_query, session) => {
    assert.deepEqual((await session.query("SELECT n FROM t WHERE n = $1", [1])).rows, [{ n: 1 }]);
    await assert.rejects(session.query("SELECT broken"), { code: "database_error" });
    assert.deepEqual((await session.query("SELECT count(*)::int AS c FROM t")).rows, [{ c: 1 }]);
  }));

Deno.test("Database: a read-only run cannot write by any one statement", () =>
  readOnly(async (query) => {
    for (
      const sql of [
        "INSERT INTO t VALUES (9)",
        "UPDATE t SET n = 9",
        "DELETE FROM t",
        "TRUNCATE t",
        "MERGE INTO t USING (SELECT 9 AS n) x ON t.n = x.n WHEN NOT MATCHED THEN INSERT VALUES (9)",
        "WITH x AS (INSERT INTO t VALUES (9) RETURNING n) SELECT * FROM x",
        "SELECT * FROM t FOR UPDATE",
        "SELECT 9 AS n INTO u",
        "EXPLAIN ANALYZE INSERT INTO t VALUES (9)",
        "CREATE TABLE u (n int)",
        "CREATE TEMP TABLE u (n int)",
        "ALTER TABLE t ADD COLUMN m int",
        "DROP TABLE t",
        "CREATE DATABASE nowhere",
        "VACUUM t",
        "CREATE INDEX CONCURRENTLY ON t (n)",
        "REFRESH MATERIALIZED VIEW m",
        "COMMENT ON TABLE t IS 'x'",
        "GRANT SELECT ON t TO PUBLIC",
        "ALTER SYSTEM SET work_mem = '5MB'",
        "PREPARE TRANSACTION 'x'",
        "SELECT nextval('s')",
        "SELECT setval('s', 100)",
        "SELECT write_it()",
        "SELECT free_it()",
        "CALL commit_it()",
        "DO $$ BEGIN INSERT INTO t VALUES (9); END $$",
        "DO $$ BEGIN COMMIT; SET TRANSACTION READ WRITE; INSERT INTO t VALUES (9); END $$",
        "DO $$ BEGIN SET TRANSACTION READ WRITE; INSERT INTO t VALUES (9); END $$",
        "COPY t FROM STDIN",
        "COPY t FROM PROGRAM 'echo 9'",
      ]
    ) {
      await assert.rejects(query(sql), { name: "DatabaseError" }, sql);
    }
  }));

Deno.test("Database: what a read-only transaction lets a statement do is rolled back with it", () =>
  readOnly(async (query) => {
    await query("SELECT lo_create(0)").catch((error) => {
      // PostgreSQL 16 refuses it by itself.
      assert.equal(error.server.sqlstate, "25006");
    });
    await query("ANALYZE t");
    await query("NOTIFY somebody");
    await query("SET work_mem = '5MB'");
    const { rows } = await query("SHOW work_mem") as { rows: { work_mem: string }[] };
    assert.notEqual(rows[0]?.work_mem, "5MB");
  }));

Deno.test("Database: a read-only run cannot be made writable by one statement for the next", () =>
  readOnly(async (query) => {
    for (
      const sql of [
        "SET default_transaction_read_only = off",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
        "SET TRANSACTION READ WRITE",
        "SET transaction_read_only = off",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "SELECT set_config('default_transaction_read_only', 'off', false)",
        "COMMIT",
        "ROLLBACK",
        "ABORT",
        "END",
        "COMMIT AND CHAIN",
        "ROLLBACK AND CHAIN",
        "BEGIN READ WRITE",
        "START TRANSACTION READ WRITE",
        "SAVEPOINT a",
        "RESET ALL",
        "PREPARE p AS INSERT INTO t VALUES (9)",
      ]
    ) {
      // Some of these are refused, others do something harmless; what counts is the next one.
      await query(sql).catch((error) => assert.equal(error.name, "DatabaseError", sql));
      for (const write of ["INSERT INTO t VALUES (9)", "EXECUTE p", "SELECT nextval('s')"]) {
        await assert.rejects(query(write), { name: "DatabaseError" }, `${sql}; ${write}`);
      }
    }
  }));

Deno.test("Database: a read-only run sends one statement at a time, so none ends the transaction of another", () =>
  readOnly(async (query) => {
    for (
      const sql of [
        "COMMIT; INSERT INTO t VALUES (9)",
        "SELECT 1; SELECT 2",
        "END; SELECT write_it()",
      ]
    ) {
      await assert.rejects(query(sql), /cannot insert multiple commands/);
    }
    const together = ["COMMIT", "INSERT INTO t VALUES (9)", "ROLLBACK", "SELECT write_it()"];
    const ends = await Promise.allSettled(together.map((sql) => query(sql)));
    assert.deepEqual(ends.map(({ status }) => status), [
      "fulfilled",
      "rejected",
      "fulfilled",
      "rejected",
    ]);
  }));

Deno.test("Database: a read-only run sends no pipeline", () =>
  readOnly(async (_query, session) => {
    await assert.rejects(
      session.pipeline([{ sql: "COMMIT" }, { sql: "INSERT INTO t VALUES (9)" }]),
      {
        kind: "refused",
        code: "read_only",
      },
    );
  }));

Deno.test("Database: a read-only run stays so in sessions with settings, options and another database", async () => {
  await using database = await freshDatabase({ sql: TABLES });
  await using run = runDatabase({
    ...database,
    name: "postgres",
    readOnly: true,
    parameters: { options: "-c default_transaction_read_only=off -c transaction_read_only=off" },
  });
  const session = await run.session({
    database: database.name,
    settings: { default_transaction_read_only: "off" },
  });
  await assert.rejects(session.query("INSERT INTO t VALUES (9)"), { name: "DatabaseError" });
  await assert.rejects(run.query("CREATE TABLE public.u (n int)"), { name: "DatabaseError" });
  assert.deepEqual(await database.query("SELECT n FROM t"), [{ n: 1 }]);
});

Deno.test("Database: copying to the client neither hangs nor ends a read-only session", () =>
  readOnly(async (query) => {
    await query("COPY t TO STDOUT");
    await query("SELECT 1");
  }));

Deno.test("Database: a writing run writes, by single statements and by pipelines", async () => {
  await using database = await freshDatabase({ sql: TABLES });
  await using run = runDatabase(database);
  await run.query("INSERT INTO t VALUES ($1)", [2]);
  const session = await run.session();
  await session.pipeline([
    { sql: "BEGIN" },
    { sql: "INSERT INTO t VALUES ($1)", params: [3] },
    { sql: "COMMIT" },
  ]);
  assert.deepEqual(await database.query("SELECT n FROM t ORDER BY n"), [{ n: 1 }, { n: 2 }, {
    n: 3,
  }]);
});

Deno.test("Database: statements of the default session share it; other sessions are others", async () => {
  await using database = await freshDatabase();
  await using run = runDatabase(database);
  const pid = async (from: { query: Session["query"] }) =>
    (await from.query<{ pid: number }>("SELECT pg_backend_pid() AS pid")).rows[0]?.pid;
  const [first, second] = await Promise.all([pid(run), pid(run)]);
  assert.equal(first, second);
  const session = await run.session();
  assert.equal(session.pid, await pid(session));
  assert.notEqual(session.pid, first);
});

Deno.test("Database: the target is told without a connection and without the password", () => {
  const run = runDatabase({
    host: "db1",
    port: 6000,
    name: "shop",
    parameters: { password: "hunter2" },
  });
  assert.deepEqual(run.target, { host: "db1", port: 6000, database: "shop", user: "postgres" });
});

Deno.test("Database: notices are logged by their level, or dropped when asked", async () => {
  await using database = await freshDatabase();
  await using run = runDatabase(database);
  const notices =
    "DO $$ BEGIN RAISE NOTICE 'n'; RAISE WARNING 'w' USING DETAIL = 'd', HINT = 'h'; END $$";
  await run.query(notices);
  assert.deepEqual(run.lines.slice(-2), [
    "[INFO] The server notes: n",
    "[WARNING] The server notes: w (d); h",
  ]);
  const { length } = run.lines;
  const session = await run.session({ notices: "drop" });
  await session.query(notices);
  assert.equal(run.lines.length, length);
});

Deno.test("Database: closing ends every session, open, opening or busy", async () => {
  await using database = await freshDatabase();
  const name = uniqueName("app");
  const run = runDatabase({ ...database, parameters: { applicationName: name } });
  const busy = assert.rejects(run.query("SELECT pg_sleep(60)"), OperationError);
  await run.session();
  const opening = run.session().then(() => assert.fail("it was opened"), () => {});
  await run.close();
  await run.close();
  await Promise.all([busy, opening]);
  await assert.rejects(run.session(), { code: "run_ended" });
  const client = await database.connect();
  try {
    await client.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'active' AND application_name = $1",
      [name],
    );
    await until("the sessions are gone", async () => {
      const { rows } = await client.query(
        "SELECT 1 FROM pg_stat_activity WHERE application_name = $1",
        [name],
      );
      return rows.length === 0;
    });
  } finally {
    await client.end();
  }
});

// ---------------------------------------------------------------------------
// Signals
// ---------------------------------------------------------------------------

/** How many processes of the server run a statement for an application. */
async function running(database: TestDatabase, application: string): Promise<number> {
  const rows = await database.query(
    "SELECT 1 FROM pg_stat_activity WHERE application_name = $1 AND state = 'active'",
    [application],
  );
  return rows.length;
}

Deno.test("Database: a signal cancels what runs in the server, and is what the statements fail with", async () => {
  await using database = await freshDatabase();
  for (const readOnly of [false, true]) {
    const ending = new AbortController();
    const applicationName = uniqueName("app");
    await using run = runDatabase({
      ...database,
      readOnly,
      signal: ending.signal,
      parameters: { applicationName },
    });
    const session = await run.session();
    const signal = new SignalError("SIGINT");
    const ends = [run.query("SELECT pg_sleep(60)"), session.query("SELECT pg_sleep(60)")]
      .map((statement) => assert.rejects(statement, signal));
    await until("both run", async () => await running(database, applicationName) === 2);
    ending.abort(signal);
    await Promise.all(ends);
    await until("none runs", async () => await running(database, applicationName) === 0);
  }
});

Deno.test("Database: a signal cancels a pipeline, and what it did is rolled back", async () => {
  await using database = await freshDatabase({ sql: TABLES });
  const ending = new AbortController();
  const applicationName = uniqueName("app");
  await using run = runDatabase({
    ...database,
    signal: ending.signal,
    parameters: { applicationName },
  });
  const session = await run.session();
  const signal = new SignalError("SIGTERM");
  const end = assert.rejects(
    session.pipeline([
      { sql: "BEGIN" },
      { sql: "INSERT INTO t VALUES (9); SELECT pg_sleep(60)" },
      { sql: "COMMIT" },
    ]),
    signal,
  );
  await until("it runs", async () => await running(database, applicationName) === 1);
  ending.abort(signal);
  await end;
  assert.deepEqual(await database.query("SELECT n FROM t"), [{ n: 1 }]);
});

Deno.test("Database: after a signal no statement is begun, neither a new one nor one that waits its turn", async () => {
  await using database = await freshDatabase({ sql: TABLES });
  const ending = new AbortController();
  const applicationName = uniqueName("app");
  await using run = runDatabase({
    ...database,
    signal: ending.signal,
    parameters: { applicationName },
  });
  const session = await run.session();
  const signal = new SignalError("SIGINT");
  const ends = ["SELECT pg_sleep(60)", "INSERT INTO t VALUES (9)"].map((sql) =>
    assert.rejects(session.query(sql), signal)
  );
  await until("it runs", async () => await running(database, applicationName) === 1);
  ending.abort(signal);
  await Promise.all(ends);
  await assert.rejects(session.query("INSERT INTO t VALUES (9)"), signal);
  await assert.rejects(session.pipeline([{ sql: "INSERT INTO t VALUES (9)" }]), signal);
  await assert.rejects(run.session(), signal);
  assert.deepEqual(await database.query("SELECT n FROM t"), [{ n: 1 }]);
});

Deno.test("Database: a cancel request that comes before its statement is followed by another", async () => {
  await using database = await freshDatabase();
  const ending = new AbortController();
  await using run = runDatabase({ ...database, signal: ending.signal });
  const session = await run.session();
  // The first request has no effect here, as one has none that comes too early.
  const statement =
    "DO $$ BEGIN BEGIN PERFORM pg_sleep(60); EXCEPTION WHEN query_canceled THEN PERFORM pg_sleep(60); END; END $$";
  const signal = new SignalError("SIGINT");
  const end = assert.rejects(session.query(statement), signal);
  await until("it runs", async () => {
    const rows = await database.query(
      "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'",
      [session.pid],
    );
    return rows.length === 1;
  });
  ending.abort(signal);
  await end;
});

// ---------------------------------------------------------------------------
// Waiting for the server
// ---------------------------------------------------------------------------

/** A port that nobody listens on now. */
function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

Deno.test("Database: a server that is not there yet is waited for", async () => {
  const port = freePort();
  await using run = runDatabase({ host: "127.0.0.1", port, name: "postgres", wait: 30 });
  const answer = run.query<{ one: number }>("SELECT 1 AS one");
  await until(
    "it has been tried",
    () => Promise.resolve(run.lines.some((line) => line.includes("trying again"))),
  );
  await using server = await startServer({ port });
  assert.deepEqual((await answer).rows, [{ one: 1 }]);
  const told = run.lines.filter((line) => !line.startsWith("[DEBUG]"));
  assert.deepEqual(told, [
    "[INFO] Waiting for database to be ready...",
    "[SUCCESS] Database is ready",
  ]);
  await run.close();
  assert.equal(server.port, port);
});

/**
 * A server that treats its first connections badly, then passes them on.
 *
 * @param bad what is done with each of the first connections
 */
function badBeginning(
  database: TestDatabase,
  bad: ((connection: Deno.TcpConn) => Promise<void>)[],
): AsyncDisposable & { port: number } {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const work: Promise<unknown>[] = [];
  const pass = async (connection: Deno.TcpConn) => {
    const { hostname, port } = new URL(database.url);
    const server = await Deno.connect({ hostname, port: Number(port) });
    await Promise.all([copy(connection, server), copy(server, connection)]);
  };
  const accepting = (async () => {
    for await (const connection of listener) work.push((bad.shift() ?? pass)(connection));
  })();
  return {
    port: listener.addr.port,
    async [Symbol.asyncDispose]() {
      listener.close();
      await Promise.all([accepting, ...work]);
    },
  };
}

/** Passes bytes on; the end of one connection is the end of both. */
async function copy(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
  const buffer = new Uint8Array(16_384);
  try {
    for (let count; (count = await from.read(buffer)) !== null;) {
      await writeAll(to, buffer.subarray(0, count));
    }
  } catch {
    // The other direction has ended and closed both.
  } finally {
    closeQuietly(from);
    closeQuietly(to);
  }
}

/** Answers the start of a session with an error, as a server does that is starting up. */
function refusing(fields: Readonly<Record<string, string>>) {
  return async (connection: Deno.TcpConn) => {
    await connection.read(new Uint8Array(1024));
    const text = Object.entries(fields).map(([field, value]) => `${field}${value}\0`).join("");
    const body = new TextEncoder().encode(`${text}\0`);
    const message = new Uint8Array(5 + body.length);
    message[0] = "E".charCodeAt(0);
    new DataView(message.buffer).setUint32(1, 4 + body.length);
    message.set(body, 5);
    await connection.write(message);
    connection.close();
  };
}

Deno.test("Database: a server that resets connections or is starting up is waited for", async () => {
  await using database = await freshDatabase();
  await using beginning = badBeginning(database, [
    (connection) => Promise.resolve(connection.close()),
    refusing({
      S: "FATAL",
      V: "FATAL",
      C: "57P03",
      M: "the database system is starting up",
    }),
  ]);
  await using run = runDatabase({ ...database, port: beginning.port, wait: 30 });
  await run.query("SELECT 1");
  const debug = run.lines.filter((line) => line.startsWith("[DEBUG]"));
  assert.equal(debug.length, 2);
  assert.match(debug[1] ?? "", /starting up; trying again/);
  await run.close();
});

Deno.test("Database: when the time is up, the last failure is told with the time waited", async () => {
  const port = freePort();
  await using run = runDatabase({ host: "127.0.0.1", port, name: "x", wait: 0.2 });
  await assert.rejects(run.query("SELECT 1"), {
    kind: "connection",
    code: "connection_refused",
    message: `Cannot connect to 127.0.0.1:${port}: connection refused (waited 0.2 s for it)`,
  });
});

Deno.test("Database: without a wait the server is tried once", async () => {
  const port = freePort();
  await using run = runDatabase({ host: "127.0.0.1", port, name: "x", wait: 0 });
  await assert.rejects(run.query("SELECT 1"), {
    kind: "connection",
    code: "connection_refused",
    message: `Cannot connect to 127.0.0.1:${port}: connection refused`,
  });
  assert.deepEqual(run.lines, ["[INFO] Waiting for database to be ready..."]);
});

Deno.test("Database: a name that cannot be resolved may be waited for, too", async () => {
  await using run = runDatabase({ host: "nowhere.invalid", port: 5432, name: "x", wait: 0 });
  await assert.rejects(run.query("SELECT 1"), (error) => {
    assert(error instanceof OperationError);
    assert.deepEqual([error.kind, error.code, error.details["retryable"]], [
      "connection",
      "host_not_found",
      true,
    ]);
    return true;
  });
});

Deno.test("Database: a wrong password fails at once, however long is waited", async () => {
  const role = uniqueName("role");
  await using server = await startServer({
    hba: ["local all all trust", "host all all 127.0.0.1/32 scram-sha-256"],
    settings: { password_encryption: "scram-sha-256" },
  });
  const given = { host: "127.0.0.1", port: server.port, name: "postgres", wait: 60 };
  await using admin = runDatabase({ ...given, host: server.socketDirectory });
  await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'correct-horse-9'`);
  await using right = runDatabase({
    ...given,
    parameters: { user: role, password: "correct-horse-9" },
  });
  await right.query("SELECT 1");
  await using wrong = runDatabase({
    ...given,
    parameters: { user: role, password: "battery-staple-7" },
  });
  await assert.rejects(wrong.query("SELECT 1"), (error) => {
    assert(error instanceof OperationError);
    assert.deepEqual([error.kind, error.code], ["connection", "authentication_failed"]);
    assert.doesNotMatch(JSON.stringify([error.message, error.hint, error.details]), /battery/);
    return true;
  });
  assert.deepEqual(wrong.lines, ["[INFO] Waiting for database to be ready..."]);
  await Promise.all([admin.close(), right.close(), wrong.close()]);
});

Deno.test("Database: a missing database fails at once with a hint, and can be made and used in the same run", async () => {
  await using database = await freshDatabase();
  await database.drop();
  await using run = runDatabase({ ...database, wait: 60 });
  await assert.rejects(run.query("SELECT 1"), (error) => {
    assert(error instanceof OperationError);
    assert.deepEqual([error.kind, error.code], ["connection", "database_missing"]);
    assert.match(error.message, new RegExp(database.name));
    assert.notEqual(error.hint, undefined);
    return true;
  });
  const other = await run.session({ database: "postgres" });
  await other.query(`CREATE DATABASE "${database.name}"`);
  await run.query("SELECT 1");
  await run.close();
  assert.equal(run.lines.filter((line) => line.includes("Waiting")).length, 1);
});

Deno.test("Database: sessions that are opened together wait together, and it is told once", async () => {
  await using database = await freshDatabase();
  await using beginning = badBeginning(database, [
    (connection) => Promise.resolve(connection.close()),
  ]);
  await using run = runDatabase({ ...database, port: beginning.port, wait: 30 });
  await Promise.all([run.query("SELECT 1"), run.session(), run.session()]);
  const told = run.lines.filter((line) => !line.startsWith("[DEBUG]"));
  assert.deepEqual(told, [
    "[INFO] Waiting for database to be ready...",
    "[SUCCESS] Database is ready",
  ]);
  await run.close();
});

Deno.test("Database: sessions that wait together fail together", async () => {
  const port = freePort();
  await using run = runDatabase({ host: "127.0.0.1", port, name: "x", wait: 0.2 });
  const ends = await Promise.allSettled([run.session(), run.session(), run.session()]);
  assert.deepEqual(ends.map(({ status }) => status), ["rejected", "rejected", "rejected"]);
  assert.equal(run.lines.filter((line) => line.includes("Waiting")).length, 1);
});

Deno.test("Database: a signal ends the wait at once", async () => {
  const ending = new AbortController();
  await using run = runDatabase({
    host: "127.0.0.1",
    port: freePort(),
    name: "x",
    wait: 60,
    signal: ending.signal,
  });
  const signal = new SignalError("SIGINT");
  const end = assert.rejects(run.query("SELECT 1"), signal);
  await until(
    "it waits",
    () => Promise.resolve(run.lines.some((line) => line.includes("trying again"))),
  );
  ending.abort(signal);
  await end;
});

Deno.test("Database: a server that accepts and stays silent ends with the time to wait", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepted: Deno.TcpConn[] = [];
  const accepting = (async () => {
    for await (const connection of listener) accepted.push(connection);
  })();
  const started = Date.now();
  await using run = runDatabase({
    host: "127.0.0.1",
    port: listener.addr.port,
    name: "x",
    wait: 0.5,
    // The URL's connect_timeout=0 leaves the time to us.
    parameters: { connectTimeout: 0 },
  });
  await assert.rejects(run.query("SELECT 1"), { kind: "connection", code: "connect_timeout" });
  assert(Date.now() - started < 5000);
  listener.close();
  await accepting;
  accepted.forEach((connection) => connection.close());
});

Deno.test("Database: a lasting session outlives the signal, and one can be opened after it", async () => {
  await using database = await freshDatabase();
  const ending = new AbortController();
  await using run = runDatabase({ ...database, signal: ending.signal });
  const lasting = await run.session({ lasting: true });
  const other = await run.session();
  const reason = new SignalError("SIGTERM");
  // Longer than it takes until running statements are cancelled once more.
  const slow = lasting.query("SELECT pg_sleep(0.7), 7 AS n");
  const cancelled = assert.rejects(other.query("SELECT pg_sleep(60)"), reason);
  await new Promise((resolve) => setTimeout(resolve, 50));
  ending.abort(reason);
  await cancelled;
  assert.equal((await slow).rows[0]?.["n"], 7);
  await assert.rejects(run.session(), reason);
  const later = await run.session({ lasting: true });
  assert.deepEqual((await later.query("SELECT 8 AS n")).rows, [{ n: 8 }]);
  await run.close();
  await assert.rejects(later.query("SELECT 9"));
});
