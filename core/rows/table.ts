/**
 * Rows as a table for people. Widths are those of the first rows, so that any number of rows is
 * written as they come; a later value that is wider widens its column from there on. NULL is shown
 * as `NULL`, an empty text as nothing. A line break within a value goes on in the next line, with a
 * `+` where the value is continued; what a terminal would obey is shown as an escape.
 */
import type { Column, RowPart } from "../plugin.ts";
import { isSimple, typeName } from "./types.ts";
import { harmless, PLAIN, widthOf } from "./width.ts";
import type { RowWriter } from "./writer.ts";

type TableRow = readonly (string | null)[];

/** So many rows, or so many characters of them, are measured before the first is written. */
const MEASURED_ROWS = 1000;
const MEASURED_CHARACTERS = 1 << 20;
/** Wider values stick out, or each row of a long result would be filled up to the widest. */
const WIDEST = 120;

const NULL = "NULL";
const NUMBERS: ReadonlySet<string> = new Set(
  ["int2", "int4", "int8", "float4", "float8", "numeric", "money", "oid", "xid", "xid8", "cid"],
);
/** Commands whose tag is told although they gave rows. */
const CHANGING: ReadonlySet<string> = new Set(["INSERT", "UPDATE", "DELETE", "MERGE"]);
/** Commands whose tag has a count. */
const COUNTING: ReadonlySet<string> = new Set([...CHANGING, "SELECT", "MOVE", "FETCH", "COPY"]);

/** Makes a writer of tables, one below the other; statements without rows give their tag. */
export function tableWriter(): RowWriter {
  let table: Table | undefined;
  let before: "nothing" | "tag" | "table" = "nothing";
  return {
    part(part: RowPart): string {
      if (part.kind === "columns") {
        table = new Table(part.columns, before === "nothing" ? "" : "\n");
        return "";
      }
      if (part.kind === "rows") return table?.rows(part.rows) ?? "";
      if (table !== undefined) {
        const text = table.end() + (CHANGING.has(part.command) ? tag(part) : "");
        table = undefined;
        before = "table";
        return text;
      }
      if (part.command === "") return "";
      const gap = before === "table" ? "\n" : "";
      before = "tag";
      return gap + tag(part);
    },
  };
}

/** A command's tag as the server words it. */
function tag({ command, count }: { readonly command: string; readonly count: number }): string {
  if (!COUNTING.has(command)) return `${command}\n`;
  // The zero was an object identifier once; psql and whoever reads its output know it like this.
  return `${command} ${command === "INSERT" ? "0 " : ""}${count}\n`;
}

/** One result. */
class Table {
  readonly #columns: readonly Column[];
  readonly #right: readonly boolean[];
  /** Values without anything that is wide or obeyed. */
  readonly #simple: readonly boolean[];
  readonly #gap: string;
  #widths: number[] | undefined;
  #measured: TableRow[] = [];
  #characters = 0;
  #count = 0;

  /** @param gap what stands above it */
  constructor(columns: readonly Column[], gap: string) {
    this.#columns = columns;
    this.#right = columns.map(({ type }) => NUMBERS.has(typeName(type)));
    this.#simple = columns.map(({ type }) => isSimple(type));
    this.#gap = gap;
  }

  /** What can be written when these rows have come. */
  rows(rows: readonly TableRow[]): string {
    this.#count += rows.length;
    if (this.#widths !== undefined) return this.#lines(rows, this.#widths);
    for (const row of rows) {
      this.#measured.push(row);
      for (const value of row) this.#characters += value?.length ?? 0;
    }
    const enough = this.#measured.length >= MEASURED_ROWS ||
      this.#characters >= MEASURED_CHARACTERS;
    return enough ? this.#begin() : "";
  }

  end(): string {
    const begun = this.#widths === undefined ? this.#begin() : "";
    return `${begun}(${this.#count} ${this.#count === 1 ? "row" : "rows"})\n`;
  }

  #begin(): string {
    const rows = this.#measured;
    this.#measured = [];
    const names = this.#columns.map(({ name }) => harmless(name));
    const widths = names.map((name, column) => {
      let width = widthOf(name);
      for (const row of rows) width = Math.max(width, widestLine(row[column] ?? NULL));
      return Math.min(width, Math.max(WIDEST, widthOf(name)));
    });
    this.#widths = widths;
    if (names.length === 0) return this.#gap;
    const rule = widths.map((width) => "-".repeat(width)).join("-+-");
    return `${this.#gap}${this.#header(names, widths)}${rule}\n${this.#lines(rows, widths)}`;
  }

  #header(names: readonly string[], widths: readonly number[]): string {
    const cells = names.map((name, column) => {
      const missing = blanks((widths[column] ?? 0) - widthOf(name));
      return this.#right[column] === true ? missing + name : name + missing;
    });
    return `${cells.join(" | ").trimEnd()}\n`;
  }

  #lines(rows: readonly TableRow[], widths: number[]): string {
    let text = "";
    if (widths.length > 0) { for (const row of rows) text += this.#line(row, widths); }
    return text;
  }

  #line(row: TableRow, widths: number[]): string {
    const last = widths.length - 1;
    let line = "";
    for (let column = 0; column <= last; column++) {
      let cell = row[column] ?? NULL;
      let width = cell.length;
      if (this.#simple[column] !== true && !PLAIN.test(cell)) {
        if (cell.includes("\n")) return this.#severalLines(row, widths);
        cell = harmless(cell);
        width = widthOf(cell);
      }
      const missing = (widths[column] ?? 0) - width;
      if (column > 0) line += column === last && cell === "" ? " |" : " | ";
      if (missing < 0) widths[column] = Math.max(widths[column] ?? 0, Math.min(width, WIDEST));
      if (missing <= 0) line += cell;
      else if (this.#right[column] === true) line += blanks(missing) + cell;
      else line += column === last ? cell : cell + blanks(missing);
    }
    return line + "\n";
  }

  #severalLines(row: TableRow, widths: readonly number[]): string {
    const cells = widths.map((_, column) => (row[column] ?? NULL).split("\n").map(harmless));
    const height = Math.max(...cells.map((lines) => lines.length));
    let text = "";
    for (let index = 0; index < height; index++) {
      const line = cells.map((lines, column) => {
        const cell = lines[index] ?? "";
        const missing = blanks(Math.max(0, (widths[column] ?? 0) - widthOf(cell)));
        const mark = index + 1 < lines.length ? "+" : " ";
        return (this.#right[column] === true ? missing + cell : cell + missing) + mark;
      });
      text += line.join("| ").trimEnd() + "\n";
    }
    return text;
  }
}

const BLANKS = Array.from({ length: WIDEST + 1 }, (_, count) => " ".repeat(count));

function blanks(count: number): string {
  return BLANKS[count] ?? " ".repeat(count);
}

function widestLine(text: string): number {
  if (PLAIN.test(text)) return text.length;
  return Math.max(...text.split("\n").map((line) => widthOf(harmless(line))));
}
