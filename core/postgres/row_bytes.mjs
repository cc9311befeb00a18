// @ts-check
/**
 * Rows in the server's own bytes, read where they are used: in this process, or in a plugin's
 * worker, which runs this file too. So it imports nothing.
 *
 * @import { Column, Row, RowPart, SqlValue } from "../plugin.ts"
 */

/**
 * A part of the rows of one statement, as `RowPart` is. The bytes hold whole rows, each behind its
 * length: four bytes, which do not count themselves.
 *
 * @typedef {(
 *   | Exclude<RowPart, { readonly kind: "rows" }>
 *   | { readonly kind: "bytes", readonly bytes: Uint8Array }
 * )} RowBytes
 */

/**
 * Reads one value in the server's text format.
 *
 * @typedef {(bytes: Uint8Array, start: number, end: number) => SqlValue} ValueReader
 */

/** Rows up to this size, alone or together, are turned into text as a whole. */
export const WHOLE_ROW_BYTES = 4 << 10;

/**
 * A signed 32-bit number in network order.
 *
 * @param {Uint8Array} bytes
 * @param {number} at
 * @returns {number}
 */
export function int32(bytes, at) {
  return (byte(bytes, at) << 24) | (byte(bytes, at + 1) << 16) | (byte(bytes, at + 2) << 8) |
    byte(bytes, at + 3);
}

/**
 * @param {Uint8Array} bytes
 * @param {number} at
 */
function byte(bytes, at) {
  return bytes[at] ?? 0;
}

// A byte-order mark at the start of a value is part of the value.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * The text of a range of bytes in UTF-8.
 *
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} end
 * @returns {string}
 */
export function text(bytes, start, end) {
  return decoder.decode(bytes.subarray(start, end));
}

/**
 * The rows of one statement by column name, in batches.
 *
 * @param {ReadableStream<RowBytes>} parts
 * @returns {ReadableStream<Row[]>}
 */
