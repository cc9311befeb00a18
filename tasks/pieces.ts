/**
 * Puts into a compiled program what few of its runs need, outside of what the runtime reads at each
 * start. `deno compile` appends that to the runtime, which is an ELF file, and the runtime looks for it
 * from the end of the file; what is put between the two it never sees.
 */

/** A file that the program reads by itself: see `tasks/compiled/pieces.ts`. */
export interface Piece {
  readonly file: string;
  readonly contents: Uint8Array;
}

/** How what `deno compile` appends begins. */
const APPENDED = new TextEncoder().encode("d3n0l4nd");

/**
 * Where the runtime of a program that `deno compile` has made ends, in bytes.
 *
 * @returns undefined when it is put together in another way than is known here
 */
export async function runtimeEndOf(program: string): Promise<number | undefined> {
  using file = await Deno.open(program);
  const header = new DataView((await readAt(file, 0, 64)).buffer);
  // An ELF file of 64 bits, little-endian.
  if (header.getUint32(0) !== 0x7f454c46 || header.getUint16(4) !== 0x0201) return undefined;
  const sections = Number(header.getBigUint64(40, true));
  const end = sections + header.getUint16(58, true) * header.getUint16(60, true);
  const appended = await readAt(file, end, APPENDED.length);
  return appended.every((byte, index) => byte === APPENDED[index]) ? end : undefined;
}

/** What tells the program where its pieces lie, when the first of them lies at `start`. */
export function indexOf(pieces: readonly Piece[], start: number): string {
  let offset = start;
  const places = pieces.map(({ file, contents: { length } }) => {
    const place = [file, [offset, length]] as const;
    offset += length;
    return place;
  });
  return JSON.stringify(Object.fromEntries(places));
}

/** Puts the pieces into a program, behind its runtime. */
export async function placePieces(
  program: string,
  { pieces, end }: { readonly pieces: readonly Piece[]; readonly end: number },
): Promise<void> {
  const bytes = await Deno.readFile(program);
  using file = await Deno.open(program, { write: true, truncate: true });
  const parts = [bytes.subarray(0, end), ...pieces.map(({ contents }) => contents)];
  for (const part of [...parts, bytes.subarray(end)]) await writeAll(file, part);
}

async function readAt(
  file: Deno.FsFile,
  offset: number,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  await file.seek(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  await file.read(bytes);
  return bytes;
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await file.write(rest));
}
