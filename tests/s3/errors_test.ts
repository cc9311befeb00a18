/** What people are told when S3 does not do what was asked. */
import assert from "assert";
import { OperationError } from "../../core/plugin.ts";
import { ConnectionLoss } from "../../plugins/repository/http_connection.ts";
import { inWords } from "../../plugins/repository/s3_errors.ts";
import { failureOf, mayPass, Mismatch } from "../../plugins/repository/s3_failure.ts";
import { faultyS3, type S3Answer } from "../fault_s3.ts";
import { freshBucket, sharedS3, type TestBucket } from "../s3.ts";
import { openStore } from "./parts.ts";

/** What a listing fails with that is answered so. */
async function listingUnder(answer: S3Answer): Promise<OperationError> {
  const server = await sharedS3();
  await using bucket = await freshBucket({ server });
  await using proxy = await faultyS3(server, [{ fault: { answer } }]);
  using store = await openStore(bucket, { endpoint: proxy.endpoint, limits: { tries: 2 } });
  return await failureOfListing(store);
}

async function failureOfListing(store: { list(): Promise<unknown> }): Promise<OperationError> {
  try {
    await store.list();
  } catch (error) {
    if (error instanceof OperationError) return error;
    throw error;
  }
  throw new Error("It was listed");
}

const ANSWERS: readonly {
  readonly answer: S3Answer;
  readonly kind: string;
  readonly code: string;
  readonly message: RegExp;
  readonly hint?: RegExp;
}[] = [
  {
    answer: { status: 404, code: "NoSuchBucket" },
    kind: "failed",
    code: "bucket_missing",
    message: /^Cannot list s3:\/\/\S+\/backups: there is no bucket "test-\w+"$/,
    hint: /S3_BACKUP_BUCKET/,
  },
  {
    answer: { status: 403, code: "AccessDenied" },
    kind: "failed",
    code: "access_denied",
    message: /the service does not allow it to these credentials$/,
    hint: /s3:ListBucket.*s3:PutObject/,
  },
  {
    answer: { status: 403, code: "InvalidAccessKeyId" },
    kind: "connection",
    code: "unknown_access_key",
    message: /the service does not know the access key$/,
    hint: /AWS_ACCESS_KEY_ID/,
  },
  {
    answer: { status: 404, code: "XAdminUserNotFound" },
    kind: "connection",
    code: "unknown_access_key",
    message: /the service does not know the access key$/,
  },
  {
    answer: { status: 403, code: "SignatureDoesNotMatch" },
    kind: "connection",
    code: "wrong_secret_key",
    message: /the secret of the access key is wrong$/,
    hint: /AWS_SECRET_ACCESS_KEY/,
  },
  {
    answer: { status: 403, code: "RequestTimeTooSkewed" },
    kind: "connection",
    code: "clock_skewed",
    message: /clock and the service's are too far apart$/,
    hint: /chrony/,
  },
  {
    answer: { status: 400, code: "ExpiredToken" },
    kind: "connection",
    code: "expired_credentials",
    message: /the credentials have expired$/,
    hint: /AWS_SESSION_TOKEN/,
  },
  {
    answer: {
      status: 301,
      code: "PermanentRedirect",
      headers: { "x-amz-bucket-region": "eu-west-1" },
    },
    kind: "connection",
    code: "wrong_region",
    message: /the bucket is not in the region us-east-1$/,
    hint: /^Set AWS_REGION=eu-west-1$/,
  },
  {
    answer: {
      status: 400,
      code: "AuthorizationHeaderMalformed",
      message: "The region 'us-east-1' is wrong; expecting 'eu-west-2'",
    },
    kind: "connection",
    code: "wrong_region",
    message: /the bucket is not in the region us-east-1$/,
    hint: /^Set AWS_REGION=eu-west-2$/,
  },
  {
    answer: { status: 503, code: "SlowDown" },
    kind: "failed",
    code: "service_unavailable",
    message: /the service is not able to do it now \(status 503, SlowDown\)$/,
    hint: /later/,
  },
  {
    answer: { status: 502, body: "<html>Bad gateway</html>" },
    kind: "failed",
    code: "service_unavailable",
    message: /the service is not able to do it now \(status 502\)$/,
  },
  {
    answer: { status: 400, code: "InvalidBucketName" },
    kind: "usage",
    code: "bad_bucket",
    message: /is no bucket's name$/,
  },
  {
    answer: { status: 418, code: "Teapot", message: "Short\nand   stout" },
    kind: "failed",
    code: "s3_error",
    message: /the service answered: Short and stout, status 418, Teapot$/,
  },
];

