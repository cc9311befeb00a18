/** Reading from a server that breaks off, and changes what it gives. */
import assert from "assert";
import { OperationError } from "../../core/plugin.ts";
import { passing } from "../../plugins/repository/chunks.ts";
import { faultyS3, type Rule } from "../fault_s3.ts";
import { freshBucket, sharedS3 } from "../s3.ts";
import { bytesOf, openStore, sha256 } from "./parts.ts";

const BYTES = bytesOf(1_000_000);

/** Reads an object, or a part of it, under the rules; tells how often it was asked for. */
async function readUnder(
  rules: readonly Rule[],
  range?: { readonly offset: number; readonly length?: number },
): Promise<{ bytes: Uint8Array; asked: (string | undefined)[] }> {
  const server = await sharedS3();
  await using bucket = await freshBucket({ server });
  await bucket.put("backups/a.dump", BYTES);
  await using proxy = await faultyS3(server, rules);
  using store = await openStore(bucket, { endpoint: proxy.endpoint, limits: { stall: 300 } });
  const bytes = new Uint8Array(
    await new Response(await store.read("a.dump", range)).arrayBuffer(),
  );
  return { bytes, asked: proxy.seen.map(({ headers }) => headers["range"]) };
}

Deno.test("s3Store: what is read is kept by those who copy it", async () => {
  await using bucket = await freshBucket();
  await bucket.put("backups/a.dump", BYTES);
  using store = await openStore(bucket);
  const kept: Uint8Array[] = [];
  for await (const chunk of passing(await store.read("a.dump"))) kept.push(chunk.slice());
  assert.equal(
    sha256(new Uint8Array(await new Blob(kept.map((each) => each.slice())).arrayBuffer())),
    sha256(BYTES),
  );
});

Deno.test("s3Store: goes on reading where a connection broke off", async () => {
  const { bytes, asked } = await readUnder([
    { on: "GetObject", times: 3, fault: { drop: "answer", after: 100_000 } },
  ]);
  assert.equal(sha256(bytes), sha256(BYTES));
  assert.deepEqual(asked, [
    undefined,
    "bytes=100000-999999",
    "bytes=200000-999999",
    "bytes=300000-999999",
  ]);
});

Deno.test("s3Store: goes on reading a part likewise", async () => {
  const { bytes, asked } = await readUnder(
    [{ on: "GetObject", times: 1, fault: { drop: "answer", after: 10 } }],
    { offset: 500, length: 2000 },
  );
  assert.equal(sha256(bytes), sha256(BYTES.subarray(500, 2500)));
  assert.deepEqual(asked, ["bytes=500-2499", "bytes=510-2499"]);
});

Deno.test("s3Store: any number of breaks is gone over while bytes come", async () => {
  const { bytes, asked } = await readUnder([
    { on: "GetObject", times: 9, fault: { drop: "answer", after: 100_000 } },
  ]);
  assert.equal(sha256(bytes), sha256(BYTES));
  assert.equal(asked.length, 10);
});

Deno.test("s3Store: gets over a server that fails or falls silent before it gives anything", async () => {
  const faults: Rule["fault"][] = [
    { answer: { status: 500, code: "InternalError" } },
    { answer: { status: 503, code: "SlowDown" } },
    { drop: "request" },
    { stall: "answer" },
  ];
  for (const fault of faults) {
    const { bytes } = await readUnder([{ on: "GetObject", times: 2, fault }]);
    assert.equal(sha256(bytes), sha256(BYTES));
  }
});

Deno.test("s3Store: a cut object is never given out as a whole one", async () => {
  await assert.rejects(
    readUnder([{ on: "GetObject", fault: { drop: "answer", after: 0 } }]),
    (error) =>
      error instanceof OperationError && error.code === "connection_lost" &&
      /^Cannot read s3:.*\/backups\/a\.dump: the connection to .* broke off: the answer was cut off/
        .test(error.message),
  );
});

Deno.test("s3Store: an object that is changed while it is read is told", async () => {
  const server = await sharedS3();
  await using bucket = await freshBucket({ server });
  await bucket.put("backups/a.dump", BYTES);
  await using proxy = await faultyS3(server, [
    { on: "GetObject", times: 1, fault: { drop: "answer", after: 100_000 } },
  ]);
  using store = await openStore(bucket, { endpoint: proxy.endpoint });
  const reader = (await store.read("a.dump")).getReader();
  await reader.read();
  await bucket.put("backups/a.dump", bytesOf(1_000_000, 2));
  await assert.rejects(
    async () => {
      while (!(await reader.read()).done);
    },
    (error) => error instanceof OperationError && error.code === "changed_while_read",
  );
});

Deno.test("s3Store: a service that gives the whole for a part is told", async () => {
  const whole: Rule["fault"] = {
    change: (answer) => {
      const { "content-range": _range, ...headers } = answer.headers;
      return { status: 200, headers, body: BYTES };
    },
  };
  await assert.rejects(
    readUnder([{ on: "GetObject", fault: whole }], { offset: 10, length: 10 }),
    /the service does not give parts of objects/,
  );
});

Deno.test("s3Store: bytes that are changed on the way are for the reader's digest to find", async () => {
  const { bytes } = await readUnder([{
    on: "GetObject",
    fault: {
      change: (answer) => {
        const body = answer.body.slice();
        body[777_777] = (body[777_777] ?? 0) ^ 1;
        return { ...answer, body };
      },
    },
  }]);
  assert.equal(bytes.length, BYTES.length);
  assert.notEqual(sha256(bytes), sha256(BYTES));
});

Deno.test("s3Store: reading ends with the run, and with whoever reads", async () => {
  const server = await sharedS3();
  await using bucket = await freshBucket({ server });
  await bucket.put("backups/a.dump", BYTES);
  await using proxy = await faultyS3(server, [{ on: "GetObject", fault: { stall: "answer" } }]);
  const run = new AbortController();
  using store = await openStore(bucket, { endpoint: proxy.endpoint, signal: run.signal });
  const reading = store.read("a.dump");
  setTimeout(() => run.abort(new Error("ended by INT")), 50);
  await assert.rejects(reading, /ended by INT/);
});
