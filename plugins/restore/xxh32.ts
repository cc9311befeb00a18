/** The checksum of LZ4's frames (xxhash_spec.md, version 0.2.0): XXH32 with the seed 0. */

const P1 = 0x9e3779b1;
const P2 = 0x85ebca77;
const P3 = 0xc2b2ae3d;
const P4 = 0x27d4eb2f;
const P5 = 0x165667b1;
/** Bytes that are taken at once. */
const STRIPE = 16;

/** A checksum of what comes piece by piece. */
export interface Checksum {
  take(bytes: Uint8Array): void;
  /** An unsigned number of 32 bits. */
  digest(): number;
}

/** The checksum of bytes; an unsigned number of 32 bits. */
export function xxh32(bytes: Uint8Array): number {
  const sum = createXxh32();
  sum.take(bytes);
  return sum.digest();
}

/** Starts a checksum. */
export function createXxh32(): Checksum {
  let a = (P1 + P2) | 0;
  let b = P2 | 0;
  let c = 0;
  let d = -P1 | 0;
  let total = 0;
  let rest = new Uint8Array();
  const round = (lane: number, word: number) =>
    Math.imul(rotate((lane + Math.imul(word, P2)) | 0, 13), P1);
  const stripes = (bytes: Uint8Array): number => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    let at = 0;
    for (; at + STRIPE <= bytes.length; at += STRIPE) {
      a = round(a, view.getInt32(at, true));
      b = round(b, view.getInt32(at + 4, true));
      c = round(c, view.getInt32(at + 8, true));
      d = round(d, view.getInt32(at + 12, true));
    }
    return at;
  };
  return {
    take(bytes) {
      total += bytes.length;
      let piece = bytes;
      if (rest.length > 0) {
        const taken = piece.subarray(0, STRIPE - rest.length);
        const joined = new Uint8Array(rest.length + taken.length);
        joined.set(rest);
        joined.set(taken, rest.length);
        rest = joined;
        piece = piece.subarray(taken.length);
        if (rest.length < STRIPE) return;
        stripes(rest);
      }
      rest = piece.slice(stripes(piece));
    },
    digest() {
      let sum = total >= STRIPE
        ? (rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18)) | 0
        : P5;
      sum = (sum + total) | 0;
      const view = new DataView(rest.buffer, rest.byteOffset, rest.length);
      let at = 0;
      for (; at + 4 <= rest.length; at += 4) {
        sum = Math.imul(rotate((sum + Math.imul(view.getInt32(at, true), P3)) | 0, 17), P4);
      }
      for (; at < rest.length; at++) {
        sum = Math.imul(rotate((sum + Math.imul(rest[at] ?? 0, P5)) | 0, 11), P1);
      }
      sum = Math.imul(sum ^ (sum >>> 15), P2);
      sum = Math.imul(sum ^ (sum >>> 13), P3);
      return (sum ^ (sum >>> 16)) >>> 0;
    },
  };
}

function rotate(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}
