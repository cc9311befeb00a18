/** Encryption and compression removed from around a dump, as it flows. */
import type { Transform } from "node:stream";
import { OperationError } from "../../core/plugin.ts";
import { copies } from "../repository/chunks.ts";
import { decryptWith } from "../repository/decryption.ts";
import { followFrames } from "../repository/zstd.ts";
import { dearmored } from "./armor.ts";
import { ARMOR, type Contents, HEAD_BYTES, recognise, type Wrapping } from "./contents.ts";

/** Bytes on their way. */
export type Bytes = ReadableStream<Uint8Array>;

/** More than anybody wraps around a dump. */
const MOST_LAYERS = 4;
/** How much is decompressed at a time. */
const PIECE_BYTES = 256 * 1024;

/**
 * Recognises what a stream is, and removes what is wrapped around it.
 *
 * @param options.identities gives secret keys of age when it is encrypted
 * @returns the dump's own bytes, from their beginning; a chunk is good until the next is asked for
 * @throws OperationError `unknown_contents`, and what `identities` throws; `bad_archive` and
 *   `truncated_archive` for damaged wrapping, as the stream does
 */
export async function unwrap(
  stored: Bytes,
  { title, identities, decrypted = () => {} }: {
    readonly title: string;
    readonly identities: () => Promise<readonly string[]>;
    /** Is given what is decrypted, piece by piece. */
    readonly decrypted?: ((bytes: Uint8Array) => void) | undefined;
  },
): Promise<{ readonly contents: Contents; readonly stream: Bytes }> {
  const wrapping: Wrapping[] = [];
  let stream = stored;
  try {
    for (;;) {
      const peeked = await peek(stream);
      stream = peeked.stream;
      const layer = recognise(peeked.head, { title });
      if ("format" in layer) return { contents: { format: layer.format, wrapping }, stream };
      wrapping.push(layer.wrapping);
      if (wrapping.length > MOST_LAYERS) throw tooDeep(title, wrapping);
      stream = await without(layer.wrapping, { stream, head: peeked.head, identities });
      if (layer.wrapping === "age") stream = ReadableStream.from(tapped(stream, decrypted));
    }
  } catch (error) {
    await stream.cancel().catch(() => {});
    throw error;
  }
}

async function* tapped(
  stream: Bytes,
  take: (bytes: Uint8Array) => void,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) {
    take(chunk);
    yield chunk;
  }
}

async function without(
  wrapping: Wrapping,
  { stream, head, identities }: {
    readonly stream: Bytes;
    readonly head: Uint8Array;
    readonly identities: () => Promise<readonly string[]>;
  },
): Promise<Bytes> {
  switch (wrapping) {
    case "age": {
      const keys = await identities();
      const armored = new TextDecoder().decode(head.subarray(0, ARMOR.length)) === ARMOR;
      const binary = armored ? dearmored(stream) : copies(stream);
      return await decryptWith(keys, ReadableStream.from(binary));
    }
    case "gzip": {
      const { createGunzip } = await import("node:zlib");
      return ReadableStream.from(
        decompressed(stream, { decoder: createGunzip({ chunkSize: PIECE_BYTES }) }),
      );
    }
    case "zstd": {
      const { createZstdDecompress } = await import("node:zlib");
      const decoder = () => createZstdDecompress({ chunkSize: PIECE_BYTES });
      return ReadableStream.from(decompressedFrames(stream, decoder));
    }
    case "lz4": {
      const { decompressLz4 } = await import("./lz4_frames.ts");
      return ReadableStream.from(decompressLz4(stream));
    }
  }
}

/** Reads the first bytes, and gives the whole again. */
async function peek(stream: Bytes): Promise<{ head: Uint8Array; stream: Bytes }> {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  let over = false;
  while (size < HEAD_BYTES && !over) {
    const { done, value } = await reader.read();
    over = done;
    // Who gives them may take them back when the next one is asked for.
    if (value !== undefined) chunks.push(new Uint8Array(value));
    size += value?.length ?? 0;
  }
  const head = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    head.set(chunk, at);
    at += chunk.length;
  }
  const whole = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const first = chunks.shift();
      if (first !== undefined) return controller.enqueue(first);
      const { done, value } = over ? { done: true, value: undefined } : await reader.read();
      if (done || value === undefined) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
  return { head: head.subarray(0, HEAD_BYTES), stream: whole };
}

async function* decompressed(
  stream: AsyncIterable<Uint8Array>,
  { decoder }: { readonly decoder: Transform },
): AsyncGenerator<Uint8Array> {
  let failure: { readonly error: unknown } | undefined;
  const closed = new Promise<void>((resolve) => decoder.once("close", resolve));
  const feed = async () => {
    try {
      for await (const chunk of stream) {
        if (decoder.destroyed) return;
        // It may still be working on them when the next ones come.
        if (decoder.write(new Uint8Array(chunk))) continue;
        await Promise.race([
          closed,
          new Promise<void>((resolve) => decoder.once("drain", resolve)),
        ]);
      }
      decoder.end();
    } catch (error) {
      failure = { error };
      decoder.destroy();
    }
  };
  const fed = feed();
  try {
    for await (const chunk of decoder) yield plainly(chunk);
  } catch (error) {
    throw failure?.error ?? worded(error);
  } finally {
    decoder.destroy();
    await fed;
  }
  if (failure !== undefined) throw failure.error;
}

/** Node's own kind of bytes has a `slice` that copies nothing. */
function plainly({ buffer, byteOffset, length }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, length);
}

/** The runtime's decoder of zstd takes one frame, and ends as if it were all: each gets its own. */
async function* decompressedFrames(
  stream: Bytes,
  decoder: () => Transform,
): AsyncGenerator<Uint8Array> {
  const ends: number[] = [];
  const frames = followFrames((position) => void ends.push(position));
  const chunks = stream[Symbol.asyncIterator]();
  let rest: Uint8Array = new Uint8Array();
  let position = 0;
  let over = false;
  async function* frame(): AsyncGenerator<Uint8Array> {
    for (;;) {
      if (rest.length === 0) {
        const { done, value } = await chunks.next();
        over = done === true;
        if (over) return frames.end();
        rest = value;
        frames.push(rest);
      }
      const [end] = ends;
      const part = end === undefined ? rest : rest.subarray(0, end - position);
      rest = rest.subarray(part.length);
      position += part.length;
      yield part;
      if (position !== end) continue;
      ends.shift();
      return;
    }
  }
  try {
    while (!over) yield* decompressed(frame(), { decoder: decoder() });
  } finally {
    await chunks.return?.();
  }
}

function worded(error: unknown): OperationError {
  const reason = error instanceof Error ? error.message : String(error);
  const code = /unexpected end/.test(reason) ? "truncated_archive" : "bad_archive";
  return new OperationError(`The compressed dump is damaged: ${reason}`, { code, cause: error });
}

function tooDeep(title: string, wrapping: readonly Wrapping[]): OperationError {
  return new OperationError(`Cannot restore ${title}: it is ${wrapping.join(" in ")}`, {
    kind: "refused",
    code: "unknown_contents",
  });
}
