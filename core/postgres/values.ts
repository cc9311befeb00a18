/** Values on their way to and from the server, and the replies they arrive in. */
import type { Row, SqlParameter } from "../plugin.ts";
import { cString, int32, ProtocolError, text, uint16 } from "./message_reader.ts";
import { readText, rowReader as readerOf, WHOLE_ROW_BYTES } from "./row_bytes.mjs";

/** The object identifier of bytea. */
const BYTEA = 17;

/** One column of a result. */
export interface Field {
  readonly name: string;
  /** The type's object identifier. */
  readonly type: number;
}

const encoder = new TextEncoder();

/** A parameter as the server takes it: bytes as they are, everything else as text. */
export function encodeParameter(value: SqlParameter): Uint8Array | null {
  if (value === null || value instanceof Uint8Array) return value;
  return encoder.encode(Object.is(value, -0) ? "-0" : String(value));
}

/** The type a parameter is declared with: bytea for bytes; 0 leaves it to the server. */
export function parameterType(value: SqlParameter): number {
  return value instanceof Uint8Array ? BYTEA : 0;
}

/** The columns that a RowDescription tells of. */
export function readFields(bytes: Uint8Array, start: number, end: number): Field[] {
  const fields: Field[] = [];
  let at = start + 2;
  for (let left = uint16(bytes, start); left > 0; left--) {
    const { value: name, next } = cString(bytes, at, end);
    fields.push({ name, type: int32(bytes, next + 6) >>> 0 });
    at = next + 18;
  }
  if (at !== end) throw new ProtocolError("a description of columns has the wrong length");
  return fields;
}

/** Reads every value as the server's text. */
export function textRow(bytes: Uint8Array, start: number, end: number): (string | null)[] {
  const whole = end - start > WHOLE_ROW_BYTES ? undefined : text(bytes, start, end);
  return splitRow({ bytes, start, end, whole }) ?? splitRow({ bytes, start, end }) ?? [];
}

/**
 * Splits a row into its values. They are parts of the text of the whole row, where that is given:
 * several times faster than a call of the decoder for each. The lengths between the values are no
 * text, but each of their bytes becomes one character.
 *
 * @returns undefined when the text is no help, since a server without an encoding has sent whatever
 * bytes it was once given
 */
function splitRow(
  { bytes, start, end, whole }: {
    readonly bytes: Uint8Array;
    readonly start: number;
    readonly end: number;
    readonly whole?: string | undefined;
  },
): (string | null)[] | undefined {
  const row: (string | null)[] = [];
  const surplus = whole === undefined ? 0 : end - start - whole.length;
  const columns = uint16(bytes, start);
  let at = start + 2;
  // Where characters begin in the text when they are counted as bytes.
  let origin = start;
  for (let column = 0; column < columns; column++) {
    const length = int32(bytes, at);
    at += 4;
    if (length < 0) {
      row.push(null);
      continue;
    }
    const from = at;
    at += length;
    if (at > end) break;
    if (whole === undefined) {
      row.push(readText(bytes, from, at));
    } else {
      const before = origin;
      if (surplus !== 0) origin += surplusIn(bytes, from, at);
      row.push(whole.substring(from - before, at - origin));
    }
  }
  if (at !== end) throw wrongLength();
  return origin - start === surplus ? row : undefined;
}

/**
 * How many bytes a text in UTF-8 has more than characters, as JavaScript counts these: two for one
 * of four bytes. NaN when a character is incomplete; never too few for one that is not allowed.
 */
function surplusIn(bytes: Uint8Array, start: number, end: number): number {
  let surplus = 0;
  let missing = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    const continues = byte >= 0x80 && byte < 0xc0;
    if (continues !== missing > 0) return NaN;
    if (continues) missing--;
    else if (byte >= 0xc0) {
      missing = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
      surplus += missing === 1 ? 1 : 2;
    }
  }
  return missing === 0 ? surplus : NaN;
}

/** Makes a reader of rows as objects, with values by the rules of `SqlValue`. */
export function rowReader(
  fields: readonly Field[],
): (bytes: Uint8Array, start: number, end: number) => Row {
  return readerOf(fields, wrongLength);
}

function wrongLength(): ProtocolError {
  return new ProtocolError("a row has the wrong length");
}
