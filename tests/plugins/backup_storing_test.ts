/** A dump on its way into a file, a bucket, or both: order, memory, and failures. */
import assert from "assert";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { systemHost } from "../../core/host.ts";
import { memoryFor, storeInBucket, storeLocally } from "../../plugins/backup/storing.ts";
import type { PartedUpload, UploadPart } from "../../plugins/backup/uploading.ts";

const { files } = systemHost();

/** A bucket that takes parts at its own pace, several at once. */
interface SlowBucket extends PartedUpload {
  /** The parts in the order in which they were handed over. */
  readonly parts: Uint8Array[];
  /** The most bytes that it held at one time. */
  readonly most: number;
  readonly aborted: number;
  readonly completed: boolean;
}

function slowBucket(
  { room = 2, pause = () => 1, fails = () => false, tries = 1 }: {
    readonly room?: number;
    /** Milliseconds that a part takes. */
    readonly pause?: (index: number) => number;
    readonly fails?: (index: number) => boolean;
    /** How often each part is read. */
    readonly tries?: number;
  } = {},
): SlowBucket {
  const parts: Uint8Array[] = [];
  const under = new Set<Promise<void>>();
  let held = 0;
  let most = 0;
  let aborted = 0;
  let completed = false;
  let failure: Error | undefined;
  async function send(part: UploadPart, index: number): Promise<void> {
    held += part.size;
    most = Math.max(most, held);
    try {
      await new Promise((resolve) => setTimeout(resolve, pause(index)));
      if (fails(index)) throw new Error(`part ${index} was refused`);
      for (let tried = 0; tried < tries; tried++) parts[index] = await bytesOf(await part.open());
      const found = parts[index] ?? new Uint8Array();
      assert.equal(found.length, part.size);
      assert.deepEqual(digest("sha256", found), part.sha256);
    } catch (error) {
      failure ??= error as Error;
    } finally {
      held -= part.size;
      part.released?.();
    }
  }
  let count = 0;
  return {
    parts,
    get most() {
      return most;
    },
    get aborted() {
      return aborted;
    },
    get completed() {
      return completed;
    },
    async part(part) {
      if (failure !== undefined) throw failure;
      const sending: Promise<void> = send(part, count++).finally(() => under.delete(sending));
      under.add(sending);
      while (under.size > room) await Promise.race(under);
      if (failure !== undefined) throw failure;
    },
    async complete() {
      await Promise.all(under);
      if (failure !== undefined) throw failure;
      completed = true;
    },
    async abort() {
      aborted++;
      await Promise.all(under);
    },
  };
}

function digest(algorithm: "sha256", bytes: Uint8Array): Uint8Array {
  return createHash(algorithm).update(bytes).digest();
}

async function bytesOf(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  // A chunk is good until the next one is asked for.
  return joined(await Array.fromAsync(stream, (chunk) => chunk.slice()));
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** Bytes that tell their place, in pieces; each piece's memory is used again, as pipes do. */
async function* dump(size: number, piece: number): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(piece);
  for (let at = 0; at < size; at += piece) {
    const bytes = buffer.subarray(0, Math.min(piece, size - at));
    for (let index = 0; index < bytes.length; index++) bytes[index] = byteAt(at + index);
    yield bytes;
    await Promise.resolve();
  }
}

const byteAt = (place: number) => ((place * 2654435761) >>> 7) & 255;

function whole(size: number): Uint8Array {
  return new Uint8Array(size).map((_, place) => byteAt(place));
}

Deno.test("into a bucket: all parts in their order, whatever the pieces are, in three buffers", async () => {
  const size = 100_003;
  for (const piece of [777, 1000, 4096, 65_536]) {
    const object = slowBucket({ pause: (index) => index % 3 });
    const stored = await storeInBucket(dump(size, piece), { object, partSize: () => 10_000 });
    await object.complete();
    assert.deepEqual(joined(object.parts), whole(size));
    assert.equal(object.parts.length, 11);
    assert.equal(stored.size, size);
    assert.equal(stored.sha256, createHash("sha256").update(whole(size)).digest("hex"));
    assert.ok(object.most <= memoryFor(10_000), `${object.most} bytes were held`);
    assert.equal(object.aborted, 0);
  }
});

Deno.test("into a bucket: a part that is tried again has the same bytes", async () => {
  const object = slowBucket({ tries: 3 });
  await storeInBucket(dump(50_000, 999), { object, partSize: () => 7_000 });
  await object.complete();
  assert.deepEqual(joined(object.parts), whole(50_000));
});

Deno.test("into a bucket: parts that grow need no more memory than three of the largest", async () => {
  const partSize = (index: number) => 1000 * (index + 1);
  const object = slowBucket({ pause: () => 2 });
  await storeInBucket(dump(55_000, 4096), { object, partSize });
  await object.complete();
  assert.deepEqual(object.parts.map(({ length }) => length), [
    ...[1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10_000],
  ]);
  assert.deepEqual(joined(object.parts), whole(55_000));
  assert.ok(object.most <= memoryFor(10_000));
});

