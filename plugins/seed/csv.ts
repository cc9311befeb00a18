/** Where the records of a CSV file are, and what its header says. */
import { FileFault } from "./fault.ts";

const QUOTE = 0x22;
const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** How much of a file is looked through for the end of its header. */
const HEADER_BYTES = 1 << 20;

/** One record of a CSV file. */
export interface CsvRecord {
  /** 0 is the header. */
  readonly ordinal: number;
  /** The line it begins in, from 1. */
  readonly line: number;
  /** What COPY calls it in messages, when it is given all that comes after the header. */
  readonly copyLine: number;
}

type LineEnd = "unknown" | "\n" | "\r\n" | "\r";

/**
 * Finds the ends of records as COPY does: a line end outside of quotes, which toggle wherever they
 * stand. Bytes come in chunks of any size; none is kept.
 */
export class RecordScanner {
  #quoted = false;
  #lineEnd: LineEnd = "unknown";
  /** A carriage return that ends a record, if no line feed belongs to it as well. */
  #held = false;
  #line = 1;
  #start = 1;
  #ordinal = 0;
  #copyLine = 0;
  #lineFeeds = 0;
  #returns = 0;
  #begun = false;
  #record: CsvRecord = { ordinal: -1, line: 1, copyLine: 0 };

  /** The record that ended last. */
  get record(): CsvRecord {
    return this.#record;
  }

  /** Whether a quote is open. */
  get quoted(): boolean {
    return this.#quoted;
  }

