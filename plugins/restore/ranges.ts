/** Large files read in ranges, several at a time, and given in their order. */
import { OperationError } from "../../core/plugin.ts";
import { release } from "../repository/chunks.ts";
import type { Store } from "../repository/store.ts";

/** Bytes of a range; at most as many as there are readers are in memory. */
const RANGE_BYTES = 8 * 1024 * 1024;
/** How many ranges are read at a time. */
const READERS = 4;

/** A file, and how it is read. */
export interface RangedFile {
  readonly name: string;
  readonly size: number;
  readonly version?: string | undefined;
}

/** Whether there is anything to be read at the same time. */
export function isLarge({ size }: Pick<RangedFile, "size">): boolean {
  return size > 2 * RANGE_BYTES;
}

/**
 * Reads a file.
 *
 * @returns a chunk for each range, with a buffer of its own
 * @throws OperationError as the store does; `truncated_archive` where the file is shorter by now
 */
export async function* readRanges(store: Store, file: RangedFile): AsyncGenerator<Uint8Array> {
  const running: Running[] = [];
  let offset = 0;
  const start = () => {
    if (offset >= file.size) return;
    const length = Math.min(RANGE_BYTES, file.size - offset);
    running.push(readRange(store, { ...file, offset, length }));
    offset += length;
  };
  try {
    for (let reader = 0; reader < READERS; reader++) start();
    for (let next = running.shift(); next !== undefined; next = running.shift()) {
      yield await next.bytes;
      // Not before it is taken, so that no more than so many are in memory.
      start();
    }
  } finally {
    await Promise.all(running.map(({ stop }) => stop()));
  }
}

interface Running {
  readonly bytes: Promise<Uint8Array>;
  /** Gives it up. */
  readonly stop: () => Promise<void>;
}

function readRange(
  store: Store,
  { name, version, offset, length }: RangedFile & {
    readonly offset: number;
    readonly length: number;
  },
): Running {
  let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  let stopped = false;
  const read = async () => {
    const bytes = new Uint8Array(length);
    reader = (await store.read(name, { offset, length, version })).getReader();
    let at = 0;
    while (!stopped) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes.set(value, at);
      at += value.length;
      release(value);
    }
    if (stopped) await reader.cancel();
    else if (at < length) {
      throw new OperationError(`The file breaks off after ${offset + at} bytes`, {
        code: "truncated_archive",
      });
    }
    return bytes;
  };
  const bytes = read();
  // It is looked at when its turn comes.
  bytes.catch(() => {});
  return {
    bytes,
    async stop() {
      stopped = true;
      await reader?.cancel().catch(() => {});
      await bytes.catch(() => {});
    },
  };
}
