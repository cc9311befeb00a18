/** Files with one JSON object in each line. */
import { FileFault } from "./fault.ts";
import { jsonFaultIndex } from "./json_fault.ts";

const LINE_FEED = 0x0a;
/** How much is decoded at a time. */
const TEXT_BYTES = 32 << 10;

/** The keys of a file, and its bytes. */
export interface JsonLines {
  /** The keys of the first object, which all others have too. */
  readonly columns: readonly string[];
  /** The line of the first object, from 1. */
  readonly line: number;
  /** The whole file as it stands; fails at the first line that does not fit. */
  readonly rest: AsyncGenerator<Uint8Array>;
}

/**
 * Reads up to the first object; the rest is checked as it is asked for. Empty lines are passed
 * over.
 *
 * @param chunks of a file, or of a module, whose rows are lines here
 * @throws FileFault `jsonl`
 */
export async function readJsonLines(
  chunks: AsyncGenerator<Uint8Array>,
  { unit = "line" }: { readonly unit?: "line" | "row" } = {},
): Promise<JsonLines> {
  const check = new LineCheck(unit);
  const ahead: Uint8Array[] = [];
  while (check.keys === undefined) {
    const { value, done } = await chunks.next();
    if (done) {
      check.finish();
      break;
    }
    ahead.push(value);
    check.take(value);
  }
  if (check.keys === undefined) {
    throw new FileFault(unit === "row" ? "the module yields no row" : "the file holds no object", {
      code: "jsonl",
      place: { line: 1 },
    });
  }
  async function* rest(): AsyncGenerator<Uint8Array> {
    yield* ahead.splice(0);
    for await (const chunk of chunks) {
      check.take(chunk);
      yield chunk;
    }
    check.finish();
  }
  return { columns: [...check.keys], line: check.firstLine, rest: rest() };
}

class LineCheck {
  keys: ReadonlySet<string> | undefined;
  firstLine = 1;
  #line = 0;
  #begun: Uint8Array[] = [];
  readonly #unit: "line" | "row";

  constructor(unit: "line" | "row") {
    this.#unit = unit;
  }

  take(chunk: Uint8Array): void {
    // In parts, since large texts are collected late: a file would lie in memory as garbage.
    for (let from = 0; from < chunk.length; from += TEXT_BYTES) {
      this.#takePart(chunk.subarray(from, from + TEXT_BYTES));
    }
  }

  #takePart(part: Uint8Array): void {
    const end = part.lastIndexOf(LINE_FEED);
    if (end < 0) {
      this.#begun.push(part.slice());
      return;
    }
    const text = decoded([...this.#begun, part.subarray(0, end)]);
    this.#begun = end + 1 < part.length ? [part.slice(end + 1)] : [];
    for (const line of text.split("\n")) this.#check(line);
  }

  finish(): void {
    if (this.#begun.length > 0) this.#check(decoded(this.#begun.splice(0)));
  }

  #check(text: string): void {
    this.#line++;
    const line = text.endsWith("\r") ? text.slice(0, -1) : text;
    if (line === "") return;
    const value = this.#parse(line);
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      throw this.#fault("this is not an object, whose keys name the columns");
    }
    const keys = Object.keys(value);
    if (this.keys === undefined) {
      if (keys.length === 0) throw this.#fault("the object has no keys, which name the columns");
      this.keys = new Set(keys);
      this.firstLine = this.#line;
      return;
    }
    const known = this.keys;
    const unknown = keys.find((key) => !known.has(key));
    if (unknown !== undefined) {
      throw this.#otherKeys(`the key "${unknown}" is not in the first object, in ${this.#unit}`);
    }
    if (keys.length === known.size) return;
    const missing = [...known].find((key) => !keys.includes(key));
    throw this.#otherKeys(
      `the key "${missing}" is missing, which is in the first object, in ${this.#unit}`,
    );
  }

  #parse(line: string): unknown {
    try {
      return JSON.parse(line);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      const column = [...line.slice(0, jsonFaultIndex(line))].length + 1;
      throw this.#fault("this is not valid JSON", column);
    }
  }

  #otherKeys(what: string): FileFault {
    return this.#fault(`${what} ${this.firstLine}`, undefined, {
      hint: "Give every object the same keys, with null where there is no value",
    });
  }

  #fault(reason: string, column?: number, options: { readonly hint?: string } = {}) {
    return new FileFault(reason, {
      code: "jsonl",
      ...options,
      place: { line: this.#line, ...(column === undefined ? {} : { column }) },
    });
  }
}

function decoded(parts: readonly Uint8Array[]): string {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return parts.map((part) => decoder.decode(part, { stream: true })).join("") + decoder.decode();
}

/** Finds the line of an object by its number among all objects, from 1. */
export async function findObjectLine(
  chunks: AsyncIterable<Uint8Array>,
  ordinal: number,
): Promise<number | undefined> {
  let line = 1;
  let objects = 0;
  let filled = false;
  for await (const chunk of chunks) {
    for (const byte of chunk) {
      if (byte === LINE_FEED) {
        line++;
        filled = false;
      } else if (!filled && byte !== 0x0d) {
        filled = true;
        if (++objects === ordinal) return line;
      }
    }
  }
  return undefined;
}
