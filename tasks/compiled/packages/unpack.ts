/** The packages of the compiled program, each pack one piece of it. */
import process from "node:process";
import { readPiece } from "../pieces.ts";

/**
 * Runs a pack anew.
 *
 * @param members some of what it must export
 */
export async function unpack<T>(name: string, members: readonly (keyof T & string)[]): Promise<T> {
  const [{ brotliDecompressSync }, { Script }] = await Promise.all([
    import("node:zlib"),
    import("node:vm"),
  ]);
  const text = brotliDecompressSync(readPiece(`${name}.js.br`)).toString();
  const module: { exports: Record<string, unknown> } = { exports: {} };
  new Script(text, { filename: `${name}.js` }).runInThisContext()(
    (builtin: string) => process.getBuiltinModule(builtin),
    module,
    module.exports,
  );
  const exports: Readonly<Record<string, unknown>> = module.exports;
  if (!isWhole<T>(exports, members)) throw new Error(`The pack "${name}" is not whole`);
  return exports;
}

function isWhole<T>(
  exports: object,
  members: readonly (keyof T & string)[],
): exports is T & object {
  return members.every((member) => member in exports);
}
