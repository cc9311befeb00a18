/** Where a dump's bytes go: into a file, into a bucket from that file, or into a bucket alone. */
import { type Files, OperationError } from "../../core/plugin.ts";
import { hashParts, hashWhole, type WholeHash } from "../repository/hashing.ts";
import { type FileUpload, type PartedUpload, uploadFile } from "./uploading.ts";

/** What was stored. */
export interface Stored {
  readonly size: number;
  /** In lower-case hexadecimal digits. */
  readonly sha256: string;
}

/** An upload and how it is cut. */
export interface Upload {
  readonly object: PartedUpload;
  /** Bytes of the part with a number, from 0. */
  readonly partSize: (index: number) => number;
}

/** A file that is stored, and perhaps still on its way to the bucket. */
export interface StoredLocally extends Stored {
  readonly upload: FileUpload | undefined;
}

/**
 * Writes what comes to a file, and sends it to the bucket at the same time, if there is one. The file
 * is under its name and on the disk when this resolves; the upload is completed by the caller.
 *
 * @throws OperationError of what failed; there is no file then, and the upload is aborted
 */
export async function storeLocally(
  files: Files,
  data: AsyncIterable<Uint8Array>,
  { path, upload, whole = hashWhole() }: {
    readonly path: string;
    readonly upload: Upload | undefined;
    readonly whole?: WholeHash | undefined;
  },
): Promise<StoredLocally> {
  const partial = `${path}.partial`;
  const sending = upload && uploadFile(upload.object, async ({ offset, size }) => {
    const range = { offset, length: size };
    try {
      return await files.stream(partial, range);
    } catch (error) {
      // It has its name by now.
      if (!(error instanceof OperationError) || error.code !== "not_found") throw error;
      return await files.stream(path, range);
    }
  });
  const parts = upload && hashParts(upload.partSize);
  async function* passing(): AsyncGenerator<Uint8Array> {
    for await (const chunk of data) {
      whole.take(chunk);
      const ready = parts?.take(chunk) ?? [];
      yield chunk;
      // The next one is asked for when this one is in the file.
      for (const part of ready) sending?.add(part);
    }
  }
  try {
    await files.save(path, ReadableStream.from(passing()), { partial, private: true });
  } catch (error) {
    await sending?.abort();
    throw error;
  }
  const last = parts?.end();
  if (last !== undefined) sending?.add(last);
  return { size: whole.size, sha256: whole.digest(), upload: sending };
}

/** The memory for parts on their way, in bytes, as long as one of them fits. */
const USUAL_MEMORY = 18 << 20;
/** What may be taken without a word: a part of a dump of 200 GB, with which this process stays below 128 MiB. */
export const SILENT_MEMORY = 24 << 20;
/** How many parts are kept at most: one is filled while the others are sent. */
const MOST_BUFFERS = 3;

/** How many parts of a size an upload without a file keeps in memory. */
export function buffersFor(partSize: number): number {
  return Math.max(1, Math.min(MOST_BUFFERS, Math.floor(USUAL_MEMORY / partSize)));
}

/** The memory for parts on their way, when they have this size, in bytes. */
export function memoryFor(partSize: number): number {
  return buffersFor(partSize) * partSize;
}

/**
 * Sends what comes to the bucket without a file: its parts are kept in a few buffers, which are used
 * again and again. The upload is completed by the caller.
 *
 * @throws OperationError of what failed; the upload is aborted then
 */
export async function storeInBucket(
  data: AsyncIterable<Uint8Array>,
  { object, partSize, whole = hashWhole() }: Upload & { readonly whole?: WholeHash | undefined },
): Promise<Stored> {
  const parts = hashParts(partSize);
  const buffers = createBuffers(buffersFor(partSize(0)));
  let index = 0;
  let buffer = await buffers.next(partSize(0));
  let filled = 0;
  const send = async (sha256: Uint8Array) => {
    const taken = buffer;
    const bytes = taken.bytes.subarray(0, filled);
    await object.part({
      size: filled,
      sha256,
      open: () => Promise.resolve(streamOf(bytes)),
      released: () => buffers.release(taken),
    });
  };
  try {
    for await (const chunk of data) {
      whole.take(chunk);
      for (let rest = chunk; rest.length > 0;) {
        const piece = rest.subarray(0, partSize(index) - filled);
        buffer.bytes.set(piece, filled);
        filled += piece.length;
        rest = rest.subarray(piece.length);
        for (const { sha256 } of parts.take(piece)) {
          await send(sha256);
          buffer = await buffers.next(partSize(++index));
          filled = 0;
        }
      }
    }
    const last = parts.end();
    if (last !== undefined) await send(last.sha256);
  } catch (error) {
    await object.abort();
    throw error;
  }
  return { size: whole.size, sha256: whole.digest() };
}

interface PartBuffer {
  readonly bytes: Uint8Array;
}

function createBuffers(most: number): {
  next(size: number): Promise<PartBuffer>;
  release(buffer: PartBuffer): void;
} {
  const free: PartBuffer[] = [];
  let made = 0;
  let wake = () => {};
  return {
    async next(size) {
      for (;;) {
        const found = free.findIndex(({ bytes }) => bytes.length >= size);
        if (found >= 0) {
          const [buffer] = free.splice(found, 1);
          if (buffer !== undefined) return buffer;
        }
        // Those that are too small for what comes now are given up.
        made -= free.length;
        free.length = 0;
        if (made < most) {
          made++;
          return { bytes: new Uint8Array(size) };
        }
        await new Promise<void>((resolve) => wake = resolve);
      }
    },
    release(buffer) {
      free.push(buffer);
      wake();
    },
  };
}

const PIECE = 256 * 1024;

/** Bytes in pieces, without a copy. */
function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  let offset = 0;
  return new ReadableStream({
    pull(controller) {
      if (offset >= bytes.length) return controller.close();
      controller.enqueue(bytes.subarray(offset, offset + PIECE));
      offset += PIECE;
    },
  }, { highWaterMark: 0 });
}
