/**
 * The packages that prepare plugins, in the compiled program: packed in one file beside it, since
 * every megabyte in the executable lengthens each start by nearly a millisecond.
 */
import process from "node:process";

/** Takes the types out of TypeScript. */
export type Stripper = Pick<typeof import("amaro"), "transformSync">;
/** Parses JavaScript. */
export type Parser = typeof import("acorn");

interface Packages extends Stripper {
  readonly acorn: Parser;
}

let packages: Promise<Packages> | undefined;

/** Loads the parser. */
export async function loadParser(): Promise<Parser> {
  return (await (packages ??= unpack())).acorn;
}

/** Loads the stripper. */
export async function loadStripper(): Promise<Stripper> {
  return await (packages ??= unpack());
}

/** Loads the stripper anew, with memory of its own. */
export async function reloadStripper(): Promise<Stripper> {
  return await (packages = unpack());
}

async function unpack(): Promise<Packages> {
  const [{ brotliDecompressSync }, { Script }] = await Promise.all([
    import("node:zlib"),
    import("node:vm"),
  ]);
  const packed = await Deno.readFile(new URL("packages.js.br", Deno.mainModule));
  const text = brotliDecompressSync(packed).toString();
  const module: { exports: Partial<Packages> } = { exports: {} };
  new Script(text, { filename: "packages.js" }).runInThisContext()(
    (name: string) => process.getBuiltinModule(name),
    module,
    module.exports,
  );
  const { acorn, transformSync } = module.exports;
  if (acorn === undefined || transformSync === undefined) {
    throw new Error("The program's packages are not whole");
  }
  return { acorn, transformSync };
}
