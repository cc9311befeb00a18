/**
 * How the last statement began, byte for byte. In files of data nearly every statement begins
 * like the one before it, and then its first tokens need not be made out again.
 */

/** Longer openings are not kept. */
const MOST_BYTES = 256;
const LINE_FEED = 10;

/** The first tokens of a statement with the byte after them, which decides where the last ends. */
export class Opening {
  /** The first of the tokens, as in `SqlStatement.words`. */
  words: readonly string[] = [];
  /** How many parentheses the tokens leave open. */
  depth = 0;
  /** How many bytes the tokens take, without the byte after them. */
  length = 0;
  readonly #bytes = new Uint8Array(MOST_BYTES + 1);

  /**
   * Keeps the bytes of a piece from one index to another, and the byte after them, unless there
   * are line feeds, which have to be counted, between the indexes.
   */
  keep(
    piece: Uint8Array,
    tokens: { from: number; to: number; words: readonly string[]; depth: number },
  ): void {
    const { from, to } = tokens;
    this.length = 0;
    if (from < 0 || to >= piece.length || to - from > MOST_BYTES) return;
    for (let i = from; i <= to; i++) {
      const byte = piece[i]!;
      if (byte === LINE_FEED && i < to) return;
      this.#bytes[i - from] = byte;
    }
    this.length = to - from;
    this.words = tokens.words;
    this.depth = tokens.depth;
  }

  /** Whether a piece has the same bytes at an index. */
  isAt(piece: Uint8Array, index: number): boolean {
    const length = this.length;
    if (length === 0 || index + length >= piece.length) return false;
    for (let i = 0; i <= length; i++) {
      if (piece[index + i] !== this.#bytes[i]) return false;
    }
    return true;
  }
}