  /**
   * Goes on to the end of the current record.
   *
   * @returns the index after its line end, or -1 when it goes on in the next chunk
   */
  next(chunk: Uint8Array, from: number): number {
    for (let at = from; at < chunk.length; at++) {
      const byte = chunk[at];
      if (this.#held) {
        this.#held = false;
        this.#lineEnd = byte === LINE_FEED ? "\r\n" : "\r";
        return this.#end(byte === LINE_FEED ? at + 1 : at);
      }
      this.#begun = true;
      if (byte === QUOTE) this.#quoted = !this.#quoted;
      else if (byte === LINE_FEED) {
        if (this.#quoted) this.#quotedLineFeed();
        else if (this.#lineEnd !== "\r") {
          if (this.#lineEnd === "unknown") this.#lineEnd = "\n";
          return this.#end(at + 1);
        }
      } else if (byte === CARRIAGE_RETURN) {
        if (this.#quoted) this.#quotedReturn();
        else if (this.#lineEnd === "\r") return this.#end(at + 1);
        else this.#held = this.#lineEnd === "unknown";
      }
    }
    return -1;
  }

  /**
   * Ends the file.
   *
   * @returns whether there is a last record that no line end ends
   */
  finish(): boolean {
    if (!this.#begun) return false;
    this.#end(0);
    return true;
  }

  #quotedLineFeed(): void {
    this.#lineFeeds++;
    if (this.#lineEnd !== "\r") this.#line++;
  }

  #quotedReturn(): void {
    this.#returns++;
    if (this.#lineEnd === "\r") this.#line++;
  }

  #end(after: number): number {
    const ordinal = this.#ordinal++;
    if (ordinal > 0) {
      // COPY counts the line ends in quotes by the kind that ended a record before: in its first
      // record, and where lines end otherwise than by a line feed alone, by the returns.
      const counted = ordinal > 1 && this.#lineEnd === "\n" ? this.#lineFeeds : this.#returns;
      this.#copyLine += 1 + counted;
    }
    this.#record = { ordinal, line: this.#start, copyLine: this.#copyLine };
    this.#line++;
    this.#start = this.#line;
    this.#lineFeeds = 0;
    this.#returns = 0;
    this.#begun = false;
    return after;
  }
}

/** The header of a file, and all that comes after it. */
export interface CsvContents {
  readonly columns: readonly string[];
  readonly rest: AsyncGenerator<Uint8Array>;
}

/**
 * Reads the header; the rest is read as it is asked for.
 *
 * @throws FileFault `csv_header` when there is none that can be read
 */
export async function readHeader(chunks: AsyncGenerator<Uint8Array>): Promise<CsvContents> {
  const scanner = new RecordScanner();
  const parts: Uint8Array[] = [];
  let length = 0;
  let after = -1;
  while (after < 0 && length < HEADER_BYTES) {
    const { value, done } = await chunks.next();
    if (done) break;
    after = scanner.next(value, 0);
    parts.push(value);
    length += value.length;
  }
  const last = parts.pop() ?? new Uint8Array();
  if (after < 0 && (scanner.quoted || length >= HEADER_BYTES)) {
    throw headerFault("the header does not end: a quote in it is not closed");
  }
  const end = after < 0 ? last.length : after;
  const text = decoded([...parts, last.subarray(0, end)]);
  async function* rest(): AsyncGenerator<Uint8Array> {
    if (end < last.length) yield last.subarray(end);
    yield* chunks;
  }
  return { columns: headerColumns(text.replace(/\r?\n$|\r$/, "")), rest: rest() };
}

function decoded(parts: readonly Uint8Array[]): string {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return parts.map((part) => decoder.decode(part, { stream: true })).join("") + decoder.decode();
}

/**
 * The columns that a header names.
 *
 * @throws FileFault `csv_header` when it is empty, names one twice or none at some place
 */
export function headerColumns(text: string): string[] {
  if (text === "") throw headerFault("the header that names the columns is missing");
  const columns = splitRecord(text);
  const empty = columns.indexOf("");
  if (empty >= 0) throw headerFault(`column ${empty + 1} of the header has no name`);
  const twice = columns.find((column, index) => columns.indexOf(column) !== index);
  if (twice !== undefined) throw headerFault(`the header names column "${twice}" twice`);
  return columns;
}

function splitRecord(text: string): string[] {
  const fields: string[] = [];
  let field = "";
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at] ?? "";
    if (character === '"') {
      if (quoted && text[at + 1] === '"') {
        field += '"';
        at++;
      } else quoted = !quoted;
    } else if (character === "," && !quoted) {
      fields.push(field);
      field = "";
    } else field += character;
  }
  return [...fields, field];
}

function headerFault(reason: string): FileFault {
  return new FileFault(reason, { code: "csv_header", place: { line: 1 } });
}

/** Finds a record; undefined when there is none such. */
export async function findRecord(
  chunks: AsyncIterable<Uint8Array>,
  wanted: (record: CsvRecord) => boolean,
): Promise<CsvRecord | undefined> {
  const scanner = new RecordScanner();
  for await (const chunk of chunks) {
    for (let at = scanner.next(chunk, 0); at >= 0; at = scanner.next(chunk, at)) {
      if (wanted(scanner.record)) return scanner.record;
    }
  }
  return scanner.finish() && wanted(scanner.record) ? scanner.record : undefined;
}

/** More than `\.` and its line end. */
const LOOKED_AT = 5;

/**
 * Finds a record that is `\.` alone, which ends the data for servers before PostgreSQL 18.
 *
 * @returns its line, from 1
 */
export async function findEndRecord(
  chunks: AsyncIterable<Uint8Array>,
): Promise<number | undefined> {
  const scanner = new RecordScanner();
  let head = "";
  for await (const chunk of chunks) {
    for (let from = 0; from < chunk.length;) {
      const end = scanner.next(chunk, from);
      const part = chunk.subarray(from, end < 0 ? undefined : end);
      head += String.fromCharCode(...part.subarray(0, LOOKED_AT - head.length));
      if (end < 0) break;
      if (isEnd(head) && scanner.record.ordinal > 0) return scanner.record.line;
      head = "";
      from = end;
    }
  }
  return scanner.finish() && isEnd(head) ? scanner.record.line : undefined;
}

function isEnd(head: string): boolean {
  return /^\\\.\r?\n?$/.test(head);
}
