/** Reads a plugin's entry and all that it imports. */

import { dirname, extname, join } from "node:path";
import { invalidSource, missingEntry, refusedSource, type SourcePlace } from "./source_error.ts";
import type { SourceImport } from "./source_imports.ts";
import { stripTypes } from "./strip.ts";
import { isInside, type TrustedDirectory, type TrustedFile } from "./trust.ts";
import { type VerifiedSource, verifySource } from "./verify_source.ts";

const ENDING = /\.[a-z]+$/;

/** Files that one plugin may have. */
export const FILES_LIMIT = 100;

/** A file of a plugin. */
export interface Source {
  readonly file: TrustedFile;
  /** What it is: code that was verified, or the text of a JSON file. */
  readonly content: { readonly code: VerifiedSource } | { readonly json: string };
  /** The real path of each of its imports, in their order; undefined for "observatory". */
  readonly targets: readonly (string | undefined)[];
}

/** What was read. */
export interface Sources {
  /** The files, the entry first. */
  readonly sources: readonly Source[];
  /** The real path of each path that a file was found or imported by. */
  readonly paths: ReadonlyMap<string, string>;
}

/**
 * Reads a plugin's files.
 *
 * @param path the entry as it was found
 * @throws OperationError `plugin_invalid` or `plugin_refused`
 */
export async function readSources(path: string, trust: TrustedDirectory): Promise<Sources> {
  const entry = trust.read(path);
  if (entry === undefined) throw missingEntry(path);
  const paths = new Map([[path, entry.path]]);
  const pending = [entry];
  const known = new Set([entry.path]);
  const sources: Source[] = [];
  for (let file = pending.shift(); file !== undefined; file = pending.shift()) {
    const content = await contentOf(file);
    const targets: (string | undefined)[] = [];
    const code = "code" in content ? content.code : undefined;
    for (const each of code?.imports ?? []) {
      if (each.specifier === "observatory") {
        targets.push(undefined);
        continue;
      }
      const place = code?.placeOf(each.start) ?? { path: file.path, line: 1, column: 1 };
      const target = targetOf(each, { place, from: file, folder: dirname(entry.path), trust });
      paths.set(join(dirname(file.path), each.specifier), target.path);
      targets.push(target.path);
      if (known.has(target.path)) continue;
      if (known.size === FILES_LIMIT) {
        throw refusedSource(place, { reason: `more than ${FILES_LIMIT} files are not loaded` });
      }
      known.add(target.path);
      pending.push(target);
    }
    sources.push({ file, content, targets });
  }
  return { sources, paths };
}

async function contentOf(file: TrustedFile): Promise<Source["content"]> {
  const { path } = file;
  const text = textOf(file);
  switch (extname(path)) {
    case ".json":
      requireJson(text, path);
      return { json: text };
    case ".ts":
      return { code: await verifySource(await stripTypes(text, path), path) };
    default:
      return { code: await verifySource(text, path) };
  }
}

function textOf({ path, bytes }: TrustedFile): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw invalidSource({ path, line: 1, column: 1 }, {
      reason: "it is not UTF-8",
      hint: "Save it in the encoding UTF-8",
    });
  }
}

function requireJson(text: string, path: string): void {
  try {
    JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    const position = Number(/position (\d+)/.exec(error.message)?.[1] ?? text.length);
    const before = text.slice(0, position).split("\n");
    const place = { path, line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
    throw invalidSource(place, { reason: "it is not valid JSON" });
  }
}

/** Reads what an import names, which must be in the plugin's own folder. */
function targetOf(
  { specifier }: SourceImport,
  { place, from, folder, trust }: {
    readonly place: SourcePlace;
    readonly from: TrustedFile;
    readonly folder: string;
    readonly trust: TrustedDirectory;
  },
): TrustedFile {
  const path = join(dirname(from.path), specifier);
  if (specifier.endsWith("/") || !isInside(folder, path)) {
    throw refusedSource(place, leaves(specifier, folder));
  }
  const target = trust.read(path);
  if (target === undefined) {
    throw invalidSource(place, {
      reason: `there is no file "${specifier}"`,
      hint: likelyName(specifier, (ending) => trust.check(path.replace(ENDING, ending))),
    });
  }
  if (!isInside(folder, target.path)) throw refusedSource(place, leaves(specifier, folder));
  return target;
}

function leaves(specifier: string, folder: string): { reason: string; hint: string } {
  return {
    reason: `"${specifier}" leads out of the plugin's folder "${folder}"`,
    hint: "Copy the file into the folder, and import it from there",
  };
}

/** Other tools let "./x.js" mean "x.ts"; here a file is named as it is. */
function likelyName(
  specifier: string,
  there: (ending: string) => string | undefined,
): string | undefined {
  const ending = [".ts", ".js", ".mjs"].find((each) => there(each) !== undefined);
  if (ending === undefined) return undefined;
  return `Write "${specifier.replace(ENDING, ending)}": a file is imported by its own name`;
}