export function namedRows(parts) {
  const reader = parts.getReader();
  let read = rowReader([]);
  return new ReadableStream({
    async pull(controller) {
      for (;;) {
        const { done, value: part } = await reader.read();
        if (done) return controller.close();
        if (part.kind === "bytes") return controller.enqueue(rowsIn(part.bytes, read));
        if (part.kind === "columns") read = rowReader(part.columns);
      }
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
}

/**
 * @param {Uint8Array} bytes
 * @param {RowReader} read
 */
function rowsIn(bytes, read) {
  const rows = [];
  for (let at = 0; at < bytes.length;) {
    // Several short rows are turned into text at once: the call costs more than what it does.
    const from = at;
    do at += 4 + int32(bytes, at); while (
      at < bytes.length && at + 4 + int32(bytes, at) - from <= WHOLE_ROW_BYTES
    );
    const whole = wholeText(bytes, from, at);
    for (let next = from; next < at;) {
      const start = next + 4;
      next = start + int32(bytes, next);
      rows.push(
        whole === undefined ? read(bytes, start, next) : read(bytes, start, next, { whole, from }),
      );
    }
  }
  return rows;
}

/**
 * Reads one row as an object. A text in which every character stands for one byte may be given
 * ahead: that of the bytes from `from` on.
 *
 * @typedef {(
 *   bytes: Uint8Array,
 *   start: number,
 *   end: number,
 *   given?: { readonly whole: string, readonly from: number },
 * ) => Row} RowReader
 */

/**
 * Makes a reader of rows as objects, with values by the rules of `SqlValue`.
 *
 * @param {readonly Column[]} columns
 * @param {() => Error} [broken] what is thrown when a row has not the length that it claims
 * @returns {RowReader}
 */
export function rowReader(columns, broken = () => new Error("a row has the wrong length")) {
  const names = columns.map(({ name }) => name);
  const readers = columns.map(({ type }) => READERS.get(type) ?? readText);
  const hasText = readers.includes(readText);
  return (bytes, start, end, given) => {
    /** @type {Row} */
    const row = {};
    const whole = given?.whole ?? (hasText ? wholeText(bytes, start, end) : undefined);
    const origin = given?.from ?? start;
    let at = start + 2;
    for (let column = 0; column < names.length; column++) {
      const name = names[column] ?? "";
      const read = readers[column] ?? readText;
      const length = int32(bytes, at);
      at += 4;
      /** @type {SqlValue} */
      let value = null;
      if (length >= 0) {
        const from = at;
        at += length;
        if (at > end) break;
        value = read === readText && whole !== undefined
          ? whole.substring(from - origin, at - origin)
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
    if (at !== end) throw broken();
    return row;
  };
}

/**
 * The text of rows, the lengths between their values included, if every character in it stands
 * for one byte: then the values are parts of it, which is several times faster than a call of the
 * decoder for each. A character of several bytes makes the text shorter than the bytes, and what
 * the lengths become does not matter.
 *
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} end
 */
function wholeText(bytes, start, end) {
  if (end - start > WHOLE_ROW_BYTES) return undefined;
  const whole = text(bytes, start, end);
  return whole.length === end - start ? whole : undefined;
}

/**
 * How values are read, by the object identifiers of their types; all others are text.
 *
 * @type {ReadonlyMap<number, ValueReader>}
 */
const READERS = new Map([
  [16, /** @type {ValueReader} */ ((bytes, start) => bytes[start] === 0x74)], // bool: t
  [17, readBytea],
  [20, readBigInteger], // int8
  [21, readInteger], // int2
  [23, readInteger], // int4
  [26, readInteger], // oid
  [700, readFloat], // float4
  [701, readFloat], // float8
]);

/** Digits that a double holds exactly whatever they are. */
const EXACT_DIGITS = 15;
/** Texts up to this many bytes are put together here: cheaper than a call of the decoder. */
const SHORT_TEXT = 24;

/** @type {ValueReader} */
function readFloat(bytes, start, end) {
  return Number(readText(bytes, start, end));
}

/**
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} end
 */
function readInteger(bytes, start, end) {
  const negative = bytes[start] === 0x2d; // -
  let value = 0;
  for (let at = negative ? start + 1 : start; at < end; at++) {
    value = value * 10 + (byte(bytes, at) - 0x30);
  }
  return negative ? -value : value;
}

/** @type {ValueReader} */
function readBigInteger(bytes, start, end) {
  return end - start <= EXACT_DIGITS
    ? BigInt(readInteger(bytes, start, end))
    : BigInt(text(bytes, start, end));
}

/**
 * The text of a value, in UTF-8.
 *
 * @param {Uint8Array} bytes
 * @param {number} start
 * @param {number} end
 * @returns {string}
 */
export function readText(bytes, start, end) {
  if (end - start > SHORT_TEXT) return text(bytes, start, end);
  let value = "";
  for (let at = start; at < end; at++) {
    const code = byte(bytes, at);
    if (code > 127) return text(bytes, start, end);
    value += String.fromCharCode(code);
  }
  return value;
}

/**
 * Reads both output formats of bytea: `\x` with hexadecimal digits, and the older escapes.
 *
 * @type {ValueReader}
 */
function readBytea(bytes, start, end) {
  if (bytes[start] === 0x5c && bytes[start + 1] === 0x78) { // \x
    const value = new Uint8Array((end - start - 2) >> 1);
    for (let index = 0, at = start + 2; index < value.length; index++, at += 2) {
      value[index] = (hexDigit(byte(bytes, at)) << 4) | hexDigit(byte(bytes, at + 1));
    }
    return value;
  }
  const value = new Uint8Array(end - start);
  let length = 0;
  for (let at = start; at < end;) {
    const code = byte(bytes, at);
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

/** @param {number} code */
function hexDigit(code) {
  return code <= 0x39 ? code - 0x30 : (code | 0x20) - 0x57;
}

/**
 * @param {Uint8Array} bytes
 * @param {number} at
 */
function octal(bytes, at) {
  return byte(bytes, at) - 0x30;
}
