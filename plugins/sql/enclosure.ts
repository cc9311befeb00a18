/**
 * What SQL is not read inside of: quotes, comments and the data after a COPY. Each is gone
 * through in a tight loop that looks for its end and for line feeds alone.
 */
import type { Position } from "./position.ts";
import type { WordTable } from "./words.ts";

/** No enclosure. */
export const NONE = 0;
/** A string of any prefix but E. */
export const STRING = 1;
/** A string in which backslashes escape. */
export const ESCAPE_STRING = 2;
/** An identifier in double quotes. */
export const QUOTED_WORD = 3;
/** A dollar-quoted string. */
export const DOLLAR_STRING = 4;
/** A comment that may hold others. */
export const BLOCK_COMMENT = 5;
/** A comment to the end of its line. */
export const LINE_COMMENT = 6;
/** Lines of data after a COPY FROM STDIN. */
export const COPY_DATA = 7;

/** Returned instead of an index: what the last byte means depends on the one after it. */
export const NEEDS_MORE = -1;

/** What a file cannot end in, by kind, as messages name it. */
const MUST_CLOSE: ReadonlyMap<number, string> = new Map([
  [STRING, "string"],
  [ESCAPE_STRING, "string"],
  [QUOTED_WORD, "quoted identifier"],
  [DOLLAR_STRING, "dollar-quoted string"],
  [BLOCK_COMMENT, "comment"],
]);

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const QUOTE = 39;
const DOUBLE_QUOTE = 34;
const STAR = 42;
const SLASH = 47;
const DOLLAR = 36;
const BACKSLASH = 92;
const POINT = 46;

/** The quote or comment that a file ends in. */
export interface Unclosed {
  readonly what: string;
  readonly line: number;
  readonly column: number;
}

/** The quote, comment or data that the next byte lies in, if any. */
export class Enclosure {
  kind: number = NONE;
  readonly #position: Position;
  readonly #words: WordTable;
  // Where it began; the column is that only once it is counted.
  #at = 0;
  #line = 0;
  #lineStart = 0;
  #column = 0;
  #commentDepth = 0;
  /** The delimiter of a dollar-quoted string, both dollars included. */
  #delimiter = new Uint8Array(64);
  #delimiterLength = 0;
  /** How many bytes of what ends a dollar-quoted string or the data were just seen. */
  #matched = 0;

  /**
   * @param position is told of every line feed
   * @param words is given the bytes of a quoted identifier, quotes included
   */
  constructor(position: Position, words: WordTable) {
    this.#position = position;
    this.#words = words;
  }

  /** Notes that what begins at an offset in the file is or may turn out to be an enclosure. */
  mark(offset: number): void {
    this.#at = offset;
    this.#line = this.#position.line;
    this.#lineStart = this.#position.lineStart;
    this.#delimiterLength = 0;
  }

