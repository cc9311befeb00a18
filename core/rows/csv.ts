/**
 * Rows as CSV, as `COPY … CSV HEADER` writes it: RFC 4180, with a line feed as the line's end. NULL
 * is empty, an empty text is `""`. Statements without rows write nothing; an empty line stands
 * between the results of several.
 */
import type { RowPart } from "../plugin.ts";
import { isSimple } from "./types.ts";
import type { RowWriter } from "./writer.ts";

/** Makes a writer of CSV. */
export function csvWriter(): RowWriter {
  let results = 0;
  let simple: readonly boolean[] = [];
  return {
    part(part: RowPart): string {
      if (part.kind === "columns") {
        simple = part.columns.map(({ type }) => isSimple(type));
        const header = part.columns.map(({ name }) => field(name)).join(",");
        return `${results++ === 0 ? "" : "\n"}${header}\n`;
      }
      if (part.kind === "end") return "";
      let text = "";
      for (const row of part.rows) text += record(row, simple);
      return text;
    },
  };
}

function record(row: readonly (string | null)[], simple: readonly boolean[]): string {
  let line = "";
  for (let index = 0; index < row.length; index++) {
    const value = row[index] ?? null;
    if (index > 0) line += ",";
    if (value !== null) line += simple[index] === true ? value : field(value);
  }
  return line + "\n";
}

/** A line of it alone would end the data of an older server's COPY. */
const END_OF_DATA = "\\.";

function field(value: string): string {
  const needsQuotes = value === "" || value === END_OF_DATA || /[",\r\n]/.test(value);
  return needsQuotes ? `"${value.replaceAll('"', '""')}"` : value;
}
