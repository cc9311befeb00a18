/** Whole backups to a bucket whose service, or the way to it, fails. */
import assert from "assert";
import { clientToolsMissing } from "../database.ts";
import { errorAnswer, type Rule } from "../fault_s3.ts";
import { skipWhenMissing } from "../skip.ts";
import { type BucketSite, makeBucketSite } from "./bucket_site.ts";
import { makeShim } from "./shim.ts";

const ignore = skipWhenMissing("faults of S3", await clientToolsMissing());

/** So large, not compressed, that it is sent in two parts. */
const LARGE = `
  CREATE TABLE item AS SELECT n AS id, repeat(md5(n::text), 20) AS token
    FROM generate_series(1, 14000) n;
`;

/** How a backup gets to the bucket. */
const WAYS = {
  large: ["--compression=none"],
  small: ["--schema-only", "--format=plain"],
  directory: ["--schema-only", "--format=directory", "--globals"],
} as const;

/** A fault, and what comes of it. */
interface Case {
  readonly name: string;
  readonly rules: readonly Rule[];
  readonly way: keyof typeof WAYS;
  /** What is told when there is no backup in the bucket; without it there is one. */
  readonly told?: RegExp;
}

const SLOW_DOWN = { answer: { status: 503, code: "SlowDown" } } as const;
const BROKEN = { answer: { status: 500, code: "InternalError" } } as const;
const MANIFEST = /\.manifest\.json$/;

