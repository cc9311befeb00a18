/**
 * A second look at a source, without a parser: should ours and the runtime's ever disagree on where
 * a string, a regular expression or a template ends, an import could stand where ours sees none.
 * So nothing that looks like an import may stand where none was found. Comments are blanks already.
 */

import type { SourceImport } from "./source_imports.ts";

/**
 * `import(` and `import.` but `import.meta`, as a word: a property of that name is none, a
 * spread one is.
 */
const EXPRESSION = /(?<![\w$])(?<!(?<!\.\.)\.)import\s*(?:\(|\.(?!\s*meta\b))/g;

/**
 * `from` or `import` and the start of a string that may lead to a module: a path, an address, or
 * one that hides what it is by an escape or a blank.
 */
const DECLARATION =
  /(?<![\w$.])(?<keyword>from|import)(?<gap>\s*)["'](?:[\s./\\]|[A-Za-z][A-Za-z0-9+.\t-]*[:\\])/g;

/** The characters between `import` or `export` and `from`; strings may be names there. */
const CLAUSE = /[\w$\s,*{}"'\\\u0080-\uffff-]/;

/**
 * Looks for what looks like an import, and is none of those that were found.
 *
 * @param text the source without its comments
 * @returns the first one's offset, or undefined
 */
export function hiddenImport(text: string, imports: readonly SourceImport[]): number | undefined {
  return hiddenExpression(text, imports) ?? hiddenDeclaration(text, imports);
}

function hiddenExpression(text: string, imports: readonly SourceImport[]): number | undefined {
  const known = new Set(imports.filter(({ dynamic }) => dynamic).map(({ statement }) => statement));
  const seen = new Set<number>();
  for (const { index } of text.matchAll(EXPRESSION)) {
    if (!known.has(index)) return index;
    seen.add(index);
  }
  // One that this look does not see is a mistake in one of the two.
  return [...known].find((statement) => !seen.has(statement));
}

function hiddenDeclaration(text: string, imports: readonly SourceImport[]): number | undefined {
  const known = new Set(imports.map(({ start }) => start));
  let end = 0;
  for (const { index, groups } of text.matchAll(DECLARATION)) {
    const { keyword = "", gap = "" } = groups ?? {};
    const start = clauseStart(text, { from: index, until: end });
    end = index + keyword.length;
    if (known.has(end + gap.length)) continue;
    if (keyword === "import") return index;
    // "COPY items from './items.csv'" is none: no `import` or `export` leads to it.
    if (/(?<![\w$.])(?:import|export)(?![\w$])/.test(text.slice(start, index))) return index;
  }
  return undefined;
}

/** How far back the text may be the clause of an import; text is looked at once only. */
function clauseStart(
  text: string,
  { from, until }: { readonly from: number; readonly until: number },
): number {
  let start = from;
  while (start > until && CLAUSE.test(text.charAt(start - 1))) start -= 1;
  return start;
}
