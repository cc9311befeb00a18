/**
 * The frames of zstd, followed as they flow by (RFC 8878, section 3.1): what decompresses takes one
 * that breaks off for whole.
 */
import { OperationError } from "../../core/plugin.ts";
import { createPieces, type PieceReader, type Pieces } from "./pieces.ts";

const FRAME = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50;
const DICTIONARY_BYTES = [0, 1, 2, 4];
const SIZE_BYTES = [0, 2, 4, 8];
const RUN = 1;
const RESERVED = 3;

/**
 * Follows frames; it throws `bad_archive` and `truncated_archive`.
 *
 * @param ended is told where each frame ends, in bytes from the beginning of the first
 */
export function followFrames(ended: (position: number) => void = () => {}): PieceReader<void> {
  return createPieces((input) => readFrames(input, ended), {
    tooMuch: () => bad("more follows its last frame"),
    tooLittle: (position) =>
      new OperationError(`The compressed dump breaks off after ${position} bytes`, {
        code: "truncated_archive",
      }),
  });
}

function* readFrames(
  input: Pieces,
  ended: (position: number) => void,
): Generator<void, void> {
  do {
    yield* readFrame(input);
    ended(input.position);
  } while (!(yield* input.atEnd()));
}

function* readFrame(input: Pieces): Generator<void, void> {
  const magic = number(yield* input.take(4));
  if (magic - magic % 16 === SKIPPABLE) {
    yield* input.skip(number(yield* input.take(4)));
    return;
  }
  if (magic !== FRAME) throw bad("no frame of zstd begins so");
  const descriptor = number(yield* input.take(1));
  const single = (descriptor >> 5) % 2;
  const size = SIZE_BYTES[descriptor >> 6] || single;
  yield* input.skip(1 - single + (DICTIONARY_BYTES[descriptor % 4] ?? 0) + size);
  for (let last = false; !last;) {
    const header = number(yield* input.take(3));
    const kind = (header >> 1) % 4;
    if (kind === RESERVED) throw bad("a block of it is of an unknown kind");
    yield* input.skip(kind === RUN ? 1 : header >> 3);
    last = header % 2 === 1;
  }
  const checked = (descriptor >> 2) % 2 === 1;
  if (checked) yield* input.skip(4);
}

/** The lowest byte comes first. */
function number(bytes: Uint8Array): number {
  return bytes.reduceRight((sum, byte) => sum * 256 + byte, 0);
}

function bad(reason: string): OperationError {
  return new OperationError(`The compressed dump is damaged: ${reason}`, { code: "bad_archive" });
}
