/**
 * Rows as JSON objects, with values by the rules of `values.ts`. `json` is one array for each result,
 * an object on each line; `ndjson` is the objects alone. Statements without rows write nothing. When
 * the statement fails in the middle, its array is left open: nobody can take it for the whole.
 */
import type { Column, RowPart } from "../plugin.ts";
import { jsonWriter } from "./values.ts";
import type { RowWriter } from "./writer.ts";

/** How objects are written. */
export interface JsonOptions {
  /** Whether each line stands for itself. */
  readonly lines: boolean;
  readonly warn: (message: string) => void;
}

/** Makes a writer of JSON objects. */
export function jsonRowWriter({ lines, warn }: JsonOptions): RowWriter {
  let object: ((row: readonly (string | null)[]) => string) | undefined;
  let count = 0;
  return {
    part(part: RowPart): string {
      if (part.kind === "columns") {
        object = objectWriter(part.columns, warn);
        count = 0;
        return lines ? "" : "[";
      }
      if (part.kind === "end") {
        const text = object === undefined || lines ? "" : count === 0 ? "]\n" : "\n]\n";
        object = undefined;
        return text;
      }
      let text = "";
      for (const row of part.rows) {
        const line = object?.(row) ?? "";
        text += lines ? `${line}\n` : `${count === 0 ? "" : ","}\n${line}`;
        count++;
      }
      return text;
    },
  };
}

function objectWriter(
  columns: readonly Column[],
  warn: (message: string) => void,
): (row: readonly (string | null)[]) => string {
  const names = distinctNames(columns.map(({ name }) => name), warn);
  const keys = names.map((name, index) => `${index === 0 ? "" : ","}${JSON.stringify(name)}:`);
  const writers = columns.map(({ type }) => jsonWriter(type));
  return (row) => {
    let text = "{";
    for (let index = 0; index < keys.length; index++) {
      const value = row[index] ?? null;
      text += keys[index] + (value === null ? "null" : writers[index]?.(value) ?? "null");
    }
    return text + "}";
  };
}

/** An object has each name once: a second column `a` is called `a_2`. */
function distinctNames(
  names: readonly string[],
  warn: (message: string) => void,
): readonly string[] {
  const taken = new Set(names);
  const seen = new Set<string>();
  return names.map((name) => {
    if (!seen.has(name)) {
      seen.add(name);
      return name;
    }
    let number = 2;
    while (taken.has(`${name}_${number}`)) number++;
    const distinct = `${name}_${number}`;
    taken.add(distinct);
    warn(`Several columns are called "${name}": one is "${distinct}" in the JSON`);
    return distinct;
  });
}
