/** The bytes of a stream that are not used yet. */

/** Takes chunks in and gives them out again in pieces of other sizes; positions are those of the stream. */
export class ByteQueue {
  #chunks: Uint8Array[] = [];
  #from = 0;

  /** Adds the next chunk. */
  push(chunk: Uint8Array): void {
    if (chunk.length > 0) this.#chunks.push(chunk);
  }

  /** Gives the bytes from one position to another, and forgets all before the second. */
  take(from: number, to: number): Uint8Array {
    this.drop(from);
    const piece = this.#chunks.length === 1 || (this.#chunks[0]?.length ?? 0) >= to - from
      ? this.#chunks[0]?.slice(0, to - from) ?? new Uint8Array()
      : this.#join(to - from);
    this.drop(to);
    return piece;
  }

  /** Forgets all before a position. */
  drop(to: number): void {
    while (this.#from < to) {
      const first = this.#chunks[0];
      if (first === undefined) throw new RangeError(`Byte ${to} has not come yet`);
      const rest = to - this.#from;
      if (first.length > rest) this.#chunks[0] = first.subarray(rest);
      else this.#chunks.shift();
      this.#from += Math.min(first.length, rest);
    }
  }

  #join(length: number): Uint8Array {
    const joined = new Uint8Array(length);
    let at = 0;
    for (const chunk of this.#chunks) {
      joined.set(chunk.subarray(0, length - at), at);
      at += Math.min(chunk.length, length - at);
      if (at === length) return joined;
    }
    throw new RangeError(`${length} bytes have not come yet`);
  }
}
