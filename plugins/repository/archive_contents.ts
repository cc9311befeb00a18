/**
 * The table of contents of pg_dump's archives as a restore needs it: in which order what is made,
 * out of what, and what some of the statements are. Reading ends where the data begin.
 */
import type { ArchiveEntry } from "./archive.ts";
import {
  bad,
  type HeadFacts,
  LONGEST,
  LONGEST_NAME,
  type Readers,
  readHead,
  readText,
  skipOptionalText,
  truncated,
} from "./archive_head.ts";
import { createPieces, type Pieces } from "./pieces.ts";

/** The table of contents of an archive, for a restore. */
export interface Archive extends Omit<HeadFacts, "format"> {
  readonly format: "custom" | "directory" | "tar";
  /** In the archive's order, in which pg_restore goes through them. */
  readonly entries: readonly Entry[];
  /** Bytes from the archive's beginning to the end of its table of contents. */
  readonly size: number;
}

/** In which part of a restore an entry's turn comes; `none` for what stands between such parts. */
export type Section = "none" | "pre-data" | "data" | "post-data";

/** One entry of the table of contents, for a restore. */
export interface Entry extends ArchiveEntry {
  readonly section: Section;
  /** The ids of entries that come before it. */
  readonly dependencies: readonly number[];
  /** Empty for the default one, and for what has none. */
  readonly tablespace: string;
  /** The statements that make it, of the kinds in `DEFINED` alone; else empty. */
  readonly definition: string;
}

/** Kinds whose definitions a restore reads. They are short; views and functions need not be. */
export const DEFINED: ReadonlySet<string> = new Set([
  "ACL",
  "DEFAULT ACL",
  "EXTENSION",
  "POLICY",
  "SEQUENCE OWNED BY",
]);

/** Reads the table of contents, and no further. */
export interface ContentsReader {
  /**
   * Takes the next bytes; what follows the table of contents is not looked at.
   *
   * @returns the table of contents once it is whole
   * @throws OperationError `bad_archive` where it cannot be one
   */
  push(bytes: Uint8Array): Archive | undefined;
  /**
   * Tells that nothing more comes.
   *
   * @throws OperationError `truncated_archive` when something is missing
   */
  end(): Archive;
}

/** Makes a reader of the table of contents of a custom archive, or of a directory's `toc.dat`. */
export function createContentsReader(): ContentsReader {
  let archive: Archive | undefined;
  function* read(input: Pieces): Generator<void, Archive> {
    const entries: Entry[] = [];
    const { facts } = yield* readHead(input, function* (readers) {
      for (let left = readers.count; left > 0; left--) {
        entries.push(yield* readWhole(input, readers));
      }
    });
    archive = { ...facts, entries, size: input.position };
    while (!(yield* input.atEnd())) yield* input.skipPiece();
    return archive;
  }
  const pieces = createPieces(read, {
    tooMuch: () => bad("more follows where it should end"),
    tooLittle: truncated,
  });
  return {
    push(bytes) {
      if (archive === undefined) pieces.push(bytes);
      return archive;
    },
    end: () => archive ?? pieces.end(),
  };
}

const SECTIONS: readonly Section[] = ["none", "pre-data", "data", "post-data"];

/** As `readEntry`, with more of it: apart from it, since that one also checks every dump as it is made. */
function* readWhole(
  input: Pieces,
  { head, decoder, int, text }: Readers,
): Generator<void, Entry> {
  const id = yield* int();
  const hasData = (yield* int()) !== 0;
  const skipText = () => skipOptionalText(input, head);
  yield* skipText();
  yield* skipText();
  const tag = yield* text();
  const kind = yield* text();
  const section = SECTIONS[(yield* int()) - 1];
  if (section === undefined) throw bad(`${kind} ${tag} is in no section that is known`);
  let definition = "";
  if (DEFINED.has(kind)) definition = yield* readText(input, { head, decoder, longest: LONGEST });
  else yield* skipText();
  yield* skipText();
  yield* skipText();
  const schema = yield* text();
  const tablespace = yield* text();
  if (head.version >= 114) yield* skipText();
  if (head.version >= 116) yield* int();
  const owner = yield* text();
  yield* skipText();
  const dependencies: number[] = [];
  for (let left = yield* int(); left >= 0; left = yield* int()) {
    if (left > LONGEST_NAME) throw bad(`a name has ${left} bytes`);
    dependencies.push(Number(decoder.decode(yield* input.take(left))));
  }
  let file = "";
  if (head.custom) yield* input.skip(1 + head.offsetSize);
  else file = yield* text();
  return {
    id,
    hasData,
    kind,
    tag,
    schema,
    owner,
    file,
    section,
    dependencies,
    tablespace,
    definition,
  };
}
