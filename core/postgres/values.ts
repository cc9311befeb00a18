/** Values on their way to and from the server, and the replies they arrive in. */
import type { Row, SqlParameter, SqlValue } from "../plugin.ts";
import { cString, int32, ProtocolError, text, uint16 } from "./message_reader.ts";

/** Object identifiers of the built-in types that do not become text. */
const TYPE = {
  bool: 16,
  bytea: 17,
  int8: 20,
  int2: 21,
  int4: 23,
  oid: 26,
  float4: 700,
  float8: 701,
} as const;

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
  return value instanceof Uint8Array ? TYPE.bytea : 0;
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

/** Reads one value in the server's text format. */
type ValueReader = (bytes: Uint8Array, start: number, end: number) => SqlValue;

/** Rows up to this size are turned into text as a whole. */
const WHOLE_ROW_BYTES = 4 << 10;

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
  if (at !== end) throw new ProtocolError("a row has the wrong length");
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
  const names = fields.map((field) => field.name);
  const readers = fields.map((field) => valueReader(field.type));
  const hasText = readers.includes(readText);
  return (bytes, start, end) => {
    const row: Row = {};
    const whole = hasText ? wholeText(bytes, start, end) : undefined;
    let at = start + 2;
    for (let column = 0; column < names.length; column++) {
      const name = names[column] ?? "";
      const read = readers[column] ?? readText;
      const length = int32(bytes, at);
      at += 4;
      let value: SqlValue = null;
      if (length >= 0) {
        const from = at;
        at += length;
        if (at > end) break;
        value = read === readText && whole !== undefined
          ? whole.substring(from - start, at - start)
          : read(bytes, from, at);
      }
      // The one name whose assignment would set the object's prototype.
      if (name === "__proto__") {
        Object.defineProperty(row, name, {
          value,
          enumerable: true,
          writable: true,
          configurable: true,
        });
      } else row[name] = value;
    }
    if (at !== end) throw new ProtocolError("a row has the wrong length");
    return row;
  };
}

/**
 * The text of a whole row, the lengths between its values included, if every character in it
 * stands for one byte: then the values are parts of it, which is several times faster than a call
 * of the decoder for each. A character of several bytes makes the text shorter than the bytes, and
 * what the lengths become does not matter.
 */
function wholeText(bytes: Uint8Array, start: number, end: number): string | undefined {
  if (end - start > WHOLE_ROW_BYTES) return undefined;
  const whole = text(bytes, start, end);
  return whole.length === end - start ? whole : undefined;
}

/** How values of a type are read from the server's text format. */
function valueReader(type: number): ValueReader {
  switch (type) {
    case TYPE.bool:
      return (bytes, start) => bytes[start] === 0x74; // t
    case TYPE.int2:
    case TYPE.int4:
    case TYPE.oid:
      return readInteger;
    case TYPE.int8:
      return readBigInteger;
    case TYPE.float4:
    case TYPE.float8:
      return (bytes, start, end) => Number(readText(bytes, start, end));
    case TYPE.bytea:
      return readBytea;
    default:
      return readText;
  }
}

/** Digits that a double holds exactly whatever they are. */
const EXACT_DIGITS = 15;
/** Texts up to this many bytes are put together here: cheaper than a call of the decoder. */
const SHORT_TEXT = 24;

function readInteger(bytes: Uint8Array, start: number, end: number): number {
  const negative = bytes[start] === 0x2d; // -
  let value = 0;
  for (let at = negative ? start + 1 : start; at < end; at++) {
    value = value * 10 + ((bytes[at] ?? 0) - 0x30);
  }
  return negative ? -value : value;
}

function readBigInteger(bytes: Uint8Array, start: number, end: number): bigint {
  return end - start <= EXACT_DIGITS
    ? BigInt(readInteger(bytes, start, end))
    : BigInt(text(bytes, start, end));
}

/** The text of a value, in UTF-8. */
function readText(bytes: Uint8Array, start: number, end: number): string {
  if (end - start > SHORT_TEXT) return text(bytes, start, end);
  let value = "";
  for (let at = start; at < end; at++) {
    const code = bytes[at] ?? 0;
    if (code > 127) return text(bytes, start, end);
    value += String.fromCharCode(code);
  }
  return value;
}

/** Reads both output formats of bytea: `\x` with hexadecimal digits, and the older escapes. */
function readBytea(bytes: Uint8Array, start: number, end: number): Uint8Array {
  if (bytes[start] === 0x5c && bytes[start + 1] === 0x78) { // \x
    const value = new Uint8Array((end - start - 2) >> 1);
    for (let index = 0, at = start + 2; index < value.length; index++, at += 2) {
      value[index] = (hexDigit(bytes[at] ?? 0) << 4) | hexDigit(bytes[at + 1] ?? 0);
    }
    return value;
  }
  const value = new Uint8Array(end - start);
  let length = 0;
  for (let at = start; at < end;) {
    const code = bytes[at] ?? 0;
    if (code !== 0x5c) {
      value[length++] = code;
      at += 1;
    } else if (bytes[at + 1] === 0x5c) {
      value[length++] = 0x5c;
      at += 2;
    } else {
      value[length++] = (octal(bytes, at + 1) << 6) | (octal(bytes, at + 2) << 3) |
        octal(bytes, at + 3);
      at += 4;
    }
  }
  return value.slice(0, length);
}

function hexDigit(code: number): number {
  return code <= 0x39 ? code - 0x30 : (code | 0x20) - 0x57;
}

function octal(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) - 0x30;
}
