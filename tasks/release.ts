/**
 * Makes a release: `deno task release [--draft] [--target TRIPLE]… [--output DIRECTORY]`. The program
 * for every machine whose runtime can be had, checksums, licences and notes, in `dist/release`.
 */
import { createHash } from "node:crypto";
import { basename, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { type Build, type BuildOptions, buildProgram, PROJECT, RuntimeMissing } from "./build.ts";
import { git } from "./build_facts.ts";
import { isNative, programName } from "./machine.ts";
import { notesText, sectionOf } from "./release_notes.ts";

/** The machines that there are releases for. */
export const TARGETS: readonly string[] = [
  "x86_64-unknown-linux-gnu",
  "aarch64-unknown-linux-gnu",
  "x86_64-apple-darwin",
  "aarch64-apple-darwin",
  "x86_64-pc-windows-msvc",
];

/** How a release is made. */
export interface ReleaseOptions {
  /** Where it is written; what is there is replaced when everything is made. */
  readonly output: string;
  /** By default all of `TARGETS`. */
  readonly targets?: readonly string[];
  /** Whether it may be made of what is no release: changes that are not committed, no dated section. */
  readonly draft?: boolean;
  /** The root of the sources; by default this project's. */
  readonly project?: string;
  /** The one runtime that there is; by default what `DENORT_BIN` names, else Deno downloads each. */
  readonly denort?: string;
  /** Makes one program; by default `buildProgram`. */
  readonly build?: (options: BuildOptions) => Promise<Build>;
}

/** One file of a release. */
export interface ReleasedFile {
  readonly name: string;
  readonly bytes: number;
  /** In lower-case hexadecimal. */
  readonly sha256: string;
}

/** A release that was made. */
export interface Release {
  readonly version: string;
  readonly directory: string;
  readonly files: readonly ReleasedFile[];
  /** Targets that were left out, with why. */
  readonly skipped: Readonly<Record<string, string>>;
}

/**
 * Makes a release.
 *
 * @throws Error when what is there is no release and no draft is wanted, with everything that stands
 *   against it; when a target is unknown; when no program can be made
 */
export async function makeRelease(options: ReleaseOptions): Promise<Release> {
  const { draft = false, project = PROJECT, targets = TARGETS } = options;
  const unknown = targets.find((target) => !TARGETS.includes(target));
  if (unknown !== undefined) {
    throw new Error(`Cannot release for "${unknown}": the targets are ${TARGETS.join(", ")}`);
  }
  const version = await versionOf(project);
  const changes = sectionOf(await Deno.readTextFile(join(project, "CHANGELOG.md")), version);
  const problems = await problemsOf(project, { version, dated: changes?.dated });
  if (problems.length > 0 && !draft) {
    throw new Error(
      [`Cannot release ${version}:`, ...problems, "--draft makes it all the same"].join("\n"),
    );
  }
  const directory = resolve(options.output);
  const stage = `${directory}.${crypto.randomUUID()}`;
  await Deno.mkdir(stage, { recursive: true });
  try {
    const { licenses, skipped } = await buildAll(stage, { ...options, version, targets, project });
    const name = `observatory-${version}-licenses.txt`;
    await Deno.writeTextFile(join(stage, name), licenses);
    const files = await filesIn(stage);
    const sums = files.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join("");
    await Deno.writeTextFile(join(stage, "SHA256SUMS"), sums);
    const commit = await git(project, ["log", "-1", "--format=%H, %cs"]) ?? "unknown";
    const notes = notesText({
      version,
      commit,
      deno: Deno.version.deno,
      changes: changes?.text,
      files,
      skipped,
      problems,
    });
    await Deno.writeTextFile(join(stage, "RELEASE_NOTES.md"), notes);
    await removeTree(directory);
    await Deno.rename(stage, directory);
    return { version, directory, files, skipped };
  } finally {
    await removeTree(stage);
  }
}

/** The version that the sources name. */
async function versionOf(project: string): Promise<string> {
  const path = join(project, "core", "version.ts");
  const [, version] = /^export const VERSION = "([^"]+)";$/m.exec(await Deno.readTextFile(path)) ??
    [];
  if (version === undefined) throw new Error(`Cannot find the version in "${path}"`);
  return version;
}

