/** The bucket's check of `verify` from outside, and where the program takes its credentials from. */
import assert from "assert";
import { judgeRoundTrip } from "../../plugins/verify/s3.ts";
import { startS3Server } from "../../tasks/s3_server.ts";
import { directoryWith, type FilesByPath } from "../cli/project.ts";
import { faultyS3 } from "../fault_s3.ts";
import { makeAuthority, skipWithoutOpenssl } from "../postgres/tls_certificates.ts";
import { forEachKind, type Kind, runProgram } from "../program.ts";
import { freshBucket, S3_KINDS, sharedS3, type TestBucket } from "../s3.ts";

/** Nobody listens there, and this check must not mind. */
const NO_DATABASE = { DATABASE_URL: "postgres://127.0.0.1:1/none" };

interface Given {
  readonly kind: Kind;
  readonly env: Readonly<Record<string, string>>;
  /** Files in the directory of the run. */
  readonly files?: FilesByPath;
}

async function check({ kind, env, files = {} }: Given) {
  await using directory = await directoryWith(files);
  const { code, stdout, stderr } = await runProgram(["verify", "--only", "s3", "--json"], {
    kind,
    cwd: directory.path,
    env: { ...NO_DATABASE, AWS_EC2_METADATA_DISABLED: "true", ...env },
  });
  const { data } = JSON.parse(stdout);
  return { code, stdout, stderr, finding: data.checks[0] };
}

/** What a run is told of a bucket when its keys come from elsewhere. */
function withoutKeys(bucket: TestBucket): Record<string, string> {
  const { AWS_ACCESS_KEY_ID: _id, AWS_SECRET_ACCESS_KEY: _secret, ...env } = bucket.env;
  return env;
}

forEachKind("verify s3: tries all that backups need, and leaves nothing", async (kind) => {
  await using bucket = await freshBucket({ prefix: "prod/db/" });
  await bucket.put("prod/db/notes.txt", "stays");
  const { code, finding, stderr } = await check({ kind, env: bucket.env });
  assert.deepEqual([code, finding.status, stderr], [0, "ok", ""], JSON.stringify(finding));
  const checked = bucket.server.kind === "versitygw";
  assert.ok(
    finding.message.startsWith(
      `s3://${bucket.name}/prod/db takes, gives back and removes objects${checked ? "" : "; it "}`,
    ),
    finding.message,
  );
  assert.deepEqual(
    [finding.details.conditional_writes, finding.details.tells_uploads],
    [checked, checked],
  );
  assert.ok(Math.abs(finding.details.skew_ms) < 5000, finding.details.skew_ms);
  assert.deepEqual((await bucket.objects()).map(({ key }) => key), ["prod/db/notes.txt"]);
  assert.deepEqual(await bucket.uploads(), []);
});

forEachKind("verify s3: is skipped without a bucket", async (kind) => {
  const { code, finding } = await check({ kind, env: { AWS_ENDPOINT_URL: "http://127.0.0.1:1" } });
  assert.deepEqual([code, finding.status, finding.message], [
    0,
    "skipped",
    "S3_BACKUP_BUCKET is not set",
  ]);
});

