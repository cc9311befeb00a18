/** What is made of the server's answer to one statement or one simple query. */
import type { QueryResult, Row, ServerError } from "../plugin.ts";
import { readServerError } from "./errors.ts";
import type { Receiver } from "./line.ts";
import { cString, printable, ProtocolError } from "./message_reader.ts";
import { FROM_SERVER } from "./messages.ts";
import { type Field, readFields, rowReader, textRow } from "./values.ts";

/** What one statement of a simple query gave, every value as the server's text. */
export interface SimpleResult {
  /** The command's tag without its count; empty for an empty query. */
  readonly command: string;
  readonly count: number;
  /** The columns, for statements that return rows. */
  readonly fields?: readonly Field[];
  readonly rows: (string | null)[][];
}

/** Collects the messages of one answer, up to the server's being ready again. */
export interface Reply<T> extends Receiver {
  receive(type: number, bytes: Uint8Array, start: number, end: number): void;
  /** The first error of the answer. */
  readonly error: ServerError | undefined;
  /** How many statements were completed before the error, or at all. */
  readonly completed: number;
  /** What was collected; to be asked for when the answer is complete. */
  result(): T;
}

/** What kinds of replies do differently. */
export interface Collector {
  fields?(fields: Field[]): void;
  row?(bytes: Uint8Array, start: number, end: number): void;
  complete(command: string, count: number): void;
  /** The first error. */
  failed?(error: ServerError): void;
  /** A copy from the client or to it begins. */
  copy?(direction: "in" | "out"): void;
  /** What a copy to the client gives. */
  data?(bytes: Uint8Array, start: number, end: number): void;
}

/** A statement's rows as objects with values by type. */
export function rowsReply(): Reply<QueryResult> {
  const rows: Row[] = [];
  let read = rowReader([]);
  let command = "";
  let count = 0;
  return collect({
    fields(fields) {
      read = rowReader(fields);
    },
    row(bytes, start, end) {
      rows.push(read(bytes, start, end));
    },
    complete(tag, affected) {
      command = tag;
      count = affected;
    },
  }, () => ({ rows, command, count }));
}

/** The statements of a simple query, each with its rows as text. */
export function textReply(): Reply<SimpleResult[]> {
  const results: SimpleResult[] = [];
  let fields: Field[] | undefined;
  let rows: (string | null)[][] = [];
  return collect({
    fields(described) {
      fields = described;
    },
    row(bytes, start, end) {
      rows.push(textRow(bytes, start, end));
    },
    complete(command, count) {
      results.push({ command, count, ...(fields === undefined ? {} : { fields }), rows });
      fields = undefined;
      rows = [];
    },
  }, () => results);
}

/** The last statement's command and count; rows are dropped as they come. */
export function droppedReply(): Reply<QueryResult<never>> {
  let command = "";
  let count = 0;
  return collect({
    complete(tag, affected) {
      command = tag;
      count = affected;
    },
  }, () => ({ rows: [], command, count }));
}

/** Makes a reply of what it does with each kind of message. */
export function collect<T>(collector: Collector, result: () => T): Reply<T> {
  let error: ServerError | undefined;
  let completed = 0;
  return {
    get error() {
      return error;
    },
    get completed() {
      return completed;
    },
    result,
    receive(type, bytes, start, end) {
      switch (type) {
        case FROM_SERVER.dataRow:
          collector.row?.(bytes, start, end);
          return;
        case FROM_SERVER.rowDescription:
          if (collector.fields !== undefined) collector.fields(readFields(bytes, start, end));
          return;
        case FROM_SERVER.commandComplete: {
          const [command, count] = readTag(cString(bytes, start, end).value);
          completed++;
          collector.complete(command, count);
          return;
        }
        case FROM_SERVER.emptyQueryResponse:
          completed++;
          collector.complete("", 0);
          return;
        case FROM_SERVER.errorResponse:
          if (error !== undefined) return;
          error = readServerError(bytes, start, end);
          collector.failed?.(error);
          return;
        // Where nothing else is said, what a copy to the client sends is dropped, and
        // one from the client has been refused ahead by what follows the statement.
        case FROM_SERVER.copyInResponse:
          collector.copy?.("in");
          return;
        case FROM_SERVER.copyOutResponse:
          collector.copy?.("out");
          return;
        case FROM_SERVER.copyData:
          collector.data?.(bytes, start, end);
          return;
        case FROM_SERVER.copyDone:
        case FROM_SERVER.parseComplete:
        case FROM_SERVER.bindComplete:
        case FROM_SERVER.closeComplete:
        case FROM_SERVER.noData:
        case FROM_SERVER.parameterDescription:
        case FROM_SERVER.portalSuspended:
          return;
        default:
          throw new ProtocolError(`a message of type ${printable(type)} is not expected`);
      }
    },
  };
}

/** Splits a command's tag: `INSERT 0 5` is `INSERT` with 5 rows, `CREATE TABLE` has no count. */
export function readTag(tag: string): [command: string, count: number] {
  const match = /^(\D+?)(?: \d+)? (\d+)$/.exec(tag);
  return match === null ? [tag, 0] : [match[1] ?? tag, Number(match[2])];
}
