import assert from "assert";
import { OperationError } from "../../core/plugin.ts";
import type { ConnectionParameters } from "../../core/postgres/connection_parameters.ts";
import { type Server, startServer } from "../../tasks/server.ts";
import { errorFields, fakeServer, int32 } from "./fake_server.ts";
import { faultyDialer, open, type Place } from "./wire_connection.ts";

const SECRET = "s3cret-ö 𝟘";
/** How the roles of the server below log in. */
const METHODS = ["trust", "password", "md5", "scram-sha-256", "reject"];

Deno.test("login: every method, against a real server", async (t) => {
  await using server = await startServer({
    hba: [
      "local all all trust",
      ...METHODS.map((method) => `host all by_${method.replaceAll("-", "_")} all ${method}`),
    ],
  });
  await createRoles(server);

  await t.step("trust asks for nothing", async () => {
    await using session = await open(server, { user: "by_trust" });
    assert.equal(await whoAmI(session), "by_trust");
  });
  for (const user of ["by_password", "by_md5", "by_scram_sha_256"]) {
    await t.step(`${user}: the right password is let in`, async () => {
      await using session = await open(server, { user, password: SECRET });
      assert.equal(await whoAmI(session), user);
    });
    await t.step(`${user}: byte by byte as well`, async () => {
      const dialer = faultyDialer({ readBytes: 1, writeBytes: 1 });
      await using session = await open(server, { user, password: SECRET }, { dialer });
      assert.equal(await whoAmI(session), user);
    });
    await t.step(`${user}: a wrong password is refused, and not told`, async () => {
      const error = await refusal(server, { user, password: "wr0ng-one" });
      assert.equal(error.code, "authentication_failed");
      assert.equal(error.details["retryable"], false);
      assert.equal(error.details["sqlstate"], "28P01");
      assert.equal(
        error.message,
        `Cannot connect to 127.0.0.1:${server.port}: password authentication failed for user "${user}"`,
      );
      assert.doesNotMatch(Deno.inspect(error, { depth: 9 }), /wr0ng-one/);
    });
    await t.step(`${user}: a missing password is told as such`, async () => {
      const error = await refusal(server, { user });
      assert.equal(error.code, "authentication_failed");
      assert.match(error.message, /the server asks for a password and none is given$/);
    });
  }
  await t.step("a password of a password file is the host's own", async () => {
    const host = { host: server.host, port: server.port, password: SECRET };
    await using session = await open(server, { user: "by_scram_sha_256", hosts: [host] });
    assert.equal(await whoAmI(session), "by_scram_sha_256");
    const error = await refusal(server, {
      user: "by_scram_sha_256",
      hosts: [host],
      password: "other",
    });
    assert.equal(error.code, "authentication_failed");
  });
  await t.step("reject is told", async () => {
    const error = await refusal(server, { user: "by_reject", password: SECRET });
    assert.equal(error.code, "authentication_failed");
    assert.match(error.message, /pg_hba\.conf rejects connection/);
  });
  await t.step("require_auth accepts what it lists", async () => {
    const user = "by_scram_sha_256";
    for (const requireAuth of ["scram-sha-256", "md5, scram-sha-256", "!password,!none", ""]) {
      await using session = await open(server, { user, password: SECRET, requireAuth });
      assert.equal(await whoAmI(session), user);
    }
    await using trusted = await open(server, { user: "by_trust", requireAuth: "none" });
    assert.equal(await whoAmI(trusted), "by_trust");
  });
  await t.step("require_auth refuses the rest before a password is sent", async () => {
    for (
      const [user, requireAuth, method] of [
        ["by_password", "scram-sha-256", "by password"],
        ["by_md5", "!md5", "by md5"],
        ["by_trust", "scram-sha-256,md5", "no authentication"],
        ["by_trust", "!none", "no authentication"],
      ] as const
    ) {
      const error = await refusal(server, { user, password: SECRET, requireAuth });
      assert.equal(error.code, "authentication_failed");
      assert.ok(error.message.includes(method), error.message);
    }
  });
  await t.step("channel_binding=require is refused without TLS", async () => {
    for (const user of ["by_scram_sha_256", "by_md5", "by_trust"]) {
      const error = await refusal(server, { user, password: SECRET, channelBinding: "require" });
      assert.match(error.message, /channel binding is required/);
    }
  });
});

