/**
 * The structure of pg_dump's archives, read as they flow by: PostgreSQL's
 * `src/bin/pg_dump/pg_backup_archiver.c`, `WriteHead` and `WriteToc`, and
 * `pg_backup_custom.c` for the data blocks; archive versions 1.12 to 1.16, of PostgreSQL 9.0 to 18.
 *
 * An archive has no end mark: one that breaks off between two blocks looks whole to
 * `pg_restore --list`. What tells is its table of contents, which names every block that follows.
 */
import { OperationError } from "../../core/plugin.ts";
import { createPieces, type Pieces } from "./pieces.ts";
import type { CompressionMethod } from "./manifest.ts";

/** What an archive says of itself. */
export interface ArchiveFacts {
  /** Of the archive's form, such as `1.14`. */
  readonly version: string;
  readonly format: "custom" | "directory";
  readonly compression: CompressionMethod;
  readonly database: string;
  /** Of the server that was dumped, such as `15.18 (Debian 15.18-0+deb12u1)`. */
  readonly serverVersion: string;
  readonly dumpVersion: string;
  readonly entries: readonly ArchiveEntry[];
}

/** One entry of the table of contents. */
export interface ArchiveEntry {
  readonly id: number;
  /** Whether a block of data belongs to it. */
  readonly hasData: boolean;
  /** Such as `TABLE DATA`. */
  readonly kind: string;
  /** The object's name. */
  readonly tag: string;
  readonly schema: string;
  readonly owner: string;
  /** The file with its data, in a directory. */
  readonly file: string;
}

/** Reads an archive piece by piece. */
export interface ArchiveReader {
  /** @throws OperationError `bad_archive` where it cannot be one */
  push(bytes: Uint8Array): void;
  /**
   * Tells that nothing more comes.
   *
   * @throws OperationError `truncated_archive` when something is missing
   */
  end(): ArchiveFacts;
}

const MAGIC = "PGDMP";
const CUSTOM = 1;
/** Of a directory's table of contents, which says that it is a tar's. */
const DIRECTORY = [3, 5];
const DATA_BLOCK = 1;
const LARGE_OBJECTS_BLOCK = 3;
const METHODS: readonly CompressionMethod[] = ["none", "gzip", "lz4", "zstd"];
/** No statement, list or piece of data of an archive is longer; a longer one is no archive. */
const LONGEST = 1 << 30;
/** Nor is a name: names are kept in memory. */
const LONGEST_NAME = 1 << 20;

/** Makes a reader of a custom archive, or of a directory's `toc.dat`. */
export function createArchiveReader(): ArchiveReader {
  const pieces = createPieces(readArchive, {
    tooMuch: () => bad("more follows where it should end"),
    tooLittle: truncated,
  });
  return { push: pieces.push, end: pieces.end };
}

interface Head {
  readonly version: number;
  readonly intSize: number;
  readonly offsetSize: number;
  readonly custom: boolean;
}

function* readArchive(input: Pieces): Generator<void, ArchiveFacts> {
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
  const entries: ArchiveEntry[] = [];
  for (let index = 0; index < count; index++) {
    entries.push(yield* readEntry(input, { head, int, text }));
  }
  if (head.custom) yield* readBlocks(input, { entries, head, int });
  else if (!(yield* input.atEnd())) throw bad("more follows the table of contents");
  return {
    version: `${major}.${minor}`,
    format: head.custom ? "custom" : "directory",
    compression,
    database,
    serverVersion,
    dumpVersion,
    entries,
  };
}

interface Readers {
  readonly head: Head;
  readonly int: () => Generator<void, number>;
  readonly text: () => Generator<void, string>;
}

function* readEntry(input: Pieces, { head, int, text }: Readers): Generator<void, ArchiveEntry> {
  const id = yield* int();
  const hasData = (yield* int()) !== 0;
  const skipText = () => skipOptionalText(input, head);
  // The object identifiers of its catalogue and of itself.
  yield* skipText();
  yield* skipText();
  const tag = yield* text();
  const kind = yield* text();
  // Its section, and the statements that make it, drop it and copy its data.
  yield* int();
  for (let statement = 0; statement < 3; statement++) yield* skipText();
  const schema = yield* text();
  yield* skipText(); // tablespace
  if (head.version >= 114) yield* skipText(); // access method
  if (head.version >= 116) yield* int(); // kind of relation
  const owner = yield* text();
  yield* skipText(); // whether it has OIDs
  while (yield* skipText()); // what it depends on
  let file = "";
  if (head.custom) yield* input.skip(1 + head.offsetSize);
  else file = yield* text();
  return { id, hasData, kind, tag, schema, owner, file };
}

