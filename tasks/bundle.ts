/** Puts the sources together before they are compiled; npm packages stay outside. */
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";
import { sourcesOf } from "./licenses.ts";
import type { Piece } from "./pieces.ts";
import { collectModules, sourceOf } from "./scripts.ts";

/** Where in the copy of the sources the modules are that only the compiled program has. */
export const COMPILED = "compiled";

/**
 * The names in the sources are kept, so that the stack in a bug report can be read. To make them
 * shorter and keep those of functions beside takes each start longer than the letters do.
 */
const FLAGS: readonly string[] = ["--quiet", "--frozen", "--platform=deno"];

/** For packages, which are packed. */
const SMALL: readonly string[] = ["--minify", "--keep-names"];

/** How a script begins: as a function, which is given what CommonJS has and what TypeScript calls. */
const HEAD = `(function (require, module, exports, helpers) {
const { __exportStar, __importDefault, __importStar } = helpers;
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

/** The modules that load the scripts: the program's entry, and that of what makes its code caches. */
const ENTRIES = ["main", "make_cache"] as const;

/**
 * Puts the sources together into scripts: functions which are given what CommonJS has.
 *
 * @param stage a copy of the sources, with what loads the scripts and packages
 * @returns the directory, whose entries are `main.js` and `make_cache.js`, and the names of the scripts in it, such as `start` for `start.js`
 */
export async function bundleScripts(
  stage: string,
): Promise<{ readonly bundle: string; readonly scripts: readonly string[] }> {
  const directory = join(stage, "bundle");
  await Deno.mkdir(directory);
  const scripts = await collectModules(stage);
  const sources = [...scripts].map(([name, modules]) => ({ file: `${name}.js`, modules }));
  for (const { file, modules } of sources) {
    await Deno.writeTextFile(join(stage, file), sourceOf(modules));
  }
  // All at once, since each start of the bundler takes a second.
  await denoBundle(stage, [
    "--format=cjs",
    "--outdir",
    directory,
    ...sources.map(({ file }) => file),
  ]);
  for (const { file } of sources) {
    const script = join(directory, file);
    const text = await Deno.readTextFile(script);
    await Deno.writeTextFile(script, inAscii(`${HEAD}${text}\n})`));
  }
  // What loads them is one file too, since each module takes a start a quarter of a millisecond.
  const entries = ENTRIES.map((name) => join(COMPILED, `${name}.ts`));
  await denoBundle(stage, ["--outdir", directory, ...entries]);
  await copyConfiguration(stage, directory);
  return { bundle: directory, scripts: [...scripts.keys()] };
}

/**
 * The same text in ASCII letters: with a single one beyond, V8 would take twice the memory for all of
 * it, and each start the time to convert it.
 */
function inAscii(text: string): string {
  return text.replaceAll(
    /[\u0080-\uffff]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A piece that was put together from packages. */
export interface Pack extends Piece {
  /** The files of the packages. */
  readonly sources: readonly string[];
}

/**
 * What is packed, by the pack's name: the packages that few runs need, as their loaders in
 * `tasks/compiled/packages/` expect them.
 */
const PACKED: Readonly<Record<string, string>> = {
  "plugins": `export * as acorn from "acorn";
export { transformSync } from "amaro";
`,
  "s3": `export {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  ListPartsCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
`,
  "age": `export * from "age-encryption";
`,
};

/** The sources that load packages, and the licences, with what loads the packs in their place. */
const LOADERS: Readonly<Record<string, string>> = {
  "core/licenses_text.ts": "licenses.ts",
  "core/sandbox/packages.ts": "sandbox.ts",
  "plugins/repository/packages.ts": "repository.ts",
};

/**
 * Packs the packages that few runs need, and has the sources load them from there: every start would
 * pay for their size.
 *
 * @param stage a copy of the sources, with what loads the packs; it is changed
 */
export async function packPackages(stage: string): Promise<readonly Pack[]> {
  const made = (await bundlePackages(stage, PACKED)).map(({ name, bundled, sources }) => ({
    file: `${name}.js.br`,
    contents: compressed(`(function (require, module, exports) {${bundled}\n})`),
    sources,
  }));
  for (const [source, loader] of Object.entries(LOADERS)) {
    const up = source.replaceAll(/[^/]+\//g, "../").replace(/[^/]*$/, "");
    const target = `${up}${COMPILED}/packages/${loader}`;
    await Deno.writeTextFile(join(stage, source), `export * from "${target}";\n`);
  }
  return made;
}

/** Packs a text as the program unpacks it. */
export function compressed(text: string): Uint8Array {
  return brotliCompressSync(text, {
    params: { [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS },
  });
}

interface BundledPackages {
  readonly name: string;
  readonly bundled: string;
  /** The files of the packages. */
  readonly sources: readonly string[];
}

/**
 * Puts packages together with what they need, one file for each text. All are made by one start of
 * the bundler: Deno fetches it with its first use, and of two which do that at once one may fail.
 *
 * @param texts what takes the wanted parts from the packages, by names of letters
 */
async function bundlePackages(
  stage: string,
  texts: Readonly<Record<string, string>>,
): Promise<BundledPackages[]> {
  const entries = Object.entries(texts).map(([name, text]) => ({
    name,
    entry: `${name}_pack.ts`,
    text,
  }));
  if (entries.length === 0) return [];
  for (const { entry, text } of entries) await Deno.writeTextFile(join(stage, entry), text);
  const directory = await Deno.makeTempDir({ dir: stage, prefix: "packs-" });
  const flags = [...SMALL, "--format=cjs", "--sourcemap=external", "--outdir", directory];
  await bundle(stage, [...flags, ...entries.map(({ entry }) => entry)]);
  return await Promise.all(entries.map(async ({ name }) => {
    const output = join(directory, `${name}_pack.js`);
    const bundled = await Deno.readTextFile(output);
    return { name, bundled, sources: await sourcesOf(`${output}.map`) };
  }));
}

/**
 * The files of the packages that a bundle leaves to the runtime, which are put into the program as
 * they are, with those of what they need.
 *
 * @param made the directory of the bundle
 */
export async function leftToRuntime(stage: string, made: string): Promise<readonly string[]> {
  const names = new Set<string>();
  for await (const { name, isFile } of Deno.readDir(made)) {
    if (!isFile || !name.endsWith(".js")) continue;
    const text = await Deno.readTextFile(join(made, name));
    for (const [, left = ""] of text.matchAll(/\b(?:import\(|from|import) ?"([^".:][^":]*)"/g)) {
      names.add(left);
    }
  }
  const imports = await packageNames(stage);
  const texts: Record<string, string> = {};
  for (const name of imports.filter((name) => names.has(name))) {
    texts[`left_${name.replaceAll(/\W/g, "_")}`] = `export * from ${JSON.stringify(name)};\n`;
  }
  const found = await bundlePackages(stage, texts);
  return found.flatMap(({ sources }) => sources);
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
  return (await packageNames(stage)).map((name) => `--external=${name}`);
}

/** The names by which the sources import npm packages. */
async function packageNames(stage: string): Promise<string[]> {
  const { imports }: { imports: Record<string, string> } = JSON.parse(
    await Deno.readTextFile(join(stage, "deno.json")),
  );
  return Object.entries(imports)
    .filter(([, target]) => target.startsWith("npm:"))
    .map(([name]) => name);
}
