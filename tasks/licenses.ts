/**
 * The licences of what the program holds, put together when it is built: those of npm packages are
 * read from the packages themselves, of which are known by the source maps of what was bundled.
 */
import { basename, dirname, join, resolve } from "node:path";

/** An npm package whose code is in the program. */
export interface EmbeddedPackage {
  readonly name: string;
  readonly version: string;
  /** As package.json names it, such as `MIT`. */
  readonly license: string;
  /** The texts of its licence, notice and copyright files. */
  readonly texts: readonly string[];
}

/** What is in the program beside npm packages; its texts are with its sources. */
const RUNTIME =
  `Deno's runtime (denort), of the version that \`observatory --version\` names: MIT License
  https://github.com/denoland/deno/blob/main/LICENSE.md
  with the Rust crates that its Cargo.lock names, each under its own terms
  https://github.com/denoland/deno/blob/main/Cargo.lock
V8: BSD 3-Clause License
  https://github.com/v8/v8/blob/main/LICENSE
`;

/** Files that tell of terms, in a package's own directory or one below it. */
const TERMS = /^(licen[cs]e|notice|copying|copyright)/i;

/**
 * The packages that files belong to, by name and version.
 *
 * @param files absolute paths; those outside packages are left out
 * @throws Error when a package names no licence at all
 */
export async function packagesOf(files: Iterable<string>): Promise<EmbeddedPackage[]> {
  const packages = new Map<string, PackageFacts | undefined>();
  for (const file of files) {
    for (const directory of directoriesOf(file)) {
      if (!packages.has(directory)) packages.set(directory, await factsOf(directory));
    }
  }
  const found = [...packages.values()].filter((facts) => facts !== undefined);
  const told = await Promise.all(found.map(embedded));
  return told.sort((one, other) => `${one.name}@` < `${other.name}@` ? -1 : 1);
}

/** Where packages are kept: by Deno, and by npm. */
const STORE = /^.*\/(?:npm\/[^/]+|node_modules)\//;

/**
 * The directories from a file's own up to that of its package, where there may be further packages on
 * the way, which a package has taken in; none of a file that belongs to no package.
 */
function directoriesOf(file: string): string[] {
  const [store] = STORE.exec(file) ?? [];
  const directories: string[] = [];
  for (let at = dirname(file); store !== undefined && at.length > store.length; at = dirname(at)) {
    directories.push(at);
  }
  return directories;
}

interface PackageFacts {
  readonly directory: string;
  readonly name: string;
  readonly version: string;
  readonly license: string;
}

/** The package whose root the directory is; packages have further package.json inside, without a name. */
async function factsOf(directory: string): Promise<PackageFacts | undefined> {
  let text: string;
  try {
    text = await Deno.readTextFile(join(directory, "package.json"));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
  const { name, version, license }: Record<string, unknown> = JSON.parse(text);
  if (typeof name !== "string" || typeof version !== "string") return undefined;
  return { directory, name, version, license: typeof license === "string" ? license : "" };
}

async function embedded({ directory, ...facts }: PackageFacts): Promise<EmbeddedPackage> {
  const texts: string[] = [];
  for (const path of (await termsIn(directory, 1)).sort()) {
    texts.push(await Deno.readTextFile(path));
  }
  if (texts.length === 0 && facts.license === "") {
    throw new Error(`The package ${facts.name} ${facts.version} names no licence`);
  }
  return { ...facts, texts };
}

async function termsIn(directory: string, depth: number): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isFile, isDirectory } of Deno.readDir(directory)) {
    const path = join(directory, name);
    if (isFile && TERMS.test(basename(name)) && !/\.[cm]?[jt]s$/.test(name)) found.push(path);
    else if (isDirectory && depth > 0 && name !== "node_modules") {
      found.push(...await termsIn(path, depth - 1));
    }
  }
  return found;
}

/**
 * The files that a source map names.
 *
 * @param map the map's path
 */
export async function sourcesOf(map: string): Promise<string[]> {
  const { sources }: { sources: string[] } = JSON.parse(await Deno.readTextFile(map));
  return sources.map((source) =>
    source.startsWith("file:") ? new URL(source).pathname : resolve(dirname(map), source)
  );
}

/**
 * The whole text. A text that several packages share stands there once.
 *
 * @param own the text of the program's own licence, the Apache License 2.0: it stands for that of
 *   packages that name it and hold no text
 * @throws Error when a package holds no text, and names another licence than that
 */
export function licensesText(packages: readonly EmbeddedPackage[], own: string): string {
  const texts = new Map<string, string[]>();
  const add = (text: string, owner: string) => {
    const plain = text.replaceAll("\r\n", "\n").trim();
    texts.set(plain, [...texts.get(plain) ?? [], owner]);
  };
  add(own, "observatory");
  for (const { name, version, license, texts: given } of packages) {
    if (given.length === 0 && license !== "Apache-2.0") {
      throw new Error(`The package ${name} ${version} holds no text of its licence, ${license}`);
    }
    for (const text of given.length === 0 ? [own] : given) add(text, `${name} ${version}`);
  }
  return [
    "observatory is licensed under the Apache License, Version 2.0. Its executable holds, too:\n",
    RUNTIME,
    "npm packages, whose texts follow:\n",
    packages.map(({ name, version, license }) =>
      `  ${name} ${version}: ${license || "see below"}\n`
    )
      .join(""),
    ...[...texts].map(([text, owners]) =>
      `${"-".repeat(80)}\n${wrapped(owners.join(", "))}\n\n${text}\n`
    ),
  ].join("\n");
}

function wrapped(text: string): string {
  return text.replaceAll(/(.{1,78})(?: |$)/g, "$1\n").trimEnd();
}
