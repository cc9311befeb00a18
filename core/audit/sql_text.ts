/** SQL as it may be written down: its literals may be passwords or people's data. */

/** What stands for everything that is left out. */
const LEFT_OUT = "…";

// What begins something whose contents are not kept, or within which a quote is no quote.
const OPENING =
  /--[^\n]*|\/\*|"(?:[^"]|"")*"|"|'|(?<![\w$\u0080-\uffff])\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$|\\\S*/g;

/**
 * The SQL without literals, comments, and what is given to psql's own commands. Names, keywords and
 * numbers stay. Where it cannot be told where a literal ends, all that follows is left out.
 */
export function withoutLiterals(sql: string): string {
  let text = "";
  let at = 0;
  for (;;) {
    OPENING.lastIndex = at;
    const found = OPENING.exec(sql);
    if (found === null) return compact(text + sql.slice(at));
    const { 0: opening, index } = found;
    text += sql.slice(at, index);
    const piece = pieceAt(sql, { opening, index });
    text += piece.shown;
    if (piece.end === undefined) return compact(`${text} ${LEFT_OUT}`);
    at = piece.end;
  }
}

interface Piece {
  readonly shown: string;
  /** Where the SQL goes on; undefined where that is not sure. */
  readonly end: number | undefined;
}

function pieceAt(
  sql: string,
  { opening, index }: { readonly opening: string; readonly index: number },
): Piece {
  const after = index + opening.length;
  if (opening.startsWith("--")) return { shown: " ", end: after };
  if (opening === "/*") return { shown: " ", end: commentEnd(sql, after) };
  if (opening === "'") return { shown: `'${LEFT_OUT}'`, end: stringEnd(sql, index) };
  if (opening === '"') return { shown: "", end: undefined };
  if (opening.startsWith('"')) return { shown: opening, end: after };
  if (opening.startsWith("\\")) {
    const line = sql.indexOf("\n", after);
    return { shown: `${opening} ${LEFT_OUT}`, end: line < 0 ? sql.length : line };
  }
  const closing = sql.indexOf(opening, after);
  return {
    shown: `$${LEFT_OUT}$`,
    end: closing < 0 ? undefined : closing + opening.length,
  };
}

/** Comments may lie within each other. */
function commentEnd(sql: string, from: number): number | undefined {
  let depth = 1;
  const mark = /\/\*|\*\//g;
  mark.lastIndex = from;
  for (let found = mark.exec(sql); found !== null; found = mark.exec(sql)) {
    depth += found[0] === "/*" ? 1 : -1;
    if (depth === 0) return mark.lastIndex;
  }
  return undefined;
}

/** With `E` before it, or where the server's settings say so, a backslash keeps a quote from ending it. */
function stringEnd(sql: string, quote: number): number | undefined {
  const escapes = /(?<![\w$\u0080-\uffff])[eE]$/.test(sql.slice(Math.max(0, quote - 2), quote));
  for (let at = quote + 1; at < sql.length; at++) {
    if (sql[at] === "\\") {
      if (!escapes && sql[at + 1] === "'") return undefined;
      if (escapes) at++;
    } else if (sql[at] === "'") {
      if (sql[at + 1] !== "'") return at + 1;
      at++;
    }
  }
  return undefined;
}

function compact(text: string): string {
  return text.replaceAll(/\s+/g, " ").trim();
}
