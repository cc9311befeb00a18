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
    const { buffer, byteLength, byteOffset } = chunk;
    // A pipe is read into a buffer of this size, however little there is; of others somebody else may
    // hold the rest.
    const own = buffer.byteLength === byteLength || byteOffset === 0 && buffer.byteLength === PIPE;
    if (own && buffer instanceof ArrayBuffer && !buffer.detached) buffer.transfer(0);
  }
}

/** Copies of chunks, for whoever keeps them. */
export async function* copies(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) yield chunk.slice();
}
