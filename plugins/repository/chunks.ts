/** Chunks of long streams, whose memory is given back while they flow. */

/** Bytes of a pipe, and of what it is read into. */
const PIPE = 65_536;

/**
 * Passes chunks on and gives each one's memory back when the next one is asked for. The garbage
 * collector would let tens of megabytes of them lie about. Whoever keeps a chunk copies it.
 *
 * @param chunks each with a buffer of its own, as programs and files give them
 */
export async function* passing(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    yield chunk;
    release(chunk);
  }
}

/** Gives a chunk's memory back, where nobody else holds any of it. */
export function release({ buffer, byteLength, byteOffset }: Uint8Array): void {
  // A pipe is read into a buffer of this size, however little there is; of others somebody else may
  // hold the rest.
  const own = buffer.byteLength === byteLength || byteOffset === 0 && buffer.byteLength === PIPE;
  if (own && buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer(0);
}

/** Copies of chunks, for whoever keeps them. */
export async function* copies(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) yield new Uint8Array(chunk);
}

/**
 * Reads a stream into one buffer again and again, where it gives bytes into a buffer; any other gives
 * its chunks. Each is good until the next one is asked for. Who stops cancels the stream.
 *
 * @param size bytes of the buffer
 */
export async function* inBuffer(
  stream: ReadableStream<Uint8Array>,
  size: number,
): AsyncGenerator<Uint8Array> {
  const reader = bufferReader(stream);
  if (reader === undefined) return yield* passing(stream);
  let ended = false;
  try {
    for (let buffer = new ArrayBuffer(size);;) {
      const { done, value } = await reader.read(new Uint8Array(buffer));
      if (done || value === undefined) break;
      buffer = value.buffer;
      yield value;
    }
    ended = true;
  } finally {
    // What the stream fails with has been thrown by the read that met it.
    if (!ended) await reader.cancel().catch(() => {});
  }
}

/** A reader with a buffer of its own; undefined for a stream that is no byte stream. */
export function bufferReader(
  stream: ReadableStream<Uint8Array>,
): ReadableStreamBYOBReader | undefined {
  try {
    return stream.getReader({ mode: "byob" });
  } catch (error) {
    if (error instanceof TypeError && !stream.locked) return undefined;
    throw error;
  }
}
