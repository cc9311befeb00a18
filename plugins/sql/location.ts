/** Where in a file a statement failed. */
import type { DatabaseError } from "../../core/plugin.ts";
import { excerpt } from "./excerpt.ts";
import { scanSql } from "./scanner.ts";

/** Text that was sent to the server as one step, and where it stands in its file. */
export interface SentText {
  readonly bytes: Uint8Array;
  /** Line and column of its first byte, from 1. */
  readonly line: number;
  readonly column: number;
  /** The same part of the file as it stands there, where that was not sent byte for byte. */
  readonly original?: Uint8Array;
}

/** A place in a file, with its lines. */
export interface Location {
  readonly line: number;
  readonly column: number;
  /** The lines with a caret below. */
  readonly excerpt: string;
}

/**
 * Finds the place that an error is about: where the server points to, or else
 * the statement that failed, counted by those that had succeeded.
 */
export function locate(error: DatabaseError, sent: SentText): Location | undefined {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const text = decoder.decode(sent.bytes);
  const original = decoder.decode(sent.original ?? sent.bytes);
  const position = error.server.position ?? statementPosition(error, sent.bytes, text);
  if (position === undefined) return undefined;
  const { line, column, lines } = excerpt({
    // Spaces may stand for characters of several bytes: places in both texts would differ then.
    text: original.length === text.length ? original : text,
    position,
    firstLine: sent.line,
    firstColumn: sent.column,
  });
  return { line, column, excerpt: lines };
}

function statementPosition(
  error: DatabaseError,
  bytes: Uint8Array,
  text: string,
): number | undefined {
  const { statements } = scanSql(bytes);
  const statement = statements[error.completed];
  if (statement === undefined) return undefined;
  if (text.length === bytes.length) return statement.start + 1;
  return [...new TextDecoder().decode(bytes.subarray(0, statement.start))].length + 1;
}
