/** The rows of a file's last statement, such as API keys that are shown this once. */
import type { Column, RowPart } from "../../core/plugin.ts";

/** How many rows are shown. */
const MOST_ROWS = 1000;

/** Rows to be shown. */
export interface ShownRows {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | null)[])[];
  /** How many there were beyond those. */
  readonly more: number;
}

/**
 * Reads what the statements give to its end, and keeps the rows of the last one.
 *
 * @returns undefined when the last statement gives no rows
 */
export async function lastRows(parts: ReadableStream<RowPart>): Promise<ShownRows | undefined> {
  let columns: readonly Column[] | undefined;
  let last: ShownRows | undefined;
  let rows: (readonly (string | null)[])[] = [];
  let more = 0;
  for await (const part of parts) {
    if (part.kind === "columns") columns = part.columns;
    else if (part.kind === "rows") {
      const room = MOST_ROWS - rows.length;
      rows.push(...part.rows.slice(0, room));
      more += Math.max(0, part.rows.length - room);
    } else {
      last = columns && { columns: columns.map(({ name }) => name), rows, more };
      columns = undefined;
      rows = [];
      more = 0;
    }
  }
  return last === undefined || last.columns.length === 0 || last.rows.length === 0
    ? undefined
    : last;
}

/** The rows as objects, for programs. */
export function asObjects({ columns, rows }: ShownRows): Record<string, string | null>[] {
  return rows.map((row) =>
    Object.fromEntries(columns.map((column, index) => [column, row[index] ?? null]))
  );
}

/** The rows as aligned lines. */
export function asLines({ columns, rows, more }: ShownRows): string[] {
  const lines = alignedLines([columns, ...rows.map((row) => row.map((value) => value ?? ""))]);
  return more === 0 ? lines : [...lines, `(${more} more)`];
}

/** Cells in columns that begin below each other. */
export function alignedLines(table: readonly (readonly string[])[]): string[] {
  const shown = table.map((cells) => cells.map(inOneLine));
  const widths = (shown[0] ?? []).map((_, column) =>
    Math.max(...shown.map((cells) => cells[column]?.length ?? 0))
  );
  return shown.map((cells) =>
    cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()
  );
}

/** A value that holds line ends or what a terminal obeys, in one line. */
function inOneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => JSON.stringify(character).slice(1, -1));
}
