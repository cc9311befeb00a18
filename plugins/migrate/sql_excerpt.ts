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
  const lineStart = text.lastIndexOf("\n", at - 1) + 1;
  const line = firstLine + countLineFeeds(text, lineStart);
  const column = countCharacters(text.slice(lineStart, at)) + (lineStart === 0 ? firstColumn : 1);

  const shown: Line[] = [];
  let start = lineStart;
  for (let number = line; number >= firstLine && shown.length <= context; number--) {
    shown.unshift({ number, text: lineAt(text, start) });
    if (start === 0) break;
    start = text.lastIndexOf("\n", start - 2) + 1;
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

function lineAt(text: string, start: number): string {
  const end = text.indexOf("\n", start);
  const line = text.slice(start, end < 0 ? undefined : end);
  return line.endsWith("\r") ? line.slice(0, -1) : line;
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
  const characters = Array.from(line);
  const at = countCharacters(line.slice(0, caret));
  if (width(line) <= WIDTH) return { text: line, caret };
  let from = at;
  for (let room = WIDTH / 2; from > 0; from--) {
    room -= width(characters[from - 1]!);
    if (room < 0) break;
  }
  let to = from;
  for (let room = WIDTH; to < characters.length; to++) {
    room -= width(characters[to]!);
    if (room < 0) break;
  }
  const before = (from > 0 ? "…" : "") + characters.slice(from, at).join("");
  const after = characters.slice(at, to).join("") + (to < characters.length ? "…" : "");
  return { text: before + after, caret: before.length };
}

/** Spaces that are as wide as a text; tabs stay, as their width depends on where they stand. */
function blanks(text: string): string {
  return Array.from(text, (c) => c === "\t" ? c : " ".repeat(width(c))).join("");
}

/** How many columns of a terminal a text takes: 2 for wide East Asian characters and emoji. */
function width(text: string): number {
  let columns = 0;
  for (const character of text) {
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
