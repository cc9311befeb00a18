/** Makes of a plugin's sources the files that its worker imports, each import written anew. */

import { copyName, OBSERVATORY_COPY } from "./copies.ts";
import type { ObservatoryModule } from "./observatory_module.ts";
import type { Source } from "./read_sources.ts";
import { invalidSource } from "./source_error.ts";
import { blank, type VerifiedSource } from "./verify_source.ts";

/**
 * Makes the files, by name.
 *
 * @throws OperationError `plugin_invalid` when a name is imported that is not exported
 */
export function linkSources(
  sources: readonly Source[],
  observatory: ObservatoryModule,
): Readonly<Record<string, string>> {
  const numbers = new Map(sources.map(({ file }, index) => [file.path, index]));
  requireExports({ sources, numbers, observatory });
  const files: Record<string, string> = { [OBSERVATORY_COPY]: observatory.text };
  for (const [index, source] of sources.entries()) {
    files[copyName(index)] = "json" in source.content
      // The text is data at run time, too: `__proto__` and large numbers mean what JSON says.
      ? `export default JSON.parse(${JSON.stringify(source.content.json)});\n`
      : linked(source.content.code, source.targets.map((path) => fileOf(path, numbers)));
  }
  return files;
}

/** What is linked together. */
interface Linked {
  readonly sources: readonly Source[];
  /** The copies' numbers by the real paths of their sources. */
  readonly numbers: ReadonlyMap<string, number>;
  readonly observatory: ObservatoryModule;
}

function fileOf(path: string | undefined, numbers: ReadonlyMap<string, number>): string {
  return path === undefined ? OBSERVATORY_COPY : copyName(numberOf(path, numbers));
}

function numberOf(path: string, numbers: ReadonlyMap<string, number>): number {
  const number = numbers.get(path);
  if (number === undefined) throw new Error(`"${path}" was imported and not read`);
  return number;
}

/** The code with the specifiers of these files, as long as those that stood there where that can be. */
function linked({ text, imports }: VerifiedSource, files: readonly string[]): string {
  const attributes = imports.flatMap((each) =>
    each.attributes === undefined ? [] : [each.attributes]
  );
  const bare = blank(text, attributes);
  let result = "";
  let done = 0;
  for (const [index, { start, end }] of imports.entries()) {
    result += bare.slice(done, start) + `"./${files[index]}"`.padEnd(end - start);
    done = end;
  }
  return result + bare.slice(done);
}

/** Says at its place what the runtime would only say of files that the user has never seen. */
function requireExports(linked: Linked): void {
  const { sources, numbers, observatory } = linked;
  for (const { content, targets } of sources) {
    if ("json" in content) continue;
    for (const [index, { specifier, names }] of content.code.imports.entries()) {
      const target = targets[index];
      const exports = target === undefined
        ? observatory.exports
        : exportsOf(numberOf(target, numbers), { ...linked, seen: new Set() });
      const missing = names.find(({ name }) => !exports.has(name));
      if (missing === undefined) continue;
      throw invalidSource(content.code.placeOf(missing.start), {
        reason: `"${specifier}" exports no value "${missing.name}"`,
        hint: hintFor(missing.name, { specifier, json: specifier.endsWith(".json") }),
      });
    }
  }
}

function hintFor(
  name: string,
  { specifier, json }: { readonly specifier: string; readonly json: boolean },
): string | undefined {
  if (json) return `Write: import data from "${specifier}" with { type: "json" }`;
  if (name === "default") return `Import what it exports by name: import { … } from "${specifier}"`;
  return `If it is a type, write: import type { ${name} } from "${specifier}"`;
}

/** What a module exports, with all that it hands on. */
function exportsOf(
  number: number,
  context: Linked & { readonly seen: Set<number> },
): ReadonlySet<string> {
  const { sources, numbers, observatory, seen } = context;
  const source = sources[number];
  if (source === undefined || seen.has(number)) return new Set();
  seen.add(number);
  if ("json" in source.content) return new Set(["default"]);
  const { exports, imports } = source.content.code;
  const handedOn = imports.flatMap(({ star }, index) => {
    if (!star) return [];
    const target = source.targets[index];
    return target === undefined
      ? [...observatory.exports]
      : [...exportsOf(numberOf(target, numbers), context)];
  });
  return new Set([...exports, ...handedOn.filter((name) => name !== "default")]);
}
