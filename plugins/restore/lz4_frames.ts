/** Frames of LZ4 decompressed. */
import { OperationError } from "../../core/plugin.ts";

/** Decompresses a stream. */
// deno-lint-ignore require-yield -- under construction
export async function* decompressLz4(
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  await stream.cancel();
  throw new OperationError("lz4 is not known yet", { code: "bad_archive" });
}
