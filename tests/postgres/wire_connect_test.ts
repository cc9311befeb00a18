import assert from "assert";
import { OperationError } from "../../core/plugin.ts";
import type { ConnectOptions } from "../../core/postgres/connect.ts";
import type { ConnectionParameters } from "../../core/postgres/connection_parameters.ts";
import { freshDatabase, sharedServer, uniqueName } from "../database.ts";
import { errorFields, fakeServer, int32 } from "./fake_server.ts";
import { dialer, open, type Place } from "./wire_connection.ts";

Deno.test("connect: a socket is reached by its directory, and protected by no sslmode", async () => {
  const { socketDirectory: host, port } = await sharedServer();
  for (const sslmode of ["disable", "prefer", "verify-full"] as const) {
    await using session = await open({ host, port }, { sslmode });
    assert.equal(session.address, `${host}/.s.PGSQL.${port}`);
    const { rows } = await session.query("SELECT inet_client_addr() AS address");
    assert.deepEqual(rows, [{ address: null }]);
    assert.equal(session.tls, false);
  }
});

Deno.test({
  name: "connect: a socket in the abstract namespace is reached by its name with @",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const name = `@${uniqueName()}`;
    await using server = fakeServer((talk) => talk.letIn(), {
      transport: "unix",
      path: `\0${name.slice(1)}/.s.PGSQL.5432`,
    });
    await assert.rejects(open({ host: "@none-of-that-name", port: 5432 }), {
      kind: "connection",
      message: "Cannot connect to @none-of-that-name/.s.PGSQL.5432: connection refused",
    });
    await using session = await open({ host: name, port: 5432 });
    assert.equal(session.address, `${name}/.s.PGSQL.5432`);
    assert.equal(server.connections, 1);
  },
});

Deno.test("connect: a host's name is resolved by the dialer, and the address used instead when given", async () => {
  const { port } = await sharedServer();
  await using byName = await open({ host: "localhost", port });
  assert.equal(byName.address, `localhost:${port}`);
  await using byAddress = await open({ host: "", port }, {
    hosts: [{ host: "no-such-host.invalid", hostaddr: "127.0.0.1", port }],
  });
  assert.equal(byAddress.address, `no-such-host.invalid:${port}`);
});

Deno.test("connect: when nobody answers at a name's first address, the others are tried", async () => {
  const { port } = await sharedServer();
  const dialled: string[] = [];
  const picky: ConnectOptions["dialer"] = {
    unix: dialer.unix,
    tcp(hostname, port) {
      dialled.push(hostname);
      // As when the name's first address is ::1, and the server listens on 127.0.0.1 alone.
      return dialer.tcp(hostname, hostname === "localhost" ? closedPort : port);
    },
  };
  await using session = await open({ host: "localhost", port }, {}, { dialer: picky });
  assert.deepEqual(dialled, ["localhost", "127.0.0.1"]);
  assert.equal(session.address, `localhost:${port}`);
  const error = await refusal({ host: "localhost", port: closedPort });
  assert.equal(error.message, `Cannot connect to localhost:${closedPort}: connection refused`);
});

Deno.test("connect: each way of not being there has its code, and says what to do", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const cases: [Place, string, string][] = [
      [{ host: "127.0.0.1", port: closedPort }, "connection_refused", "connection refused"],
      [
        { host: "no-such-host.invalid", port: 5432 },
        "host_not_found",
        "the host name cannot be resolved",
      ],
      [{ host: directory, port: 5432 }, "socket_not_found", "there is no such socket"],
    ];
    for (const [place, code, reason] of cases) {
      const error = await refusal(place);
      assert.equal(error.code, code);
      assert.ok(
        error.message.endsWith(`:${place.port}: ${reason}`) || error.message.endsWith(reason),
      );
      assert.match(error.message, /^Cannot connect to \S+: /);
      assert.equal(error.details["retryable"], true);
      assert.ok(error.hint);
    }
    const six = await refusal({ host: "::1", port: closedPort });
    assert.ok(six.message.startsWith(`Cannot connect to [::1]:${closedPort}: `));
  } finally {
    await Deno.remove(directory);
  }
});

Deno.test("connect: each refusal of a real server has its code", async () => {
  const server = await sharedServer();
  await using admin = await open(server);
  const role = uniqueName("limited");
  await admin.query(`CREATE ROLE ${role} LOGIN CONNECTION LIMIT 0`);
  try {
    const crowded = await refusal(server, { user: role });
    assert.equal(crowded.code, "too_many_connections");
    assert.equal(crowded.details["retryable"], true);
    assert.equal(crowded.details["sqlstate"], "53300");
    const database = uniqueName("absent");
    const missing = await refusal(server, { database });
    assert.equal(missing.code, "database_missing");
    assert.equal(missing.details["retryable"], false);
    assert.equal(missing.details["sqlstate"], "3D000");
    assert.equal(
      missing.message,
      `Cannot connect to 127.0.0.1:${server.port}: database "${database}" does not exist`,
    );
    const nobody = await refusal(server, { user: uniqueName("nobody") });
    assert.equal(nobody.code, "authentication_failed");
    const wrong = await refusal(server, {}, { settings: { work_mem: "much" } });
    assert.equal(wrong.code, "login_refused");
    assert.equal(wrong.details["sqlstate"], "22023");
    assert.equal(wrong.details["retryable"], false);
  } finally {
    await admin.query(`DROP ROLE ${role}`);
  }
});