/** What makes it no release. */
async function problemsOf(
  project: string,
  { version, dated }: { readonly version: string; readonly dated: boolean | undefined },
): Promise<string[]> {
  const problems: string[] = [];
  const changed = await git(project, ["status", "--porcelain"]);
  if (changed === undefined) problems.push("The sources are in no git repository");
  else if (changed !== "") {
    const count = changed.split("\n").length;
    problems.push(
      `${count === 1 ? "A file is" : `${count} files are`} not committed, such as ${
        changed.split("\n")[0]?.trim().replace(/^\S+ +/, "")
      }`,
    );
  }
  if (dated === undefined) problems.push(`CHANGELOG.md has no section "## ${version} (DATE)"`);
  else if (!dated) {
    problems.push(`The section of ${version} in CHANGELOG.md has no date, such as (2026-01-31)`);
  }
  return problems;
}

async function buildAll(
  stage: string,
  options: ReleaseOptions & {
    readonly version: string;
    readonly targets: readonly string[];
    readonly project: string;
  },
): Promise<{ licenses: string; skipped: Record<string, string> }> {
  const { version, targets, project, build = buildProgram } = options;
  const denort = options.denort ?? Deno.env.get("DENORT_BIN") ?? "";
  const skipped: Record<string, string> = {};
  let licenses: string | undefined;
  for (const target of targets) {
    if (denort !== "" && !isNative(target)) {
      skipped[target] =
        "DENORT_BIN names the one runtime that there is, and it is for this machine";
      continue;
    }
    const output = join(stage, programName(`observatory-${version}-${target}`, target));
    try {
      const made = await build({ output, target, project, ...(denort === "" ? {} : { denort }) });
      requireVersion(made, version);
      licenses = made.licenses;
    } catch (error) {
      if (!(error instanceof RuntimeMissing)) throw error;
      skipped[target] = error.message.split("\n")[0] ?? "";
    }
  }
  if (licenses !== undefined) return { licenses, skipped };
  const reasons = Object.entries(skipped).map(([target, reason]) => `${target}: ${reason}`);
  throw new Error(["Cannot release: no program could be made", ...reasons].join("\n"));
}

function requireVersion({ version: told, path }: Build, version: string): void {
  if (told === undefined || told.startsWith(`observatory ${version} (`)) return;
  throw new Error(`Cannot release ${version}: ${basename(path)} calls itself "${told}"`);
}

async function filesIn(directory: string): Promise<ReleasedFile[]> {
  const files: ReleasedFile[] = [];
  for await (const { name } of Deno.readDir(directory)) {
    const path = join(directory, name);
    const hash = createHash("sha256");
    using file = await Deno.open(path);
    for await (const chunk of file.readable) hash.update(chunk);
    files.push({ name, bytes: (await Deno.stat(path)).size, sha256: hash.digest("hex") });
  }
  return files.sort((one, other) => one.name < other.name ? -1 : 1);
}

async function removeTree(path: string): Promise<void> {
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      draft: { type: "boolean" },
      output: { type: "string", short: "o" },
      target: { type: "string", multiple: true },
    },
  });
  const { draft = false, output = join(PROJECT, "dist", "release"), target } = values;
  const encoder = new TextEncoder();
  try {
    const release = await makeRelease({
      output,
      draft,
      ...(target === undefined ? {} : { targets: target }),
    });
    const lines = [
      `observatory ${release.version} in ${release.directory}`,
      ...release.files.map(({ name, bytes }) => `  ${name}: ${(bytes / 1e6).toFixed(1)} MB`),
      ...Object.entries(release.skipped).map(([target, why]) => `Skipped ${target}: ${why}`),
    ];
    Deno.stdout.writeSync(encoder.encode(`${lines.join("\n")}\n`));
    return 0;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    Deno.stderr.writeSync(encoder.encode(`${error.message}\n`));
    return 1;
  }
}

if (import.meta.main) Deno.exit(await main());