  /** Adds a byte to the delimiter of a dollar-quoted string. */
  addToDelimiter(byte: number): void {
    if (this.#delimiterLength === this.#delimiter.length) {
      const longer = new Uint8Array(2 * this.#delimiterLength);
      longer.set(this.#delimiter);
      this.#delimiter = longer;
    }
    this.#delimiter[this.#delimiterLength++] = byte;
  }

  /** The delimiter of a dollar-quoted string, as far as it was added. */
  get delimiter(): Uint8Array {
    return this.#delimiter.subarray(0, this.#delimiterLength);
  }

  /** Enters what was marked. */
  open(kind: number): void {
    this.kind = kind;
    this.#matched = 0;
    this.#commentDepth = 1;
  }

  /** What a file that ended here would leave open. */
  get unclosed(): Unclosed | undefined {
    const what = MUST_CLOSE.get(this.kind);
    return what === undefined ? undefined : { what, line: this.#line, column: this.#column };
  }

  /** Counts the column of what was marked, before the piece that holds it is left. */
  settle(piece: Uint8Array): void {
    const index = this.#at - this.#position.base;
    if (index < 0) return;
    this.#column = this.#position.column(piece, { index, lineStart: this.#lineStart });
  }

  /**
   * Goes on inside from an index of the piece.
   *
   * @returns the index after the end, where `kind` is `NONE` again, or after the last byte, or
   *   `NEEDS_MORE`, when all but the last byte is used
   */
  skip(piece: Uint8Array, index: number): number {
    switch (this.kind) {
      case STRING:
        return this.#string(piece, index);
      case ESCAPE_STRING:
        return this.#escapeString(piece, index);
      case QUOTED_WORD:
        return this.#quotedWord(piece, index);
      case DOLLAR_STRING:
        return this.#dollarString(piece, index);
      case BLOCK_COMMENT:
        return this.#blockComment(piece, index);
      case LINE_COMMENT:
        return this.#lineComment(piece, index);
      default:
        return this.#data(piece, index);
    }
  }

  #string(piece: Uint8Array, index: number): number {
    for (let i = index; i < piece.length; i++) {
      const byte = piece[i]!;
      if (byte === QUOTE) {
        if (i + 1 === piece.length) return NEEDS_MORE;
        if (piece[i + 1] !== QUOTE) return this.#close(i + 1);
        i++;
      } else if (byte === LINE_FEED) this.#position.newLine(i + 1);
    }
    return piece.length;
  }

  #escapeString(piece: Uint8Array, index: number): number {
    for (let i = index; i < piece.length; i++) {
      const byte = piece[i]!;
      if (byte === QUOTE) {
        if (i + 1 === piece.length) return NEEDS_MORE;
        if (piece[i + 1] !== QUOTE) return this.#close(i + 1);
        i++;
      } else if (byte === LINE_FEED) this.#position.newLine(i + 1);
      else if (byte === BACKSLASH) {
        if (i + 1 === piece.length) return NEEDS_MORE;
        if (piece[++i] === LINE_FEED) this.#position.newLine(i + 1);
      }
    }
    return piece.length;
  }

  #quotedWord(piece: Uint8Array, index: number): number {
    for (let i = index; i < piece.length; i++) {
      const byte = piece[i]!;
      if (byte === DOUBLE_QUOTE) {
        if (i + 1 === piece.length) return NEEDS_MORE;
        this.#words.add(byte);
        if (piece[i + 1] !== DOUBLE_QUOTE) return this.#close(i + 1);
        i++;
      } else if (byte === LINE_FEED) this.#position.newLine(i + 1);
      this.#words.add(byte);
    }
    return piece.length;
  }

  /** The delimiter has no dollar inside, so only its first byte can begin it anew. */
  #dollarString(piece: Uint8Array, index: number): number {
    const delimiter = this.#delimiter;
    const length = this.#delimiterLength;
    let matched = this.#matched;
    for (let i = index; i < piece.length; i++) {
      const byte = piece[i]!;
      if (matched > 0 && byte === delimiter[matched]) {
        if (++matched === length) return this.#close(i + 1);
      } else if (byte === DOLLAR) matched = 1;
      else {
        matched = 0;
        if (byte === LINE_FEED) this.#position.newLine(i + 1);
      }
    }
    this.#matched = matched;
    return piece.length;
  }

  #blockComment(piece: Uint8Array, index: number): number {
    for (let i = index; i < piece.length; i++) {
      const byte = piece[i]!;
      if (byte === STAR || byte === SLASH) {
        if (i + 1 === piece.length) return NEEDS_MORE;
        if (piece[i + 1] === (byte === STAR ? SLASH : STAR)) {
          i++;
          this.#commentDepth += byte === STAR ? -1 : 1;
          if (this.#commentDepth === 0) return this.#close(i + 1);
        }
      } else if (byte === LINE_FEED) this.#position.newLine(i + 1);
    }
    return piece.length;
  }

  /** The line's end is no part of the comment. */
  #lineComment(piece: Uint8Array, index: number): number {
    for (let i = index; i < piece.length; i++) {
      const byte = piece[i]!;
      if (byte === LINE_FEED || byte === CARRIAGE_RETURN) return this.#close(i);
    }
    return piece.length;
  }

  /** Data ends after a line that is a backslash and a point; -1 stands for any other line. */
  #data(piece: Uint8Array, index: number): number {
    for (let i = index; i < piece.length; i++) {
      const byte = piece[i]!;
      if (byte === LINE_FEED) {
        this.#position.newLine(i + 1);
        if (this.#matched >= 2) return this.#close(i + 1);
        this.#matched = 0;
      } else if (this.#matched === 0 && byte === BACKSLASH) this.#matched = 1;
      else if (this.#matched === 1 && byte === POINT) this.#matched = 2;
      else if (this.#matched === 2 && byte === CARRIAGE_RETURN) this.#matched = 3;
      else this.#matched = -1;
    }
    return piece.length;
  }

  #close(index: number): number {
    this.kind = NONE;
    return index;
  }
}
