/** Uploads to a server that fails in every way that servers and networks do. */
import assert from "assert";
import { OperationError } from "../../core/plugin.ts";
import type { S3Limits } from "../../plugins/repository/s3_bucket.ts";
import { startUpload, type UploadedObject } from "../../plugins/repository/s3_upload.ts";
import { errorAnswer, type FaultyS3, faultyS3, type Rule } from "../fault_s3.ts";
import { startS3Server } from "../../tasks/s3_server.ts";
import { freshBucket, sharedS3, type TestBucket } from "../s3.ts";
import { bytesOf, openStore, PART, partOf, sha256, type Told } from "./parts.ts";

const NAME = "x_backup_20240101_120000.dump";
const KEY = `backups/${NAME}`;
const PIECES = [bytesOf(PART, 1), bytesOf(PART, 2), bytesOf(100_000, 3)];
const WHOLE = sha256(new Uint8Array(await new Blob(PIECES).arrayBuffer()));

/** What became of an upload under faults. */
interface Outcome {
  readonly object?: UploadedObject;
  readonly error?: unknown;
  readonly proxy: FaultyS3;
  readonly told: Told;
  readonly bucket: TestBucket;
}

/** Uploads the three pieces under the rules, aborts after a failure, and looks at what is there. */
async function uploadUnder(
  rules: readonly Rule[],
  {
    look = () => {},
    limits = {},
    pieces = PIECES,
  }: {
    readonly look?: (outcome: Outcome) => Promise<void> | void;
    readonly limits?: Partial<S3Limits>;
    readonly pieces?: readonly Uint8Array[];
  } = {},
): Promise<void> {
  const server = await sharedS3();
  await using bucket = await freshBucket({ server });
  await using proxy = await faultyS3(server, rules);
  using store = await openStore(bucket, { endpoint: proxy.endpoint, limits });
  const upload = startUpload(store, { name: NAME, partSize: PART, metadata: { observatory: "x" } });
  const common = { proxy, told: store.told, bucket };
  try {
    for (const piece of pieces) await upload.part(partOf(piece));
    await look({ ...common, object: await upload.complete() });
  } catch (error) {
    await upload.abort();
    await look({ ...common, error });
  }
  // Whatever happened: nothing of it is left half-done.
  assert.deepEqual(await bucket.uploads(), []);
}

async function isWhole({ object, error, bucket }: Outcome): Promise<void> {
  if (error !== undefined) throw error;
  assert.equal(object?.size, 2 * PART + 100_000);
  assert.equal(sha256((await bucket.read(KEY)).bytes), WHOLE);
}

function failsWith(code: string, message: RegExp): (outcome: Outcome) => Promise<void> {
  return async ({ error, bucket }) => {
    assert.ok(error instanceof OperationError, String(error ?? "it was uploaded"));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    assert.deepEqual(await bucket.objects(), []);
  };
}

