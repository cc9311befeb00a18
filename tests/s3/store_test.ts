/** A bucket as a place for backups, against each server that can be had. */
import assert from "assert";
import { OperationError } from "../../core/plugin.ts";
import { faultyS3 } from "../fault_s3.ts";
import { forEachS3, freshBucket, sharedS3 } from "../s3.ts";
import { bytesOf, openStore } from "./parts.ts";

async function textOf(stream: Promise<ReadableStream<Uint8Array>>): Promise<string> {
  return await new Response(await stream).text();
}

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof OperationError, String(error));
    assert.equal(error.code, code, error.message);
    return true;
  };
}

forEachS3("s3Store: lists, reads, writes and removes", async (server) => {
  await using bucket = await freshBucket({ server });
  using store = await openStore(bucket);
  assert.equal(store.kind, "s3");
  assert.equal(store.title, `s3://${bucket.name}/backups`);
  assert.deepEqual(await store.list(), []);

  const before = Date.now() - 2000;
  await store.create("b.manifest.json", "zwei: ü€\n");
  await store.create("a.manifest.json", "");
  const listed = await store.list();
  assert.deepEqual(
    listed.map(({ name, size }) => [name, size]),
    [["a.manifest.json", 0], ["b.manifest.json", 12]],
  );
  for (const { modified } of listed) {
    assert.ok(modified > before && modified < Date.now() + 2000, String(modified));
  }
  assert.deepEqual((await bucket.objects()).map(({ key }) => key), [
    "backups/a.manifest.json",
    "backups/b.manifest.json",
  ]);
  assert.deepEqual(
    await store.readTexts(["b.manifest.json", "a.manifest.json", "b.manifest.json"]),
    ["zwei: ü€\n", "", "zwei: ü€\n"],
  );
  await store.remove("b.manifest.json");
  await store.remove("b.manifest.json");
  assert.deepEqual((await store.list()).map(({ name }) => name), ["a.manifest.json"]);
});

forEachS3("s3Store: reads parts of objects", async (server) => {
  await using bucket = await freshBucket({ server });
  using store = await openStore(bucket);
  await bucket.put("backups/a.dump", "0123456789");
  assert.equal(await textOf(store.read("a.dump")), "0123456789");
  assert.equal(await textOf(store.read("a.dump", { offset: 0 })), "0123456789");
  assert.equal(await textOf(store.read("a.dump", { offset: 0, length: 3 })), "012");
  assert.equal(await textOf(store.read("a.dump", { offset: 4, length: 2 })), "45");
  assert.equal(await textOf(store.read("a.dump", { offset: 7 })), "789");
  assert.equal(await textOf(store.read("a.dump", { offset: 8, length: 100 })), "89");
  assert.equal(await textOf(store.read("a.dump", { offset: 4, length: 0 })), "");
});

forEachS3("s3Store: what is not there is told as that", async (server) => {
  await using bucket = await freshBucket({ server });
  using store = await openStore(bucket);
  await assert.rejects(store.read("none.dump"), hasCode("not_found"));
  await assert.rejects(store.readTexts(["none.json"]), hasCode("not_found"));
  using elsewhere = await openStore(bucket, {
    settings: bucket.settings({ bucket: "no-such-one" }),
  });
  await assert.rejects(elsewhere.list(), hasCode("bucket_missing"));
  await assert.rejects(elsewhere.create("a.json", "a"), hasCode("bucket_missing"));
});

forEachS3(
  "s3Store: lists members of directory backups, and of no other directory",
  async (server) => {
    await using bucket = await freshBucket({ server, prefix: "prod/db/" });
    using store = await openStore(bucket);
    for (
      const key of [
        "prod/db/x_backup_20240101_120000.dir/toc.dat",
        "prod/db/x_backup_20240101_120000.dir/1.dat.gz",
        "prod/db/x_backup_20240101_120000/1.dat",
        "prod/db/other/x_backup_20240101_120000.dump",
        "prod/db/x_backup_20240101_120000.dump",
        "prod/dbx",
        "prod/other",
        "x_backup_20240101_120000.dump",
      ]
    ) await bucket.put(key, key);
    assert.deepEqual((await store.list()).map(({ name }) => name), [
      "x_backup_20240101_120000.dir/1.dat.gz",
      "x_backup_20240101_120000.dir/toc.dat",
      "x_backup_20240101_120000.dump",
    ]);
  },
);

forEachS3("s3Store: works without a prefix, and with odd names", async (server) => {
  await using bucket = await freshBucket({ server, prefix: "" });
  using store = await openStore(bucket);
  assert.equal(store.title, `s3://${bucket.name}`);
  const names = ["größe 1+1=2 & 'x' (y)!*.json", "a%20b.json", "ü~_-.json", "日本.json"];
  for (const name of names) await store.create(name, name);
  assert.deepEqual((await store.list()).map(({ name }) => name), [...names].sort());
  assert.deepEqual(await store.readTexts(names), names);
  for (const name of names) await store.remove(name);
  assert.deepEqual(await bucket.objects(), []);
});

