/** Cuts a stream of SQL into pieces that end where statements end, so that no file need be held whole. */
import type { Hash } from "node:crypto";
import { ByteQueue } from "./byte_queue.ts";
import { SqlScanner } from "./scanner.ts";
import type { SqlStatement } from "./statement.ts";

/** Some whole statements of a file, as they stand there. */
export interface Piece {
  readonly bytes: Uint8Array;
  /** Where the first statement begins in the file; from 1. */
  readonly line: number;
  readonly column: number;
  /** The first statement. */
  readonly statement: SqlStatement;
}

/** Goes through the statements of one file in order and tells which are sent. */
export interface StatementRules {
  /** Takes the next statement; false when it is to be left out. */
  accept(statement: SqlStatement): boolean;
  /** Told that there are no more. */
  finish(): void;
  /** What stands against the file; once there is any, no more of it is read. */
  readonly faults: readonly unknown[];
  /** A left out BEGIN whose text is wanted. */
  readonly begin?: SqlStatement | undefined;
}

/** How a stream is cut. */
export interface PieceOptions {
  /** Told of every statement; decides which are left out. */
  readonly rules: StatementRules;
  /** Given every byte of the stream. */
  readonly hash: Hash;
  /** A piece is given out once it has this many bytes; 0 gives every statement by itself. */
  readonly bytes: number;
  /** Given the text of a BEGIN with options, which is sent in place of a plain one. */
  readonly onBegin?: (text: Uint8Array) => void;
  /** Told how many bytes are read. */
  readonly onProgress?: (bytes: number) => void;
}

/** The size of the pieces that are sent. */
export const PIECE_BYTES = 256 << 10;

/**
 * Reads a stream to its end, or until the rules find a fault.
 *
 * @throws OperationError when it is not SQL in UTF-8 as far as splitting it goes
 */
export async function* readPieces(
  stream: ReadableStream<Uint8Array>,
  options: PieceOptions,
): AsyncGenerator<Piece> {
  const { rules, hash } = options;
  const scanner = new SqlScanner();
  const cutter = new Cutter(options);
  let read = 0;
  for await (const chunk of stream) {
    hash.update(chunk);
    cutter.queue.push(chunk);
    read += chunk.length;
    options.onProgress?.(read);
    yield* cutter.cut(scanner.scan(chunk));
    // The rest of a file that is refused is not wanted; it may be the data of a COPY.
    if (rules.faults.length > 0) return;
  }
  yield* cutter.cut(scanner.finish());
  yield* cutter.rest();
  rules.finish();
}

class Cutter {
  readonly queue = new ByteQueue();
  readonly #options: PieceOptions;
  #first: SqlStatement | undefined;
  #end = 0;

  constructor(options: PieceOptions) {
    this.#options = options;
  }

  *cut(statements: readonly SqlStatement[]): Generator<Piece> {
    const { rules, bytes, onBegin } = this.#options;
    for (const statement of statements) {
      if (!rules.accept(statement)) {
        yield* this.rest();
        const text = this.queue.take(statement.start, statement.end);
        if (rules.begin === statement) onBegin?.(text);
        continue;
      }
      this.#first ??= statement;
      this.#end = statement.end;
      if (this.#end - this.#first.start >= bytes) yield* this.rest();
    }
  }

  *rest(): Generator<Piece> {
    const statement = this.#first;
    if (statement === undefined) return;
    this.#first = undefined;
    yield {
      bytes: this.queue.take(statement.start, this.#end),
      line: statement.line,
      column: statement.column,
      statement,
    };
  }
}
