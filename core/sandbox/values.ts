/** The values of the contract that a plugin hands to the host, checked. */

import type { Result, RowPart, SqlParameter, Step } from "../plugin.ts";
import {
  anything,
  boolean,
  bytes,
  type Check,
  either,
  integer,
  listOf,
  LONG,
  number,
  object,
  oneOf,
  optional,
  ProtocolError,
  recordOf,
  SHORT,
  text,
} from "./shapes.ts";

/** A number that a side knows a stream, a session or a call by. */
export const id: Check<number> = integer(1);

/** A parameter of a statement. */
export const sqlParameter: Check<SqlParameter> = (value) => {
  switch (typeof value) {
    case "string":
    case "number":
    case "bigint":
    case "boolean":
      return value;
    default:
      if (value === null || value instanceof Uint8Array) return value;
      throw new ProtocolError("a text, number, bigint, boolean, null or bytes was expected");
  }
};

/** All that a statement can have. */
export const sqlParameters = listOf(sqlParameter, 65_535);

/** SQL as text or UTF-8 bytes. */
export const sql: Check<string | Uint8Array> = either(text(LONG), bytes);

const stepShape = object({ sql }, { params: sqlParameters });

/** A step of a pipeline. */
export const step: Check<Step> = (value) => stepShape(value);

/** How a session is opened, but for which database's. */
const sessionFields = {
  settings: recordOf(text()),
  notices: oneOf("log", "drop"),
  wait: number,
  readOnly: boolean,
};
/** How a session is opened. */
export const sessionOptions = optional(object({}, { ...sessionFields, database: text() }));
/** How a session with a database of maintenance is opened. */
export const maintenanceOptions = optional(object({}, sessionFields));

const bigint: Check<bigint> = (value) => {
  if (typeof value === "bigint") return value;
  throw new ProtocolError("a bigint was expected");
};

/** A lock. */
export const lockOptions = object(
  { key: either(bigint, text()), purpose: text(), wait: number },
  { database: text() },
);

/** A table of state. */
export const stateTable = object({ name: text(), columns: recordOf(text()) });

/** What another command is run with. */
export const commandCall = optional(object({}, {
  flags: recordOf(either(either(text(LONG), boolean), either(number, listOf(text(LONG))))),
  args: recordOf(either(either(text(LONG), number), listOf(text(LONG)))),
}));

/** How a program is started; it gets neither this process's streams nor its terminal. */
export const programOptions = optional(object({}, {
  args: listOf(text(LONG), 100_000),
  env: recordOf(text(LONG)),
  connect: either(boolean, object({ database: text() })),
  stdin: either(id, oneOf("inherit")),
  stdout: oneOf("stream", "inherit"),
  stderr: oneOf("stream", "inherit"),
  terminal: boolean,
}));

/** A part of a file. */
export const fileRange = optional(object({ offset: integer(0) }, { length: integer(0) }));

/** How a file is created. */
export const createOptions = optional(object({}, {
  ownerWrites: boolean,
  private: boolean,
  replace: boolean,
}));

/** How a file is saved. */
export const saveOptions = optional(object({}, {
  partial: text(),
  private: boolean,
  replace: boolean,
}));

/** How a directory is made. */
export const directoryOptions = optional(object({}, { private: boolean }));

/** How far an operation is. */
export const progress = object({ label: text() }, {
  done: number,
  total: number,
  unit: oneOf("bytes", "rows", "items"),
});

/** A command's result, its rows by their number. */
export const result = object({ data: anything }, {
  text: text(LONG),
  rows: id,
  format: oneOf("table", "csv", "json", "ndjson"),
  problems: listOf(text(LONG)),
  changed: boolean,
}) satisfies Check<Omit<Result, "rows">>;

const columnsPart = object({
  kind: oneOf("columns"),
  columns: listOf(object({ name: text(), type: integer(0) }), 10_000),
});
const endPart = object({ kind: oneOf("end"), command: text(), count: integer(0) });

/** A part of rows; looked at by hand, since there are many. */
export const rowPart: Check<RowPart> = (value) => {
  const kind = typeof value === "object" && value !== null && "kind" in value
    ? value.kind
    : undefined;
  if (kind === "columns") return columnsPart(value);
  if (kind === "end") return endPart(value);
  const { rows } = rowsPart(value);
  for (const row of rows) {
    if (!Array.isArray(row) || row.length > SHORT) throw new ProtocolError("a row is no list");
    for (const cell of row) {
      if (typeof cell !== "string" && cell !== null) {
        throw new ProtocolError("a value of a row is neither a text nor null");
      }
    }
  }
  // Each of them has just been looked at.
  return { kind: "rows", rows: rows as (string | null)[][] };
};

const rows: Check<unknown[]> = (value) => {
  if (Array.isArray(value)) return value;
  throw new ProtocolError("rows are no list");
};
const rowsPart = object({ kind: oneOf("rows"), rows });

/** Levels that data may be nested; what is deeper cannot be written as JSON. */
const DEEPEST = 500;
/** What data may weigh: characters, bytes and values. */
const HEAVIEST = 64 << 20;

/** What a command's data may not be; undefined when it can be written as JSON. */
export function dataProblem(data: unknown): string | undefined {
  const above = new Set<object>();
  let weight = 0;
  function look(value: unknown, depth: number): string | undefined {
    weight += 8 + (typeof value === "string" ? value.length : 0);
    if (weight > HEAVIEST) return `is larger than ${HEAVIEST >> 20} MiB`;
    if (typeof value !== "object" || value === null) return undefined;
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
      weight += value.byteLength;
      return weight > HEAVIEST ? `is larger than ${HEAVIEST >> 20} MiB` : undefined;
    }
    if (value instanceof BigInt) return "holds a bigint as an object";
    if (depth > DEEPEST) return `is nested deeper than ${DEEPEST} levels`;
    if (above.has(value)) return "holds itself";
    above.add(value);
    const held = heldBy(value);
    // What a list has not is written, too.
    if (Array.isArray(value)) weight += 8 * (value.length - held.length);
    for (const each of held) {
      const problem = look(each, depth + 1);
      if (problem !== undefined) return problem;
    }
    above.delete(value);
    return weight > HEAVIEST ? `is larger than ${HEAVIEST >> 20} MiB` : undefined;
  }
  return look(data, 0);
}

/** What is written of an object. */
function heldBy(value: object): unknown[] {
  return value instanceof Map || value instanceof Set ? [...value.values()] : Object.values(value);
}

/** Data that can be written as JSON. */
export const data: Check<unknown> = (value) => {
  const problem = dataProblem(value);
  if (problem !== undefined) throw new ProtocolError(`a value that ${problem} cannot be written`);
  return value;
};
