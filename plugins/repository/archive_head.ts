/**
 * The head of pg_dump's archives, and the parts that their table of contents is made of: `WriteHead`
 * and `WriteToc` of PostgreSQL's `src/bin/pg_dump/pg_backup_archiver.c`, archive versions 1.12 to
 * 1.16, of PostgreSQL 9.0 to 18.
 */
import { OperationError } from "../../core/plugin.ts";
import type { CompressionMethod } from "./manifest.ts";
import type { Pieces } from "./pieces.ts";

/** What an archive says of itself before its table of contents. */
export interface HeadFacts {
  /** Of the archive's form, such as `1.14`. */
  readonly version: string;
  readonly format: "custom" | "directory";
  readonly compression: CompressionMethod;
  readonly database: string;
  /** Of the server that was dumped, such as `15.18 (Debian 15.18-0+deb12u1)`. */
  readonly serverVersion: string;
  readonly dumpVersion: string;
}

const MAGIC = "PGDMP";
const CUSTOM = 1;
/** Of a directory's table of contents, which says that it is a tar's. */
const DIRECTORY = [3, 5];
const METHODS: readonly CompressionMethod[] = ["none", "gzip", "lz4", "zstd"];
/** No statement, list or piece of data of an archive is longer; a longer one is no archive. */
export const LONGEST = 1 << 30;
/** Nor is a name: names are kept in memory. */
export const LONGEST_NAME = 1 << 20;

/** What the rest is read by. */
export interface Head {
  readonly version: number;
  readonly intSize: number;
  readonly offsetSize: number;
  readonly custom: boolean;
}

/**
 * Reads the head, and has the entries read that follow it.
 *
 * @throws OperationError `bad_archive` or `unknown_archive`
 */
export function* readHead(
  input: Pieces,
  readEntries: (readers: Readers) => Generator<void, void>,
): Generator<void, Pick<Readers, "head" | "int"> & { readonly facts: HeadFacts }> {
  const decoder = new TextDecoder();
  if (decoder.decode(yield* input.take(MAGIC.length)) !== MAGIC) {
    throw bad("it does not begin as pg_dump's archives do");
  }
  const [major = 0, minor = 0, , intSize = 0, offsetSize = 0, format = 0] = yield* input.take(6);
  const version = major * 100 + minor;
  if (version < 112 || version > 116) {
    throw new OperationError(`Cannot read an archive of version ${major}.${minor}`, {
      code: "unknown_archive",
      hint: "This version of observatory knows those of PostgreSQL 9.0 to 18",
    });
  }
  if (intSize < 2 || intSize > 8 || offsetSize > 8) throw bad("its numbers have an unknown size");
  if (format !== CUSTOM && !DIRECTORY.includes(format)) throw bad(`its format is ${format}`);
  const head: Head = { version, intSize, offsetSize, custom: format === CUSTOM };
  const int = () => readInt(input, head);
  const text = () => readText(input, { head, decoder });
  let compression: CompressionMethod;
  if (version >= 115) {
    const [method = -1] = yield* input.take(1);
    const name = METHODS[method];
    if (name === undefined) throw bad(`its compression is ${method}`);
    compression = name;
  } else compression = (yield* int()) === 0 ? "none" : "gzip";
  // Seconds, minutes, hours, day, month, year, and whether it was summer.
  for (let part = 0; part < 7; part++) yield* int();
  const database = yield* text();
  const serverVersion = yield* text();
  const dumpVersion = yield* text();
  const count = yield* int();
  if (count < 0 || count > LONGEST) throw bad(`it has ${count} entries`);
  yield* readEntries({ head, count, decoder, int, text });
  const facts = {
    version: `${major}.${minor}`,
    format: head.custom ? "custom" : "directory",
    compression,
    database,
    serverVersion,
    dumpVersion,
  } as const;
  return { head, int, facts };
}

/** How an entry's parts are read. */
export interface Readers {
  readonly head: Head;
  /** How many entries there are. */
  readonly count: number;
  readonly decoder: TextDecoder;
  readonly int: () => Generator<void, number>;
  readonly text: () => Generator<void, string>;
}

function* readInt(input: Pieces, { intSize }: Head): Generator<void, number> {
  const bytes = yield* input.take(1 + intSize);
  let value = 0;
  for (let index = intSize; index > 0; index--) value = value * 256 + (bytes[index] ?? 0);
  return bytes[0] === 0 ? value : -value;
}

/** A text; empty where there is none. */
export function* readText(
  input: Pieces,
  { head, decoder, longest = LONGEST_NAME }: {
    readonly head: Head;
    readonly decoder: TextDecoder;
    readonly longest?: number;
  },
): Generator<void, string> {
  const length = yield* readInt(input, head);
  if (length < 0) return "";
  if (length > longest) throw bad(`a name has ${length} bytes`);
  return decoder.decode(yield* input.take(length));
}

/** Passes over a text; returns whether there was one. */
export function* skipOptionalText(input: Pieces, head: Head): Generator<void, boolean> {
  const length = yield* readInt(input, head);
  if (length < 0) return false;
  if (length > LONGEST) throw bad(`a text has ${length} bytes`);
  yield* input.skip(length);
  return true;
}

/** What tells that it cannot be an archive. */
export function bad(reason: string): OperationError {
  return new OperationError(`The archive is damaged: ${reason}`, { code: "bad_archive" });
}

/**
 * What tells that an archive breaks off.
 *
 * @param name what is missing, where that is known
 */
export function truncated(position: number, name?: string): OperationError {
  return new OperationError(
    `The archive breaks off after ${position} bytes` +
      (name === undefined ? "" : `: ${name} is missing`),
    { code: "truncated_archive", details: { position } },
  );
}
