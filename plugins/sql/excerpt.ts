/** Shows the place in an SQL text that an error is about. */

/** Columns of a line that are shown when it is longer. */
const WIDTH = 160;

/** What an excerpt is taken from. */
export interface ExcerptOptions {
  /** The text the server was sent, or any part of it around the position. */
  readonly text: string;
  /** Position in the text in characters (code points), from 1; one beyond the end is the end. */
  readonly position: number;
  /** The line in its file of the text's first line, by default 1. */
  readonly firstLine?: number;
  /** The column in its file of the text's first character, by default 1. */
  readonly firstColumn?: number;
  /** How many lines before the line in question are shown, by default 2. */
  readonly context?: number;
}

/** A place in an SQL file, and how it is shown. */
export interface Excerpt {
  /** Line in the file, from 1. */
  readonly line: number;
  /** Column in the line in characters (code points), from 1. */
  readonly column: number;
  /**
   * Numbered lines and a caret below the last one, without a line feed at the end. Lines of more
   * than 160 columns are cut to what is around the caret.
   */
  readonly lines: string;
}

/** Shows the line that holds a position, lines before it, and a caret under the position. */
export function excerpt(options: ExcerptOptions): Excerpt {
  const { text, firstLine = 1, firstColumn = 1, context = 2 } = options;
  const at = indexOfCharacter(text, options.position);
  const lineStart = startOfLine(text, at);
  const line = firstLine + countLineFeeds(text, lineStart);
  const column = countCharacters(text.slice(lineStart, at)) + (lineStart === 0 ? firstColumn : 1);

  const shown: Line[] = [];
  let start = lineStart;
  for (let number = line; number >= firstLine && shown.length <= context; number--) {
    shown.unshift({ number, text: lineAt(text, start) });
    if (start === 0) break;
    start = startOfLine(text, start - 1);
  }
  const gutter = String(line).length;
  const caret = at - lineStart;
  const lines = shown.map((each) => {
    const cut = cutLine(each.text, each.number === line ? caret : 0);
    return `${String(each.number).padStart(gutter)} | ${cut.text}`.trimEnd();
  });
  const under = cutLine(lineAt(text, lineStart), caret);
  lines.push(`${" ".repeat(gutter)} | ${blanks(under.text.slice(0, under.caret))}^`);
  return { line, column, lines: lines.join("\n") };
}

interface Line {
  readonly number: number;
  readonly text: string;
}

function startOfLine(text: string, index: number): number {
  return index === 0 ? 0 : text.lastIndexOf("\n", index - 1) + 1;
}

function lineAt(text: string, start: number): string {
  const end = text.indexOf("\n", start);
  const line = text.slice(start, end < 0 ? undefined : end);
  const visible = line.endsWith("\r") ? line.slice(0, -1) : line;
  // deno-lint-ignore no-control-regex -- what a terminal would obey is shown as a sign
  return visible.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, "\uFFFD");
}

function indexOfCharacter(text: string, position: number): number {
  let index = 0;
  for (let left = position - 1; left > 0 && index < text.length; left--) {
    index += text.codePointAt(index)! > 0xffff ? 2 : 1;
  }
  return index;
}

function countCharacters(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

function countLineFeeds(text: string, end: number): number {
  let count = 0;
  for (let i = text.indexOf("\n"); i >= 0 && i < end; i = text.indexOf("\n", i + 1)) count++;
  return count;
}

/** Cuts a line to the columns around an index of it, with dots where something is left out. */
function cutLine(line: string, caret: number): { text: string; caret: number } {
  // So many code units suffice for the width even where each character is two of them.
  const begin = startOfCharacter(line, Math.max(0, caret - 2 * WIDTH));
  const end = startOfCharacter(line, Math.min(line.length, caret + 2 * WIDTH));
  const before = Array.from(line.slice(begin, caret));
  const after = Array.from(line.slice(caret, end));
  const whole = begin === 0 && end === line.length;
  if (whole && width(before) + width(after) <= WIDTH) return { text: line, caret };

  const room = WIDTH - Math.min(width(after), WIDTH / 2);
  const kept = before.reverse().slice(0, fitting(before, room)).reverse();
  const shown = after.slice(0, fitting(after, WIDTH - width(kept)));
  const head = (begin > 0 || kept.length < before.length ? "…" : "") + kept.join("");
  const tail = shown.join("") + (end < line.length || shown.length < after.length ? "…" : "");
  return { text: head + tail, caret: head.length };
}

/** How many of the first characters fit into so many columns. */
function fitting(characters: readonly string[], columns: number): number {
  let left = columns;
  const over = characters.findIndex((character) => (left -= width([character])) < 0);
  return over < 0 ? characters.length : over;
}

/** An index, or the one before it where that is inside a character. */
function startOfCharacter(text: string, index: number): number {
  const low = text.charCodeAt(index) & 0xfc00;
  return index > 0 && low === 0xdc00 ? index - 1 : index;
}

/** Spaces that are as wide as a text; tabs stay, as their width depends on where they stand. */
function blanks(text: string): string {
  return Array.from(text, (c) => c === "\t" ? c : " ".repeat(width([c]))).join("");
}

/** How many columns of a terminal characters take: 2 for wide East Asian ones and emoji. */
function width(characters: readonly string[]): number {
  let columns = 0;
  for (const character of characters) {
    if (/^\p{M}|^[\u200b-\u200d\ufe0e\ufe0f]/u.test(character)) continue;
    columns += isWide(character.codePointAt(0)!) ? 2 : 1;
  }
  return columns;
}

/** The blocks that Unicode's East Asian Width calls wide or full-width, taken whole. */
function isWide(codePoint: number): boolean {
  return (codePoint >= 0x1100 && codePoint <= 0x115f) ||
    (codePoint >= 0x2e80 && codePoint <= 0xa4cf && codePoint !== 0x303f) ||
    (codePoint >= 0xac00 && codePoint <= 0xd7a3) ||
    (codePoint >= 0xf900 && codePoint <= 0xfaff) ||
    (codePoint >= 0xfe30 && codePoint <= 0xfe6f) ||
    (codePoint >= 0xff00 && codePoint <= 0xff60) ||
    (codePoint >= 0xffe0 && codePoint <= 0xffe6) ||
    (codePoint >= 0x1f300 && codePoint <= 0x1faff) ||
    (codePoint >= 0x20000 && codePoint <= 0x3fffd);
}