const PASSING: Readonly<Record<string, readonly Rule[]>> = {
  "a connection that drops before a part": [
    { on: "UploadPart", part: 2, times: 2, fault: { drop: "request" } },
  ],
  "a connection that drops in the middle of a part": [
    { on: "UploadPart", part: 1, times: 2, fault: { drop: "request", after: 1_000_000 } },
    { on: "UploadPart", part: 3, times: 1, fault: { drop: "request", after: 99_999 } },
  ],
  "a lost answer to a part": [{ on: "UploadPart", times: 3, fault: { drop: "answer" } }],
  "a server's failure": [
    {
      on: "UploadPart",
      part: 2,
      times: 2,
      fault: { answer: { status: 500, code: "InternalError" } },
    },
    {
      on: "CreateMultipartUpload",
      times: 1,
      fault: { answer: { status: 500, code: "InternalError" } },
    },
  ],
  "a proxy's failure, in its own words": [
    {
      on: ["UploadPart", "CompleteMultipartUpload", "HeadObject"],
      times: 1,
      fault: { answer: { status: 502, body: "<html><body>Bad gateway</body></html>" } },
    },
  ],
  "a server that wants it slower": [
    { on: "UploadPart", times: 4, fault: { answer: { status: 503, code: "SlowDown" } } },
  ],
  "a server that waited too long": [
    {
      on: "UploadPart",
      part: 1,
      times: 1,
      fault: { answer: { status: 400, code: "RequestTimeout" } },
    },
  ],
  "bytes that were changed on the way": [
    { on: "UploadPart", part: 2, times: 1, fault: { answer: { status: 400, code: "BadDigest" } } },
  ],
  "an ETag of other bytes": [{
    on: "UploadPart",
    part: 2,
    times: 2,
    fault: {
      change: (answer) => ({
        ...answer,
        headers: { ...answer.headers, etag: `"${"0".repeat(32)}"` },
      }),
    },
  }],
  "a lost answer to the beginning": [
    { on: "CreateMultipartUpload", times: 1, fault: { drop: "request" } },
  ],
  "a completion that fails inside a good answer": [{
    on: "CompleteMultipartUpload",
    times: 2,
    fault: {
      answer: {
        status: 200,
        body:
          '<?xml version="1.0"?>\n\n<Error><Code>InternalError</Code><Message>x</Message></Error>',
      },
    },
  }],
  "a completion whose answer is empty": [
    { on: "CompleteMultipartUpload", times: 1, fault: { answer: { status: 200, body: "" } } },
  ],
  "a completion that was done, and whose answer was lost": [
    { on: "CompleteMultipartUpload", times: 1, fault: { drop: "answer" } },
  ],
  "a completion that was done, and whose answer was cut": [
    { on: "CompleteMultipartUpload", times: 1, fault: { drop: "answer", after: 60 } },
  ],
  "a completion that was not done, nor answered": [
    { on: "CompleteMultipartUpload", times: 2, fault: { drop: "request" } },
  ],
  "an object that is not seen at once": [
    { on: "HeadObject", times: 2, fault: { answer: { status: 404 } } },
  ],
  "a slow server": [
    {
      on: ["UploadPart", "CompleteMultipartUpload"],
      fault: { stall: "answer", milliseconds: 150 },
    },
  ],
};

for (const [what, rules] of Object.entries(PASSING)) {
  Deno.test(`startUpload: gets over ${what}`, async () => {
    const limits = { stall: 5000 };
    await uploadUnder(rules, { limits, look: isWhole });
  });
}

Deno.test("startUpload: gets over a server that falls silent", async () => {
  const limits = { stall: 300, completion: 300 };
  await uploadUnder([
    { on: "UploadPart", part: 1, times: 1, fault: { stall: "request" } },
    { on: "UploadPart", part: 2, times: 1, fault: { stall: "answer" } },
    { on: "CompleteMultipartUpload", times: 1, fault: { stall: "answer" } },
  ], {
    limits,
    async look(outcome) {
      await isWhole(outcome);
      assert.match(
        outcome.told.debug.join("\n"),
        /Trying again to .*: nothing has moved for 0\.3 s/,
      );
    },
  });
});

Deno.test("startUpload: an object of one part gets over the same", async () => {
  const pieces = [bytesOf(300_000)];
  const faults: Rule["fault"][] = [
    { drop: "request", after: 100_000 },
    { drop: "answer" },
    { answer: { status: 503, code: "SlowDown" } },
    { answer: { status: 409, code: "ConditionalRequestConflict" } },
  ];
  for (const fault of faults) {
    await uploadUnder([{ on: "PutObject", times: 1, fault }], {
      pieces,
      async look({ error, bucket }) {
        if (error !== undefined) throw error;
        assert.equal(sha256((await bucket.read(KEY)).bytes), sha256(pieces[0] ?? new Uint8Array()));
      },
    });
  }
});