Deno.test("login: a server that does not know the password is found out", async () => {
  await using server = fakeServer(async (talk) => {
    await talk.startup();
    await talk.send("R", int32(10), "SCRAM-SHA-256\0\0");
    const { body } = await talk.message();
    const nonce = /r=(.*)$/.exec(new TextDecoder().decode(body))?.[1];
    await talk.send("R", int32(11), `r=${nonce}abcdef,s=${btoa("salt")},i=4096`);
    await talk.message();
    await talk.send("R", int32(12), `v=${btoa("x".repeat(32))}`);
    await talk.send("R", int32(0));
    await talk.send("Z", "I");
  });
  const error = await refusal(server, { password: SECRET });
  assert.equal(error.code, "authentication_failed");
  assert.match(error.message, /the server's SCRAM signature is wrong$/);
});

Deno.test("login: a server that skips the end of SCRAM is found out", async () => {
  await using server = fakeServer(async (talk) => {
    await talk.startup();
    await talk.send("R", int32(10), "SCRAM-SHA-256\0\0");
    const { body } = await talk.message();
    const nonce = /r=(.*)$/.exec(new TextDecoder().decode(body))?.[1];
    await talk.send("R", int32(11), `r=${nonce}abcdef,s=${btoa("salt")},i=4096`);
    await talk.message();
    await talk.send("R", int32(0));
  });
  const error = await refusal(server, { password: SECRET });
  assert.equal(error.code, "protocol_error");
  assert.match(error.message, /the server leaves the order of the SCRAM login$/);
});

Deno.test("login: a nonce that is not a continuation of ours, and a broken challenge, are refused", async () => {
  for (
    const [challenge, reason] of [
      [`r=other,s=${btoa("salt")},i=4096`, /nonce does not continue ours/],
      ["r=NONCEx,s=,i=4096", /challenge cannot be read/],
      [`r=NONCEx,s=${btoa("salt")},i=0`, /challenge cannot be read/],
      [`r=NONCEx,s=${btoa("salt")},i=1e3`, /challenge cannot be read/],
    ] as const
  ) {
    await using server = fakeServer(async (talk) => {
      await talk.startup();
      await talk.send("R", int32(10), "SCRAM-SHA-256\0\0");
      const { body } = await talk.message();
      const nonce = /r=(.*)$/.exec(new TextDecoder().decode(body))?.[1] ?? "";
      await talk.send("R", int32(11), challenge.replace("NONCE", nonce));
      await talk.message();
    });
    assert.match((await refusal(server, { password: SECRET })).message, reason);
  }
});

Deno.test("login: methods that are not supported are refused by name", async () => {
  for (
    const [request, name] of [
      [[int32(7)], /Kerberos \(GSSAPI or SSPI\), which is not supported/],
      [[int32(9)], /Kerberos \(GSSAPI or SSPI\)/],
      [[int32(2)], /Kerberos/],
      [[int32(99)], /method 99/],
      [[int32(10), "OAUTHBEARER\0\0"], /OAUTHBEARER, which is not supported/],
    ] as const
  ) {
    await using server = fakeServer(async (talk) => {
      await talk.startup();
      await talk.send("R", ...request);
      await talk.message();
    });
    const error = await refusal(server, { password: SECRET });
    assert.equal(error.code, "authentication_failed");
    assert.match(error.message, name);
  }
});

Deno.test("login: an older minor version of the protocol is accepted, and a longer key kept", async () => {
  let cancel: Uint8Array | undefined;
  await using server = fakeServer(async (talk) => {
    const first = await talk.startup();
    if (new DataView(first.buffer).getInt32(0) === 80877102) {
      cancel = first;
      return;
    }
    await talk.send("v", int32(0), int32(0));
    await talk.send("R", int32(0));
    await talk.send("N", errorFields({ S: "NOTICE", C: "00000", M: "welcome" }));
    await talk.send("K", int32(4711), new Uint8Array(32).fill(7));
    await talk.send("Z", "I");
    await talk.message();
  });
  const notices: string[] = [];
  await using session = await open(server, {}, {
    onNotice: ({ message }) => notices.push(message),
  });
  assert.equal(session.pid, 4711);
  assert.deepEqual(notices, ["welcome"]);
  await session.cancel();
  assert.deepEqual(cancel, Uint8Array.of(4, 210, 22, 46, 0, 0, 18, 103, ...Array(32).fill(7)));
});

async function createRoles(server: Server): Promise<void> {
  await using admin = await open(server, {
    hosts: [{ host: server.socketDirectory, port: server.port }],
  });
  for (const method of METHODS) {
    const name = `by_${method.replaceAll("-", "_")}`;
    await admin.query(`SET password_encryption = '${method === "md5" ? "md5" : "scram-sha-256"}'`);
    await admin.query(`CREATE ROLE ${name} LOGIN PASSWORD '${SECRET}'`);
  }
}

async function whoAmI(session: Awaited<ReturnType<typeof open>>): Promise<unknown> {
  return (await session.query("SELECT current_user::text AS name")).rows[0]?.["name"];
}

async function refusal(
  server: Place,
  changes: Partial<ConnectionParameters>,
): Promise<OperationError> {
  try {
    await (await open(server, changes)).close();
  } catch (error) {
    assert.ok(error instanceof OperationError, Deno.inspect(error));
    assert.equal(error.kind, "connection");
    return error;
  }
  assert.fail("the login succeeded");
}