function* readBlocks(
  input: Pieces,
  { entries, head, int }: {
    readonly entries: readonly ArchiveEntry[];
    readonly head: Head;
    readonly int: () => Generator<void, number>;
  },
): Generator<void, void> {
  const missing = new Map(
    entries.filter(({ hasData }) => hasData).map((entry) => [entry.id, entry]),
  );
  while (!(yield* input.atEnd())) {
    // pg_dump of 16 and newer writes the table of contents once more behind the data, where its
    // output is a file that it was not told the name of.
    if (missing.size === 0) {
      yield* input.skipPiece();
      continue;
    }
    const [kind] = yield* input.take(1);
    const id = yield* int();
    if (!missing.delete(id)) throw bad(`a block of data belongs to no entry, at ${input.position}`);
    if (kind === DATA_BLOCK) yield* skipData(input, { head, int });
    else if (kind === LARGE_OBJECTS_BLOCK) {
      while ((yield* int()) !== 0) yield* skipData(input, { head, int });
    } else throw bad(`a block is of the unknown kind ${kind}, at ${input.position}`);
  }
  const [first] = missing.values();
  if (first !== undefined) throw truncated(input.position, first);
}

/** Pieces, each behind its length, until one of length 0. */
function* skipData(
  input: Pieces,
  { head, int }: { readonly head: Head; readonly int: () => Generator<void, number> },
): Generator<void, void> {
  for (;;) {
    let over = false;
    // A dump may hold one piece for each row: what is there now is gone through at once.
    input.now((bytes) => {
      const whole = wholePieces(bytes, head);
      over = whole.over;
      return whole.length;
    });
    if (over) return;
    const length = yield* int();
    if (length === 0) return;
    if (length < 0 || length > LONGEST) throw bad(`a piece has ${length} bytes`);
    yield* input.skip(length);
  }
}

/** How many bytes of these are whole pieces, and whether the last one, which is empty, is among them. */
function wholePieces(
  bytes: Uint8Array,
  { intSize }: Head,
): { readonly length: number; readonly over: boolean } {
  let at = 0;
  while (at + intSize < bytes.length) {
    let length = 0;
    for (let index = intSize; index > 0; index--) length = length * 256 + (bytes[at + index] ?? 0);
    const next = at + 1 + intSize + length;
    // What is no length is told where single pieces are read.
    if (next > bytes.length || bytes[at] !== 0) break;
    at = next;
    if (length === 0) return { length: at, over: true };
  }
  return { length: at, over: false };
}

function* readInt(input: Pieces, { intSize }: Head): Generator<void, number> {
  const bytes = yield* input.take(1 + intSize);
  let value = 0;
  for (let index = intSize; index > 0; index--) value = value * 256 + (bytes[index] ?? 0);
  return bytes[0] === 0 ? value : -value;
}

function* readText(
  input: Pieces,
  { head, decoder }: { readonly head: Head; readonly decoder: TextDecoder },
): Generator<void, string> {
  const length = yield* readInt(input, head);
  if (length < 0) return "";
  if (length > LONGEST_NAME) throw bad(`a name has ${length} bytes`);
  return decoder.decode(yield* input.take(length));
}

/** Passes over a text; returns whether there was one. */
function* skipOptionalText(input: Pieces, head: Head): Generator<void, boolean> {
  const length = yield* readInt(input, head);
  if (length < 0) return false;
  if (length > LONGEST) throw bad(`a text has ${length} bytes`);
  yield* input.skip(length);
  return true;
}

function bad(reason: string): OperationError {
  return new OperationError(`The archive is damaged: ${reason}`, { code: "bad_archive" });
}

function truncated(position: number, missing?: ArchiveEntry): OperationError {
  const name = missing &&
    `${missing.kind} ${missing.schema ? `${missing.schema}.` : ""}${missing.tag}`;
  return new OperationError(
    `The archive breaks off after ${position} bytes` +
      (name === undefined ? "" : `: ${name} is missing`),
    { code: "truncated_archive", details: { position } },
  );
}
