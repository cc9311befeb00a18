/** Rows made by hand, for tests of how they are written. */
import type { RowPart } from "../../core/plugin.ts";
import type { RowWriter } from "../../core/rows/writer.ts";

/** Object identifiers of types, by name. */
export const TYPE = {
  bool: 16,
  int8: 20,
  int4: 23,
  text: 25,
  json: 114,
  float8: 701,
  boxArray: 1020,
  int4Array: 1007,
  textArray: 1009,
  jsonArray: 199,
  numeric: 1700,
  numericArray: 1231,
  enumeration: 16400,
} as const;

/** The parts of one result. */
export function resultOf(
  columns: Readonly<Record<string, number>>,
  rows: readonly (readonly (string | null)[])[],
  command = "SELECT",
): RowPart[] {
  const described = Object.entries(columns).map(([name, type]) => ({ name, type }));
  return [
    { kind: "columns", columns: described },
    ...(rows.length === 0 ? [] : [{ kind: "rows", rows } as const]),
    { kind: "end", command, count: rows.length },
  ];
}

/** All that a writer makes of some parts. */
export function written(writer: RowWriter, parts: readonly RowPart[]): string {
  return parts.map((part) => writer.part(part)).join("");
}
