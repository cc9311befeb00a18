/** The rows of one or several statements, as a stream of parts. */
import {
  DatabaseError,
  OperationError,
  type RowPart,
  type ServerError,
  type SqlParameter,
} from "../plugin.ts";
import type { Line } from "./line.ts";
import { extendedQuery, simpleQuery } from "./messages.ts";
import { collect } from "./replies.ts";
import type { RowBytes } from "./row_bytes.mjs";
import {
  type Outlet,
  type PartCollector,
  streamAnswer,
  type Streamed,
  type StreamOptions,
} from "./streamed.ts";
import { textRow } from "./values.ts";

/** What is run, and how. */
export interface RowStreamOptions extends StreamOptions {
  /** With parameters, even none, it is one statement by the extended protocol. */
  readonly params?: readonly SqlParameter[] | undefined;
}

/** Rows are handed on in batches of about this size. */
const BATCH_BYTES = 64 << 10;
/** What a row takes beside its bytes, so that batches of empty rows have an end, too. */
const ROW_BYTES = 16;

/**
 * Runs SQL and streams what it gives, by the rules of `Session.execute`.
 *
 * @throws OperationError `statement_invalid` when no server takes the text
 */
export function streamRows(
  sql: string | Uint8Array,
  { params, ...options }: RowStreamOptions & { readonly line: Line },
): Streamed<RowPart> {
  const message = params === undefined ? simpleQuery(sql) : extendedQuery(sql, params);
  return streamAnswer({
    message,
    collect: (outlet: Outlet<RowPart>) => rowCollector(outlet, textBatch()),
  }, options);
}

/** Streams the rows of one statement by the extended protocol in the server's own bytes; else as {@link streamRows}. */
export function streamRowBytes(
  sql: string,
  { params = [], ...options }: RowStreamOptions & { readonly line: Line },
): Streamed<RowBytes> {
  return streamAnswer({
    message: extendedQuery(sql, params),
    collect: (outlet: Outlet<RowBytes>) => rowCollector(outlet, bytesBatch()),
  }, options);
}

/** What is handed on at once. */
interface Batch<P> {
  add(bytes: Uint8Array, start: number, end: number): void;
  /** Takes what has been added. */
  take(): P;
}

function textBatch(): Batch<Exclude<RowPart, Frame>> {
  let rows: (string | null)[][] = [];
  return {
    add: (bytes, start, end) => void rows.push(textRow(bytes, start, end)),
    take() {
      const part = { kind: "rows", rows } as const;
      rows = [];
      return part;
    },
  };
}

function bytesBatch(): Batch<Exclude<RowBytes, Frame>> {
  let kept = new Uint8Array(BATCH_BYTES);
  let filled = 0;
  return {
    add(bytes, start, end) {
      const length = end - start;
      if (filled + 4 + length > kept.length) {
        const larger = new Uint8Array(2 * kept.length + length);
        larger.set(kept.subarray(0, filled));
        kept = larger;
      }
      kept[filled++] = length >>> 24;
      kept[filled++] = length >>> 16;
      kept[filled++] = length >>> 8;
      kept[filled++] = length;
      kept.set(bytes.subarray(start, end), filled);
      filled += length;
    },
    take() {
      // Exactly so long: what crosses to a worker crosses with all of its buffer.
      const part = { kind: "bytes", bytes: kept.slice(0, filled) } as const;
      filled = 0;
      return part;
    },
  };
}

/** What stands around the rows. */
type Frame = Exclude<RowPart, { readonly kind: "rows" }>;

function rowCollector<P>(outlet: Outlet<Frame | P>, batch: Batch<P>): PartCollector {
  let count = 0;
  let size = 0;
  let copy: "in" | "out" | undefined;
  function put(part: Frame | P, bytes: number): void {
    // What follows a copy is as good as failed.
    if (copy === undefined) outlet.put(part, bytes);
  }
  function flush(): void {
    if (count > 0) put(batch.take(), size);
    count = 0;
    size = 0;
  }
  const reply = collect({
    fields(columns) {
      put({ kind: "columns", columns }, columns.length * ROW_BYTES);
    },
    row(bytes, start, end) {
      if (!outlet.open) return;
      batch.add(bytes, start, end);
      count++;
      size += end - start + ROW_BYTES;
      if (size >= BATCH_BYTES) flush();
    },
    complete(command, count) {
      flush();
      put({ kind: "end", command, count }, 0);
    },
    failed: flush,
    copy(direction) {
      copy ??= direction;
    },
  }, () => undefined);
  return {
    receive: reply.receive,
    failure() {
      const { error, completed } = reply;
      if (copy !== undefined) return copyNotExpected(copy, { error, completed });
      return error === undefined ? undefined : new DatabaseError(error, 0, { completed });
    },
  };
}

/** A copy from the client has been refused in the server; what one to the client gave is dropped. */
function copyNotExpected(
  direction: "in" | "out",
  { error, completed }: { readonly error: ServerError | undefined; readonly completed: number },
): OperationError {
  const options = {
    code: "copy_not_expected",
    details: { completed },
    ...(error === undefined ? {} : { cause: new DatabaseError(error, 0, { completed }) }),
  };
  return direction === "in"
    ? new OperationError("Cannot run COPY … FROM STDIN here: there is no data for it", {
      ...options,
      hint: "Run it by itself, as a copy with its data, or use INSERT",
    })
    : new OperationError("Cannot run COPY … TO STDOUT here: what it gave was dropped", {
      ...options,
      hint: "Run it by itself, as a copy to somewhere, or use SELECT or TABLE",
    });
}
