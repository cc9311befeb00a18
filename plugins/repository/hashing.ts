/** Hashes of what flows by: of the whole, and of the parts that it is uploaded in. */
import { createHash, type Hash } from "node:crypto";

/** A part of a file for an upload. */
export interface HashedPart {
  /** The first byte's place in the file. */
  readonly offset: number;
  readonly size: number;
  readonly sha256: Uint8Array;
}

/** Hashes the whole of something. */
export interface WholeHash {
  take(bytes: Uint8Array): void;
  readonly size: number;
  /** In lower-case hexadecimal digits; ends it. */
  digest(): string;
}

/** Starts a SHA-256 over all that is taken. */
export function hashWhole(): WholeHash {
  const hash = createHash("sha256");
  let size = 0;
  return {
    take(bytes) {
      hash.update(bytes);
      size += bytes.length;
    },
    get size() {
      return size;
    },
    digest: () => hash.digest("hex"),
  };
}

/**
 * Stands for the hash of bytes that are hashed on their way already.
 *
 * @param facts what is known of them when all have gone by
 */
export function hashedBefore(
  facts: () => { readonly size: number; readonly sha256: string },
): WholeHash {
  return {
    take() {},
    get size() {
      return facts().size;
    },
    digest: () => facts().sha256,
  };
}

/** Cuts what flows by into parts of equal size, the last one excepted, and hashes each. */
export interface PartHashes {
  /** The parts that are whole with these bytes. */
  take(bytes: Uint8Array): HashedPart[];
  /** The last part; undefined when the parts before it were all. */
  end(): HashedPart | undefined;
}

/**
 * Starts hashing parts.
 *
 * @param partSize bytes of the part with a number, from 0
 */
export function hashParts(partSize: (index: number) => number): PartHashes {
  let offset = 0;
  let index = 0;
  let size = 0;
  let hash: Hash | undefined;
  const finish = (): HashedPart => {
    const part = { offset, size, sha256: (hash ?? start()).digest() };
    offset += size;
    size = 0;
    index++;
    hash = undefined;
    return part;
  };
  const start = () => hash = createHash("sha256");
  return {
    take(bytes) {
      const whole: HashedPart[] = [];
      for (let rest = bytes; rest.length > 0;) {
        const piece = rest.subarray(0, partSize(index) - size);
        (hash ?? start()).update(piece);
        size += piece.length;
        rest = rest.subarray(piece.length);
        if (size === partSize(index)) whole.push(finish());
      }
      return whole;
    },
    // An empty file is one empty part.
    end: () => size > 0 || index === 0 ? finish() : undefined,
  };
}