/** What passes. */
const PASSING: readonly Case[] = [
  ...[1, 2].map((part): Case => ({
    name: `the connection breaks off in part ${part}`,
    rules: [{ on: "UploadPart", part, times: 1, fault: { drop: "request", after: 100_000 } }],
    way: "large",
  })),
  {
    name: "answers to parts are lost",
    rules: [{ on: "UploadPart", times: 3, fault: { drop: "answer" } }],
    way: "large",
  },
  {
    name: "500 and 503 for parts",
    rules: [
      { on: "UploadPart", part: 2, times: 2, fault: SLOW_DOWN },
      { on: "UploadPart", part: 1, times: 1, fault: BROKEN },
    ],
    way: "large",
  },
  {
    name: "a slow service",
    rules: [{ fault: { stall: "answer", milliseconds: 100 } }],
    way: "large",
  },
  {
    name: "200 with an error for a body at completion",
    rules: [{
      on: "CompleteMultipartUpload",
      times: 1,
      fault: { answer: { status: 200, code: "InternalError" } },
    }],
    way: "large",
  },
  {
    name: "the answer to a completion is lost",
    rules: [{ on: "CompleteMultipartUpload", times: 1, fault: { drop: "answer" } }],
    way: "large",
  },
  {
    name: "the answer to a beginning is lost",
    rules: [{ on: "CreateMultipartUpload", times: 1, fault: { drop: "answer" } }],
    way: "large",
  },
  {
    name: "500 and a lost answer for the manifest",
    rules: [
      { on: "PutObject", key: MANIFEST, times: 1, fault: BROKEN },
      { on: "PutObject", key: MANIFEST, times: 2, fault: { drop: "answer" } },
    ],
    way: "small",
  },
  {
    name: "lost answers for every file of a directory",
    rules: [{ on: "PutObject", key: /\.dir\//, times: 4, fault: { drop: "answer" } }],
    way: "directory",
  },
  {
    name: "listings of two a page",
    rules: [{ on: "ListObjects", fault: { page: 2 } }],
    way: "directory",
  },
  {
    name: "a clock that differs by an hour",
    rules: [{
      times: 1,
      fault: {
        answer: {
          status: 403,
          code: "RequestTimeTooSkewed",
          headers: { date: new Date(Date.now() + 3_600_000).toUTCString() },
        },
      },
    }],
    way: "small",
  },
];

/** What does not pass. */
const LASTING: readonly Case[] = [
  {
    name: "part 2 breaks off each time",
    rules: [{ on: "UploadPart", part: 2, fault: { drop: "request", after: 10_000 } }],
    way: "large",
    told: /Cannot upload part 2 of s3:/,
  },
  {
    name: "503 for every part",
    rules: [{ on: "UploadPart", fault: SLOW_DOWN }],
    way: "large",
    told: /Cannot upload part \d of s3:.*SlowDown/,
  },
  {
    name: "200 with an error for a body at each completion",
    rules: [{
      on: "CompleteMultipartUpload",
      fault: { answer: { status: 200, code: "InternalError" } },
    }],
    way: "large",
    told: /Cannot upload s3:/,
  },
  {
    name: "another size is there than was sent",
    rules: [{
      on: "HeadObject",
      fault: { change: (answer) => withHeader(answer, "content-length", "17") },
    }],
    way: "large",
    told: /Cannot upload s3:.*it has 17 bytes there instead of/,
  },
  {
    name: "a wrong ETag for a part",
    rules: [{ on: "UploadPart", part: 2, times: 1, fault: { change: withEtag } }],
    way: "large",
    told: /Cannot upload s3:.*InvalidPart/,
  },
  {
    name: "nothing is there after a completion",
    rules: [{ on: "HeadObject", fault: { answer: { status: 404 } } }],
    way: "large",
    told: /Cannot upload s3:.*it is not there afterwards/,
  },
  {
    name: "writing is forbidden",
    rules: [{
      on: ["PutObject", "CreateMultipartUpload"],
      fault: { answer: { status: 403, code: "AccessDenied" } },
    }],
    way: "small",
    told: /Cannot (upload|write) s3:.*the service does not allow it to these credentials/,
  },
  {
    name: "500 for the manifest",
    rules: [{ on: "PutObject", key: MANIFEST, fault: BROKEN }],
    way: "large",
    told: /Cannot write s3:\S+manifest\.json/,
  },
  {
    name: "all answers for the manifest are lost",
    rules: [{ on: "PutObject", key: MANIFEST, fault: { drop: "answer" } }],
    way: "small",
    told: /Cannot write s3:\S+manifest\.json/,
  },
  {
    name: "500 for a file of a directory, and for its removal",
    rules: [
      { on: "PutObject", key: /toc\.dat$/, fault: BROKEN },
      { on: "DeleteObject", times: 3, fault: BROKEN },
    ],
    way: "directory",
    told: /Cannot upload s3:\S+toc\.dat/,
  },
  {
    name: "500 for parts, and for the end of an upload",
    rules: [
      { on: "UploadPart", part: 1, fault: BROKEN },
      { on: "AbortMultipartUpload", fault: BROKEN },
    ],
    way: "large",
    told: /Cannot upload part 1 of s3:/,
  },
];

function withEtag(answer: ReturnType<typeof errorAnswer>) {
  return withHeader(answer, "etag", '"00000000000000000000000000000000"');
}

function withHeader(answer: ReturnType<typeof errorAnswer>, name: string, value: string) {
  return { ...answer, headers: { ...answer.headers, [name]: value } };
}

/** Tries cases one after another on several sites at once: most of the time is waiting. */
async function tryAll(
  cases: readonly Case[],
  attempt: (given: BucketSite, each: Case) => Promise<void>,
): Promise<void> {
  const waiting = cases.values();
  await Promise.all(Array.from({ length: 4 }, async () => {
    await using given = await makeBucketSite({ sql: LARGE });
    for (const each of waiting) {
      for (const rule of each.rules) given.s3.add(rule);
      await attempt(given, each).catch((error) => {
        throw new Error(`With ${each.name}`, { cause: error });
      });
      given.s3.clear();
    }
    await given.requireCollected();
    await given.site.requireCollected();
  }));
}

for (const place of ["--s3-upload", "--s3-only"]) {
  Deno.test({
    name: `S3: ${place}, faults that pass`,
    ignore,
    fn: () =>
      tryAll(PASSING, async (given, { way }) => {
        const before = await given.listed();
        const { code, stderr } = await given.run(["backup", place, ...WAYS[way]]);
        assert.equal(code, 0, stderr);
        given.s3.clear();
        const after = await given.requireSound();
        assert.equal(after.length, before.length + 1);
        const local = await given.site.requireSound();
        if (place === "--s3-only") assert.deepEqual(local, []);
        else assert.equal(local[0], after[0]);
      }),
  });

  Deno.test({
    name: `S3: ${place}, faults that last`,
    ignore,
    fn: () =>
      tryAll(LASTING, async (given, { way, told }) => {
        const before = await given.listed();
        const local = await given.site.listed();
        const { code, stdout, stderr } = await given.run(["backup", place, ...WAYS[way]]);
        given.s3.clear();
        assert(code === 1 || code === 5, `${code}: ${stderr}`);
        assert.equal(stdout, "");
        assert.match(stderr, told ?? /./);
        assert.doesNotMatch(stderr, /SUCCESS\] Backup|bug/);
        // Of a manifest whose answers are all lost nobody knows.
        const after = await given.requireSound();
        assert(
          after.length === before.length ||
            after.length === before.length + 1 && /manifest/.test(String(told)),
        );
        // What is on this machine is not given up for the bucket's sake.
        const kept = await given.site.requireSound();
        assert.equal(kept.length, local.length + (place === "--s3-only" ? 0 : 1));
        if (place === "--s3-upload") {
          assert.match(stderr, /The backup \S+ is complete in \S+, but not in the bucket: /);
        }
      }),
  });
}

Deno.test({
  name: "S3: pg_dump fails while its dump is uploaded",
  ignore,
  async fn() {
    await using shim = await makeShim();
    await using given = await makeBucketSite({ sql: LARGE });
    for (const place of ["--s3-upload", "--s3-only"]) {
      for (
        const fault of [
          "first 8900000; die",
          "first 9100000; exit 0",
          "whole; exit 1",
          "first 8900000; hang",
        ]
      ) {
        const { code, stderr } = await given.run(
          ["backup", place, "--compression=none", "--stall-timeout=0.3"],
          shim.env(fault),
        );
        assert.equal(code, 1, stderr);
        assert.match(stderr, /^\[ERROR\] Cannot back up: pg_dump /m);
        assert.deepEqual(await given.bucket.uploads(), [], `${place}, ${fault}`);
        assert.deepEqual(await given.bucket.objects(), [], `${place}, ${fault}`);
        assert.deepEqual(await given.site.files(), []);
      }
    }
  },
});