Deno.test("startUpload: a wrong ETag of a whole object is tried again without being in its own way", async () => {
  const pieces = [bytesOf(1000)];
  const etag = `"${"0".repeat(32)}"`;
  const change: Rule["fault"] = {
    change: (answer) => ({ ...answer, headers: { ...answer.headers, etag } }),
  };
  await uploadUnder([{ on: "PutObject", times: 1, fault: change }], {
    pieces,
    async look({ error, bucket }) {
      if (error !== undefined) throw error;
      assert.equal((await bucket.read(KEY)).bytes.length, 1000);
    },
  });
  await uploadUnder([{ on: "PutObject", fault: change }], {
    pieces,
    look: failsWith("corrupted_on_the_way", /the service has other bytes than were sent/),
  });
});

Deno.test("startUpload: an ETag that is no MD5 is not taken for one", async () => {
  for (
    const headers of [
      { etag: '"abc"' },
      { etag: `"${"0".repeat(32)}"`, "x-amz-server-side-encryption": "aws:kms" },
      { etag: `"${"0".repeat(32)}"`, "x-amz-server-side-encryption-customer-algorithm": "AES256" },
    ]
  ) {
    await uploadUnder([{
      on: "UploadPart",
      fault: { change: (answer) => ({ ...answer, headers: { ...answer.headers, ...headers } }) },
    }, {
      on: "CompleteMultipartUpload",
      fault: { answer: { status: 400, code: "InvalidPart" } },
    }], {
      // Made of such ETags it cannot be put together here; that far it must have come.
      look: failsWith("s3_error", /InvalidPart/),
    });
  }
});

const LASTING: Readonly<
  Record<
    string,
    { readonly rules: readonly Rule[]; readonly code: string; readonly message: RegExp }
  >
> = {
  "a server that fails always": {
    rules: [{
      on: "UploadPart",
      part: 2,
      fault: { answer: { status: 500, code: "InternalError" } },
    }],
    code: "service_unavailable",
    message: /^Cannot upload part 2 of s3:.*\(status 500, InternalError\)$/,
  },
  "connections that drop always": {
    rules: [{ on: "UploadPart", fault: { drop: "request", after: 1000 } }],
    code: "connection_lost",
    message: /^Cannot upload part \d of .*: the connection to http:.* broke off/,
  },
  "a denial": {
    rules: [{
      on: "UploadPart",
      part: 2,
      fault: { answer: { status: 403, code: "AccessDenied" } },
    }],
    code: "access_denied",
    message: /the service does not allow it/,
  },
  "parts that were forgotten": {
    rules: [{
      on: "UploadPart",
      part: 3,
      fault: { answer: { status: 404, code: "NoSuchUpload" } },
    }],
    code: "upload_gone",
    message: /the service has forgotten the parts/,
  },
  "a completion that fails always": {
    rules: [{
      on: "CompleteMultipartUpload",
      fault: { answer: { status: 200, body: "<Error><Code>InternalError</Code></Error>" } },
    }],
    code: "service_unavailable",
    message: /^Cannot upload s3:/,
  },
  "a completion of parts that were forgotten": {
    rules: [{
      on: "CompleteMultipartUpload",
      fault: { answer: { status: 404, code: "NoSuchUpload" } },
    }],
    code: "upload_gone",
    message: /the service has forgotten the parts/,
  },
};

for (const [what, { rules, code, message }] of Object.entries(LASTING)) {
  Deno.test(`startUpload: fails under ${what}, and leaves nothing`, async () => {
    await uploadUnder(rules, { look: failsWith(code, message) });
  });
}

Deno.test("startUpload: what no time mends is not tried again", async () => {
  for (const code of ["AccessDenied", "InvalidRequest", "NoSuchUpload"]) {
    const status = code === "AccessDenied" ? 403 : code === "NoSuchUpload" ? 404 : 400;
    await uploadUnder([{ on: "UploadPart", part: 2, fault: { answer: { status, code } } }], {
      look({ proxy, error }) {
        assert.ok(error instanceof OperationError);
        assert.equal(proxy.seen.filter(({ part }) => part === 2).length, 1);
      },
    });
  }
});

