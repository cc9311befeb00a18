/**
 * Splits SQL files into statements. Files come in chunks of any size and no part of them is kept
 * but single words, so they may be larger than memory.
 */
import { OperationError } from "../../core/plugin.ts";
import { EncodingCheck, type EncodingFault } from "./encoding.ts";
import { SqlLexer } from "./lexer.ts";
import type { SqlStatement } from "./statement.ts";

const BYTE_ORDER_MARK: readonly number[] = [0xef, 0xbb, 0xbf];
/** Ends whatever may end a file: words, operators, comments to the end of the line. */
const END_OF_FILE: Uint8Array = Uint8Array.of(10);

/**
 * Scans one file. Statements come out as soon as their end is seen; offsets count from the
 * start of the file. After an error the scanner is of no further use.
 */
export class SqlScanner {
  readonly #encoding = new EncodingCheck();
  readonly #lexer = new SqlLexer();
  #bom = false;
  /** The first bytes of the file, until it is known whether they are a byte order mark. */
  #head: number[] | undefined = [];
  /** The last byte, when what it means depends on the next one; -1 otherwise. */
  #held = -1;

  /** Whether the file begins with a byte order mark, which psql skips and the server refuses. */
  get bom(): boolean {
    return this.#bom;
  }

  /**
   * Scans the next bytes of the file. They are neither kept nor changed.
   *
   * @returns the statements that end in them
   * @throws OperationError `sql_nul` or `sql_not_utf8` with details `offset` (bytes) and `line`
   */
  scan(chunk: Uint8Array): SqlStatement[] {
    this.#refuse(this.#encoding.check(chunk), chunk);
    let from = 0;
    if (this.#head !== undefined) {
      while (from < chunk.length && this.#head.length < BYTE_ORDER_MARK.length) {
        this.#head.push(chunk[from++]!);
      }
      if (this.#head.length < BYTE_ORDER_MARK.length) return [];
      this.#takeHead();
    }
    this.#take(chunk.subarray(from));
    return this.#lexer.found.take();
  }

  /**
   * Ends the file.
   *
   * @returns the last statement when no semicolon ends it
   * @throws OperationError `sql_unterminated` with details `line`, `column` and `what` of a quote
   *   or comment that is not closed; `sql_not_utf8` when the last character is incomplete
   */
  finish(): SqlStatement[] {
    this.#refuse(this.#encoding.finish(), END_OF_FILE);
    if (this.#head !== undefined) this.#takeHead();
    this.#take(END_OF_FILE);
    const { unclosed } = this.#lexer;
    if (unclosed !== undefined) {
      const { what, line, column } = unclosed;
      throw new OperationError(
        `The ${what} that begins at line ${line}, column ${column} is not closed`,
        { code: "sql_unterminated", details: { line, column, what } },
      );
    }
    this.#lexer.found.conclude();
    return this.#lexer.found.take();
  }

  #takeHead(): void {
    const head = this.#head ?? [];
    this.#head = undefined;
    this.#bom = head.length === 3 && head.every((byte, i) => byte === BYTE_ORDER_MARK[i]);
    if (this.#bom) this.#lexer.skipTo(BYTE_ORDER_MARK.length);
    else this.#take(Uint8Array.from(head));
  }

  #take(bytes: Uint8Array): void {
    let from = 0;
    while (this.#held >= 0 && from < bytes.length) {
      const held = this.#held;
      this.#held = -1;
      this.#lex(Uint8Array.of(held, bytes[from++]!));
    }
    if (from < bytes.length) this.#lex(bytes.subarray(from));
  }

  #lex(bytes: Uint8Array): void {
    if (this.#lexer.lex(bytes) < bytes.length) this.#held = bytes[bytes.length - 1]!;
  }

  #refuse(fault: EncodingFault | undefined, chunk: Uint8Array): void {
    if (fault === undefined) return;
    const { offset, what } = fault;
    const { position } = this.#lexer;
    // Bytes before the chunk that the lexer has not had yet end no line, except the first ones.
    let line = position.line;
    for (const byte of this.#head ?? []) if (byte === 10) line++;
    const before = position.base + (this.#head?.length ?? 0) + (this.#held < 0 ? 0 : 1);
    for (let i = 0; i < offset - before; i++) if (chunk[i] === 10) line++;
    throw what === "nul"
      ? new OperationError(`Line ${line} holds a NUL byte, which no text in the database can`, {
        code: "sql_nul",
        details: { offset, line },
      })
      : new OperationError(`Line ${line} is not valid UTF-8`, {
        code: "sql_not_utf8",
        details: { offset, line },
      });
  }
}

/**
 * Splits a whole file that is in memory.
 *
 * @throws OperationError as `SqlScanner` does
 */
export function scanSql(bytes: Uint8Array): { statements: SqlStatement[]; bom: boolean } {
  const scanner = new SqlScanner();
  const statements = scanner.scan(bytes).concat(scanner.finish());
  return { statements, bom: scanner.bom };
}
