/** Where the backups of a project are in S3, by its configuration. */
import assert from "assert";
import { OperationError } from "../../core/plugin.ts";
import { namesBucket, s3Credentials, s3Settings } from "../../plugins/repository/s3_settings.ts";

function configOf(values: Readonly<Record<string, string>>) {
  return {
    get: (name: string) => name in SECRET ? undefined : values[name],
    secret: (name: string) => values[name],
  };
}

const SECRET = {
  AWS_ACCESS_KEY_ID: true,
  AWS_SECRET_ACCESS_KEY: true,
  AWS_SESSION_TOKEN: true,
};

const B = { S3_BACKUP_BUCKET: "backups-of-ours" };

function isUsage(code: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof OperationError);
    assert.deepEqual([error.kind, error.code], ["usage", code]);
    assert.notEqual(error.hint, undefined);
    return true;
  };
}

Deno.test("s3Settings: reads bucket, prefix, region and endpoint", () => {
  assert.deepEqual(s3Settings(configOf(B)), {
    bucket: "backups-of-ours",
    prefix: "",
    region: "us-east-1",
    endpoint: undefined,
    authorities: undefined,
    title: "s3://backups-of-ours",
  });
  assert.deepEqual(
    s3Settings(configOf({
      ...B,
      S3_BACKUP_PREFIX: "prod/db/",
      AWS_REGION: "eu-central-1",
      AWS_ENDPOINT_URL_S3: "https://s3.example.com:9000",
      AWS_CA_BUNDLE: "/etc/ca.pem",
    })),
    {
      bucket: "backups-of-ours",
      prefix: "prod/db/",
      region: "eu-central-1",
      endpoint: "https://s3.example.com:9000",
      authorities: "/etc/ca.pem",
      title: "s3://backups-of-ours/prod/db",
    },
  );
});

Deno.test("s3Settings: a prefix has no slash before it, and one behind it", () => {
  for (
    const [given, prefix] of [
      ["", ""],
      ["/", ""],
      ["backups", "backups/"],
      ["/backups/", "backups/"],
      ["//a/b//", "a/b/"],
      [" a b ", "a b/"],
    ] as const
  ) {
    assert.equal(s3Settings(configOf({ ...B, S3_BACKUP_PREFIX: given })).prefix, prefix, given);
  }
});

Deno.test("s3Settings: the flag beats the settings", () => {
  const config = configOf({ ...B, AWS_ENDPOINT_URL_S3: "http://minio:9000" });
  assert.equal(s3Settings(config).endpoint, "http://minio:9000");
  const flags = { endpointUrl: "http://other:9000" };
  assert.equal(s3Settings(config, flags).endpoint, "http://other:9000");
});

Deno.test("s3Settings: what is missing or cannot be meant is told with what to set", () => {
  assert.throws(() => s3Settings(configOf({})), isUsage("no_bucket"));
  assert.throws(() => s3Settings(configOf({ S3_BACKUP_BUCKET: " " })), isUsage("no_bucket"));
  for (const bucket of ["s3://bucket", "bucket/backups", "two words"]) {
    assert.throws(
      () => s3Settings(configOf({ S3_BACKUP_BUCKET: bucket })),
      isUsage("bad_bucket"),
    );
  }
  const arn = "arn:aws:s3:us-west-2:123456789012:accesspoint/ours";
  assert.equal(s3Settings(configOf({ S3_BACKUP_BUCKET: arn })).bucket, arn);
  for (const url of ["minio:9000", "ftp://minio", "https://user:s3cr3t@minio", "http://m?a=1"]) {
    assert.throws(() => s3Settings(configOf({ ...B, AWS_ENDPOINT_URL_S3: url })), (error) => {
      assert.ok(error instanceof OperationError);
      assert.doesNotMatch(error.message, /s3cr3t/);
      return isUsage("bad_endpoint")(error);
    });
  }
  assert.deepEqual(
    [namesBucket(configOf({})), namesBucket(configOf({ S3_BACKUP_BUCKET: " " }))],
    [false, false],
  );
  assert.ok(namesBucket(configOf(B)));
});

Deno.test("s3Credentials: a key pair, with its token; none, or half of one", () => {
  const pair = { AWS_ACCESS_KEY_ID: "key", AWS_SECRET_ACCESS_KEY: "secret" };
  assert.deepEqual(s3Credentials(configOf(pair)), {
    accessKeyId: "key",
    secretAccessKey: "secret",
  });
  assert.deepEqual(s3Credentials(configOf({ ...pair, AWS_SESSION_TOKEN: "token" })), {
    accessKeyId: "key",
    secretAccessKey: "secret",
    sessionToken: "token",
  });
  assert.equal(s3Credentials(configOf({})), undefined);
  assert.equal(s3Credentials({ get: () => undefined }), undefined);
  for (const [name, value] of Object.entries(pair)) {
    assert.throws(() => s3Credentials(configOf({ [name]: value })), (error) => {
      assert.ok(error instanceof OperationError);
      assert.match(error.message, new RegExp(`^${name} is set, and AWS_`));
      return isUsage("half_credentials")(error);
    });
  }
});
