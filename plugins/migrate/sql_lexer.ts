/**
 * Finds where statements end in SQL, as the lexers of PostgreSQL 15 to 18 and psql do with
 * standard_conforming_strings on: the rules of the server's scan.l and of psql's psqlscan.l.
 *
 * It is fed pieces of a file and keeps nothing of them but single words. Speed comes from one
 * look-up per byte and from an own tight loop for each construct.
 */
import * as inside from "./sql_enclosure.ts";
import { Position } from "./sql_position.ts";
import type { SqlStatement } from "./sql_statement.ts";
import { TokenRecord } from "./sql_tokens.ts";
import * as sql from "./sql_words.ts";

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
  readonly #words = new sql.WordTable();
  readonly #tokens = new TokenRecord();
  readonly #enclosure = new inside.Enclosure(this.position, this.#words);
  #found: SqlStatement[] = [];
  #state = BETWEEN;
  #from = 0;
  /** Where the current statement began; -1 between statements. */
  #start = -1;
  #startLine = 0;
  #startColumn = 0;
  /** Where the last token ended. */
  #end = 0;
  #wordStart = 0;
  #firstByte = 0;
  /** Whether the bytes of a psql command still belong to its name. */
  #naming = false;
  /** Where a bare E ended: a quote right there begins a string with escapes. */
  #prefixEnd = -1;
  /** Where a string with escapes ended: a quote on a later line goes on with it. */
  #escapeEnd = -1;
  #carriageReturn = -1;
  #copyFollows = false;

  /**
   * Begins later in the file, after a byte order mark.
   *
   * @param offset in bytes
   */
  skipTo(offset: number): void {
    this.position.base =
      this.position.lineStart =
      this.#from =
      this.#end =
        offset;
  }

  /** Gives the statements found since the last call. */
  take(): SqlStatement[] {
    const found = this.#found;
    this.#found = [];
    return found;
  }

  /** The quote or comment that the file would end in here, if any. */
  get unclosed(): inside.Unclosed | undefined {
    return this.#enclosure.unclosed;
  }

  /** Ends the statement that no semicolon has ended, if there is one. */
  endStatement(): void {
    if (this.#start >= 0) this.#conclude(this.#end);
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
      const byte = piece[i]!;
      switch (CLASS[byte]) {
        case sql.SPACE:
          i++;
          continue;
        case sql.LINE_FEED:
          this.position.newLine(++i);
          if (this.#copyFollows) return this.#enter(inside.COPY_DATA, i);
          continue;
        case sql.CARRIAGE_RETURN:
          this.#carriageReturn = this.position.base + i++;
          continue;
        case sql.LETTER:
          this.#begin(piece, i);
          this.#wordStart = this.position.base + i;
          this.#firstByte = byte;
          this.#words.length = 0;
          i = this.#word(piece, i);
          if (this.#state !== BETWEEN) return i;
          continue;
        case sql.DIGIT:
          this.#begin(piece, i);
          return this.#number(piece, i);
        case sql.QUOTE:
          return this.#quote(piece, i);
        case sql.DOUBLE_QUOTE:
          this.#begin(piece, i);
          this.#enclosure.mark(this.position.base + i);
          this.#words.length = 0;
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
          this.#begin(piece, i);
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
          this.#end = this.position.base + ++i;
          if (this.#start < 0) this.#from = this.#end;
          else if (this.#tokens.endsAtSemicolon()) this.#conclude(this.#end);
          continue;
        case sql.BACKSLASH:
          this.endStatement();
          this.#begin(piece, i);
          this.#words.length = 0;
          this.#naming = true;
          this.#state = PSQL_COMMAND;
          return i;
      }
      this.#single(piece, i++);
    }
    return i;
  }

  /** Begins a statement with the token at an index, unless one has begun. */
  #begin(piece: Uint8Array, index: number): void {
    if (this.#start >= 0) return;
    this.#start = this.position.base + index;
    this.#startLine = this.position.line;
    this.#startColumn = this.position.column(piece, { index });
  }

  #conclude(end: number): void {
    const { words, kind, chain } = this.#tokens.conclude();
    this.#found.push({
      from: this.#from,
      start: this.#start,
      end,
      line: this.#startLine,
      column: this.#startColumn,
      words,
      kind,
      chain,
    });
    this.#from = end;
    this.#start = -1;
    this.#copyFollows ||= kind === "copy-stdin";
  }

  #single(piece: Uint8Array, i: number): void {
    this.#begin(piece, i);
    this.#end = this.position.base + i + 1;
    if (this.#tokens.wanted) this.#tokens.add(sql.CHARACTERS[piece[i]!]!);
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
      this.#copyFollows = false;
      this.#from = offset;
    } else if (kind !== inside.BLOCK_COMMENT) {
      this.#end = offset;
      if (kind === inside.ESCAPE_STRING) this.#escapeEnd = offset;
      if (this.#tokens.wanted) {
        this.#tokens.add(kind === inside.QUOTED_WORD ? this.#words.take() : "'");
      }
    }
    return next;
  }

  #quote(piece: Uint8Array, i: number): number {
    this.#begin(piece, i);
    const { base, lineStart } = this.position;
    const goesOn = this.#escapeEnd === this.#end &&
      (lineStart > this.#end || this.#carriageReturn >= this.#end);
    const escapes = goesOn || this.#prefixEnd === base + i;
    this.#enclosure.mark(base + i);
    return this.#enter(escapes ? inside.ESCAPE_STRING : inside.STRING, i + 1);
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
    this.#end = end;
    if (end - this.#wordStart === 1 && (this.#firstByte | 32) === LETTER_E) this.#prefixEnd = end;
    if (this.#tokens.wanted) this.#tokens.add(this.#words.take());
  }

  /** Numbers of every form, and what may not but does follow one; also of a parameter. */
  #number(piece: Uint8Array, from: number): number {
    let i = from;
    while (i < piece.length && (CONTINUES_TAG[piece[i]!] === 1 || piece[i] === POINT)) i++;
    this.#state = i < piece.length ? BETWEEN : NUMBER;
    if (this.#state === BETWEEN) {
      this.#end = this.position.base + i;
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
    this.#words.length = 0;
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
        this.#conclude(this.#end);
        return i;
      }
      this.#naming &&= CLASS[byte] !== sql.SPACE && byte !== CARRIAGE_RETURN;
      if (this.#naming) this.#words.add(byte);
      if (byte !== CARRIAGE_RETURN) this.#end = this.position.base + i + 1;
    }
    return piece.length;
  }
}
