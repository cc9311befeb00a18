/** The packages that prepare plugins, in the compiled program: in place of `core/sandbox/packages.ts`. */
import { unpack } from "./unpack.ts";

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
  return (await (packages ??= load())).acorn;
}

/** Loads the stripper. */
export async function loadStripper(): Promise<Stripper> {
  return await (packages ??= load());
}

/** Loads the stripper anew, with memory of its own. */
export async function reloadStripper(): Promise<Stripper> {
  return await (packages = load());
}

async function load(): Promise<Packages> {
  return await unpack("plugins", ["acorn", "transformSync"]);
}
