/**
 * Verifies that a source imports only what it may. The runtime checks no permission when a worker
 * of a compiled program imports code from the disk, so it must never see an import that was not
 * read here: whatever is not understood is refused.
 */

import type { AnyNode, Program } from "acorn";
import { hiddenImport } from "./hidden_imports.ts";
import { exportsOf } from "./module_exports.ts";
import { loadParser } from "./packages.ts";
import { importOf, type SourceImport, specifierProblem } from "./source_imports.ts";
import { syntaxReason } from "./strip.ts";
import {
  invalidSource,
  refusedSource,
  type SourcePlace,
  type SourceProblem,
} from "./source_error.ts";

/** A source that imports only what it may. */
export interface VerifiedSource {
  /** Its text; comments are blanks, since what they say is for nobody who runs it. */
  readonly text: string;
  readonly imports: readonly SourceImport[];
  /** The names that it exports itself. */
  readonly exports: ReadonlySet<string>;
  /** Where in the source an offset of its text is. */
  placeOf(offset: number): SourcePlace;
}

/**
 * Verifies JavaScript. The parser is loaded with the first call.
 *
 * @throws OperationError `plugin_invalid` where it is no JavaScript
 * @throws OperationError `plugin_refused` where it imports what it may not
 */
export async function verifySource(text: string, path: string): Promise<VerifiedSource> {
  const { parse, getLineInfo } = await loadParser();
  const placeOf = (offset: number): SourcePlace => {
    const { line, column } = getLineInfo(text, offset);
    return { path, line, column: column + 1 };
  };
  const comments: [start: number, end: number][] = [];
  const program = attempt<Program>(placeOf, () =>
    parse(text, {
      ecmaVersion: "latest",
      sourceType: "module",
      onComment: (_block, _text, start, end) => comments.push([start, end]),
    }));
  const bare = blank(text, comments);
  const refuse = (offset: number, problem: SourceProblem): never => {
    throw refusedSource(placeOf(offset), problem);
  };
  const imports: SourceImport[] = [];
  visit(program, (node) => {
    if (node.type === "MetaProperty" && text.startsWith("import", node.start)) {
      refuse(node.start, {
        reason: "`import.meta` tells of files that a plugin does not have",
        hint: "Remove it; a plugin is told everything by its context",
      });
    }
    const found = importOf(node, { text: bare, refuse });
    if (found !== undefined) imports.push(found);
  });
  imports.sort((one, other) => one.start - other.start);
  for (const each of imports) {
    const problem = specifierProblem(each);
    if (problem !== undefined) refuse(each.start, problem);
  }
  const hidden = hiddenImport(bare, imports);
  if (hidden !== undefined) {
    refuse(hidden, {
      reason: "this looks like an import, and is none",
      hint: "Give the text or name another wording: nothing that looks so is let through",
    });
  }
  return { text: bare, imports, exports: exportsOf(program), placeOf };
}

/** Replaces parts of a text by blanks; line ends stay. */
export function blank(text: string, parts: readonly (readonly [number, number])[]): string {
  let result = "";
  let end = 0;
  for (const [from, to] of parts) {
    result += text.slice(end, from) + text.slice(from, to).replace(/[^\n\r\u2028\u2029]/g, " ");
    end = to;
  }
  return result + text.slice(end);
}

function attempt<T>(placeOf: (offset: number) => SourcePlace, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof SyntaxError) || !("pos" in error) || typeof error.pos !== "number") {
      throw error;
    }
    const reason = syntaxReason(error.message.replace(/ \(\d+:\d+\)$/, ""));
    const hint = /'@'/.test(error.message)
      ? "Decorators are not supported: call the function instead"
      : undefined;
    throw invalidSource(placeOf(error.pos), { reason, hint });
  }
}

/** Calls `seen` for a node and all that is in it, in no particular order. */
function visit(root: AnyNode, seen: (node: AnyNode) => void): void {
  // A list of what is to be seen, since deeply nested expressions would exhaust the stack.
  const pending: AnyNode[] = [root];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    seen(node);
    for (const value of Object.values(node)) {
      for (const each of Array.isArray(value) ? value : [value]) {
        if (isNode(each)) pending.push(each);
      }
    }
  }
}

function isNode(value: unknown): value is AnyNode {
  return typeof value === "object" && value !== null && "type" in value &&
    typeof value.type === "string" && "start" in value && typeof value.start === "number";
}
