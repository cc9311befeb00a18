/** Puts the sources together before they are compiled; npm packages stay outside. */
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";
import { collectModules, sourceOf } from "./scripts.ts";

/** Names of functions are kept, so that the stack in a bug report can be read. */
const FLAGS: readonly string[] = [
  "--quiet",
  "--frozen",
  "--platform=deno",
  "--minify",
  "--keep-names",
];

/** How a script begins: as a function, which is given what CommonJS has and what TypeScript calls. */
const HEAD = `(function (require, module, exports, helpers) {
const { __exportStar, __importDefault, __importStar } = helpers;
`;

/** The scripts of the program, each beside its code cache: what most runs load, and the rest. */
export const SCRIPTS = ["start", "rest"] as const;

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
 * Puts the sources together into scripts: functions which are given what CommonJS has.
 *
 * @param stage a copy of the sources
 * @param loaders the directory of the modules that load the scripts, which are copied beside them
 * @returns the directory, which holds `start.js` and `rest.js`
 */
export async function bundleScripts(stage: string, loaders: string): Promise<string> {
  const directory = join(stage, "bundle");
  await Deno.mkdir(directory);
  const parts = await collectModules(stage);
  for (const name of SCRIPTS) {
    const source = `${name}_script.js`;
    const script = join(directory, `${name}.js`);
    await Deno.writeTextFile(join(stage, source), sourceOf(parts[name]));
    await denoBundle(stage, ["--format=cjs", "--output", script, source]);
    const text = await Deno.readTextFile(script);
    await Deno.writeTextFile(script, inAscii(`${HEAD}${text}\n})`));
  }
  for await (const { name, isFile } of Deno.readDir(loaders)) {
    if (isFile) await Deno.copyFile(join(loaders, name), join(directory, name));
  }
  await copyConfiguration(stage, directory);
  return directory;
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

/** A file beside the program, which it unpacks when it needs it. */
export interface Pack {
  readonly file: string;
  readonly contents: Uint8Array;
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

/** The sources that load packages, with what loads the packs in their place. */
const LOADERS: Readonly<Record<string, string>> = {
  "core/sandbox/packages.ts": "sandbox.ts",
  "plugins/repository/packages.ts": "repository.ts",
};

/**
 * Packs the packages that few runs need, and has the sources load them from there: every start would
 * pay for their size.
 *
 * @param stage a copy of the sources, which is changed
 * @param loaders the directory of the modules that load the packs
 */
export async function packPackages(stage: string, loaders: string): Promise<readonly Pack[]> {
  const packs = Object.entries(PACKED).map(([name, text]) => pack(stage, { name, text }));
  const made = await Promise.all(packs);
  const directory = join(stage, "packages");
  await Deno.mkdir(directory);
  for await (const { name } of Deno.readDir(loaders)) {
    await Deno.copyFile(join(loaders, name), join(directory, name));
  }
  for (const [source, loader] of Object.entries(LOADERS)) {
    await Deno.writeTextFile(join(stage, source), `export * from "../../packages/${loader}";\n`);
  }
  return made;
}

async function pack(
  stage: string,
  { name, text }: { readonly name: string; readonly text: string },
): Promise<Pack> {
  const [entry, output] = [`${name}_pack.ts`, join(stage, `${name}_pack.js`)];
  await Deno.writeTextFile(join(stage, entry), text);
  await bundle(stage, ["--format=cjs", "--output", output, entry]);
  const packed = `(function (require, module, exports) {${await Deno.readTextFile(output)}\n})`;
  const contents = brotliCompressSync(packed, {
    params: { [constants.BROTLI_PARAM_LGWIN]: constants.BROTLI_MAX_WINDOW_BITS },
  });
  return { file: `${name}.js.br`, contents };
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
