/** Tells whether a changed file differs from the applied one in its line ends or its byte order mark alone. */
import { sameBytes, sha384 } from "./contents.ts";

/** What such files differ in. */
export type CosmeticChange = "line endings" | "final line feed" | "byte order mark";

const CR = 0x0d;
const LF = 0x0a;
const MARK = [0xef, 0xbb, 0xbf];

/**
 * Looks for the applied file among the variants of the present one: with other
 * line ends, with or without a final one, with or without a byte order mark.
 * The checksum proves it, since no other content has it.
 *
 * @returns what differs, or undefined when the difference is another one
 */
export function cosmeticChange(
  present: Uint8Array,
  applied: Uint8Array,
): CosmeticChange[] | undefined {
  const marked = MARK.every((byte, index) => present[index] === byte);
  const unmarked = marked ? present.subarray(MARK.length) : present;
  const withMark = marked ? present : joined(new Uint8Array(MARK), present);
  const linesOf = [(bytes: Uint8Array) => bytes, withLineFeeds, withCarriageReturns];
  for (const [isOther, text] of [[false, present], [true, marked ? unmarked : withMark]] as const) {
    const variants = linesOf.map((endings) => finalVariants(endings(text)));
    for (const [end] of finalVariants(text).entries()) {
      for (const [lines, endings] of variants.entries()) {
        if (!sameBytes(sha384(endings[end] ?? text), applied)) continue;
        return [
          ...lines > 0 ? ["line endings" as const] : [],
          ...end > 0 ? ["final line feed" as const] : [],
          ...isOther ? ["byte order mark" as const] : [],
        ];
      }
    }
  }
  return undefined;
}

function finalVariants(bytes: Uint8Array): Uint8Array[] {
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === LF || bytes[end - 1] === CR)) end--;
  const bare = bytes.subarray(0, end);
  return [
    bytes,
    bare,
    joined(bare, new Uint8Array([LF])),
    joined(bare, new Uint8Array([CR, LF])),
  ];
}

function withLineFeeds(bytes: Uint8Array): Uint8Array {
  return bytes.filter((byte, index) => byte !== CR || bytes[index + 1] !== LF);
}

function withCarriageReturns(bytes: Uint8Array): Uint8Array {
  const plain = withLineFeeds(bytes);
  const converted: number[] = [];
  for (const byte of plain) {
    if (byte === LF) converted.push(CR);
    converted.push(byte);
  }
  return new Uint8Array(converted);
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
