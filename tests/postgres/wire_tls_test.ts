import assert from "assert";
import { OperationError } from "../../core/plugin.ts";
import type { Connection } from "../../core/postgres/connection.ts";
import type { ConnectionParameters } from "../../core/postgres/connection_parameters.ts";
import { type Server, startServer } from "../../tasks/server.ts";
import { serverVersions, sharedServer } from "../database.ts";
import { skipWhenMissing } from "../skip.ts";
import { fakeServer } from "./fake_server.ts";
import { makeAuthority, skipWithoutOpenssl } from "./tls_certificates.ts";
import { open, type Place } from "./wire_connection.ts";

const ignore = await skipWithoutOpenssl("TLS");
const PASSWORD = "s3cret";

Deno.test({
  name: "tls: sslmodes, certificates and channel binding mean what they mean in libpq",
  ignore,
  async fn(t) {
    await using authority = await makeAuthority();
    await using stranger = await makeAuthority();
    const [here, elsewhere, byName, expired, alice] = await Promise.all([
      authority.issue({ alternativeNames: ["DNS:localhost", "IP:127.0.0.1"] }),
      authority.issue({ alternativeNames: ["DNS:other.example"], hash: "sha384" }),
      authority.issue({ commonName: "localhost" }),
      authority.issue({ alternativeNames: ["DNS:localhost"], days: 0 }),
      authority.issue({ commonName: "alice" }),
    ]);
    const settings = { ssl_ca_file: authority.certFile };
    const hba = [
      "local all all trust",
      "hostssl all only_tls all trust",
      "hostnossl all only_plain all trust",
      "hostssl all alice all trust clientcert=verify-full",
      "host all postgres all scram-sha-256",
    ];
    await using server = await startServer({ ssl: here, hba, settings });
    await using named = await startServer({ ssl: byName });
    await using other = await startServer({ ssl: elsewhere, hba });
    await using late = await startServer({ ssl: expired });
    await Promise.all([server, other].map(createRoles));
    const localhost = { host: "localhost", port: server.port };
    const sslrootcert = authority.certFile;

    await t.step("disable never asks for TLS, require always has it", async () => {
      const error = await refusal(server, { sslmode: "disable", user: "only_tls" });
      assert.equal(error.details["sqlstate"], "28000");
      await using session = await open(server, { sslmode: "require", user: "only_tls" });
      assert.equal(await isProtected(session), true);
    });
    await t.step(
      "allow goes over to TLS, prefer back to plain, where the rules say so",
      async () => {
        for (const sslmode of ["allow", "prefer"] as const) {
          await using tls = await open(server, { sslmode, user: "only_tls" });
          assert.equal(await isProtected(tls), true, sslmode);
          await using plain = await open(server, { sslmode, user: "only_plain" });
          assert.equal(await isProtected(plain), false, sslmode);
          const nobody = await refusal(server, { sslmode, user: "nobody" });
          assert.equal(nobody.code, "authentication_failed");
        }
        assert.equal(
          (await refusal(server, { sslmode: "require", user: "only_plain" })).code,
          "authentication_failed",
        );
      },
    );
    await t.step("a server without TLS is taken as it is, unless TLS is required", async () => {
      const without = await sharedServer();
      for (const sslmode of ["allow", "prefer"] as const) {
        await using session = await open(without, { sslmode });
        assert.equal(await isProtected(session), false);
      }
      for (const sslmode of ["require", "verify-ca", "verify-full"] as const) {
        const error = await refusal(without, { sslmode, sslrootcert });
        assert.equal(error.code, "tls_refused");
        assert.match(error.message, /the server does not use TLS$/);
      }
    });
    await t.step("verify-ca asks who issued the certificate, not for whom", async () => {
      for (const place of [server, other]) {
        for (const sslmode of ["require", "verify-ca"] as const) {
          await using session = await open(place, { sslmode, sslrootcert, user: "only_tls" });
          assert.equal(await isProtected(session), true);
          const user = "only_tls";
          const error = await refusal(place, { sslmode, sslrootcert: stranger.certFile, user });
          assert.equal(error.code, "tls_failed");
          assert.equal(error.details["retryable"], false);
        }
      }
      const error = await refusal(late, { sslmode: "verify-ca", sslrootcert });
      assert.equal(error.code, "tls_failed");
      await using session = await open(late, { sslmode: "require" });
      assert.equal(await isProtected(session), true);
    });
    await t.step("verify-full asks for whom the certificate is as well", async () => {
      const changes = { sslmode: "verify-full", sslrootcert, user: "only_tls" } as const;
      await using byAddress = await open(server, changes);
      assert.equal(await isProtected(byAddress), true);
      await using byHost = await open(localhost, changes);
      assert.equal(await isProtected(byHost), true);
      await using common = await open({ host: "localhost", port: named.port }, {
        ...changes,
        user: "postgres",
      });
      assert.equal(await isProtected(common), true);
      const hosts = [{ host: "other.example", hostaddr: "127.0.0.1", port: other.port }];
      await using elsewhere = await open(other, { ...changes, hosts });
      assert.equal(await isProtected(elsewhere), true);

      const wrong = await refusal({ host: "localhost", port: other.port }, changes);
      assert.equal(wrong.code, "tls_failed");
      assert.match(
        wrong.message,
        /the server's certificate is for "other\.example", not "localhost"$/,
      );
      assert.equal((await refusal(other, changes)).code, "tls_failed");
      assert.equal((await refusal(named, { ...changes, user: "postgres" })).code, "tls_failed");
      const unknown = await refusal(localhost, { ...changes, sslrootcert: stranger.certFile });
      assert.equal(unknown.code, "tls_failed");
    });
    await t.step("the system's roots do not vouch for a test's authority", async () => {
      for (const sslmode of ["require", "verify-full"] as const) {
        const error = await refusal(localhost, {
          sslmode,
          sslrootcert: "system",
          user: "only_tls",
        });
        assert.ok(["tls_failed", "tls_file"].includes(error.code), error.code);
      }
    });
    await t.step("prefer checks nothing, as in libpq", async () => {
      await using session = await open(other, {
        sslmode: "prefer",
        sslrootcert: stranger.certFile,
        user: "only_tls",
      });
      assert.equal(await isProtected(session), true);
    });
    await t.step("a client certificate is shown", async () => {
      const files = { sslcert: alice.certFile, sslkey: alice.keyFile };
      await using session = await open(server, { sslmode: "require", user: "alice", ...files });
      const { rows } = await session.query(
        "SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
      );
      assert.deepEqual(rows, [{ client_dn: "/CN=alice" }]);
      const without = await refusal(server, { sslmode: "require", user: "alice" });
      assert.equal(without.code, "authentication_failed");
    });
    await t.step(
      "files that cannot be used are named, and a key open to others is refused",
      async () => {
        const files = { sslcert: alice.certFile, sslkey: alice.keyFile };
        const absent = `${authority.directory}/absent`;
        const cases: [Partial<ConnectionParameters>, RegExp][] = [
          [{ sslmode: "verify-full" }, /needs root certificates/],
          [{ sslrootcert: absent }, /the root certificate ".*absent" does not exist$/],
          [
            { sslcert: absent, sslkey: absent },
            /the client certificate ".*absent" does not exist$/,
          ],
          [{ sslcert: alice.certFile }, /has no key$/],
          [{ ...files, sslkey: absent }, /the client key ".*absent" does not exist$/],
          [{ ...files, sslkey: alice.certFile }, /is not a private key in PEM$/],
        ];
        for (const [changes, message] of cases) {
          const error = await refusal(server, { sslmode: "require", ...changes });
          assert.equal(error.code, "tls_file");
          assert.equal(error.details["retryable"], false);
          assert.match(error.message, message);
        }
        await Deno.chmod(alice.keyFile, 0o644);
        const error = await refusal(server, { sslmode: "require", ...files });
        assert.equal(error.code, "tls_file");
        assert.match(error.message, /the client key ".*" is open to others$/);
        await Deno.chmod(alice.keyFile, 0o600);
      },
    );
    await t.step("SCRAM is bound to the connection, whatever the certificate's hash", async () => {
      for (const place of [server, other]) {
        for (const channelBinding of ["require", "prefer", "disable"] as const) {
          await using session = await open(place, {
            sslmode: "require",
            password: PASSWORD,
            channelBinding,
          });
          assert.equal(await isProtected(session), true);
        }
        const error = await refusal(place, { sslmode: "require", password: "wrong" });
        assert.equal(error.details["sqlstate"], "28P01");
      }
      const error = await refusal(server, {
        sslmode: "require",
        user: "only_tls",
        channelBinding: "require",
      });
      assert.match(
        error.message,
        /channel binding is required, and the server does not ask for it/,
      );
    });
    await t.step("large texts pass both ways, and a statement is cancelled", async () => {
      await using session = await open(server, { sslmode: "require", user: "only_tls" });
      const text = "äx".repeat(3_000_000);
      const { rows } = await session.query("SELECT $1::text AS text", [text]);
      assert.ok(rows[0]?.["text"] === text);
      const steps = Array.from({ length: 50 }, () => ({
        sql: `SELECT repeat('y', 200000) /* ${"x".repeat(100_000)} */`,
      }));
      assert.equal((await session.pipeline(steps)).length, 50);
      const stopped = assert.rejects(session.query("SELECT pg_sleep(60)"), (error) => {
        assert.ok(error instanceof OperationError);
        assert.equal(error.details["sqlstate"], "57014");
        return true;
      });
      await using observer = await open(server, { sslmode: "require", user: "only_tls" });
      const asleep = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'";
      while ((await observer.query(asleep, [session.pid])).count === 0);
      await session.cancel();
      await stopped;
      assert.equal((await session.query("SELECT 1")).count, 1);
    });
    await t.step("a killed session says so", async () => {
      await using session = await open(server, { sslmode: "require", user: "only_tls" });
      await assert.rejects(session.query("SELECT pg_terminate_backend(pg_backend_pid())"), {
        code: "connection_lost",
        message:
          `The connection to 127.0.0.1:${server.port} was lost: terminating connection due to ` +
          "administrator command (SQLSTATE 57P01)",
      });
    });
  },
});

