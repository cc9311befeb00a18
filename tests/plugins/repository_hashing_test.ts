/** Hashes of a whole, and of parts cut from it at any place. */
import assert from "assert";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { type HashedPart, hashParts, hashWhole } from "../../plugins/repository/hashing.ts";

const BYTES = new Uint8Array(1000).map((_, index) => (index * 7919) >> 3);

function hash(algorithm: "sha256", bytes: Uint8Array): string {
  return createHash(algorithm).update(bytes).digest("hex");
}

/** Hashes bytes that come in pieces. */
function partsOf(
  pieces: readonly Uint8Array[],
  partSize: (index: number) => number,
): HashedPart[] {
  const parts = hashParts(partSize);
  const all = pieces.flatMap((piece) => parts.take(piece));
  const last = parts.end();
  return last === undefined ? all : [...all, last];
}

function requireParts(
  parts: readonly HashedPart[],
  bytes: Uint8Array,
  partSize: (index: number) => number,
): void {
  let at = 0;
  for (const [index, { offset, size, sha256 }] of parts.entries()) {
    const part = bytes.subarray(offset, offset + size);
    assert.equal(offset, at);
    assert.equal(size, index === parts.length - 1 ? bytes.length - at : partSize(index));
    assert.equal(Buffer.from(sha256).toString("hex"), hash("sha256", part));
    at += size;
  }
  assert.equal(at, bytes.length);
}

Deno.test("hashes: of a whole that comes in pieces", () => {
  for (const size of [1, 3, 64, 999, 1000, 2000]) {
    const whole = hashWhole();
    for (let at = 0; at < BYTES.length; at += size) whole.take(BYTES.subarray(at, at + size));
    assert.equal(whole.size, 1000);
    assert.equal(whole.digest(), hash("sha256", BYTES));
  }
  assert.equal(hashWhole().digest(), hash("sha256", new Uint8Array()));
});

Deno.test("hashes: of parts, cut at every boundary of the pieces", () => {
  const size = () => 250;
  for (let cut = 0; cut <= BYTES.length; cut++) {
    const pieces = [BYTES.subarray(0, cut), BYTES.subarray(cut)];
    requireParts(partsOf(pieces, size), BYTES, size);
  }
  for (const piece of [1, 2, 249, 250, 251, 500, 999]) {
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < BYTES.length; at += piece) pieces.push(BYTES.subarray(at, at + piece));
    requireParts(partsOf(pieces, size), BYTES, size);
  }
});

Deno.test("hashes: parts of every size, the last one never empty", () => {
  for (const partSize of [1, 2, 3, 333, 499, 500, 999, 1000, 1001]) {
    const size = () => partSize;
    const parts = partsOf([BYTES], size);
    assert.equal(parts.length, Math.ceil(1000 / partSize));
    requireParts(parts, BYTES, size);
  }
  // As large uploads need it.
  const growing = (index: number) => 10 * (index + 1);
  requireParts(partsOf([BYTES.subarray(0, 5), BYTES.subarray(5)], growing), BYTES, growing);
});

Deno.test("hashes: nothing is one part without a byte", () => {
  const parts = partsOf([], () => 10);
  assert.equal(parts.length, 1);
  requireParts(parts, new Uint8Array(), () => 10);
});