forEachKind("verify s3: what is wrong fails, with what mends it", async (kind) => {
  const { env } = await (async () => {
    await using bucket = await freshBucket();
    return bucket;
  })();
  const { code, finding, stderr } = await check({ kind, env });
  assert.deepEqual([code, finding.status, finding.details.code], [3, "failed", "bucket_missing"]);
  assert.match(finding.message, /^Cannot list s3:.*: there is no bucket "test-/);
  assert.match(finding.remedy, /Create it, or set S3_BACKUP_BUCKET/);
  assert.match(stderr, /^\[WARNING\] s3: Cannot list s3:/m);
  const nowhere = { ...env, AWS_ENDPOINT_URL_S3: "http://127.0.0.1:1" };
  const refused = await check({ kind, env: nowhere });
  assert.deepEqual([refused.code, refused.finding.details.code], [3, "connection_refused"]);
  const bad = await check({ kind, env: { ...env, S3_BACKUP_BUCKET: "s3://bucket" } });
  assert.deepEqual([bad.code, bad.finding.details.code], [3, "bad_bucket"]);
});

forEachKind("verify s3: wrong keys fail, and are not repeated", async (kind) => {
  await using bucket = await freshBucket();
  if (bucket.server.kind === "fauxqs") return;
  const env = { ...bucket.env, AWS_SECRET_ACCESS_KEY: "s3cr3t-word-of-mine" };
  const { code, stdout, stderr, finding } = await check({ kind, env });
  assert.deepEqual([code, finding.details.code], [3, "wrong_secret_key"]);
  assert.doesNotMatch(stdout + stderr, /s3cr3t|Signature=/);
});

forEachKind("verify s3: an upload that breaks half-way leaves nothing", async (kind) => {
  const server = await sharedS3();
  await using bucket = await freshBucket({ server });
  await using proxy = await faultyS3(server, [
    { on: "UploadPart", part: 2, fault: { answer: { status: 403, code: "AccessDenied" } } },
  ]);
  const { code, finding } = await check({
    kind,
    env: { ...bucket.env, AWS_ENDPOINT_URL_S3: proxy.endpoint },
  });
  assert.deepEqual([code, finding.details.code], [3, "access_denied"]);
  assert.match(finding.remedy, /s3:PutObject/);
  assert.deepEqual([await bucket.objects(), await bucket.uploads()], [[], []]);
});

forEachKind("verify s3: keys are taken from .env, and from files that hold them", async (kind) => {
  await using bucket = await freshBucket();
  const { accessKeyId, secretAccessKey } = bucket.credentials;
  const files = {
    ".env": `AWS_ACCESS_KEY_ID=${accessKeyId}\nAWS_SECRET_ACCESS_KEY_FILE=secret\n`,
    secret: `${secretAccessKey}\n`,
  };
  const { finding } = await check({ kind, env: withoutKeys(bucket), files });
  assert.equal(finding.status, "ok", finding.message);
});

forEachKind("verify s3: without keys the usual places are looked into", async (kind) => {
  await using bucket = await freshBucket();
  const env = withoutKeys(bucket);
  const none = await check({ kind, env });
  assert.deepEqual([none.code, none.finding.details.code], [3, "no_credentials"]);
  assert.match(none.finding.remedy, /AWS_PROFILE/);

  const { accessKeyId, secretAccessKey } = bucket.credentials;
  const files = {
    credentials:
      `[backups]\naws_access_key_id = ${accessKeyId}\naws_secret_access_key = ${secretAccessKey}\n`,
  };
  const profile = { AWS_PROFILE: "backups", AWS_SHARED_CREDENTIALS_FILE: "credentials" };
  const { finding } = await check({ kind, env: { ...env, ...profile }, files });
  assert.equal(finding.status, "ok", finding.message);
});

forEachKind(
  "verify s3: roles of containers, machines and web identities are taken",
  async (kind) => {
    // Versitygw knows no tokens.
    await using s3 = await startS3Server({ kind: "fauxqs" });
    await using bucket = await freshBucket({ server: s3 });
    await using proxy = await faultyS3(s3);
    const [accessKeyId, secretAccessKey] = ["ASIAROLE", "role-s3cr3t"];
    const asked: string[] = [];
    const keys = {
      AccessKeyId: accessKeyId,
      SecretAccessKey: secretAccessKey,
      Token: "token",
      Expiration: new Date(Date.now() + 3_600_000).toISOString(),
    };
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      async (request) => {
        const { pathname } = new URL(request.url);
        asked.push(`${request.method} ${pathname}`);
        if (pathname === "/container") return Response.json(keys);
        if (pathname === "/latest/api/token") return new Response("metadata-token");
        if (pathname.endsWith("/security-credentials/")) return new Response("role");
        if (pathname.endsWith("/security-credentials/role")) {
          return Response.json({ Code: "Success", Type: "AWS-HMAC", ...keys });
        }
        const form = new URLSearchParams(await request.text());
        assert.deepEqual(
          [form.get("Action"), form.get("WebIdentityToken")],
          ["AssumeRoleWithWebIdentity", "a.b.c"],
        );
        return new Response(
          "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>" +
            `<AccessKeyId>${accessKeyId}</AccessKeyId>` +
            `<SecretAccessKey>${secretAccessKey}</SecretAccessKey>` +
            `<SessionToken>token</SessionToken><Expiration>${keys.Expiration}</Expiration>` +
            "</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>",
          { headers: { "content-type": "text/xml" } },
        );
      },
    );
    const address = `http://127.0.0.1:${server.addr.port}`;
    const files = { token: "a.b.c" };
    for (
      const [env, question] of [
        [{ AWS_CONTAINER_CREDENTIALS_FULL_URI: `${address}/container` }, "GET /container"],
        [
          { AWS_EC2_METADATA_SERVICE_ENDPOINT: address, AWS_EC2_METADATA_DISABLED: "false" },
          "PUT /latest/api/token",
        ],
        [
          {
            AWS_WEB_IDENTITY_TOKEN_FILE: "token",
            AWS_ROLE_ARN: "arn:aws:iam::123456789012:role/backups",
            AWS_ENDPOINT_URL_STS: address,
          },
          "POST /",
        ],
      ] as const
    ) {
      asked.length = 0;
      const { finding, stdout, stderr } = await check({
        kind,
        env: { ...withoutKeys(bucket), AWS_ENDPOINT_URL_S3: proxy.endpoint, ...env },
        files,
      });
      assert.equal(finding.status, "ok", `${question}: ${finding.message}`);
      assert.ok(asked.includes(question), asked.join(", "));
      const { headers } = proxy.seen.at(-1) ?? {};
      assert.match(headers?.["authorization"] ?? "", /Credential=ASIAROLE\//);
      assert.equal(headers?.["x-amz-security-token"], "token");
      assert.doesNotMatch(stdout + stderr, /s3cr3t/);
      assert.equal(stderr, "");
    }
  },
);

forEachKind(
  "verify s3: trusts the authority that AWS_CA_BUNDLE names",
  async (kind) => {
    await using authority = await makeAuthority();
    const { cert, key } = await authority.issue({
      alternativeNames: ["DNS:localhost", "IP:127.0.0.1"],
    });
    await using server = await startS3Server({ kind: "versitygw", tls: { cert, key } });
    const { endpoint, accessKeyId, secretAccessKey } = server;
    const env = {
      S3_BACKUP_BUCKET: "no-such-bucket",
      AWS_ENDPOINT_URL_S3: endpoint,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
    };
    const trusted = await check({ kind, env: { ...env, AWS_CA_BUNDLE: authority.certFile } });
    assert.equal(trusted.finding.details.code, "bucket_missing", trusted.finding.message);
    const untrusted = await check({ kind, env });
    assert.equal(untrusted.finding.details.code, "untrusted_certificate");
    assert.match(untrusted.finding.remedy, /AWS_CA_BUNDLE/);
  },
  {
    missing: S3_KINDS.includes("versitygw") && !await skipWithoutOpenssl("S3 over TLS")
      ? undefined
      : "there is no versitygw, or no openssl",
  },
);

Deno.test("verify s3: judges what a round trip has shown", () => {
  const trip = { conditional: true, tellsUploads: true, skew: 0 };
  assert.equal(judgeRoundTrip("s3://b", trip).status, "ok");
  assert.equal(
    judgeRoundTrip("s3://b", { conditional: false, tellsUploads: false, skew: undefined }).message,
    "s3://b takes, gives back and removes objects; it cannot keep objects from being " +
      "overwritten; it does not tell of unfinished uploads",
  );
  assert.equal(judgeRoundTrip("s3://b", { ...trip, skew: -4999 }).status, "ok");
  const ahead = judgeRoundTrip("s3://b", { ...trip, skew: 3_600_000 });
  assert.deepEqual([ahead.status, ahead.message], [
    "warning",
    "s3://b works, but its clock is 3600 s ahead of this machine's",
  ]);
  assert.match(judgeRoundTrip("s3://b", { ...trip, skew: -6000 }).message, /6 s behind/);
});
