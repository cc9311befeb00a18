/**
 * The packages of the compiled program, each pack in one file beside it, since every megabyte in the
 * executable lengthens each start by nearly a millisecond.
 */
import process from "node:process";

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
  const packed = await Deno.readFile(new URL(`${name}.js.br`, Deno.mainModule));
  const text = brotliDecompressSync(packed).toString();
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