Deno.test("s3Store: puts a list together from many pages", async () => {
  const server = await sharedS3();
  await using bucket = await freshBucket({ server });
  await using proxy = await faultyS3(server, [{ on: "ListObjects", fault: { page: 2 } }]);
  using store = await openStore(bucket, { endpoint: proxy.endpoint });
  const names = Array.from({ length: 11 }, (_, index) => `${index}.json`).sort();
  for (const name of names) await bucket.put(`backups/${name}`, name);
  assert.deepEqual((await store.list()).map(({ name }) => name), names);
  assert.equal(proxy.seen.length, 6);
});

Deno.test("s3Store: half of a list does not pass for a whole one", async () => {
  const server = await sharedS3();
  await using bucket = await freshBucket({ server });
  const page = (rest: string) =>
    `<ListBucketResult><IsTruncated>true</IsTruncated>${rest}</ListBucketResult>`;
  for (const rest of ["", "<NextContinuationToken>same</NextContinuationToken>"]) {
    await using proxy = await faultyS3(server, [
      { on: "ListObjects", fault: { answer: { status: 200, body: page(rest) } } },
    ]);
    using store = await openStore(bucket, { endpoint: proxy.endpoint });
    await assert.rejects(store.list(), /Cannot list .*: the service does not give the whole list/);
  }
});

Deno.test("s3Store: reads names as they are where the service escapes them", async () => {
  const server = await sharedS3();
  await using bucket = await freshBucket({ server });
  const body =
    "<ListBucketResult><IsTruncated>false</IsTruncated><EncodingType>url</EncodingType>" +
    "<Contents><Key>backups%2Fa+b%2B%C3%BC%01.json</Key><Size>1</Size></Contents></ListBucketResult>";
  await using proxy = await faultyS3(server, [{ fault: { answer: { status: 200, body } } }]);
  using store = await openStore(bucket, { endpoint: proxy.endpoint });
  assert.deepEqual((await store.list()).map(({ name }) => name), ["a b+ü\u0001.json"]);
});

Deno.test("s3Store: an object that is there is not overwritten, where the service can tell", async () => {
  const server = await sharedS3();
  await using bucket = await freshBucket({ server });
  using store = await openStore(bucket);
  await store.create("a.json", "first");
  const again = store.create("a.json", "second");
  if (server.kind === "fauxqs") await again;
  else {
    await assert.rejects(again, hasCode("already_exists"));
    assert.deepEqual(await store.readTexts(["a.json"]), ["first"]);
  }
});

Deno.test("s3Store: does without conditions where the service does not know them", async () => {
  const server = await sharedS3();
  await using bucket = await freshBucket({ server });
  await using proxy = await faultyS3(server, [{
    on: "PutObject",
    fault: {
      answer: ({ headers }) =>
        headers["if-none-match"] === undefined
          ? undefined
          : { status: 501, code: "NotImplemented", message: "A header implies what is not there" },
    },
  }]);
  using store = await openStore(bucket, { endpoint: proxy.endpoint });
  await store.create("a.json", "first");
  await store.create("b.json", "second");
  assert.deepEqual(await store.readTexts(["a.json", "b.json"]), ["first", "second"]);
  const puts = proxy.seen.filter(({ operation }) => operation === "PutObject");
  assert.deepEqual(puts.map(({ headers }) => headers["if-none-match"]), [
    "*",
    undefined,
    undefined,
  ]);
});

Deno.test("s3Store: a small object whose answer was lost is there, and no other one's", async () => {
  const server = await sharedS3();
  await using bucket = await freshBucket({ server });
  const rule = { on: "PutObject", times: 1, fault: { drop: "answer" } } as const;
  await using proxy = await faultyS3(server, [rule]);
  using store = await openStore(bucket, { endpoint: proxy.endpoint });
  await store.create("a.json", "mine");
  assert.deepEqual(await store.readTexts(["a.json"]), ["mine"]);
  if (server.kind === "fauxqs") return;
  // Another one's, which came in between.
  await bucket.put("backups/b.json", "other");
  proxy.add({ on: "PutObject", times: 1, fault: { drop: "request" } });
  await assert.rejects(store.create("b.json", "mine"), hasCode("already_exists"));
});

Deno.test("s3Store: many small objects are read at once, but not too many", async () => {
  const server = await sharedS3();
  await using bucket = await freshBucket({ server });
  await using proxy = await faultyS3(server, [
    { on: "GetObject", fault: { stall: "answer", milliseconds: 20 } },
  ]);
  using store = await openStore(bucket, { endpoint: proxy.endpoint });
  const names = Array.from({ length: 60 }, (_, index) => `${index}.json`);
  await Promise.all(names.map((name) => bucket.put(`backups/${name}`, name)));
  assert.deepEqual(await store.readTexts(names), names);
  assert.equal(proxy.busiest, 16);
  assert.equal(proxy.seen.length, 60);
});

Deno.test("s3Store: a large object is read no faster than it is taken", async () => {
  await using bucket = await freshBucket();
  using store = await openStore(bucket);
  const bytes = bytesOf(3_000_000);
  await bucket.put("backups/a.dump", bytes);
  const stream = await store.read("a.dump");
  const reader = stream.getReader();
  const { value } = await reader.read();
  assert.deepEqual(new Uint8Array(value ?? []), bytes.subarray(0, value?.length));
  assert.ok((value?.length ?? 0) < 1_000_000);
  await reader.cancel();
});
