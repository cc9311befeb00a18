/** The bytes of migration files: their checksums, and small ones kept for the moment they are needed. */
import { createHash, hash } from "node:crypto";
import type { Files } from "../../core/plugin.ts";
import type { MigrationFile } from "./files.ts";
import type { AppliedMigration } from "./history.ts";

/** Files above this many bytes are streamed, never held whole. */
export const LARGE_FILE_BYTES = 1 << 20;
/** How much of the files that were read is kept, all together. */
const KEPT_BYTES = 16 << 20;
/** How many files up to which size are read at a time: not too much memory at once. */
const BATCH = { files: 512, bytes: 32 << 10 };
/** How many larger ones are. */
const BATCH_OF_LARGER = 32;

/**
 * One file's checksum, its bytes where they are kept, and what its row says if the file is just what
 * was applied: then no other object has to be made for each of a thousand rows.
 */
export interface FileContents extends AppliedMigration {
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
  const all = [...wanted].map((file): Reading => ({ file, held: undefined }));
  let kept = 0;
  /** @returns those that are larger than `limit` */
  async function read(batch: readonly Reading[], limit: number): Promise<Reading[]> {
    const contents = await files.readSmall(batch.map(({ file }) => file.path), limit);
    return batch.filter((reading, index) => {
      const bytes = contents[index] ?? null;
      if (bytes === null) return true;
      kept += bytes.length;
      reading.held = new HeldContents(reading.file, { bytes, keep: kept <= KEPT_BYTES });
      return false;
    });
  }
  const larger: Reading[] = [];
  for (let start = 0; start < all.length; start += BATCH.files) {
    larger.push(...await read(all.slice(start, start + BATCH.files), BATCH.bytes));
  }
  for (let start = 0; start < larger.length; start += BATCH_OF_LARGER) {
    await read(larger.slice(start, start + BATCH_OF_LARGER), LARGE_FILE_BYTES);
  }
  // In the order asked for, whichever was read first.
  const contents = new Map<bigint, FileContents>();
  for (const { file, held } of all) if (held !== undefined) contents.set(file.version, held);
  return contents;
}

interface Reading {
  readonly file: MigrationFile;
  held: FileContents | undefined;
}

class HeldContents implements FileContents {
  readonly version: bigint;
  readonly checksumHex: string;
  readonly bytes: Uint8Array | undefined;
  #checksum: Uint8Array | undefined;

  constructor({ version }: MigrationFile, { bytes, keep }: { bytes: Uint8Array; keep: boolean }) {
    this.version = version;
    // Takes less time than `hash`, which makes one of these too.
    this.checksumHex = createHash("sha384").update(bytes).digest("hex");
    this.bytes = keep ? bytes : undefined;
  }

  // Of a thousand files that are applied already, none is asked for its bytes.
  get checksum(): Uint8Array {
    return this.#checksum ??= Uint8Array.fromHex(this.checksumHex);
  }

  // Descriptions are not compared, as with sqlx, and only shown for rows without a file.
  get description(): string {
    return "";
  }

  get success(): boolean {
    return true;
  }

  get matches(): boolean {
    return true;
  }
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
