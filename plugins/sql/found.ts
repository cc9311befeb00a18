/** The statements found in a file, and the one that is being found. */
import type { Position } from "./position.ts";
import type { SqlStatement } from "./statement.ts";
import { TokenRecord } from "./tokens.ts";

/** Builds statements of their tokens and of where these stand. */
export class FoundStatements {
  /** The tokens of the current statement. */
  readonly tokens: TokenRecord = new TokenRecord();
  /** The offset in the file where the current statement began; -1 between statements. */
  start = -1;
  /** The offset after the last token. */
  end = 0;
  /** Whether data for a COPY begins with the next line. */
  copyFollows = false;
  readonly #position: Position;
  #found: SqlStatement[] = [];
  #from = 0;
  #line = 0;
  #column = 0;

  /** @param position tells the line and column in which a statement begins */
  constructor(position: Position) {
    this.#position = position;
  }

  /** Begins a statement with the token at an index of the piece, unless one has begun. */
  begin(piece: Uint8Array, index: number): void {
    if (this.start >= 0) return;
    this.start = this.#position.base + index;
    this.#line = this.#position.line;
    this.#column = this.#position.column(piece, { index });
  }

  /** Adds a token, written as in `SqlStatement.words`, that ends before an index of the piece. */
  add(token: string, index: number): void {
    this.end = this.#position.base + index;
    if (this.tokens.wanted) this.tokens.add(token);
  }

  /** Ends the current statement, if there is one, after its last token. */
  conclude(): void {
    if (this.start < 0) return;
    const { words, kind, chain } = this.tokens.conclude();
    this.#found.push({
      from: this.#from,
      start: this.start,
      end: this.end,
      line: this.#line,
      column: this.#column,
      words,
      kind,
      chain,
    });
    this.#from = this.end;
    this.start = -1;
    this.copyFollows ||= kind === "copy-stdin";
  }

  /** Says that what lies before an offset belongs to no statement to come. */
  leaveOut(offset: number): void {
    this.#from = offset;
  }

  /** Gives the statements found since the last call. */
  take(): SqlStatement[] {
    const found = this.#found;
    this.#found = [];
    return found;
  }
}