for (const { answer, kind, code, message, hint } of ANSWERS) {
  Deno.test(`s3: ${answer.status} ${answer.code ?? "without a name"} is told in words`, async () => {
    const error = await listingUnder(answer);
    assert.deepEqual([error.kind, error.code], [kind, code], error.message);
    assert.match(error.message, message);
    if (hint !== undefined) assert.match(error.hint ?? "", hint);
  });
}

/** A store that is opened otherwise, and what its listing fails with. */
async function listingWith(
  change: (bucket: TestBucket) => Parameters<typeof openStore>[1],
): Promise<OperationError> {
  await using bucket = await freshBucket();
  using store = await openStore(bucket, change(bucket));
  return await failureOfListing(store);
}

Deno.test("s3: wrong keys are told by a server that checks them, and never repeated", async () => {
  if ((await sharedS3()).kind === "fauxqs") return;
  const { accessKeyId, secretAccessKey } = await sharedS3();
  const wrongSecret = { accessKeyId, secretAccessKey: "s3cr3t-word-of-mine" };
  const wrongKey = { accessKeyId: "AKIAOFNOBODY", secretAccessKey };
  for (
    const [credentials, code] of [
      [wrongSecret, "wrong_secret_key"],
      [wrongKey, "unknown_access_key"],
    ] as const
  ) {
    const error = await listingWith(() => ({ credentials }));
    assert.deepEqual([error.kind, error.code], ["connection", code]);
    const told = JSON.stringify([error.message, error.hint, error.details, String(error.cause)]);
    assert.doesNotMatch(told, /s3cr3t|Signature=|AWS4-HMAC/);
    assert.ok(!told.includes(secretAccessKey) && !told.includes("AKIAOFNOBODY"), told);
  }
});

Deno.test("s3: what cannot be reached is told with where it was looked for", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  for (
    const [endpoint, code, message] of [
      [
        `http://127.0.0.1:${port}`,
        "connection_refused",
        /http:\/\/127\.0\.0\.1:\d+ refuses the connection$/,
      ],
      [
        "http://nowhere.invalid",
        "unknown_host",
        /the name of http:\/\/nowhere\.invalid is not known$/,
      ],
    ] as const
  ) {
    const error = await listingWith(() => ({ endpoint, limits: { tries: 1 } }));
    assert.deepEqual([error.kind, error.code], ["connection", code]);
    assert.match(error.message, message);
    assert.match(error.hint ?? "", /AWS_ENDPOINT_URL_S3/);
  }
});

Deno.test("s3: a file of certificates that is not there is told", async () => {
  await using bucket = await freshBucket();
  await assert.rejects(
    openStore(bucket, { settings: bucket.settings({ authorities: "/nowhere/ca.pem" }) }),
    (error) =>
      error instanceof OperationError && error.kind === "usage" &&
      /AWS_CA_BUNDLE, "\/nowhere\/ca\.pem"/.test(error.message),
  );
});

function serviceError(name: string, metadata: object): Error {
  return Object.assign(new Error("told"), { name, $metadata: metadata });
}

Deno.test("mayPass: what is tried again, and what is not", () => {
  const passing = [
    new ConnectionLoss("lost", "x"),
    new ConnectionLoss("stalled", "x"),
    new ConnectionLoss("refused", "x"),
    new Mismatch("x"),
    serviceError("InternalError", { httpStatusCode: 500 }),
    serviceError("UnknownError", { httpStatusCode: 504 }),
    serviceError("RequestTimeout", { httpStatusCode: 400 }),
    serviceError("BadDigest", { httpStatusCode: 400 }),
    serviceError("TooManyRequests", { httpStatusCode: 429 }),
    // The answer to a HEAD that was signed by a wrong clock, which is corrected now.
    serviceError("403", { httpStatusCode: 403, clockSkewCorrected: true }),
  ];
  for (const error of passing) assert.ok(mayPass(error), `${error.name}: ${error.message}`);
  const lasting = [
    new ConnectionLoss("untrusted", "x"),
    serviceError("403", { httpStatusCode: 403 }),
    serviceError("AccessDenied", { httpStatusCode: 403, clockSkewCorrected: true }),
    serviceError("NoSuchKey", { httpStatusCode: 404 }),
    serviceError("InvalidRequest", { httpStatusCode: 400 }),
    serviceError("NotImplemented", { httpStatusCode: 501 }),
    serviceError("CredentialsProviderError", {}),
    new TypeError("a bug"),
  ];
  for (const error of lasting) assert.ok(!mayPass(error), `${error.name}: ${error.message}`);
});

Deno.test("inWords: leaves what is no failure of a request as it is", async () => {
  await using bucket = await freshBucket();
  const settings = bucket.settings();
  const bug = new TypeError("x is not a function");
  assert.equal(inWords(bug, { doing: "list", settings }), bug);
  assert.equal(failureOf(bug), undefined);
});