Deno.test("connect: a server that starts or stops is told, and may be waited for", async () => {
  for (
    const [code, sqlstate, message] of [
      ["server_starting", "57P03", "the database system is starting up"],
      ["server_stopping", "57P01", "terminating connection due to administrator command"],
    ] as const
  ) {
    await using server = fakeServer(async (talk) => {
      await talk.startup();
      await talk.send("E", errorFields({ S: "FATAL", V: "FATAL", C: sqlstate, M: message }));
    });
    const error = await refusal(server);
    assert.equal(error.code, code);
    assert.equal(error.details["retryable"], true);
    assert.equal(error.message, `Cannot connect to 127.0.0.1:${server.port}: ${message}`);
  }
});

Deno.test("connect: a server that closes or resets without a word may be waited for", async () => {
  await using silent = fakeServer(async (talk) => {
    await talk.startup();
  });
  const error = await refusal(silent);
  assert.equal(error.code, "connection_reset");
  assert.equal(error.details["retryable"], true);
});

Deno.test("connect: what is no PostgreSQL server is told as such", async () => {
  for (
    const answer of [
      "HTTP/1.1 400 Bad Request\r\n\r\n",
      "SSH-2.0-OpenSSH_9.2\r\n",
      Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0),
      Uint8Array.of(0x52, 0, 0, 0, 3),
      Uint8Array.of(0x52, 0, 0, 0, 6, 0, 0),
    ]
  ) {
    await using server = fakeServer(async (talk) => {
      await talk.startup();
      await talk.raw(answer);
      await talk.message();
    });
    const error = await refusal(server);
    assert.equal(error.code, "protocol_error", error.message);
    assert.equal(error.details["retryable"], false);
    assert.match(error.message, /what answers does not speak PostgreSQL's protocol: /);
  }
});

Deno.test("connect: a server that never answers is given up after the host's time", async () => {
  await using server = fakeServer(async (talk) => {
    await talk.startup();
    await talk.message();
  });
  const error = await refusal(server, { connectTimeout: 0.05 });
  assert.equal(error.code, "connect_timeout");
  assert.equal(error.details["retryable"], true);
});

Deno.test("connect: a dialer that never returns is given up, and its late connection closed", async () => {
  await using server = fakeServer(async (talk) => {
    await talk.startup();
  });
  const { promise: late, resolve: arrive } = Promise.withResolvers<void>();
  const slow: ConnectOptions["dialer"] = {
    unix: dialer.unix,
    tcp: async (hostname, port) => {
      await late;
      return await dialer.tcp(hostname, port);
    },
  };
  const error = await refusal(server, { connectTimeout: 0.05 }, { dialer: slow });
  assert.equal(error.code, "connect_timeout");
  // The server's side ends only when the connection that comes too late is closed.
  arrive();
  while (server.connections === 0) await new Promise((resolve) => setTimeout(resolve, 1));
});

Deno.test("connect: an aborted signal ends the attempt with its reason", async () => {
  const reason = new Error("stopped by hand");
  await assert.rejects(
    open(await sharedServer(), {}, { signal: AbortSignal.abort(reason) }),
    reason,
  );
  const stop = new AbortController();
  await using server = fakeServer(async (talk) => {
    await talk.startup();
    stop.abort(reason);
    await talk.message();
  });
  await assert.rejects(open(server, {}, { signal: stop.signal }), reason);
});

Deno.test("connect: hosts are tried in order, and one error tells of all", async () => {
  const server = await sharedServer();
  const nobody = { host: "127.0.0.1", port: closedPort };
  const absent = { host: "no-such-host.invalid", port: 5432 };
  await using session = await open(server, { hosts: [absent, nobody, server, absent] });
  assert.equal(session.address, `127.0.0.1:${server.port}`);
  const error = await refusal(server, { hosts: [absent, nobody] });
  assert.equal(
    error.message,
    "Cannot connect to any of the 2 addresses: no-such-host.invalid:5432: the host name cannot " +
      `be resolved; 127.0.0.1:${closedPort}: connection refused`,
  );
  assert.equal(error.details["retryable"], true);
  assert.deepEqual(
    (error.details["attempts"] as { code: string }[]).map(({ code }) => code),
    ["host_not_found", "connection_refused"],
  );
});

