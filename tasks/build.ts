/**
 * Makes the program: `deno task build [--target TRIPLE] [--output FILE]`. The
 * runtime it is put into is downloaded by Deno, or named by `DENORT_BIN`.
 */

import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type BuildFacts, buildFacts } from "./build_facts.ts";
import {
  bundleModules,
  bundleScripts,
  COMPILED,
  compressed,
  leftToRuntime,
  type Pack,
  packPackages,
} from "./bundle.ts";
import { START_SCRIPT } from "./compiled/script_names.ts";
import { makeCodeCache } from "./code_cache.ts";
import { setFileTimes } from "./file_times.ts";
import { licensesText, packagesOf } from "./licenses.ts";
import { isNative, programName, requireMachine } from "./machine.ts";
import { indexOf, type Piece, placePieces, runtimeEndOf } from "./pieces.ts";

/** The project's root directory. */
export const PROJECT = resolve(import.meta.dirname ?? ".", "..");

/** What goes into the program, relative to the root. */
export const SOURCES: readonly string[] = [
  "LICENSE",
  "main.ts",
  "deno.json",
  "deno.lock",
  "core",
  "plugins",
];

/** What makes the program, relative to the root. */
export const BUILDERS: readonly string[] = [
  "tasks/build.ts",
  "tasks/build_facts.ts",
  "tasks/bundle.ts",
  "tasks/code_cache.ts",
  "tasks/file_times.ts",
  "tasks/licenses.ts",
  "tasks/machine.ts",
  "tasks/pieces.ts",
  "tasks/scripts.ts",
  "tasks/compiled",
];

/** What loads the program out of the executable. */
const LOADERS = join(PROJECT, "tasks", "compiled");

/** What tells it where its pieces are, as `tasks/compiled/pieces.ts` reads it. */
const PIECES = "pieces.json";

/** What the build writes for `--version`, beside the module that reads it. */
const BUILD_FACTS = "build.json";

/**
 * The flags of V8. Most runs are over before the middle tiers of compilation pay. Threads of V8's
 * own, which compile and collect garbage, are no help to the longer ones, which wait for the server
 * and the disk; they take more memory, and hold up the start: who first meets a lock of V8 that is
 * taken measures the processor's clock, by sleeping for 3 ms.
 *
 * - No code from strings: a confined plugin could import what it may not by `eval`.
 * - No baseline compiler, and the first optimising one only for what runs for long.
 * - Young objects have room for a short run without a collection, one with 1,000 migrations too, and
 *   for a long one no more: it would grow to 16 MiB twice over, which a backup is not to take.
 */
const V8_FLAGS: readonly string[] = [
  "--disallow-code-generation-from-strings",
  "--no-sparkplug",
  "--invocation-count-for-maglev=4000",
  "--min-semi-space-size=8",
  "--max-semi-space-size=8",
  "--single-threaded",
];

/**
 * The flags that the program is made with.
 *
 * - All permissions: with a list of them the runtime refuses `/dev/stdin`,
 *   `/dev/fd/N` and `/proc`, which scripts hand in as files. What confines user
 *   plugins is their worker.
 * - No prompt: a question for a permission would stop an unattended run.
 * - No code cache: it would be a file of a predictable name in a directory that
 *   everybody may write to, and starts no run faster.
 * - No unused packages: the lock file names those of the tests too.
 */
const FLAGS: readonly string[] = [
  "--quiet",
  "--allow-all",
  "--no-prompt",
  "--no-code-cache",
  `--v8-flags=${V8_FLAGS.join(",")}`,
  "--no-check",
  "--frozen",
  "--exclude-unused-npm",
];

/** How the program is made. */
export interface BuildOptions {
  /** Where it is written; its directory is made where needed. */
  readonly output: string;
  /** A target of `deno compile`; by default this machine's. */
  readonly target?: string;
  /** The runtime's file; by default what `DENORT_BIN` names, else Deno downloads it. */
  readonly denort?: string;
  /** The root of the sources; by default this project's. */
  readonly project?: string;
}

/** A program that was made. */
export interface Build {
  readonly path: string;
  readonly bytes: number;
  /** What it answers to `--version`; undefined when it is for another machine. */
  readonly version: string | undefined;
  /** The licences of what is in it, as it tells them itself. */
  readonly licenses: string;
}

/** The runtime that the program is put into is not at hand and cannot be downloaded. */
export class RuntimeMissing extends Error {
  override name = "RuntimeMissing";
}