Deno.test("into a bucket: a slow one slows the dump down", async () => {
  let taken = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const object: PartedUpload = {
    part: async (part) => {
      await promise;
      part.released?.();
    },
    complete: () => Promise.resolve(),
    abort: () => Promise.resolve(),
  };
  async function* counted(): AsyncGenerator<Uint8Array> {
    for await (const bytes of dump(1_000_000, 1000)) {
      taken += bytes.length;
      yield bytes;
    }
  }
  const storing = storeInBucket(counted(), { object, partSize: () => 10_000 });
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(taken <= memoryFor(10_000) + 1000, `${taken} bytes were taken`);
  resolve();
  await storing;
  assert.equal(taken, 1_000_000);
});

Deno.test("into a bucket: nothing is one empty part", async () => {
  const object = slowBucket();
  const stored = await storeInBucket(dump(0, 10), { object, partSize: () => 10 });
  await object.complete();
  assert.deepEqual([object.parts.length, object.parts[0]?.length, stored.size], [1, 0, 0]);
});

Deno.test("into a bucket: a dump that fails aborts the upload, with its own failure", async () => {
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield* dump(25_000, 1000);
    throw new Error("pg_dump failed");
  }
  const object = slowBucket();
  await assert.rejects(
    storeInBucket(failing(), { object, partSize: () => 10_000 }),
    /pg_dump failed/,
  );
  assert.deepEqual([object.aborted, object.completed], [1, false]);
});

Deno.test("into a bucket: a part that is refused aborts it, and ends the dump", async () => {
  for (const refused of [0, 3, 10]) {
    let ended = false;
    const dumping = followed(dump(1_000_000, 1000), () => ended = true);
    const object = slowBucket({ fails: (index) => index === refused });
    await assert.rejects(
      storeInBucket(dumping, { object, partSize: () => 10_000 }),
      new RegExp(`part ${refused} was refused`),
    );
    assert.deepEqual([object.aborted, object.completed, ended], [1, false, true]);
    assert.ok(object.parts.length < 20);
  }
});

/** Tells when whoever reads has ended, whatever the reason. */
async function* followed<T>(source: AsyncIterable<T>, over: () => void): AsyncGenerator<T> {
  try {
    yield* source;
  } finally {
    over();
  }
}

async function temporary() {
  const path = await Deno.makeTempDir({ prefix: "observatory-storing-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

Deno.test("into a file and a bucket: both have all of it, and the dump does not wait for the bucket", async () => {
  await using directory = await temporary();
  const path = join(directory.path, "a.dump");
  const { promise: open, resolve } = Promise.withResolvers<void>();
  const bucket = slowBucket();
  const object: PartedUpload = {
    ...bucket,
    part: async (part) => {
      await open;
      await bucket.part(part);
    },
  };
  const { upload, ...stored } = await storeLocally(files, dump(100_003, 1000), {
    path,
    upload: { object, partSize: () => 10_000 },
  });
  assert.equal(bucket.parts.length, 0);
  assert.deepEqual(stored, {
    size: 100_003,
    sha256: createHash("sha256").update(whole(100_003)).digest("hex"),
  });
  assert.deepEqual(await Deno.readFile(path), whole(100_003));
  assert.equal(((await Deno.stat(path)).mode ?? 0) & 0o777, 0o600);
  resolve();
  await upload?.complete();
  assert.deepEqual(joined(bucket.parts), whole(100_003));
  assert.equal(bucket.completed, true);
});

Deno.test("into a file and a bucket: parts are sent while the dump goes on", async () => {
  await using directory = await temporary();
  const bucket = slowBucket({ pause: () => 0 });
  let sent = 0;
  async function* slowly(): AsyncGenerator<Uint8Array> {
    for await (const bytes of dump(60_000, 1000)) {
      yield bytes;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    sent = bucket.parts.length;
  }
  const { upload } = await storeLocally(files, slowly(), {
    path: join(directory.path, "a.dump"),
    upload: { object: bucket, partSize: () => 5000 },
  });
  assert.ok(sent >= 6, `${sent} parts were there when the dump ended`);
  await upload?.complete();
  assert.deepEqual(joined(bucket.parts), whole(60_000));
});

Deno.test("into a file and a bucket: a dump that fails leaves neither", async () => {
  await using directory = await temporary();
  const path = join(directory.path, "a.dump");
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield* dump(25_000, 1000);
    throw new Error("pg_dump failed");
  }
  const object = slowBucket();
  await assert.rejects(
    storeLocally(files, failing(), { path, upload: { object, partSize: () => 1000 } }),
    /pg_dump failed/,
  );
  assert.deepEqual([object.aborted, object.completed], [1, false]);
  assert.deepEqual(await Array.fromAsync(Deno.readDir(directory.path)), []);
});

Deno.test("into a file and a bucket: a bucket that fails is told at the end; the file stays", async () => {
  await using directory = await temporary();
  const path = join(directory.path, "a.dump");
  const object = slowBucket({ fails: (index) => index === 2 });
  const { upload } = await storeLocally(files, dump(50_000, 1000), {
    path,
    upload: { object, partSize: () => 5000 },
  });
  await assert.rejects(upload?.complete() ?? Promise.resolve(), /part 2 was refused/);
  assert.equal(object.completed, false);
  await upload?.abort();
  assert.equal((await Deno.stat(path)).size, 50_000);
});

Deno.test("into a file: what has its name already is not touched", async () => {
  await using directory = await temporary();
  const path = join(directory.path, "a.dump");
  await Deno.writeTextFile(path, "another");
  await assert.rejects(storeLocally(files, dump(10, 10), { path, upload: undefined }), {
    code: "already_exists",
  });
  assert.equal(await Deno.readTextFile(path), "another");
});
