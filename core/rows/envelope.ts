/**
 * Rows within the one object of `--json`: its member `results` has an element for each statement,
 * `{"columns":[{"name","type"}],"rows":[[…],…],"command","count"}`, without rows only the last two.
 * Values are written by the rules of `values.ts`. The statement that failed has no `command`.
 */
import type { Column, RowPart } from "../plugin.ts";
import { typeName } from "./types.ts";
import { type JsonWriter, jsonWriter } from "./values.ts";
import type { RowWriter } from "./writer.ts";

/** Writes `results`, and closes what is open whenever it has to end. */
export interface EnvelopeWriter extends RowWriter {
  /** Ends `results`; further members of the object follow. */
  close(): string;
}

/** Makes a writer; its first part begins the object. */
export function envelopeWriter(command: string): EnvelopeWriter {
  let before = `{"command":${JSON.stringify(command)},"results":[`;
  let writers: readonly JsonWriter[] | undefined;
  let count = 0;
  function begin(): string {
    const text = before;
    before = ",";
    return text;
  }
  return {
    part(part: RowPart): string {
      if (part.kind === "columns") {
        writers = part.columns.map(({ type }) => jsonWriter(type));
        count = 0;
        return `${begin()}{"columns":${JSON.stringify(part.columns.map(described))},"rows":[`;
      }
      if (part.kind === "rows") {
        let text = "";
        for (const row of part.rows) {
          text += (count++ === 0 ? "" : ",") + arrayOf(row, writers ?? []);
        }
        return text;
      }
      const ended = `"command":${JSON.stringify(part.command)},"count":`;
      if (writers === undefined) return `${begin()}{${ended}${part.count}}`;
      writers = undefined;
      // Commands such as SHOW give rows and tell no count.
      return `],${ended}${count}}`;
    },
    close() {
      const text = writers === undefined ? "]," : "]}],";
      return before === "," ? text : before + text;
    },
  };
}

function described({ name, type }: Column): { readonly name: string; readonly type: string } {
  return { name, type: typeName(type) };
}

function arrayOf(row: readonly (string | null)[], writers: readonly JsonWriter[]): string {
  let text = "[";
  for (let index = 0; index < row.length; index++) {
    const value = row[index] ?? null;
    if (index > 0) text += ",";
    text += value === null ? "null" : writers[index]?.(value) ?? "null";
  }
  return text + "]";
}