/**
 * Makes the program. The sources are copied aside first, so that what the build
 * adds is never seen in the tree, and several builds do not meet.
 *
 * @throws RuntimeMissing when Deno cannot download it and `DENORT_BIN` is not set
 * @throws Error when `deno compile` fails, or what it made is for another machine or does not run
 */
export async function buildProgram(options: BuildOptions): Promise<Build> {
  const path = resolve(options.output);
  const project = options.project ?? PROJECT;
  const denort = options.denort ?? Deno.env.get("DENORT_BIN") ?? "";
  if (denort !== "") await requireRuntime(denort, options.target);
  return await withStage(project, async (stage) => {
    const facts = await buildFacts(project, [...SOURCES, ...BUILDERS]);
    const packs = await packPackages(stage);
    await Deno.mkdir(dirname(path), { recursive: true });
    // Deno refuses to overwrite what it does not take for a program of its own.
    const made = join(stage, programName("observatory", options.target));
    const licenses = await (isNative(options.target) ? compileScript : compileModules)(stage, {
      ...options,
      denort,
      facts,
      packs,
      made,
    });
    await requireMachine(made, options.target);
    const bytes = (await Deno.stat(made)).size;
    const version = isNative(options.target) ? await askVersion(made) : undefined;
    await moveFile(made, path);
    return { path, bytes, version, licenses };
  });
}

/** With one runtime at hand, Deno takes it for every target, for some of them without a word. */
async function requireRuntime(path: string, target: string | undefined): Promise<void> {
  if (!await isFile(path)) {
    throw new Error(`Cannot build with the runtime "${path}" of DENORT_BIN: there is no such file`);
  }
  await requireMachine(path, target);
}

/** Works on a copy of the sources, in a directory that is removed afterwards. */
async function withStage<T>(project: string, work: (stage: string) => Promise<T>): Promise<T> {
  const stage = await Deno.makeTempDir({ prefix: "observatory-build-" });
  try {
    for (const source of SOURCES) await copy(join(project, source), join(stage, source));
    await copy(LOADERS, join(stage, COMPILED));
    return await work(stage);
  } finally {
    await Deno.remove(stage, { recursive: true });
  }
}

interface Making extends BuildOptions {
  /** What is told by `--version`. */
  readonly facts: BuildFacts;
  /** The files of packages. */
  readonly packs: readonly Pack[];
  /** The program to be. */
  readonly made: string;
}

/** For another machine: its V8 cannot be asked here for a code cache. */
async function compileModules(
  stage: string,
  { facts, packs, made, ...options }: Making,
): Promise<string> {
  const bundle = await bundleModules(stage);
  await Deno.writeTextFile(join(bundle, BUILD_FACTS), JSON.stringify(facts));
  const licenses = await gatherLicenses(stage, { bundle, packs });
  const include = [BUILD_FACTS, ...await writePieces(bundle, [...packs, pieceOf(licenses)])];
  await compile(options, { bundle, made, entry: "main.js", include });
  await setFileTimes(made, Date.parse(facts.date));
  return licenses;
}

/** For this machine: with the code cache that a first program makes, of the same runtime. */
async function compileScript(
  stage: string,
  { facts, packs, made, ...options }: Making,
): Promise<string> {
  const { bundle, scripts } = await bundleScripts(stage);
  const licenses = await gatherLicenses(stage, { bundle, packs });
  const maker = join(stage, "maker");
  await Deno.writeTextFile(join(bundle, BUILD_FACTS), JSON.stringify(facts));
  const include = [
    BUILD_FACTS,
    ...scripts.map((name) => `${name}.js`),
    ...await writePieces(bundle, packs),
  ];
  await compile(options, { bundle, made: maker, entry: "make_cache.js", include });
  await requireMachine(maker, options.target);
  const directory = join(stage, "work");
  await Deno.mkdir(directory);
  const version = await makeCodeCache({ maker, output: bundle, directory, scripts });
  await Deno.writeTextFile(join(bundle, "version.txt"), version);
  const read = async (file: string) => ({
    file,
    contents: await Deno.readFile(join(bundle, file)),
  });
  const pieces = [
    ...await Promise.all(
      scripts.filter((name) => name !== START_SCRIPT).flatMap(filesOf).map(read),
    ),
    ...packs,
    pieceOf(licenses),
  ];
  // What each start needs stays where the runtime reads it.
  const inside = [BUILD_FACTS, "version.txt", ...filesOf(START_SCRIPT)];
  const end = await runtimeEndOf(maker);
  if (end === undefined) {
    const include = [...inside, ...await writePieces(bundle, pieces)];
    await compile(options, { bundle, made, entry: "main.js", include });
    return licenses;
  }
  await Deno.writeTextFile(join(bundle, PIECES), indexOf(pieces, end));
  await compile(options, { bundle, made, entry: "main.js", include: [...inside, PIECES] });
  await setFileTimes(made, Date.parse(facts.date));
  await placePieces(made, { pieces, end });
  return licenses;
}

