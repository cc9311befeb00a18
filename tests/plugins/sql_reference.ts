/**
 * A slow lexer of SQL for comparison: tables of regular expressions per state of
 * which the longest match wins, as in the server's and psql's flex files, over a
 * whole text at once. It shares neither code nor design with the one under test.
 */

/** A token; offsets are indexes of the text, which stands for bytes. */
interface Token {
  readonly start: number;
  readonly end: number;
  /** As in the words of a statement, one entry for each word of it. */
  readonly words: readonly string[];
}

/** A statement by its offsets. */
export interface ReferenceStatement {
  readonly start: number;
  readonly end: number;
  /** Of all its tokens. */
  readonly words: readonly string[];
}

/** What a text consists of, or where the construct begins that it does not close. */
export type ReferenceResult =
  | { readonly statements: readonly ReferenceStatement[] }
  | { readonly unclosed: number };

const OPERATOR_CHARACTERS = "[~!@#^&|`?+\\-*/%<>=]";

const INITIAL: readonly (readonly [string, RegExp])[] = [
  ["space", /[ \t\n\r\f\v]+/y],
  ["space", /--[^\n\r]*/y],
  ["comment", new RegExp(`/\\*${OPERATOR_CHARACTERS}*`, "y")],
  ["escapes", /[eE]'/y],
  ["string", /(?:[bBxXnN]|[uU]&)?'/y],
  ["dollar", /\$(?:[A-Za-z\x80-\xff_][A-Za-z\x80-\xff_0-9]*)?\$/y],
  ["quoted", /(?:[uU]&)?"/y],
  ["number", /\$?[0-9][A-Za-z\x80-\xff_0-9.]*/y],
  ["identifier", /[A-Za-z\x80-\xff_][A-Za-z\x80-\xff_0-9$]*/y],
  ["psql", /\\[^\n]*/y],
  ["operator", new RegExp(`${OPERATOR_CHARACTERS}+`, "y")],
  ["other", /[^]/y],
];

const STRING = /'(?!')|''|[^']+/y;
const ESCAPES = /'(?!')|''|\\[^]|[^\\']+/y;
const QUOTED = /"(?!")|""|[^"]+/y;
const COMMENT = /\/\*|\*\/|[^]/y;
const CONTINUATION = /(?:[ \t\f\v]|--[^\n\r]*)*[\n\r](?:[ \t\n\r\f\v]|--[^\n\r]*[\n\r])*'/y;

/** Splits a text in which each character stands for one byte. */
export function splitByReference(text: string): ReferenceResult {
  const statements: ReferenceStatement[] = [];
  let tokens: Token[] = [];
  let depth = 0;
  let bodies = 0;
  const conclude = () => {
    const [first] = tokens;
    const last = tokens.at(-1);
    if (first !== undefined && last !== undefined) {
      const words = tokens.flatMap((token) => token.words);
      statements.push({ start: first.start, end: last.end, words });
    }
    tokens = [];
    depth = bodies = 0;
  };
  for (let i = 0; i < text.length;) {
    const read = readToken(text, i);
    if (typeof read === "number") {
      i = read;
      continue;
    }
    if ("unclosed" in read) return read;
    i = read.end;
    const source = text.slice(read.start, read.end);
    if (source.startsWith("\\")) {
      conclude();
      const visible = source.replace(/\r+$/, "");
      const name = /^[^ \t\f\v\r]*/.exec(visible)![0].slice(0, 63);
      const end = read.start + visible.length;
      statements.push({ start: read.start, end, words: [name] });
      continue;
    }
    const before = tokens.flatMap((token) => token.words);
    if (source === ";" && depth === 0 && bodies === 0) {
      if (tokens.length > 0) tokens.push({ ...read, words: [] });
      conclude();
      continue;
    }
    tokens.push(read);
    if (source === "(") depth++;
    else if (source === ")") depth = Math.max(0, depth - 1);
    else if (depth === 0 && /^CREATE (OR REPLACE )?(FUNCTION|PROCEDURE) /.test(before.join(" "))) {
      const word = source.toUpperCase();
      const last = before.at(-1);
      if (word === "ATOMIC" && last === "BEGIN") bodies++;
      if (word === "END" && bodies > 0 && (last === ";" || last === "ATOMIC")) bodies--;
    }
  }
  conclude();
  return { statements };
}

/** A token, or the index after space, or where a construct begins that is not closed. */
function readToken(text: string, start: number): Token | number | { readonly unclosed: number } {
  let state = "";
  let end = start;
  for (const [name, pattern] of INITIAL) {
    const length = match(pattern, text, start);
    if (length > end - start) {
      state = name;
      end = start + length;
    }
  }
  const source = text.slice(start, end);
  switch (state) {
    case "space":
      return end;
    case "comment":
      return skipComment(text, start) ?? { unclosed: start };
    case "string":
    case "escapes": {
      const words = [...source.toUpperCase()];
      let open = end - 1;
      for (;;) {
        const close = skip(state === "string" ? STRING : ESCAPES, { text, from: end, quote: "'" });
        if (close === undefined) return { unclosed: open };
        end = close;
        const more = match(CONTINUATION, text, end);
        if (more === 0) return { start, end, words };
        end += more;
        open = end - 1;
        words.push("'");
      }
    }
    case "quoted": {
      const close = skip(QUOTED, { text, from: end, quote: '"' });
      if (close === undefined) return { unclosed: end - 1 };
      const prefix = [...source.slice(0, -1).toUpperCase()];
      return { start, end: close, words: [...prefix, text.slice(end - 1, close).slice(0, 63)] };
    }
    case "dollar": {
      const close = text.indexOf(source, end);
      if (close < 0) return { unclosed: start };
      return { start, end: close + source.length, words: ["'"] };
    }
    case "number":
      return { start, end, words: ["0"] };
    case "identifier":
      return { start, end, words: [upperCase(source).slice(0, 63)] };
    case "operator": {
      const comment = /\/\*|--/.exec(source);
      if (comment !== null) end = start + comment.index;
      return { start, end, words: [...text.slice(start, end)] };
    }
    default:
      return { start, end, words: [source] };
  }
}

function match(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0].length ?? 0;
}

/** The index after the closing quote. */
function skip(
  pattern: RegExp,
  options: { text: string; from: number; quote: string },
): number | undefined {
  const { text, from, quote } = options;
  for (let i = from; i < text.length;) {
    const length = match(pattern, text, i);
    if (length === 0) return undefined;
    if (text.slice(i, i + length) === quote) return i + 1;
    i += length;
  }
  return undefined;
}

function skipComment(text: string, start: number): number | undefined {
  let depth = 0;
  for (let i = start; i < text.length;) {
    const length = match(COMMENT, text, i);
    const source = text.slice(i, i + length);
    i += length;
    if (source === "/*") depth++;
    else if (source === "*/" && --depth === 0) return i;
  }
  return undefined;
}

function upperCase(text: string): string {
  return text.replace(/[a-z]/g, (letter) => letter.toUpperCase());
}
