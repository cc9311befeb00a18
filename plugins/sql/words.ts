/**
 * The bytes of SQL by what they begin, and the words of a file as strings, of
 * which each distinct one is made once.
 */

/** A byte that is a token of its own or part of an operator, and every other one. */
export const OPERATOR = 0;
/** White space within a line. */
export const SPACE = 1;
/** The end of a line. */
export const LINE_FEED = 2;
/** White space that also ends a comment. */
export const CARRIAGE_RETURN = 3;
/** A byte that begins a word. */
export const LETTER = 4;
/** A digit. */
export const DIGIT = 5;
/** A single quote. */
export const QUOTE = 6;
/** A double quote. */
export const DOUBLE_QUOTE = 7;
/** A dollar, which begins a quote or a parameter. */
export const DOLLAR = 8;
/** A dash, which may begin a comment. */
export const DASH = 9;
/** A slash, which may begin a comment. */
export const SLASH = 10;
/** An opening parenthesis. */
export const OPEN = 11;
/** A closing parenthesis. */
export const CLOSE = 12;
/** A semicolon. */
export const SEMICOLON = 13;
/** A backslash, which begins a command of psql. */
export const BACKSLASH = 14;

/** The class of each byte; everything beyond ASCII is a letter, as in the server's lexer. */
export const CLASS: Uint8Array = classify();
/** 1 for bytes that continue an identifier: letters, digits, underscore and dollar. */
export const CONTINUES_WORD: Uint8Array = mark((c) => c === LETTER || c === DIGIT || c === DOLLAR);
/** 1 for bytes that continue the tag of a dollar quote: the same without the dollar. */
export const CONTINUES_TAG: Uint8Array = mark((c) => c === LETTER || c === DIGIT);
/** Each byte with the letters of ASCII in upper case. */
export const UPPER: Uint8Array = Uint8Array.from(
  { length: 256 },
  (_, byte) => byte >= 97 && byte <= 122 ? byte - 32 : byte,
);

function classify(): Uint8Array {
  const table = new Uint8Array(256);
  for (let byte = 0; byte < 256; byte++) {
    const letter = (byte | 32) >= 97 && (byte | 32) <= 122;
    if (letter || byte === 95 || byte >= 128) table[byte] = LETTER;
    else if (byte >= 48 && byte <= 57) table[byte] = DIGIT;
  }
  const single: readonly (readonly [string, number])[] = [
    [" \t\v\f", SPACE],
    ["\n", LINE_FEED],
    ["\r", CARRIAGE_RETURN],
    ["'", QUOTE],
    ['"', DOUBLE_QUOTE],
    ["$", DOLLAR],
    ["-", DASH],
    ["/", SLASH],
    ["(", OPEN],
    [")", CLOSE],
    [";", SEMICOLON],
    ["\\", BACKSLASH],
  ];
  for (const [characters, value] of single) {
    for (const character of characters) table[character.charCodeAt(0)] = value;
  }
  return table;
}

function mark(holds: (value: number) => boolean): Uint8Array {
  return CLASS.map((value) => holds(value) ? 1 : 0);
}

/** Strings of one character by its byte, for tokens that are neither words nor quoted. */
export const CHARACTERS: readonly string[] = Array.from(
  { length: 256 },
  (_, byte) => String.fromCharCode(byte),
);

/** Bytes of a word that are kept: the length to which the server cuts identifiers. */
const WORD_BYTES = 63;
/** A power of two. */
const SLOTS = 1024;

/** Collects the bytes of one word after the other and turns them into strings. */
export class WordTable {
  readonly #bytes = new Uint8Array(WORD_BYTES);
  #length = 0;
  #hash = 0;
  // The last word of each slot: its bytes, their number, and the string.
  readonly #known = new Uint8Array(SLOTS * WORD_BYTES);
  readonly #lengths = new Uint8Array(SLOTS);
  readonly #strings = new Array<string>(SLOTS).fill("");

  /** Begins a word. */
  begin(): void {
    this.#length = 0;
    this.#hash = 0;
  }

  /** Adds a byte to the word, as long as it is not longer than what is kept. */
  add(byte: number): void {
    if (this.#length === WORD_BYTES) return;
    this.#bytes[this.#length++] = byte;
    this.#hash = (Math.imul(this.#hash, 31) + byte) | 0;
  }

  /** The word as a string; the same one as before when the word came before. */
  take(): string {
    const hash = this.#hash;
    const slot = (hash ^ (hash >>> 10) ^ (hash >>> 20)) & (SLOTS - 1);
    if (this.#isIn(slot)) return this.#strings[slot]!;
    const bytes = this.#bytes.subarray(0, this.#length);
    const word = decodeWord(bytes);
    this.#known.set(bytes, slot * WORD_BYTES);
    this.#lengths[slot] = this.#length;
    this.#strings[slot] = word;
    return word;
  }

  #isIn(slot: number): boolean {
    const length = this.#length;
    if (this.#lengths[slot] !== length) return false;
    const from = slot * WORD_BYTES;
    for (let i = 0; i < length; i++) {
      if (this.#known[from + i] !== this.#bytes[i]) return false;
    }
    return true;
  }
}

/** Words are cut at a fixed number of bytes, so the last character may be incomplete. */
function decodeWord(bytes: Uint8Array): string {
  const word = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  return word.endsWith("\uFFFD") ? word.slice(0, -1) : word;
}
