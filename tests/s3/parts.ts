/** Bytes for uploads, and stores on buckets of tests. */
import { createHash } from "node:crypto";
import type { BucketOptions } from "../../plugins/repository/s3_bucket.ts";
import { type S3Store, s3Store } from "../../plugins/repository/s3.ts";
import type { ObjectPart } from "../../plugins/repository/s3_upload.ts";
import type { TestBucket } from "../s3.ts";

/** The smallest part that may have another one behind it. */
export const PART = 5 * 2 ** 20;

/** Bytes that differ at every place, the same for the same number. */
export function bytesOf(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(size / 4));
  let state = seed * 2654435761 >>> 0 || 1;
  for (let at = 0; at < words.length; at++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = state >>> 0;
  }
  return new Uint8Array(words.buffer, 0, size);
}

/** The SHA-256 of bytes, in hexadecimal digits. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A part of these bytes, with what is to be different of it. */
export function partOf(bytes: Uint8Array, changes: Partial<ObjectPart> = {}): ObjectPart {
  return {
    size: bytes.length,
    sha256: createHash("sha256").update(bytes).digest(),
    md5: createHash("md5").update(bytes).digest(),
    open: () => Promise.resolve(byteStream(bytes)),
    ...changes,
  };
}

/** A byte stream of these bytes, in pieces of at most 100,000. */
export function byteStream(bytes: Uint8Array): ReadableStream<Uint8Array> {
  let rest = bytes;
  return new ReadableStream({
    type: "bytes",
    autoAllocateChunkSize: 100_000,
    pull(controller) {
      const view = controller.byobRequest?.view;
      if (!(view instanceof Uint8Array)) throw new Error("Nobody gave a buffer");
      const piece = rest.subarray(0, Math.min(view.length, 100_000));
      view.set(piece);
      rest = rest.subarray(piece.length);
      if (piece.length === 0) controller.close();
      controller.byobRequest?.respond(piece.length);
    },
  });
}

/** What a store has told. */
export interface Told {
  readonly debug: string[];
  readonly warn: string[];
}

/** A store on a bucket, which is tried again quickly; it is closed at the end. */
export interface TestStore extends S3Store, Disposable {
  readonly told: Told;
}

/** Opens a store on a bucket. */
export async function openStore(
  bucket: TestBucket,
  { settings, ...options }: Partial<BucketOptions> & { readonly endpoint?: string } = {},
): Promise<TestStore> {
  const told: Told = { debug: [], warn: [] };
  const { endpoint } = options;
  const store = await s3Store({
    credentials: bucket.credentials,
    log: {
      debug: (line) => void told.debug.push(line),
      warn: (line) => void told.warn.push(line),
    },
    ...options,
    settings: settings ?? bucket.settings(endpoint === undefined ? {} : { endpoint }),
    limits: { backoff: 5, ...options.limits },
  });
  return { ...store, told, [Symbol.dispose]: () => store.close() };
}
