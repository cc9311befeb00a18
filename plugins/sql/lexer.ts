/**
 * Finds where statements end in SQL, as the lexers of PostgreSQL 15 to 18 and psql do with
 * standard_conforming_strings on: the rules of the server's scan.l and of psql's psqlscan.l.
 *
 * It is fed pieces of a file and keeps nothing of them but single words. Speed comes from one
 * look-up per byte and from an own tight loop for each construct.
 */
import * as inside from "./enclosure.ts";
import { FoundStatements } from "./found.ts";
import { Opening } from "./opening.ts";
import { PlainText } from "./plain.ts";
import { Position } from "./position.ts";
import * as sql from "./words.ts";

const { NEEDS_MORE } = inside;
const { CLASS, CONTINUES_TAG, CONTINUES_WORD, UPPER } = sql;

// What the next byte belongs to, when it is in no enclosure.
const BETWEEN = 0;
const WORD = 1;
const NUMBER = 2;
const TAG = 3;
const PSQL_COMMAND = 4;

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const DOLLAR = 36;
const STAR = 42;
const DASH = 45;
const POINT = 46;
const LETTER_E = 101;

/** The state of lexing one file. */
export class SqlLexer {
  readonly position: Position = new Position();
  readonly found: FoundStatements = new FoundStatements(this.position);
  readonly #tokens = this.found.tokens;
  readonly #words = new sql.WordTable();
  readonly #enclosure = new inside.Enclosure(this.position, this.#words);
  readonly #plain = new PlainText(this.position);
  readonly #opening = new Opening();
  #state = BETWEEN;
  #wordStart = 0;
  #firstByte = 0;
  /** Whether the bytes of a psql command still belong to its name. */
  #naming = false;
  /** Where a bare E ended: a quote right there begins a string with escapes. */
  #prefixEnd = -1;
  /** Where a string with escapes ended: a quote on a later line goes on with it. */
  #escapeEnd = -1;
  #carriageReturn = -1;

  /**
   * Begins later in the file, after a byte order mark.
   *
   * @param offset in bytes
   */
  skipTo(offset: number): void {
    this.position.base = this.position.lineStart = offset;
    this.found.leaveOut(offset);
  }

  /** The quote or comment that the file would end in here, if any. */
  get unclosed(): inside.Unclosed | undefined {
    return this.#enclosure.unclosed;
  }

  /**
   * Goes on with the next bytes.
   *
   * @returns how many were used; when the last one is not, it has to come again with the next ones
   */
  lex(piece: Uint8Array): number {
    let i = 0;
    while (i < piece.length) {
      const next = this.#enclosure.kind === inside.NONE
        ? this.#step(piece, i)
        : this.#skip(piece, i);
      if (next === NEEDS_MORE) {
        i = piece.length - 1;
        break;
      }
      i = next;
    }
    if (this.unclosed !== undefined || this.#state === TAG) this.#enclosure.settle(piece);
    this.position.leave(piece, i);
    return i;
  }

  #step(piece: Uint8Array, i: number): number {
    switch (this.#state) {
      case BETWEEN:
        return this.#between(piece, i);
      case WORD:
        return this.#word(piece, i);
      case NUMBER:
        return this.#number(piece, i);
      case TAG:
        return this.#dollarTag(piece, i);
      default:
        return this.#psqlCommand(piece, i);
    }
  }

