/** A seed file's bytes on their way to the server: hashed, checked, and shown as progress. */
import { createHash } from "node:crypto";
import { Buffer } from "node:buffer";
import type { Context } from "../../core/plugin.ts";
import { EncodingCheck } from "../sql/encoding.ts";
import { FileFault } from "./fault.ts";
import type { SeedFile } from "./files.ts";

const BYTE_ORDER_MARK: readonly number[] = [0xef, 0xbb, 0xbf];

/** What reading needs of a run. */
export type Reading = Pick<Context, "files" | "progress">;

/** One reading of a file. */
export interface Source {
  /** The bytes without a byte order mark. */
  readonly chunks: AsyncGenerator<Uint8Array>;
  /** The SHA-256 of the whole file in hexadecimal, once it has been read to its end. */
  checksum(): string;
  /** Ends the reading; safe to call twice. */
  close(): Promise<void>;
}

/** How a file is read. */
export interface SourceOptions {
  /** Whether a line `\.` stops the reading with a `CopyEnd`. */
  readonly guard?: boolean;
  /** Whether the bytes are taken as they come; by default they must be UTF-8. */
  readonly unchecked?: boolean;
  /** What a module is told of the environment. */
  readonly environment?: string;
  /** What is done meanwhile, such as `Loading base/010_models.csv`; without it nothing is shown. */
  readonly label?: string;
}

/** A line `\.` was met, which ends the data for servers before PostgreSQL 18 unless it is quoted. */
export class CopyEnd extends Error {
  override name = "CopyEnd";
}

/**
 * Opens a file of text.
 *
 * @throws OperationError when it cannot be opened; its chunks throw FileFault `not_utf8`
 */
export async function openSource(
  { files, progress }: Reading,
  file: SeedFile,
  { guard = false, unchecked = false, label }: SourceOptions = {},
): Promise<Source> {
  const stream = await files.stream(file.path);
  const hash = createHash("sha256");
  const encoding = new EncodingCheck();
  const lines = new EndWatch();
  let begun = false;
  async function* read(): AsyncGenerator<Uint8Array> {
    let done = 0;
    begun = true;
    for await (const chunk of withoutMark(stream, (bytes) => hash.update(bytes))) {
      if (!unchecked) refuse(encoding.check(chunk));
      if (guard && lines.meets(chunk)) throw new CopyEnd();
      done += chunk.length;
      if (label !== undefined) progress({ label, done, total: file.size, unit: "bytes" });
      yield chunk;
    }
    if (!unchecked) refuse(encoding.finish());
    if (guard && lines.meetsAtEnd()) throw new CopyEnd();
  }
  const chunks = read();
  return {
    chunks,
    checksum: () => hash.digest("hex"),
    async close() {
      if (begun) await chunks.return(undefined);
      else await stream.cancel();
    },
  };
}

/** The line of a byte, from 1. */
export async function lineOfOffset(
  context: Reading,
  file: SeedFile,
  offset: number,
): Promise<number> {
  const { chunks } = await openSource(context, file, { unchecked: true });
  let line = 1;
  let before = 0;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length && before + at < offset; at++) if (chunk[at] === 10) line++;
    before += chunk.length;
    if (before > offset) break;
  }
  return line;
}

/** The SHA-256 of a file in hexadecimal. */
export async function checksumOf({ files, progress }: Reading, file: SeedFile): Promise<string> {
  const hash = createHash("sha256");
  const label = `Reading ${file.name}`;
  let done = 0;
  for await (const chunk of await files.stream(file.path)) {
    hash.update(chunk);
    done += chunk.length;
    letGo(chunk);
    progress({ label, done, total: file.size, unit: "bytes" });
  }
  progress(null);
  return hash.digest("hex");
}

async function* withoutMark(
  stream: ReadableStream<Uint8Array>,
  onBytes: (bytes: Uint8Array) => void,
): AsyncGenerator<Uint8Array> {
  let head: Uint8Array | undefined = new Uint8Array();
  for await (const chunk of stream) {
    onBytes(chunk);
    if (head === undefined) {
      yield chunk;
      continue;
    }
    const start: Uint8Array = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
    head = start.length < BYTE_ORDER_MARK.length ? start : undefined;
    if (head === undefined) yield start.subarray(hasMark(start) ? BYTE_ORDER_MARK.length : 0);
  }
  if (head !== undefined && head.length > 0) yield head;
}

function hasMark(bytes: Uint8Array): boolean {
  return BYTE_ORDER_MARK.every((byte, index) => bytes[index] === byte);
}

function refuse(fault: { readonly what: "nul" | "utf8"; readonly offset: number } | undefined) {
  if (fault === undefined) return;
  throw new FileFault(
    fault.what === "nul"
      ? "a NUL byte, which no text in the database can hold"
      : "this is not valid UTF-8",
    {
      code: "not_utf8",
      hint: "Save the file as UTF-8",
      place: { offset: fault.offset },
    },
  );
}

const MARKER = "\\.";
/** A line end, the marker, and the next line end. */
const MARKED_BYTES = 4;

/** Looks for lines that hold nothing but `\.`, wherever chunks are cut. */
class EndWatch {
  /** The last bytes before the chunk in hand; a file begins as after a line end. */
  #tail: Uint8Array = Buffer.from("\n");

  /** Whether the next bytes hold such a line, or end one that began before them. */
  meets(chunk: Uint8Array): boolean {
    const across = Buffer.concat([this.#tail, chunk.subarray(0, MARKED_BYTES - 1)]);
    const found = holdsMarker(across) || holdsMarker(chunk);
    const last = chunk.subarray(Math.max(0, chunk.length - (MARKED_BYTES - 1)));
    this.#tail = Buffer.concat([this.#tail, last]).subarray(-(MARKED_BYTES - 1));
    return found;
  }

  /** Whether the file ends in such a line. */
  meetsAtEnd(): boolean {
    return holdsMarker(Buffer.concat([this.#tail, Buffer.from("\n")]));
  }
}

function holdsMarker(bytes: Uint8Array): boolean {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = buffer.indexOf(MARKER, 1); at > 0; at = buffer.indexOf(MARKER, at + 1)) {
    if (isLineEnd(buffer[at - 1]) && isLineEnd(buffer[at + MARKER.length])) return true;
  }
  return false;
}

function isLineEnd(byte: number | undefined): boolean {
  return byte === 0x0a || byte === 0x0d;
}

/** Smaller chunks may share their memory with others, and are not worth it. */
const WORTH_FREEING = 128 << 10;

/**
 * Frees the memory of a chunk that nobody needs any more. Many of them are read in the time in
 * which garbage is collected once, and a large file would lie in memory after all.
 */
export function letGo({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && byteLength >= WORTH_FREEING) buffer.transfer(0);
}
