/**
 * The bytes of SQL by what they begin, and the words of a file as strings, of
 * which each distinct one is made once.
 */

/** What a byte begins or ends outside quotes and comments. */
export const OPERATOR = 0;
export const SPACE = 1;
export const LINE_FEED = 2;
export const CARRIAGE_RETURN = 3;
export const LETTER = 4;
export const DIGIT = 5;
export const QUOTE = 6;
export const DOUBLE_QUOTE = 7;
export const DOLLAR = 8;
export const DASH = 9;
export const SLASH = 10;
export const OPEN = 11;
export const CLOSE = 12;
export const SEMICOLON = 13;
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
export const WORD_BYTES = 63;
const SLOTS = 1024;

/** Collects the bytes of one word after the other and turns them into strings. */
export class WordTable {
  /** The bytes of the current word, its first `length` ones. */
  readonly bytes: Uint8Array = new Uint8Array(WORD_BYTES);
  /** How many bytes the current word has so far, at most `WORD_BYTES`. */
  length = 0;
  readonly #slots: string[] = new Array<string>(SLOTS).fill("");

  /** Adds a byte to the current word, as long as it is not longer than what is kept. */
  add(byte: number): void {
    if (this.length < WORD_BYTES) this.bytes[this.length++] = byte;
  }

  /** The current word as a string; the same one as before when the word came before. */
  take(): string {
    const { bytes, length } = this;
    let hash = length;
    for (let i = 0; i < length; i++) hash = (Math.imul(hash, 31) + bytes[i]!) | 0;
    const slot = (hash ^ (hash >>> 15)) & (SLOTS - 1);
    const known = this.#slots[slot]!;
    if (known.length === length && this.#equals(known)) return known;
    const word = decodeWord(bytes.subarray(0, length));
    this.#slots[slot] = word;
    return word;
  }

  #equals(known: string): boolean {
    for (let i = 0; i < known.length; i++) {
      if (known.charCodeAt(i) !== this.bytes[i]!) return false;
    }
    return true;
  }
}

/** Words are cut at a fixed number of bytes, so the last character may be incomplete. */
function decodeWord(bytes: Uint8Array): string {
  const word = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  return word.endsWith("\uFFFD") ? word.slice(0, -1) : word;
}