Deno.test("startUpload: an object that is not what was sent is told", async () => {
  for (
    const [headers, message] of [
      [{ "content-length": "17" }, /it has 17 bytes there instead of 10585760/],
      [{ etag: `"${"0".repeat(32)}-3"` }, /other bytes are there than were sent/],
    ] as const
  ) {
    await uploadUnder([{
      on: "HeadObject",
      fault: { change: (answer) => ({ ...answer, headers: { ...answer.headers, ...headers } }) },
    }], {
      look({ error }) {
        assert.ok(error instanceof OperationError);
        assert.equal(error.code, "not_uploaded");
        assert.match(error.message, message);
      },
    });
  }
});

Deno.test("startUpload: another one's object in its place is no success of its own", async () => {
  const server = await sharedS3();
  await using bucket = await freshBucket({ server });
  await using proxy = await faultyS3(server, [
    { on: "CompleteMultipartUpload", fault: { answer: { status: 404, code: "NoSuchUpload" } } },
  ]);
  using store = await openStore(bucket, { endpoint: proxy.endpoint });
  await bucket.put(KEY, bytesOf(PART + 1000, 9));
  const upload = startUpload(store, { name: NAME, partSize: PART, metadata: { observatory: "x" } });
  await upload.part(partOf(bytesOf(PART)));
  await upload.part(partOf(bytesOf(1000)));
  await assert.rejects(
    upload.complete(),
    (error) => error instanceof OperationError && error.code === "upload_gone",
  );
  await upload.abort();
});

Deno.test("startUpload: a machine whose clock is wrong signs by the service's", async () => {
  // It checks no signatures, so that its clock can be played here.
  await using server = await startS3Server({ kind: "fauxqs" });
  await using bucket = await freshBucket({ server });
  const ahead = 60 * 60 * 1000;
  await using proxy = await faultyS3(server, [{
    fault: {
      change(answer, { headers }) {
        const date = new Date(Date.now() + ahead).toUTCString();
        const signed = headers["x-amz-date"]?.replace(
          /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/,
          "$1-$2-$3T$4:$5:$6Z",
        );
        const off = Math.abs(Date.parse(signed ?? "") - Date.now() - ahead);
        const told = off < 15 * 60_000 ? answer : errorAnswer(403, "RequestTimeTooSkewed");
        return { ...told, headers: { ...told.headers, date } };
      },
    },
  }]);
  using store = await openStore(bucket, { endpoint: proxy.endpoint });
  const head = startUpload(store, { name: "empty", partSize: PART });
  await head.complete();
  assert.ok(Math.abs((store.bucket.skew() ?? 0) - ahead) < 5000);
  const upload = startUpload(store, { name: NAME, partSize: PART });
  for (const piece of PIECES) await upload.part(partOf(piece));
  await upload.complete();
  assert.equal(sha256((await bucket.read(KEY)).bytes), WHOLE);
});

Deno.test("startUpload: parts that cannot be removed are told of", async () => {
  const server = await sharedS3();
  await using bucket = await freshBucket({ server });
  await using proxy = await faultyS3(server, [
    { on: "AbortMultipartUpload", fault: { answer: { status: 403, code: "AccessDenied" } } },
  ]);
  using store = await openStore(bucket, { endpoint: proxy.endpoint });
  const upload = startUpload(store, { name: NAME, partSize: PART });
  await upload.part(partOf(bytesOf(PART)));
  await upload.part(partOf(bytesOf(1000)));
  await upload.abort();
  assert.equal(store.told.warn.length, 1);
  assert.match(
    store.told.warn[0] ?? "",
    /^Cannot abort the upload of .*; what was sent of it stays/,
  );
});
