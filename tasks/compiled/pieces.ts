/**
 * Pieces of the compiled program that few runs need: scripts, code caches, packages. What the runtime
 * finds in the executable it reads and copies at each start, which takes about a millisecond for a
 * megabyte; the pieces lie before that (`tasks/pieces.ts`), where only who wants one reads it.
 */

/** The file that tells where they lie; where it is missing, each piece is a file of its own. */
const INDEX = "pieces.json";

/** Offset and length in the executable, in bytes, by name. */
type Index = Readonly<Record<string, readonly [offset: number, length: number]>>;

const directory = decodeURIComponent(new URL(".", Deno.mainModule).pathname);
let index: Index | null | undefined;

/**
 * Reads one.
 *
 * @throws Error when the program has no such piece
 */
export function readPiece(name: string): Uint8Array<ArrayBuffer> {
  const place = (index ??= readIndex())?.[name];
  if (place === undefined) return Deno.readFileSync(`${directory}/${name}`);
  const [offset, length] = place;
  using file = openExecutable();
  file.seekSync(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  for (let filled = 0; filled < length;) {
    const count = file.readSync(bytes.subarray(filled));
    if (count === null) throw new Error(`The program ends within its piece "${name}"`);
    filled += count;
  }
  return bytes;
}

/** The text of one. */
export function readPieceText(name: string): string {
  return new TextDecoder().decode(readPiece(name));
}

function readIndex(): Index | null {
  try {
    return JSON.parse(Deno.readTextFileSync(`${directory}/${INDEX}`));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** The file that runs, also when its name is another one's meanwhile, as after an upgrade. */
function openExecutable(): Deno.FsFile {
  try {
    return Deno.openSync("/proc/self/exe");
  } catch (error) {
    // Whoever has no /proc has the name.
    if (error instanceof Deno.errors.NotFound) return Deno.openSync(Deno.execPath());
    throw error;
  }
}
