/**
 * The fast way through statements whose tokens need not be known one by one, as the many of a
 * file of data: one loop over everything that is common in them.
 */
import type { Position } from "./position.ts";
import { CLASS, CONTINUES_TAG, DIGIT, LETTER, OPERATOR, SPACE } from "./words.ts";

/** 1 for bytes that begin and end nothing but words, numbers and operators. */
const PLAIN: Uint8Array = CLASS.map((kind) =>
  kind === LETTER || kind === DIGIT || kind === SPACE || kind === OPERATOR ? 1 : 0
);

const LINE_FEED = 10;
const DOUBLE_QUOTE = 34;
const QUOTE = 39;
const OPEN = 40;
const CLOSE = 41;
const POINT = 46;

/** Passes over plain text; the fields tell what was passed. */
export class PlainText {
  /** How many parentheses are open. */
  depth = 0;
  /** The index after the last token passed; -1 when none was. */
  end = -1;
  /** The index of a word or number that may go on where the passing ended; -1 when none may. */
  wordAt = -1;
  readonly #position: Position;

  /** @param position is told of every line feed */
  constructor(position: Position) {
    this.#position = position;
  }

  /**
   * Passes words, numbers, operators, parentheses, line feeds, and quotes that need no care.
   *
   * @param from an index where a token may begin
   * @returns the index of the first byte that needs care
   */
  pass(piece: Uint8Array, from: number): number {
    const length = piece.length;
    let i = from;
    // Everything up to here is done with; what follows are words, numbers and operators.
    let done = from;
    let end = -1;
    for (;;) {
      while (i < length && PLAIN[piece[i]!] === 1) i++;
      if (i === length) break;
      const byte = piece[i]!;
      if (byte === QUOTE || byte === DOUBLE_QUOTE) {
        // A letter before a quote may make it one with escapes.
        if (i > done && byte === QUOTE && CONTINUES_TAG[piece[i - 1]!] === 1) break;
        const close = this.#closing(piece, i);
        if (close < 0) break;
        i = end = close + 1;
      } else if (byte === OPEN) {
        this.depth++;
        end = ++i;
      } else if (byte === CLOSE) {
        if (this.depth > 0) this.depth--;
        end = ++i;
      } else if (byte === LINE_FEED) {
        const last = endOfTokens(piece, done, i);
        if (last > done) end = last;
        this.#position.newLine(++i);
      } else break;
      done = i;
    }
    const last = endOfTokens(piece, done, i);
    this.end = last > done ? last : end;
    this.wordAt = last === i ? beginOfWord(piece, done, i) : -1;
    return i;
  }

  /** The index of the quote that ends the one at an index, or -1 when it lies elsewhere. */
  #closing(piece: Uint8Array, open: number): number {
    const quote = piece[open]!;
    const length = piece.length - 1;
    for (let i = open + 1; i < length; i++) {
      const byte = piece[i]!;
      if (byte === quote) {
        if (piece[i + 1] !== quote) return i;
        i++;
      } else if (byte === LINE_FEED) return -1;
    }
    return -1;
  }
}

function endOfTokens(piece: Uint8Array, from: number, to: number): number {
  let end = to;
  while (end > from && CLASS[piece[end - 1]!] === SPACE) end--;
  return end;
}

/** A number takes in what follows it directly, points included, as it does everywhere here. */
function beginOfWord(piece: Uint8Array, from: number, to: number): number {
  let word = to;
  while (word > from && CONTINUES_TAG[piece[word - 1]!] === 1) word--;
  let number = -1;
  for (let i = to; i > from && (CONTINUES_TAG[piece[i - 1]!] === 1 || piece[i - 1] === POINT);) {
    i--;
    const begins = i === from || CONTINUES_TAG[piece[i - 1]!] === 0;
    if (begins && CLASS[piece[i]!] === DIGIT) number = i;
  }
  return number >= 0 ? number : word < to ? word : -1;
}