Deno.test("connect: a refused login ends the search, a starting server does not", async () => {
  const server = await sharedServer();
  await using starting = fakeServer(async (talk) => {
    await talk.startup();
    await talk.send("E", errorFields({ S: "FATAL", C: "57P03", M: "starting up" }));
  });
  await using session = await open(server, { hosts: [starting, server] });
  assert.equal(session.address, `127.0.0.1:${server.port}`);
  const nobody = await refusal(server, {
    user: uniqueName("nobody"),
    hosts: [starting, server, starting],
  });
  assert.equal(nobody.code, "authentication_failed");
  assert.equal((nobody.details["attempts"] as unknown[]).length, 2);
  assert.equal(starting.connections, 2);
});

Deno.test("connect: target_session_attrs chooses by what the session can do", async () => {
  await using database = await freshDatabase();
  await using admin = await open(database);
  for (const targetSessionAttrs of ["any", "read-write", "primary", "prefer-standby"] as const) {
    await using session = await open(database, { targetSessionAttrs });
    assert.equal((await session.query("SELECT 1")).count, 1);
  }
  for (const targetSessionAttrs of ["standby", "read-only"] as const) {
    const error = await refusal(database, { targetSessionAttrs });
    assert.equal(error.code, "session_unsuitable");
    assert.equal(error.details["retryable"], true);
  }
  await admin.query(`ALTER DATABASE "${database.name}" SET default_transaction_read_only = on`);
  await using reader = await open(database, { targetSessionAttrs: "read-only" });
  assert.equal((await reader.query("SELECT 1")).count, 1);
  assert.equal(
    (await refusal(database, { targetSessionAttrs: "read-write" })).code,
    "session_unsuitable",
  );
});

Deno.test("connect: target_session_attrs asks servers that do not report it", async () => {
  const asked: string[] = [];
  await using standby = fakeServer(async (talk) => {
    await talk.letIn();
    for (;;) {
      const { type, body } = await talk.message();
      if (type === "X") return;
      asked.push(new TextDecoder().decode(body));
      await talk.send("T", 0, 1, "x\0", new Uint8Array(6), int32(25), new Uint8Array(8));
      await talk.send("D", 0, 1, int32(2), "on");
      await talk.send("C", "SELECT 1\0");
      await talk.send("Z", "I");
    }
  });
  await using session = await open(standby, { targetSessionAttrs: "standby" });
  assert.equal(asked.length, 1);
  assert.match(asked[0] ?? "", /pg_is_in_recovery/);
  assert.equal(session.serverVersion, 150009);
  const error = await refusal(standby, { targetSessionAttrs: "primary" });
  assert.equal(
    error.message,
    `Cannot connect to 127.0.0.1:${standby.port}: the server is a standby`,
  );
});

Deno.test("session: an answer that breaks the protocol ends it with a clear error", async () => {
  const answers: [string, Uint8Array | string][] = [
    ["an unknown message", "?\0\0\0\x04"],
    ["an impossible length", Uint8Array.of(0x44, 0, 0, 0, 2)],
    ["a row longer than it is", Uint8Array.of(0x44, 0, 0, 0, 10, 0, 1, 0, 0, 0, 9)],
    ["a text without an end", Uint8Array.of(0x43, 0, 0, 0, 6, 0x41, 0x41)],
    ["a transaction status of its own", Uint8Array.of(0x5a, 0, 0, 0, 5, 0x58)],
    ["replication", Uint8Array.of(0x57, 0, 0, 0, 7, 0, 0, 0)],
  ];
  for (const [what, answer] of answers) {
    await using server = fakeServer(async (talk) => {
      await talk.letIn();
      await talk.message();
      await talk.send("T", 0, 1, "x\0", new Uint8Array(6), int32(25), new Uint8Array(8));
      await talk.raw(answer);
      await talk.message();
    });
    await using session = await open(server);
    await assert.rejects(session.simple("SELECT 1"), (error) => {
      assert.ok(error instanceof OperationError, what);
      assert.equal(error.kind, "connection", what);
      assert.equal(error.code, "protocol_error", `${what}: ${error.message}`);
      assert.match(error.message, /was lost: the server does not follow the protocol: /);
      return true;
    });
  }
});

Deno.test("session: one that ends within an answer is lost, not short of rows", async () => {
  await using server = fakeServer(async (talk) => {
    await talk.letIn();
    await talk.message();
    await talk.send("T", 0, 1, "x\0", new Uint8Array(6), int32(25), new Uint8Array(8));
    await talk.send("D", 0, 1, int32(2), "on");
  });
  await using session = await open(server);
  await assert.rejects(session.simple("SELECT 1"), { code: "connection_lost" });
});

/** A port that was free a moment ago. */
const closedPort = (() => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  listener.close();
  return listener.addr.port;
})();

async function refusal(
  place: Place,
  changes: Partial<ConnectionParameters> = {},
  options: Partial<ConnectOptions> = {},
): Promise<OperationError> {
  try {
    await (await open(place, changes, options)).close();
  } catch (error) {
    assert.ok(error instanceof OperationError, Deno.inspect(error));
    assert.equal(error.kind, "connection");
    return error;
  }
  assert.fail("the connection was opened");
}
