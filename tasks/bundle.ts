/** Puts the sources together before they are compiled; npm packages stay outside. */
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";

/** Names of functions are kept, so that the stack in a bug report can be read. */
const FLAGS: readonly string[] = [
  "--quiet",
  "--frozen",
  "--platform=deno",
  "--minify",
  "--keep-names",
];

/** What the one script gives to its loader. */
const EXPORTS = `export { run } from "./core/run.ts";
export { systemHost } from "./core/host.ts";
`;

/**
 * Puts the sources together into few modules, one for each import that waits until it is needed: a
 * start then loads a dozen files instead of eighty, and less text.
 *
 * @param stage a copy of the sources
 * @returns the directory, whose entry is `main.js`
 */
export async function bundleModules(stage: string): Promise<string> {
  const bundle = join(stage, "bundle");
  await denoBundle(stage, ["--code-splitting", "--outdir", bundle, "main.ts"]);
  await copyConfiguration(stage, bundle);
  return bundle;
}

/**
 * Puts the sources together into one script: a function, which is given what CommonJS has.
 *
 * @param stage a copy of the sources
 * @param loaders the directory of the modules that load the script, which are copied beside it
 * @returns the directory, which holds `program.js`
 */
export async function bundleScript(stage: string, loaders: string): Promise<string> {
  const bundle = join(stage, "bundle");
  await Deno.mkdir(bundle);
  await Deno.writeTextFile(join(stage, "exports.ts"), EXPORTS);
  const script = join(bundle, "program.js");
  await denoBundle(stage, ["--format=cjs", "--output", script, "exports.ts"]);
  const text = await Deno.readTextFile(script);
  await Deno.writeTextFile(script, `(function (require, module, exports) {${text}\n})`);
  for await (const { name } of Deno.readDir(loaders)) {
    // That one has been put among the sources.
    if (name !== "packages.ts") await Deno.copyFile(join(loaders, name), join(bundle, name));
  }
  await copyConfiguration(stage, bundle);
  return bundle;
}

/** What is packed, as its loader `tasks/compiled/packages.ts` expects it. */
const PACKED = `export * as acorn from "acorn";
export { transformSync } from "amaro";
`;

/** The file of the packed packages, beside the program. */
export const PACKAGES = "packages.js.br";

/**
 * Packs the packages that prepare plugins, and has the sources load them from there: most runs need
 * none of them, and every start would pay for their size.
 *
 * @param stage a copy of the sources, which is changed
 * @returns the packed file's contents
 */
export async function packPackages(stage: string, loaders: string): Promise<Uint8Array> {
  const output = join(stage, "packages.js");
  await Deno.writeTextFile(join(stage, "packages.ts"), PACKED);
  await bundle(stage, ["--format=cjs", "--output", output, "packages.ts"]);
  await Deno.copyFile(join(loaders, "packages.ts"), join(stage, "core/sandbox/packages.ts"));
  const text = await Deno.readTextFile(output);
  return brotliCompressSync(`(function (require, module, exports) {${text}\n})`, {
    params: { [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS },
  });
}

async function denoBundle(stage: string, args: readonly string[]): Promise<void> {
  await bundle(stage, [...await packages(stage), ...args]);
}

async function bundle(stage: string, args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", ...FLAGS, ...args],
    cwd: stage,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  if (!success) {
    throw new Error(`Cannot put the sources together: ${new TextDecoder().decode(stderr).trim()}`);
  }
}

/** They name the packages, and switch on the runtime's unstable features. */
async function copyConfiguration(stage: string, bundle: string): Promise<void> {
  for (const file of ["deno.json", "deno.lock"]) {
    await Deno.copyFile(join(stage, file), join(bundle, file));
  }
}

/**
 * The flags that leave npm packages out of the bundle: those written for Node load parts of it by
 * name at run time, which a bundle cannot follow.
 */
async function packages(stage: string): Promise<string[]> {
  const { imports }: { imports: Record<string, string> } = JSON.parse(
    await Deno.readTextFile(join(stage, "deno.json")),
  );
  return Object.entries(imports)
    .filter(([, target]) => target.startsWith("npm:"))
    .map(([name]) => `--external=${name}`);
}
