/** Checks that the bytes of an SQL file can be sent to the server as text. */
import { isUtf8 } from "node:buffer";

/** What is wrong with the bytes, and where: the offset of the first byte in the file. */
export interface EncodingFault {
  readonly what: "nul" | "utf8";
  readonly offset: number;
}

/** Checks a file chunk by chunk; a character may lie across the border of two chunks. */
export class EncodingCheck {
  readonly #partial = new Uint8Array(4);
  #partialLength = 0;
  #position = 0;

  /**
   * Checks the next chunk.
   *
   * @returns the first fault, or undefined; after a fault the check is of no further use
   */
  check(chunk: Uint8Array): EncodingFault | undefined {
    const before = this.#position;
    this.#position += chunk.length;
    let from = 0;
    if (this.#partialLength > 0) {
      const length = sequenceLength(this.#partial[0]!);
      const have = this.#partialLength;
      from = Math.min(length - have, chunk.length);
      this.#partial.set(chunk.subarray(0, from), have);
      this.#partialLength += from;
      if (this.#partialLength < length) return undefined;
      this.#partialLength = 0;
      if (!isUtf8(this.#partial.subarray(0, length))) {
        return { what: "utf8", offset: before - have };
      }
    }
    const until = chunk.length - partialTail(chunk, from);
    const whole = chunk.subarray(from, until);
    const nul = whole.indexOf(0);
    if (!isUtf8(whole)) {
      const bad = firstInvalid(whole);
      if (nul < 0 || bad < nul) return { what: "utf8", offset: before + from + bad };
    }
    if (nul >= 0) return { what: "nul", offset: before + from + nul };
    this.#partial.set(chunk.subarray(until));
    this.#partialLength = chunk.length - until;
    return undefined;
  }

  /** Ends the check: a character that the file breaks off in is a fault. */
  finish(): EncodingFault | undefined {
    return this.#partialLength === 0
      ? undefined
      : { what: "utf8", offset: this.#position - this.#partialLength };
  }
}

/** How many bytes a character has by its first byte; 1 for bytes that begin none. */
function sequenceLength(first: number): number {
  if (first < 0xc2 || first > 0xf4) return 1;
  return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

/** How many bytes at the end belong to a character that goes on in the next chunk. */
function partialTail(chunk: Uint8Array, from: number): number {
  for (let back = 1; back <= 3 && chunk.length - back >= from; back++) {
    const byte = chunk[chunk.length - back]!;
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) return sequenceLength(byte) > back ? back : 0;
  }
  return 0;
}

function firstInvalid(bytes: Uint8Array): number {
  let at = 0;
  while (at < bytes.length) {
    const length = sequenceLength(bytes[at]!);
    if (!isUtf8(bytes.subarray(at, at + length))) return at;
    at += length;
  }
  return at;
}
