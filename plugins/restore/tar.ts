/**
 * Tar archives of pg_dump, followed as they flow by (`pg_backup_tar.c`): members behind heads with a
 * checksum, and two empty blocks at the end. `pg_restore` alone takes a shorter one for whole.
 */
import { Buffer } from "node:buffer";
import { OperationError } from "../../core/plugin.ts";
import { createPieces, type PieceReader, type Pieces } from "../repository/pieces.ts";
import type { Archive } from "./table_of_contents.ts";

/** Bytes of a block; members fill whole ones. */
const BLOCK = 512;
/** Where the checksum of a head stands, which counts itself as spaces. */
const CHECKSUM = [148, 156] as const;

/**
 * Makes a check of a tar.
 *
 * @param archive its table of contents, whose every file must be among the members
 */
export function createTarCheck(archive: Archive | null): PieceReader<void> {
  const missing = new Set(
    archive?.entries.filter(({ hasData, file, kind }) =>
      // Large objects lie in members of their own.
      hasData && file !== "" && kind !== "BLOBS"
    ).map(({ file }) => file),
  );
  return createPieces((input) => readMembers(input, missing), {
    tooMuch: () => bad("more follows where it should end"),
    tooLittle: (position) => truncated(`after ${position} bytes`),
  });
}

function* readMembers(input: Pieces, missing: Set<string>): Generator<void, void> {
  for (;;) {
    const head = yield* input.take(BLOCK);
    if (head.every((byte) => byte === 0)) break;
    const { name, size } = readHead(head);
    missing.delete(name);
    yield* input.skip(Math.ceil(size / BLOCK) * BLOCK);
  }
  // At least another empty one; more may fill a record.
  for (let least = true; least || !(yield* input.atEnd()); least = false) {
    const block = yield* input.take(BLOCK);
    if (!block.every((byte) => byte === 0)) throw bad("something follows its end");
  }
  const [first] = missing;
  if (first !== undefined) throw truncated(`: ${first} is missing`);
}

/** What the head of a member tells. */
export function readHead(head: Uint8Array): { readonly name: string; readonly size: number } {
  const text = Buffer.from(head.subarray(0, BLOCK)).toString("latin1");
  const [from, to] = CHECKSUM;
  const told = octal(text.slice(from, to));
  const sum = head.subarray(0, BLOCK).reduce(
    (all, byte, index) => all + (index >= from && index < to ? 32 : byte),
    0,
  );
  const size = octal(text.slice(124, 136));
  if (told !== sum || size === undefined) {
    throw bad("the head of a member is not as it was written");
  }
  return { name: text.slice(0, 100).replace(/\0.*$/s, ""), size };
}

/** A number as tar writes it: in octal digits, or in bytes behind a mark when it is larger. */
function octal(text: string): number | undefined {
  if (text.charCodeAt(0) === 0x80) {
    return [...text.slice(1)].reduce((sum, byte) => sum * 256 + byte.charCodeAt(0), 0);
  }
  const digits = /^ *([0-7]+)[ \0]*$/.exec(text)?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 8);
}

function bad(reason: string): OperationError {
  return new OperationError(`The tar is damaged: ${reason}`, { code: "bad_archive" });
}

function truncated(where: string): OperationError {
  return new OperationError(`The tar breaks off ${where}`.replace(" :", ":"), {
    code: "truncated_archive",
  });
}