  #between(piece: Uint8Array, from: number): number {
    let i = from;
    while (i < piece.length) {
      if (!this.#tokens.wanted && !this.found.copyFollows && !this.#mayEscape) {
        if (this.#tokens.complete) this.#keepOpening(piece, i);
        i = this.#pass(piece, i);
        if (i === piece.length) return i;
      }
      const byte = piece[i]!;
      switch (CLASS[byte]) {
        case sql.SPACE:
          i++;
          continue;
        case sql.LINE_FEED:
          this.position.newLine(++i);
          if (this.found.copyFollows) return this.#enter(inside.COPY_DATA, i);
          continue;
        case sql.CARRIAGE_RETURN:
          this.#carriageReturn = this.position.base + i++;
          continue;
        case sql.LETTER:
          if (this.found.start < 0 && this.#opening.isAt(piece, i)) {
            this.found.begin(piece, i);
            this.#tokens.repeat(this.#opening);
            i += this.#opening.length;
            this.found.end = this.position.base + i;
            continue;
          }
          this.found.begin(piece, i);
          this.#wordStart = this.position.base + i;
          this.#firstByte = byte;
          this.#words.begin();
          i = this.#word(piece, i);
          if (this.#state !== BETWEEN) return i;
          continue;
        case sql.DIGIT:
          this.found.begin(piece, i);
          return this.#number(piece, i);
        case sql.QUOTE:
          i = this.#quote(piece, i);
          if (this.#enclosure.kind !== inside.NONE) return i;
          continue;
        case sql.DOUBLE_QUOTE:
          this.found.begin(piece, i);
          this.#enclosure.mark(this.position.base + i);
          this.#words.begin();
          this.#words.add(byte);
          return this.#enter(inside.QUOTED_WORD, i + 1);
        case sql.DASH:
          if (i + 1 === piece.length) return NEEDS_MORE;
          if (piece[i + 1] === DASH) return this.#enter(inside.LINE_COMMENT, i + 2);
          break;
        case sql.SLASH:
          if (i + 1 === piece.length) return NEEDS_MORE;
          if (piece[i + 1] === STAR) {
            this.#enclosure.mark(this.position.base + i);
            // Such a comment, unlike one to the end of a line, keeps a string from going on.
            this.#escapeEnd = -1;
            return this.#enter(inside.BLOCK_COMMENT, i + 2);
          }
          break;
        case sql.DOLLAR: {
          if (i + 1 === piece.length) return NEEDS_MORE;
          const next = CLASS[piece[i + 1]!];
          this.found.begin(piece, i);
          if (next === sql.DIGIT) return this.#number(piece, i + 1);
          if (next === sql.LETTER || next === sql.DOLLAR) {
            this.#enclosure.mark(this.position.base + i);
            this.#enclosure.addToDelimiter(byte);
            this.#state = TAG;
            return i + 1;
          }
          break;
        }
        case sql.OPEN:
          this.#single(piece, i++);
          this.#tokens.depth++;
          continue;
        case sql.CLOSE:
          if (this.#tokens.depth > 0) this.#tokens.depth--;
          break;
        case sql.SEMICOLON:
          this.found.end = this.position.base + ++i;
          if (this.found.start < 0) this.found.leaveOut(this.found.end);
          else if (this.#tokens.endsAtSemicolon()) this.found.conclude();
          continue;
        case sql.BACKSLASH:
          this.found.conclude();
          this.found.begin(piece, i);
          this.#words.begin();
          this.#naming = true;
          this.#state = PSQL_COMMAND;
          return i;
      }
      this.#single(piece, i++);
    }
    return i;
  }

  #single(piece: Uint8Array, i: number): void {
    this.found.begin(piece, i);
    this.found.add(sql.CHARACTERS[piece[i]!]!, i + 1);
  }

  #enter(kind: number, index: number): number {
    this.#enclosure.open(kind);
    return index;
  }

  #skip(piece: Uint8Array, index: number): number {
    const { kind } = this.#enclosure;
    const next = this.#enclosure.skip(piece, index);
    if (this.#enclosure.kind !== inside.NONE || kind === inside.LINE_COMMENT) return next;
    const offset = this.position.base + next;
    if (kind === inside.COPY_DATA) {
      this.found.copyFollows = false;
      this.found.leaveOut(offset);
    } else if (kind !== inside.BLOCK_COMMENT) {
      this.found.end = offset;
      if (kind === inside.ESCAPE_STRING) this.#escapeEnd = offset;
      if (this.#tokens.wanted) {
        this.#tokens.add(kind === inside.QUOTED_WORD ? this.#words.take() : "'");
      }
    }
    return next;
  }

  #quote(piece: Uint8Array, i: number): number {
    this.found.begin(piece, i);
    const { base, lineStart } = this.position;
    const goesOn = this.#escapeEnd === this.found.end &&
      (lineStart > this.found.end || this.#carriageReturn >= this.found.end);
    const escapes = goesOn || this.#prefixEnd === base + i;
    this.#enclosure.mark(base + i);
    this.#enclosure.open(escapes ? inside.ESCAPE_STRING : inside.STRING);
    return this.#skip(piece, i + 1);
  }

  /** Whether after the last token a quote may begin a string with escapes. */
  get #mayEscape(): boolean {
    const { end } = this.found;
    return this.#prefixEnd === end || this.#escapeEnd === end;
  }

  /** Keeps how the statement began for the next one, which is likely to begin alike. */
  #keepOpening(piece: Uint8Array, to: number): void {
    this.#tokens.complete = false;
    const from = this.found.start - this.position.base;
    this.#opening.keep(piece, { from, to, words: this.#tokens.words, depth: this.#tokens.depth });
  }

