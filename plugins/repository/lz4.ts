/** The frames of LZ4, followed as they flow by (lz4_Frame_format.md, version 1.6.4). */
import { OperationError } from "../../core/plugin.ts";
import { createPieces, type PieceReader, type Pieces } from "./pieces.ts";

const FRAME = 0x184d2204;
/** The highest bit of a block's length says that it is not compressed. */
const LENGTH = 0x7fffffff;

/** Follows one frame; it throws `bad_archive` and `truncated_archive`. */
export function followLz4(): PieceReader<void> {
  return createPieces(readFrame, {
    tooMuch: () => bad("more follows its frame"),
    tooLittle: (position) =>
      new OperationError(`The compressed dump breaks off after ${position} bytes`, {
        code: "truncated_archive",
      }),
  });
}

function* readFrame(input: Pieces): Generator<void, void> {
  if (view(yield* input.take(4)).getUint32(0, true) !== FRAME) {
    throw bad("no frame of LZ4 begins so");
  }
  const [flags = 0] = yield* input.take(2);
  const has = (bit: number) => (flags >> bit) % 2 === 1;
  // The size of the contents, a dictionary's number, and the header's checksum.
  yield* input.skip((has(3) ? 8 : 0) + (has(0) ? 4 : 0) + 1);
  for (;;) {
    const length = view(yield* input.take(4)).getUint32(0, true) & LENGTH;
    if (length === 0) break;
    yield* input.skip(length + (has(4) ? 4 : 0));
  }
  if (has(2)) yield* input.skip(4);
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function bad(reason: string): OperationError {
  return new OperationError(`The compressed dump is damaged: ${reason}`, { code: "bad_archive" });
}
