/**
 * The packages that prepare plugins, loaded when a plugin is prepared for the first time. The
 * compiled program has `tasks/compiled/packages/sandbox.ts` in place of this file.
 */

/** Takes the types out of TypeScript. */
export type Stripper = Pick<typeof import("amaro"), "transformSync">;
/** Parses JavaScript. */
export type Parser = typeof import("acorn");

/** Loads the parser. */
export async function loadParser(): Promise<Parser> {
  return await import("acorn");
}

/** Loads the stripper. */
export async function loadStripper(): Promise<Stripper> {
  return await import("amaro");
}

/**
 * Loads the stripper anew. One that ran out of stack has left its memory as it was then, and would
 * fail for the next plugin, too.
 */
export async function reloadStripper(): Promise<Stripper> {
  const { createRequire } = await import("node:module");
  const require = createRequire(Deno.mainModule);
  const files = Object.keys(require.cache).filter((path) => /[/\\]amaro[/\\]/.test(path));
  const entry = files.find((path) => /[/\\]dist[/\\]index\.js$/.test(path));
  for (const path of files) delete require.cache[path];
  if (entry === undefined) throw new Error("amaro was loaded, and is not among the modules");
  return require(entry);
}
