/** Uploads of objects in parts, against each server that can be had. */
import assert from "assert";
import { OperationError } from "../../core/plugin.ts";
import { partSizeFor, startUpload } from "../../plugins/repository/s3_upload.ts";
import { faultyS3 } from "../fault_s3.ts";
import { forEachS3, freshBucket, sharedS3 } from "../s3.ts";
import { bytesOf, byteStream, openStore, PART, partOf, sha256 } from "./parts.ts";

const NAME = "x_backup_20240101_120000.dump";
const KEY = `backups/${NAME}`;

function joined(...pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

forEachS3(
  "startUpload: puts parts together, in their order, with their metadata",
  async (server) => {
    await using bucket = await freshBucket({ server });
    using store = await openStore(bucket);
    const pieces = [bytesOf(PART, 1), bytesOf(PART, 2), bytesOf(PART, 3), bytesOf(12_345, 4)];
    const upload = startUpload(store, {
      name: NAME,
      partSize: PART,
      metadata: { observatory: "größe_backup_20240101_120000" },
    });
    for (const piece of pieces) await upload.part(partOf(piece));
    assert.deepEqual(await bucket.objects(), []);
    const { size, etag, parts } = await upload.complete();
    assert.deepEqual([size, parts], [3 * PART + 12_345, 4]);
    assert.deepEqual(await bucket.objects(), [{ key: KEY, size, etag }]);
    const { bytes, metadata } = await bucket.read(KEY);
    assert.equal(sha256(bytes), sha256(joined(...pieces)));
    assert.deepEqual(metadata, { observatory: "gr%C3%B6%C3%9Fe_backup_20240101_120000" });
    await upload.abort();
    assert.equal((await bucket.objects()).length, 1);
    assert.deepEqual(store.told, { debug: [], warn: [] });
  },
);

forEachS3("startUpload: an object of one part or of none is put at once", async (server) => {
  await using bucket = await freshBucket({ server });
  await using proxy = await faultyS3(server);
  using store = await openStore(bucket, { endpoint: proxy.endpoint });
  for (const bytes of [bytesOf(100_001), new Uint8Array()]) {
    const upload = startUpload(store, { name: `${bytes.length}`, partSize: PART });
    if (bytes.length > 0) await upload.part(partOf(bytes));
    const { size } = await upload.complete();
    assert.equal(size, bytes.length);
    assert.equal(sha256((await bucket.read(`backups/${size}`)).bytes), sha256(bytes));
  }
  assert.deepEqual(
    proxy.seen.map(({ operation }) => operation),
    ["PutObject", "HeadObject", "PutObject", "HeadObject"],
  );
});

Deno.test("startUpload: the digests that are known go with the bytes, and nothing is added", async () => {
  const server = await sharedS3();
  await using bucket = await freshBucket({ server });
  await using proxy = await faultyS3(server);
  using store = await openStore(bucket, { endpoint: proxy.endpoint });
  const upload = startUpload(store, { name: NAME, partSize: PART });
  const [first, second] = [bytesOf(PART, 1), bytesOf(1000, 2)];
  await upload.part(partOf(first));
  await upload.part(partOf(second));
  await upload.complete();
  const sent = proxy.seen.filter(({ operation }) => operation === "UploadPart")
    .sort((a, b) => (a.part ?? 0) - (b.part ?? 0));
  assert.deepEqual(
    sent.map(({ headers }) => [headers["x-amz-content-sha256"], headers["content-length"]]),
    [[sha256(first), String(PART)], [sha256(second), "1000"]],
  );
  for (const { headers } of sent) {
    assert.match(headers["content-md5"] ?? "", /^.{24}$/);
    for (const name of ["transfer-encoding", "content-encoding", "expect", "x-amz-trailer"]) {
      assert.equal(headers[name], undefined, name);
    }
    assert.ok(!Object.keys(headers).some((name) => name.startsWith("x-amz-checksum")));
  }
});

for (const digest of ["sha256", "md5"] as const) {
  Deno.test(`startUpload: bytes that do not fit their ${digest} are not taken`, async () => {
    await using bucket = await freshBucket();
    if (bucket.server.kind === "fauxqs" && digest === "sha256") return;
    using store = await openStore(bucket, { limits: { tries: 2 } });
    const wrong = { [digest]: new Uint8Array(digest === "md5" ? 16 : 32) };
    for (const pieces of [[bytesOf(1000)], [bytesOf(PART), bytesOf(1000)]]) {
      const upload = startUpload(store, { name: NAME, partSize: PART });
      await assert.rejects(async () => {
        for (const piece of pieces) await upload.part(partOf(piece, wrong));
        await upload.complete();
      }, (error) => error instanceof OperationError && error.code === "corrupted_on_the_way");
      await upload.abort();
    }
    assert.deepEqual([await bucket.objects(), await bucket.uploads()], [[], []]);
  });
}

Deno.test("startUpload: streams of either kind are sent, and closed", async () => {
  await using bucket = await freshBucket();
  using store = await openStore(bucket);
  const bytes = bytesOf(PART);
  let cancelled = 0;
  const chunks = (): ReadableStream<Uint8Array> => {
    const pieces = [bytes.subarray(0, 3), bytes.subarray(3, 3_000_000), bytes.subarray(3_000_000)];
    return new ReadableStream({
      pull(controller) {
        const piece = pieces.shift();
        if (piece === undefined) controller.close();
        else controller.enqueue(piece);
      },
      cancel: () => void cancelled++,
    });
  };
  const upload = startUpload(store, { name: NAME, partSize: PART });
  await upload.part(partOf(bytes, { open: () => Promise.resolve(chunks()) }));
  await upload.part(partOf(bytes, { open: () => Promise.resolve(byteStream(bytes)) }));
  await upload.complete();
  assert.equal(sha256((await bucket.read(KEY)).bytes), sha256(joined(bytes, bytes)));
  assert.equal(cancelled, 0);
});

Deno.test("startUpload: a body that is not what was announced is an error, and is not sent again", async () => {
  await using bucket = await freshBucket();
  using store = await openStore(bucket);
  const bytes = bytesOf(1000);
  for (const size of [999, 1001]) {
    const upload = startUpload(store, { name: NAME, partSize: PART });
    await upload.part(partOf(bytes, { size }));
    await assert.rejects(upload.complete(), /A body has 1000 bytes instead of /);
    await upload.abort();
  }
  let opened = 0;
  const open = () => {
    opened++;
    return Promise.reject(new Error("the disk is gone"));
  };
  const upload = startUpload(store, { name: NAME, partSize: PART });
  await upload.part(partOf(bytesOf(PART), { open }));
  await assert.rejects(
    upload.part(partOf(bytes)).then(() => upload.complete()),
    /the disk is gone/,
  );
  await upload.abort();
  assert.equal(opened, 1);
  assert.deepEqual([await bucket.objects(), await bucket.uploads()], [[], []]);
});

Deno.test("startUpload: so many parts are sent at once, and no more are taken", async () => {
  const server = await sharedS3();
  await using bucket = await freshBucket({ server });
  await using proxy = await faultyS3(server, [
    { on: "UploadPart", fault: { stall: "answer", milliseconds: 30 } },
  ]);
  using store = await openStore(bucket, { endpoint: proxy.endpoint });
  const bytes = bytesOf(PART);
  const upload = startUpload(store, { name: NAME, partSize: PART, concurrency: 3 });
  let held = 0;
  let most = 0;
  for (let part = 0; part < 8; part++) {
    most = Math.max(most, ++held);
    await upload.part(partOf(bytes, { released: () => void held-- }));
    assert.ok(part < 2 || held < 3, `${held} parts are held`);
  }
  await upload.complete();
  assert.deepEqual([held, most, proxy.busiest], [0, 3, 3]);
});

Deno.test("startUpload: one at a time works as well", async () => {
  await using bucket = await freshBucket();
  using store = await openStore(bucket);
  const bytes = bytesOf(PART);
  const upload = startUpload(store, { name: NAME, partSize: PART, concurrency: 1 });
  for (let part = 0; part < 3; part++) await upload.part(partOf(bytes));
  assert.equal((await upload.complete()).size, 3 * PART);
});

Deno.test("startUpload: an object that is there is not overwritten, where the service can tell", async () => {
  await using bucket = await freshBucket();
  if (bucket.server.kind === "fauxqs") return;
  using store = await openStore(bucket);
  await bucket.put(KEY, "there");
  for (const pieces of [[bytesOf(1000)], [bytesOf(PART), bytesOf(1000)]]) {
    const upload = startUpload(store, { name: NAME, partSize: PART });
    for (const piece of pieces) await upload.part(partOf(piece));
    await assert.rejects(
      upload.complete(),
      (error) => error instanceof OperationError && error.code === "already_exists",
    );
    await upload.abort();
  }
  assert.equal(new TextDecoder().decode((await bucket.read(KEY)).bytes), "there");
  assert.deepEqual(await bucket.uploads(), []);
});

forEachS3("startUpload: aborted at any time it leaves nothing", async (server) => {
  await using bucket = await freshBucket({ server });
  await using proxy = await faultyS3(server);
  using store = await openStore(bucket, { endpoint: proxy.endpoint });
  const bytes = bytesOf(PART);
  for (const count of [0, 1, 2, 3]) {
    let held = 0;
    const upload = startUpload(store, { name: NAME, partSize: PART });
    for (let part = 0; part < count; part++) {
      held++;
      await upload.part(partOf(bytes, { released: () => void held-- }));
    }
    await Promise.all([upload.abort(), upload.abort()]);
    await upload.abort();
    assert.equal(held, 0);
    await assert.rejects(upload.part(partOf(bytes)), /it was given up/);
    await assert.rejects(upload.complete(), /it was given up/);
  }
  assert.deepEqual([await bucket.objects(), await bucket.uploads()], [[], []]);
  // Each is asked for until the service knows it no more.
  const aborted = proxy.seen.filter(({ operation }) => operation === "AbortMultipartUpload")
    .map(({ query }) => query.get("uploadId"));
  assert.equal(new Set(aborted).size, 2);
  assert.deepEqual(store.told.warn, []);
});

Deno.test("startUpload: ends with the run, and its parts are removed all the same", async () => {
  const server = await sharedS3();
  await using bucket = await freshBucket({ server });
  await using proxy = await faultyS3(server, [{ on: "UploadPart", fault: { stall: "request" } }]);
  const run = new AbortController();
  using store = await openStore(bucket, { endpoint: proxy.endpoint, signal: run.signal });
  const upload = startUpload(store, { name: NAME, partSize: PART, concurrency: 2 });
  await upload.part(partOf(bytesOf(PART)));
  const second = upload.part(partOf(bytesOf(PART)));
  setTimeout(() => run.abort(new Error("ended by INT")), 50);
  await assert.rejects(second, /ended by INT/);
  await assert.rejects(upload.complete(), /ended by INT/);
  await upload.abort();
  assert.deepEqual([await bucket.objects(), await bucket.uploads()], [[], []]);
});

Deno.test("startUpload: parts must come as they were announced", async () => {
  await using bucket = await freshBucket();
  using store = await openStore(bucket);
  const larger = startUpload(store, { name: NAME, partSize: 1000 });
  await assert.rejects(larger.part(partOf(bytesOf(1001))), /Parts of 1000 bytes were announced/);
  const after = startUpload(store, { name: NAME, partSize: 1000 });
  await after.part(partOf(bytesOf(999)));
  await assert.rejects(after.part(partOf(bytesOf(1))), /Parts of 1000 bytes were announced/);
});

Deno.test("startUpload: more parts than S3 takes are refused with what to do", async () => {
  await using bucket = await freshBucket();
  using store = await openStore(bucket, { limits: { parts: 2 } });
  const upload = startUpload(store, { name: NAME, partSize: PART });
  for (let count = 0; count < 2; count++) await upload.part(partOf(bytesOf(PART)));
  await assert.rejects(upload.part(partOf(bytesOf(1))), (error) => {
    assert.ok(error instanceof OperationError);
    assert.equal(error.code, "too_large");
    assert.match(error.message, /it has 10485761 bytes or more, and S3 takes 2 parts of an object/);
    return true;
  });
  await upload.abort();
});

Deno.test("partSizeFor: 6 MiB, or whole MiBs so that 9,000 parts do; 5 TB fit", () => {
  const mib = 2 ** 20;
  assert.equal(partSizeFor(0), 6 * mib);
  assert.equal(partSizeFor(9000 * 6 * mib), 6 * mib);
  assert.equal(partSizeFor(9000 * 6 * mib + 1), 7 * mib);
  const size = partSizeFor(5e12);
  assert.equal(size % mib, 0);
  assert.ok(size * 10_000 > 5e12 && size < 1024 * mib);
  assert.equal(partSizeFor(1e18), 5 * 1024 * mib);
});