Deno.test("tls: text put in before the encryption begins is refused", async () => {
  await using server = fakeServer(async (talk) => {
    await talk.startup();
    await talk.raw("SN");
    await talk.message();
  });
  const error = await refusal(server, { sslmode: "require" });
  assert.equal(error.code, "tls_refused");
  assert.match(error.message, /answers the request for TLS with something else$/);
});

Deno.test("tls: a handshake that fails is told, and under prefer the session is plain", async () => {
  const isTlsRequest = (startup: Uint8Array) => startup[0] === 4 && startup[3] === 47;
  await using server = fakeServer(async (talk) => {
    await talk.raw(isTlsRequest(await talk.startup()) ? "Sgarbage, not TLS" : "");
  });
  assert.ok(
    ["tls_failed", "tls_refused"].includes((await refusal(server, { sslmode: "require" })).code),
  );
  let plain = 0;
  await using confused = fakeServer(async (talk) => {
    const startup = await talk.startup();
    if (isTlsRequest(startup)) {
      await talk.raw("S");
      await talk.some();
      await talk.raw("no TLS at all");
    } else {
      plain += 1;
      await talk.raw(Uint8Array.of(0x52, 0, 0, 0, 8, 0, 0, 0, 0, 0x5a, 0, 0, 0, 5, 0x49));
    }
  });
  await using session = await open(confused, { sslmode: "prefer" });
  assert.equal(session.tls, false);
  assert.equal(plain, 1);
});

