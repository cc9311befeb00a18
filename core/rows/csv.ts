/**
 * Rows as CSV, as `COPY … CSV HEADER` writes it: RFC 4180, with a line feed as the line's end. NULL
 * is empty, an empty text is `""`. Statements without rows write nothing; an empty line stands
 * between the results of several.
 */
import type { Column, RowPart } from "../plugin.ts";
import type { RowWriter } from "./writer.ts";

/** Makes a writer of CSV. */
export function csvWriter(): RowWriter {
  let results = 0;
  return {
    part(part: RowPart): string {
      if (part.kind === "columns") return (results++ === 0 ? "" : "\n") + header(part.columns);
      if (part.kind === "end") return "";
      let text = "";
      for (const row of part.rows) text += record(row);
      return text;
    },
  };
}

function header(columns: readonly Column[]): string {
  return record(columns.map(({ name }) => name));
}

function record(row: readonly (string | null)[]): string {
  let line = "";
  for (let index = 0; index < row.length; index++) {
    const value = row[index] ?? null;
    if (index > 0) line += ",";
    if (value !== null) line += field(value);
  }
  return line + "\n";
}

// A line of `\.` alone would end the data of an older server's COPY.
const NEEDS_QUOTES = /[",\r\n]|^$|^\\\.$/;

function field(value: string): string {
  return NEEDS_QUOTES.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}
