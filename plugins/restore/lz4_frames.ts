/**
 * Frames of LZ4 decompressed (lz4_Frame_format.md and lz4_Block_format.md, version 1.6.4): of `lz4`
 * and `pg_dump --compress=lz4`. Nothing of the runtime does it.
 */
import { OperationError } from "../../core/plugin.ts";
import { createPieces, type Pieces } from "../repository/pieces.ts";
import { createXxh32, xxh32 } from "./xxh32.ts";

const FRAME = 0x184d2204;
const SKIPPABLE = 0x184d2a50;
/** How far back a match may lie. */
const WINDOW = 65_536;
/** The highest bit of a block's length says that it is not compressed. */
const STORED = 0x80000000;
/** Bytes of the largest block, by its number in the head of a frame. */
const BLOCK_BYTES: Readonly<Record<number, number>> = {
  4: 65_536,
  5: 262_144,
  6: 1_048_576,
  7: 4_194_304,
};
/** Every match has at least as many bytes, beside those that are told. */
const LEAST_MATCH = 4;

/** Decompresses a stream, which fails with `bad_archive` or `truncated_archive` where it is wrong. */
export async function* decompressLz4(
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const blocks: Uint8Array[] = [];
  const reader = createPieces((input) => readFrames(input, (block) => void blocks.push(block)), {
    tooMuch: () => bad("more follows its last frame"),
    tooLittle: (position) =>
      new OperationError(`The compressed dump breaks off after ${position} bytes`, {
        code: "truncated_archive",
      }),
  });
  for await (const chunk of stream) {
    reader.push(chunk);
    yield* blocks.splice(0);
  }
  reader.end();
  yield* blocks;
}

type Emit = (block: Uint8Array) => void;

function* readFrames(input: Pieces, emit: Emit): Generator<void, void> {
  do {
    const magic = (yield* number(input)) >>> 0;
    if (magic - magic % 16 === SKIPPABLE) yield* input.skip((yield* number(input)) >>> 0);
    else if (magic === FRAME) yield* readFrame(input, emit);
    else throw bad("no frame of LZ4 begins so");
  } while (!(yield* input.atEnd()));
}

function* readFrame(input: Pieces, emit: Emit): Generator<void, void> {
  const [flags = 0, sizes = 0] = yield* input.take(2);
  const has = (bit: number) => (flags >> bit) % 2 === 1;
  const largest = BLOCK_BYTES[sizes >> 4];
  if (flags >> 6 !== 1 || largest === undefined) throw bad("its frame is of an unknown kind");
  if (has(0)) throw bad("its frame needs a dictionary");
  const told = (yield* input.take(has(3) ? 8 : 0)).slice();
  const [sum = 0] = yield* input.take(1);
  if (sum !== (xxh32(Uint8Array.of(flags, sizes, ...told)) >> 8 & 0xff)) {
    throw bad("the head of a frame differs from its checksum");
  }
  const linked = !has(5);
  const contents = has(2) ? createXxh32() : undefined;
  // The window that matches look back into, and the block behind it.
  const buffer = new Uint8Array(WINDOW + largest);
  let start = 0;
  let total = 0;
  for (;;) {
    const length = (yield* number(input)) >>> 0;
    if (length === 0) break;
    const size = length % STORED;
    if (size > largest) throw bad(`a block of it has ${size} bytes`);
    const block = yield* input.take(size);
    if (!linked) start = 0;
    const end = length >= STORED
      ? copyBlock(block, { buffer, start })
      : decompressBlock(block, { buffer, start, limit: start + largest });
    const sum = has(4) ? xxh32(block) : undefined;
    const made = buffer.slice(start, end);
    if (sum !== undefined && sum !== (yield* number(input)) >>> 0) {
      throw bad("a block differs from its checksum");
    }
    contents?.take(made);
    total += made.length;
    emit(made);
    if (end > WINDOW) buffer.copyWithin(0, end - WINDOW, end);
    start = Math.min(end, WINDOW);
  }
  if (contents !== undefined && contents.digest() !== (yield* number(input)) >>> 0) {
    throw bad("its contents differ from their checksum");
  }
  if (has(3) && BigInt(total) !== new DataView(told.buffer).getBigUint64(0, true)) {
    throw bad("its contents have another size than its frame tells");
  }
}

interface Target {
  readonly buffer: Uint8Array;
  readonly start: number;
}

function copyBlock(block: Uint8Array, { buffer, start }: Target): number {
  buffer.set(block, start);
  return start + block.length;
}

/** Decompresses a block behind what came before it; returns where it ends. */
function decompressBlock(
  block: Uint8Array,
  { buffer, start, limit }: Target & { readonly limit: number },
): number {
  let from = 0;
  let to = start;
  const end = block.length;
  while (from < end) {
    const token = block[from++] ?? 0;
    let literals = token >> 4;
    if (literals === 15) {
      for (let more = 255; more === 255; literals += more) more = block[from++] ?? bounds();
    }
    if (from + literals > end || to + literals > limit) bounds();
    if (literals > 32) buffer.set(block.subarray(from, from + literals), to);
    else {for (let index = 0; index < literals; index++) {
        buffer[to + index] = block[from + index] ?? 0;
      }}
    from += literals;
    to += literals;
    // The last sequence is literals alone.
    if (from === end) return to;
    const distance = (block[from] ?? 0) + (block[from + 1] ?? bounds()) * 256;
    from += 2;
    let length = token & 15;
    if (length === 15) {
      for (let more = 255; more === 255; length += more) more = block[from++] ?? bounds();
    }
    length += LEAST_MATCH;
    if (distance === 0 || distance > to || to + length > limit) bounds();
    if (distance >= length && length > 32) {
      buffer.copyWithin(to, to - distance, to - distance + length);
      to += length;
    } else {
      // It may overlap itself: then it repeats.
      for (const stop = to + length; to < stop; to++) buffer[to] = buffer[to - distance] ?? 0;
    }
  }
  return bounds();
}

function* number(input: Pieces): Generator<void, number> {
  const bytes = yield* input.take(4);
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getInt32(0, true);
}

function bounds(): never {
  throw bad("a block of it leads out of itself");
}

function bad(reason: string): OperationError {
  return new OperationError(`The compressed dump is damaged: ${reason}`, { code: "bad_archive" });
}
