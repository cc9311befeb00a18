/** The bytes of migration files: their checksums, and small ones kept for the moment they are needed. */
import { createHash, hash } from "node:crypto";
import type { Files } from "../../core/plugin.ts";
import type { MigrationFile } from "./files.ts";

/** Files above this many bytes are streamed, never held whole. */
export const LARGE_FILE_BYTES = 1 << 20;
/** How much of the files that were read is kept, all together. */
const KEPT_BYTES = 16 << 20;
/** How many files are read at a time: of the largest that are held, not too much at once. */
const BATCH_FILES = 32;

/** One file's checksum, and its bytes where they are kept. */
export interface FileContents {
  /** SHA-384 of the raw bytes, nothing left out or normalised, as sqlx computes it. */
  readonly checksum: Uint8Array;
  /** The checksum in hexadecimal. */
  readonly checksumHex: string;
  readonly bytes: Uint8Array | undefined;
}

/** Contents by version. */
export type Contents = ReadonlyMap<bigint, FileContents>;

/** Whether a file is streamed rather than held. */
export function isLarge(file: MigrationFile): boolean {
  return file.size > LARGE_FILE_BYTES;
}

/** Reads and hashes all small files; large ones are left out. */
export async function readContents(
  files: Files,
  wanted: Iterable<MigrationFile>,
): Promise<Contents> {
  const contents = new Map<bigint, FileContents>();
  let kept = 0;
  const all = [...wanted];
  for (let start = 0; start < all.length; start += BATCH_FILES) {
    const batch = all.slice(start, start + BATCH_FILES);
    const read = await files.readSmall(batch.map(({ path }) => path), LARGE_FILE_BYTES);
    read.forEach((bytes, index) => {
      const file = batch[index];
      if (file === undefined || bytes === null) return;
      kept += bytes.length;
      contents.set(file.version, contentsOf(bytes, { keep: kept <= KEPT_BYTES }));
    });
  }
  return contents;
}

function contentsOf(bytes: Uint8Array, { keep }: { keep: boolean }): FileContents {
  const checksumHex = hash("sha384", bytes, "hex");
  let checksum: Uint8Array | undefined;
  return {
    // Of a thousand files that are applied already, none is asked for its bytes.
    get checksum() {
      return checksum ??= Uint8Array.fromHex(checksumHex);
    },
    checksumHex,
    bytes: keep ? bytes : undefined,
  };
}

/** The checksum of a file that is streamed. */
export async function checksumOfLarge(files: Files, path: string): Promise<Uint8Array> {
  const hash = createHash("sha384");
  for await (const chunk of await files.stream(path)) hash.update(chunk);
  return new Uint8Array(hash.digest());
}

/** SHA-384 of bytes. */
export function sha384(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(hash("sha384", bytes, "buffer"));
}

/** Whether two checksums are the same. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a === b || a.length === b.length && a.every((byte, index) => byte === b[index]);
}

/** Bytes in hexadecimal. */
export function hex(bytes: Uint8Array): string {
  return bytes.toHex();
}
