/** An archive that flows into pg_restore, which commits as soon as it has what it needs. */
import { createArchiveReader } from "../repository/archive.ts";

/**
 * Passes a custom archive on, and holds back the end of its last block of data until the stream has
 * ended well: pg_restore needs that to go on to the indexes, and to its end. Behind it there may be
 * the table of contents once more, which nobody needs.
 *
 * @param stream fails where the archive is not what it should be; so does the result then
 */
export async function* gated(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const reader = createArchiveReader();
  let held: Uint8Array | undefined;
  for await (const chunk of stream) {
    reader.push(chunk);
    if (held !== undefined) continue;
    // Its memory is given back when the next one is asked for.
    if (reader.hasAllData) held = chunk.slice();
    else yield chunk;
  }
  reader.end();
  if (held !== undefined) yield held;
}
