/** Parts of a dump on their way to a bucket, while the dump goes on. */
import { passing } from "../repository/chunks.ts";
import type { HashedPart } from "../repository/hashing.ts";

/**
 * One part, with the way to its bytes: they are asked for anew each time it is tried. A chunk of them
 * is good until the next one is asked for.
 */
export interface UploadPart {
  readonly size: number;
  readonly sha256: Uint8Array;
  open(): Promise<ReadableStream<Uint8Array>>;
  /** Called once, when the part is not asked for any more: it is there, or given up. */
  released?(): void;
}

/** An object that is uploaded in parts, and is there only once it is completed. */
export interface PartedUpload {
  /** Resolves when there is room for another part; rejects with what an earlier one failed with. */
  part(part: UploadPart): Promise<void>;
  complete(): Promise<unknown>;
  /** Gives it up. Safe to call twice; it never fails, and tells in a warning what it leaves behind. */
  abort(): Promise<void>;
}

/** The parts of one file, sent in their order and at the bucket's own pace. */
export interface FileUpload {
  /** Adds a part that is in the file by now; it is sent when its turn comes. */
  add(part: HashedPart): void;
  /** Waits until all parts are there, and completes the object. */
  complete(): Promise<void>;
  /** Ends it; nothing is left in the bucket. */
  abort(): Promise<void>;
}

/**
 * Sends the parts of a file while it is written. The dump does not wait for the bucket: what has
 * not been sent is read again from the file.
 *
 * @param read gives a part of the file
 */
export function uploadFile(
  upload: PartedUpload,
  read: (part: HashedPart) => Promise<ReadableStream<Uint8Array>>,
): FileUpload {
  const waiting: HashedPart[] = [];
  let wake = () => {};
  let ended = false;
  let aborted = false;
  const sending = (async () => {
    for (;;) {
      const part = waiting.shift();
      if (aborted) return;
      if (part === undefined) {
        if (ended) return;
        await new Promise<void>((resolve) => wake = resolve);
        continue;
      }
      const { size, sha256 } = part;
      const open = async () => ReadableStream.from(passing(await read(part)));
      await upload.part({ size, sha256, open });
    }
  })();
  // It is told when the upload is completed.
  sending.catch(() => {});
  return {
    add(part) {
      waiting.push(part);
      wake();
    },
    async complete() {
      ended = true;
      wake();
      await sending;
      await upload.complete();
    },
    async abort() {
      aborted = true;
      wake();
      await upload.abort();
    },
  };
}