/** The licences of everything that a bundle brings into the program. */
async function gatherLicenses(
  stage: string,
  { bundle, packs }: { readonly bundle: string; readonly packs: readonly Pack[] },
): Promise<string> {
  const files = [
    ...packs.flatMap(({ sources }) => sources),
    ...await leftToRuntime(stage, bundle),
  ];
  return licensesText(await packagesOf(files), await Deno.readTextFile(join(stage, "LICENSE")));
}

function pieceOf(licenses: string): Piece {
  return { file: "licenses.txt.br", contents: compressed(licenses) };
}

/**
 * The licences of what a program would hold that is built now.
 *
 * @throws Error when a package tells none
 */
export async function readLicenses(project = PROJECT): Promise<string> {
  return await withStage(project, async (stage) => {
    const packs = await packPackages(stage);
    return await gatherLicenses(stage, { ...await bundleScripts(stage), packs });
  });
}

/** The files of a script: its text and its code cache. */
function filesOf(script: string): string[] {
  return [`${script}.js`, `${script}.cache`];
}

/** Writes pieces as files of their own, and gives the files' names. */
async function writePieces(bundle: string, pieces: readonly Piece[]): Promise<string[]> {
  for (const { file, contents } of pieces) await Deno.writeFile(join(bundle, file), contents);
  return pieces.map(({ file }) => file);
}

async function compile(
  options: BuildOptions,
  { bundle, made, entry, include }: {
    readonly bundle: string;
    readonly made: string;
    readonly entry: string;
    readonly include: readonly string[];
  },
): Promise<void> {
  const { denort = "" } = options;
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "compile",
      ...FLAGS,
      ...(options.target === undefined ? [] : ["--target", options.target]),
      ...include.map((file) => `--include=${file}`),
      "--output",
      made,
      entry,
    ],
    cwd: bundle,
    env: { NO_COLOR: "1", ...(denort === "" ? {} : { DENORT_BIN: denort }) },
    stdin: "null",
  }).output();
  if (!success) {
    const reason = new TextDecoder().decode(stderr).split("Stack backtrace")[0]?.trim();
    if (reason?.includes("Setting up base binary")) {
      throw new RuntimeMissing(`Cannot get the runtime of the program: ${reason}`);
    }
    throw new Error(`Cannot build: ${reason}`);
  }
}

async function askVersion(path: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(path, {
    args: ["--version"],
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  if (!success) {
    throw new Error(`Cannot run the program that was built: ${decoder.decode(stderr).trim()}`);
  }
  return decoder.decode(stdout).trim();
}

async function copy(from: string, to: string): Promise<void> {
  if (await isFile(from)) return await Deno.copyFile(from, to);
  await Deno.mkdir(to);
  for await (const entry of Deno.readDir(from)) {
    await copy(join(from, entry.name), join(to, entry.name));
  }
}

/** Moves a file, to another file system too; whoever runs the old one keeps it. */
async function moveFile(from: string, to: string): Promise<void> {
  const beside = `${to}.${crypto.randomUUID()}`;
  await Deno.copyFile(from, beside);
  await Deno.rename(beside, to);
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    args: Deno.args,
    options: { target: { type: "string" }, output: { type: "string", short: "o" } },
  });
  const { target, output = join(PROJECT, "dist", "observatory") } = values;
  const encoder = new TextEncoder();
  try {
    const build = await buildProgram({ output, ...(target === undefined ? {} : { target }) });
    const size = `${build.path}: ${(build.bytes / 1_000_000).toFixed(1)} MB`;
    const version = build.version ?? `for ${target}: not run on this machine`;
    Deno.stdout.writeSync(encoder.encode(`${size}\n${version}\n`));
    return 0;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    Deno.stderr.writeSync(encoder.encode(`${error.message}\n`));
    return 1;
  }
}

if (import.meta.main) Deno.exit(await main());
