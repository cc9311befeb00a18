/**
 * The structure of pg_dump's archives, read as they flow by: the head (`archive_head.ts`), and the
 * data blocks of PostgreSQL's `src/bin/pg_dump/pg_backup_custom.c`.
 *
 * An archive has no end mark: one that breaks off between two blocks looks whole to
 * `pg_restore --list`. What tells is its table of contents, which names every block that follows.
 */
import {
  bad,
  type Head,
  type HeadFacts,
  LONGEST,
  type Readers,
  readHead,
  skipOptionalText,
  truncated,
} from "./archive_head.ts";
import { createPieces, type Pieces } from "./pieces.ts";

/** What an archive says of itself. */
export interface ArchiveFacts extends HeadFacts {
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
  /** Whether every block of data has come; what may follow is the table of contents once more. */
  readonly hasAllData: boolean;
  /**
   * Tells that nothing more comes.
   *
   * @throws OperationError `truncated_archive` when something is missing
   */
  end(): ArchiveFacts;
}

/** How far a reader is. */
interface Advance {
  hasAllData: boolean;
}

const DATA_BLOCK = 1;
const LARGE_OBJECTS_BLOCK = 3;

/** Makes a reader of a custom archive, or of a directory's `toc.dat`. */
export function createArchiveReader(): ArchiveReader {
  const advance: Advance = { hasAllData: false };
  const pieces = createPieces((input) => readArchive(input, advance), {
    tooMuch: () => bad("more follows where it should end"),
    tooLittle: truncated,
  });
  return {
    push: pieces.push,
    end: pieces.end,
    get hasAllData() {
      return advance.hasAllData;
    },
  };
}

function* readArchive(input: Pieces, advance: Advance): Generator<void, ArchiveFacts> {
  const entries: ArchiveEntry[] = [];
  const { head, facts, int } = yield* readHead(input, function* (readers) {
    for (let left = readers.count; left > 0; left--) entries.push(yield* readEntry(input, readers));
  });
  if (head.custom) yield* readBlocks(input, { entries, head, int, advance });
  else if (!(yield* input.atEnd())) throw bad("more follows the table of contents");
  return { ...facts, entries };
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
  { entries, head, int, advance }: {
    readonly entries: readonly ArchiveEntry[];
    readonly head: Head;
    readonly int: () => Generator<void, number>;
    readonly advance: Advance;
  },
): Generator<void, void> {
  const missing = new Map(
    entries.filter(({ hasData }) => hasData).map((entry) => [entry.id, entry]),
  );
  advance.hasAllData = missing.size === 0;
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
    advance.hasAllData = missing.size === 0;
  }
  const [first] = missing.values();
  if (first === undefined) return;
  const { kind, schema, tag } = first;
  throw truncated(input.position, `${kind} ${schema ? `${schema}.` : ""}${tag}`);
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