Deno.test("tls: a server that answers the request for TLS with nonsense is no PostgreSQL server", async () => {
  await using server = fakeServer(async (talk) => {
    await talk.startup();
    await talk.raw("HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  assert.equal((await refusal(server, { sslmode: "prefer" })).code, "protocol_error");
});

Deno.test({
  name: "tls: sslnegotiation=direct begins with TLS where the server can, and fails where not",
  ignore,
  async fn() {
    const versions = await serverVersions();
    const modern = versions.find(({ version, missing }) => version >= 17 && missing === undefined);
    const missing = modern === undefined ? "there is no server of version 17 or later" : undefined;
    if (skipWhenMissing("direct TLS", missing) || modern === undefined) return;
    await using authority = await makeAuthority();
    const ssl = await authority.issue({ alternativeNames: ["DNS:localhost"] });
    await using server = await modern.start({ ssl });
    const changes = { sslnegotiation: "direct", sslrootcert: authority.certFile } as const;
    await using session = await open({ host: "localhost", port: server.port }, {
      ...changes,
      sslmode: "verify-full",
    });
    assert.equal(await isProtected(session), true);
    for (const sslmode of ["prefer", "allow"] as const) {
      await assert.rejects(open(server, { ...changes, sslmode }), { code: "weak_sslmode" });
    }
    await using without = fakeServer(async (talk) => {
      await talk.some();
    });
    const error = await refusal(without, { ...changes, sslmode: "require" });
    assert.equal(error.code, "tls_failed");
  },
});

async function createRoles(server: Server): Promise<void> {
  await using admin = await open({ host: server.socketDirectory, port: server.port });
  await admin.simple(
    "CREATE ROLE only_tls LOGIN; CREATE ROLE only_plain LOGIN; CREATE ROLE alice LOGIN;" +
      `ALTER ROLE postgres PASSWORD '${PASSWORD}'; ALTER ROLE only_tls SUPERUSER`,
  );
}

/** Whether a session is protected, as the server sees it; the client must see it alike. */
async function isProtected(session: Connection): Promise<boolean> {
  const { rows } = await session.query<{ ssl: boolean }>(
    "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
  );
  assert.equal(rows[0]?.ssl, session.tls);
  return session.tls;
}

async function refusal(
  place: Place,
  changes: Partial<ConnectionParameters>,
): Promise<OperationError> {
  try {
    await (await open(place, changes)).close();
  } catch (error) {
    assert.ok(error instanceof OperationError, Deno.inspect(error));
    assert.equal(error.kind, "connection");
    return error;
  }
  assert.fail("the connection was opened");
}