  /** Passes tokens that nobody wants, up to the next byte that may begin something else. */
  #pass(piece: Uint8Array, from: number): number {
    const plain = this.#plain;
    plain.depth = this.#tokens.depth;
    const i = plain.pass(piece, from);
    this.#tokens.depth = plain.depth;
    const { base } = this.position;
    if (plain.end >= 0) this.found.end = base + plain.end;
    if (plain.wordAt < 0) return i;
    this.#firstByte = piece[plain.wordAt]!;
    if (CLASS[this.#firstByte] === sql.DIGIT) return this.#number(piece, i);
    this.#wordStart = base + plain.wordAt;
    return this.#word(piece, i);
  }

  #word(piece: Uint8Array, from: number): number {
    let i = from;
    if (this.#tokens.wanted) {
      while (i < piece.length && CONTINUES_WORD[piece[i]!] === 1) {
        this.#words.add(UPPER[piece[i++]!]!);
      }
    } else while (i < piece.length && CONTINUES_WORD[piece[i]!] === 1) i++;
    this.#state = i < piece.length ? BETWEEN : WORD;
    if (this.#state === BETWEEN) this.#endWord(this.position.base + i);
    return i;
  }

  #endWord(end: number): void {
    this.found.end = end;
    if (end - this.#wordStart === 1 && (this.#firstByte | 32) === LETTER_E) this.#prefixEnd = end;
    if (this.#tokens.wanted) this.#tokens.add(this.#words.take());
  }

  /** Numbers of every form, and what may not but does follow one; also of a parameter. */
  #number(piece: Uint8Array, from: number): number {
    let i = from;
    while (i < piece.length && (CONTINUES_TAG[piece[i]!] === 1 || piece[i] === POINT)) i++;
    this.#state = i < piece.length ? BETWEEN : NUMBER;
    if (this.#state === BETWEEN) {
      this.found.end = this.position.base + i;
      if (this.#tokens.wanted) this.#tokens.add("0");
    }
    return i;
  }

  /** What follows a dollar is a tag when a dollar ends it, and else a word. */
  #dollarTag(piece: Uint8Array, from: number): number {
    let i = from;
    while (i < piece.length && CONTINUES_TAG[piece[i]!] === 1) {
      this.#enclosure.addToDelimiter(piece[i++]!);
    }
    if (i === piece.length) return i;
    this.#state = BETWEEN;
    if (piece[i] === DOLLAR) {
      this.#enclosure.addToDelimiter(DOLLAR);
      return this.#enter(inside.DOLLAR_STRING, i + 1);
    }
    const word = this.#enclosure.delimiter.subarray(1);
    this.#wordStart = this.position.base + i - word.length;
    this.#firstByte = word[0]!;
    this.#words.begin();
    for (const byte of word) this.#words.add(UPPER[byte]!);
    if (this.#tokens.wanted) this.#tokens.add("$");
    this.#endWord(this.position.base + i);
    return i;
  }

  /** Only the command's name is kept: what follows may be a password. */
  #psqlCommand(piece: Uint8Array, from: number): number {
    for (let i = from; i < piece.length; i++) {
      const byte = piece[i]!;
      if (byte === LINE_FEED) {
        this.#state = BETWEEN;
        this.#tokens.add(this.#words.take());
        this.found.conclude();
        return i;
      }
      this.#naming &&= CLASS[byte] !== sql.SPACE && byte !== CARRIAGE_RETURN;
      if (this.#naming) this.#words.add(byte);
      if (byte !== CARRIAGE_RETURN) this.found.end = this.position.base + i + 1;
    }
    return piece.length;
  }
}
