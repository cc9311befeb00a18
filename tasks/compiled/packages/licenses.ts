/** The licences, in the compiled program: in place of `core/licenses_text.ts`. */
import { readPiece } from "../pieces.ts";

/** The text. */
export async function builtText(): Promise<string> {
  const { brotliDecompressSync } = await import("node:zlib");
  return brotliDecompressSync(readPiece("licenses.txt.br")).toString();
}
