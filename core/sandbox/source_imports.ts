/** The imports of a source, and which of them are allowed. */

import type {
  AnyNode,
  ExportAllDeclaration,
  ExportNamedDeclaration,
  Expression,
  ImportAttribute,
  ImportDeclaration,
  Literal,
} from "acorn";
import type { SourceProblem } from "./source_error.ts";

/** An import or re-export, static or not. Offsets are those of the source's text. */
export interface SourceImport {
  readonly specifier: string;
  /** Whether it is declared to be JSON. */
  readonly json: boolean;
  readonly dynamic: boolean;
  /** Where its expression or declaration starts. */
  readonly statement: number;
  /** Its specifier, with the quotes. */
  readonly start: number;
  readonly end: number;
  /** The attributes, up to the closing brace; undefined when there are none. */
  readonly attributes: readonly [start: number, end: number] | undefined;
  /** The names that the other module has to export. */
  readonly names: readonly { readonly name: string; readonly start: number }[];
  /** Whether everything that the other module exports is exported from here: `export *`. */
  readonly star: boolean;
}

/** Tells of a problem at an offset. */
export type Refuse = (offset: number, problem: SourceProblem) => never;

type Declaration = ImportDeclaration | ExportNamedDeclaration | ExportAllDeclaration;

/** What a specifier may consist of: the parser of addresses drops, decodes or turns around the rest. */
const PLAIN_SPECIFIER = /^\.\.?\/[A-Za-z0-9_@+./-]+$/;

const CONTEXT_HINT = "A plugin reaches files, programs, network and database by its context; " +
  'it imports "observatory" and files of its own folder';

/**
 * The import that a node is, or undefined; what must not be is refused.
 *
 * @param options.text the source without its comments, which may hold braces and quotes of their own
 */
export function importOf(
  node: AnyNode,
  options: { readonly text: string; readonly refuse: Refuse },
): SourceImport | undefined {
  const { text, refuse } = options;
  if (node.type === "ImportExpression") {
    const specifier = literalOf(node.source);
    if (specifier === undefined) {
      return refuse(node.source.start, {
        reason: "`import()` of a name that is made at run time",
        hint: 'Import by a literal name: await import("./file.ts")',
      });
    }
    if (node.options !== undefined && node.options !== null) {
      return refuse(node.options.start, {
        reason: "`import()` with options",
        hint:
          'Import JSON at the top of the file: import data from "./x.json" with { type: "json" }',
      });
    }
    const { start, end } = node.source;
    return {
      ...{ specifier, json: false, dynamic: true, statement: node.start, start, end },
      ...{ attributes: undefined, names: [], star: false },
    };
  }
  if (!isDeclaration(node)) return undefined;
  const source = node.source;
  const specifier = source === null || source === undefined ? undefined : literalOf(source);
  if (source === null || source === undefined || specifier === undefined) return undefined;
  const attributes = node.attributes ?? [];
  const { start, end } = source;
  return {
    ...{ specifier, json: isJson(attributes, refuse), dynamic: false, statement: node.start },
    ...{ start, end, attributes: attributesAt(source, { attributes, text }) },
    names: wantedNames(node),
    star: node.type === "ExportAllDeclaration" && !node.exported,
  };
}

/** Why a module may not be imported by this name; undefined when it may. */
export function specifierProblem(
  { specifier, json, dynamic }: Pick<SourceImport, "specifier" | "json" | "dynamic">,
): SourceProblem | undefined {
  if (specifier === "observatory") {
    return json ? { reason: '"observatory" is no JSON' } : undefined;
  }
  if (!/^\.\.?\//.test(specifier)) return foreignProblem(specifier);
  if (!PLAIN_SPECIFIER.test(specifier)) {
    return {
      reason: `the import of ${JSON.stringify(specifier)} has characters that are not allowed`,
      hint: "Use letters, digits and _ @ + - . / in the names of files",
    };
  }
  if (specifier.endsWith(".json")) {
    if (json) return undefined;
    return {
      reason: `JSON is imported without saying so`,
      hint: dynamic
        ? 'Import it at the top of the file: import data from "./x.json" with { type: "json" }'
        : `Write: from "${specifier}" with { type: "json" }`,
    };
  }
  if (json) return { reason: `"${specifier}" is imported as JSON, and is not named so` };
  if (/(?<!\.d)\.(ts|js|mjs)$/.test(specifier)) return undefined;
  return {
    reason: `"${specifier}" is no name of a TypeScript, JavaScript or JSON file`,
    hint: "Write the file's whole name, with its ending .ts, .js, .mjs or .json",
  };
}

function foreignProblem(specifier: string): SourceProblem {
  const told = JSON.stringify(specifier.length > 80 ? `${specifier.slice(0, 80)}…` : specifier);
  if (specifier.startsWith("node:")) {
    return { reason: `${told} cannot be imported by a plugin`, hint: CONTEXT_HINT };
  }
  if (/^(https?|npm|jsr):/.test(specifier)) {
    return {
      reason: `${told} is not on this machine, and plugins download nothing`,
      hint: "Copy the code into the plugin's folder, and import it from there",
    };
  }
  return { reason: `${told} cannot be imported by a plugin`, hint: CONTEXT_HINT };
}

function isJson(attributes: readonly ImportAttribute[], refuse: Refuse): boolean {
  for (const { key, value, start } of attributes) {
    const name = key.type === "Identifier" ? key.name : key.value;
    if (name !== "type" || value.value !== "json") {
      refuse(start, {
        reason: `the import attribute \`${String(name)}: ${JSON.stringify(value.value)}\``,
        hint: 'The only one is: with { type: "json" }',
      });
    }
  }
  return attributes.length > 0;
}

/** From the specifier's end to the closing brace. */
function attributesAt(
  source: Literal,
  { attributes, text }: { readonly attributes: readonly ImportAttribute[]; readonly text: string },
): SourceImport["attributes"] {
  const last = attributes.at(-1);
  if (last === undefined) return undefined;
  return [source.end, text.indexOf("}", last.end) + 1];
}

function wantedNames(node: Declaration): SourceImport["names"] {
  if (node.type === "ExportAllDeclaration") return [];
  if (node.type === "ExportNamedDeclaration") {
    return node.specifiers.map(({ local }) => ({ name: nameOf(local), start: local.start }));
  }
  return node.specifiers.flatMap((each) => {
    if (each.type === "ImportNamespaceSpecifier") return [];
    const name = each.type === "ImportSpecifier" ? nameOf(each.imported) : "default";
    return [{ name, start: each.start }];
  });
}

/** A name as it is written in an import or export: an identifier, or a string. */
export function nameOf(node: AnyNode): string {
  return node.type === "Identifier" ? node.name : node.type === "Literal" ? String(node.value) : "";
}

function isDeclaration(node: AnyNode): node is Declaration {
  return node.type === "ImportDeclaration" || node.type === "ExportNamedDeclaration" ||
    node.type === "ExportAllDeclaration";
}

function literalOf(node: Expression): string | undefined {
  return node.type === "Literal" && typeof node.value === "string" ? node.value : undefined;
}
