/** Data in bulk, from the client and to it, by `COPY`. */
import { DatabaseError, OperationError, type QueryResult } from "../plugin.ts";
import type { Line } from "./line.ts";
import {
  copyDone,
  copyFail,
  copyQuery,
  extendedQuery,
  fillCopyHeader,
  syncMessage,
} from "./messages.ts";
import { collect } from "./replies.ts";
import {
  type Outlet,
  type PartCollector,
  streamAnswer,
  type Streamed,
  type StreamOptions,
} from "./streamed.ts";

/** What is copied to the client is handed on in pieces of this size; larger rows go by themselves. */
const OUT_BYTES = 64 << 10;
/** What is copied from the client is sent in messages of this size. */
const IN_BYTES = 128 << 10;
const HEADER_BYTES = 5;
/** How long data may wait for more before it is sent. */
const IDLE_MILLISECONDS = 100;
/** After how many messages the server is listened to: 8 MiB. */
const HEARD_MESSAGES = 64;

/**
 * Streams what a `COPY … TO STDOUT` gives, by the rules of `Session.copyOut`.
 *
 * @throws OperationError `copy_expected` when the statement cannot be one
 */
export function streamCopy(
  sql: string,
  options: StreamOptions & { readonly line: Line },
): Streamed<Uint8Array> {
  checkCopy(sql, "STDOUT");
  return streamAnswer({ message: extendedQuery(sql, []), collect: dataCollector }, options);
}

function dataCollector(outlet: Outlet<Uint8Array>): PartCollector {
  let piece = new Uint8Array(OUT_BYTES);
  let filled = 0;
  let copy: "in" | "out" | undefined;
  function flush(): void {
    if (filled > 0) outlet.put(piece.subarray(0, filled), filled);
    piece = new Uint8Array(OUT_BYTES);
    filled = 0;
  }
  const reply = collect({
    copy(direction) {
      copy = direction;
    },
    data(bytes, start, end) {
      if (!outlet.open) return;
      const length = end - start;
      if (length > OUT_BYTES - filled) flush();
      if (length > OUT_BYTES) {
        outlet.put(bytes.slice(start, end), length);
        return;
      }
      piece.set(bytes.subarray(start, end), filled);
      filled += length;
    },
    complete: flush,
    failed: flush,
  }, () => undefined);
  return {
    receive: reply.receive,
    failure() {
      if (copy === "in" || copy === undefined && reply.error === undefined) {
        return copyExpected("STDOUT");
      }
      return reply.error === undefined ? undefined : new DatabaseError(reply.error);
    },
  };
}

/** What is sent, and from where. */
export interface CopyInOptions {
  readonly line: Line;
  readonly data: ReadableStream<Uint8Array>;
  /** Gives up, with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Sends data to a `COPY … FROM STDIN`, by the rules of `Session.copyIn`. The extended protocol makes
 * sure that it is one statement.
 *
 * @throws DatabaseError when the server refuses the statement or its data
 * @throws OperationError `copy_expected` when the statement is no such copy
 */
export async function runCopyIn(
  sql: string,
  { line, data, signal }: CopyInOptions,
): Promise<QueryResult<never>> {
  const source = sourceOf(data);
  const stop = () => source.stop(signal?.reason);
  try {
    signal?.throwIfAborted();
    checkCopy(sql, "STDIN");
    signal?.addEventListener("abort", stop, { once: true });
    return await copyFrom(source, { line, message: copyQuery(sql) });
  } finally {
    signal?.removeEventListener("abort", stop);
    await source.release();
  }
}

async function copyFrom(
  source: Source,
  { line, message }: { readonly line: Line; readonly message: Uint8Array },
): Promise<QueryResult<never>> {
  const answer = answerTo(source, line);
  await line.send(message);
  await answer.begun;
  if (answer.wantsData) {
    const whole = await pump(source, line);
    // After an error the server waits for nothing but the synchronisation.
    if (answer.wantsData) await line.send(whole ? copyDone() : copyFail("the data broke off"));
  }
  await line.send(syncMessage());
  await answer.complete;
  return answer.result();
}

/** What is known of the server's answer to a copy from the client. */
interface CopyAnswer {
  /** Resolves when the server waits for data, or will not. */
  readonly begun: Promise<void>;
  readonly wantsData: boolean;
  /** Resolves when nothing more comes. */
  readonly complete: Promise<void>;
  /** @throws what the source was stopped with, or OperationError `copy_expected` */
  result(): QueryResult<never>;
}

function answerTo(source: Source, line: Line): CopyAnswer {
  let copy: "in" | "out" | undefined;
  let wantsData = false;
  let count = 0;
  let begin = () => {};
  const begun = new Promise<void>((resolve) => begin = resolve);
  const reply = collect({
    copy(direction) {
      copy = direction;
      wantsData = direction === "in";
      begin();
    },
    complete(_command, affected) {
      count = affected;
      begin();
    },
    failed(error) {
      wantsData = false;
      // At once, since the source may be waiting for something that never comes.
      source.stop(new DatabaseError(error));
      begin();
    },
  }, () => undefined);
  let failed = false;
  const complete = new Promise<void>((resolve) => {
    line.expect(reply, (lost) => {
      failed = lost !== undefined || reply.error !== undefined;
      if (lost !== undefined) {
        wantsData = false;
        source.stop(lost);
      }
      begin();
      resolve();
    });
  });
  return {
    begun,
    get wantsData() {
      return wantsData;
    },
    complete,
    result() {
      // What was stopped too late for it to fail has succeeded.
      if (failed) throw source.stopped?.reason;
      if (copy !== "in") throw copyExpected("STDIN");
      return { rows: [], command: "COPY", count };
    },
  };
}

/** The data of a copy. */
interface Source {
  /** Why it was given up, or failed; the first reason counts. */
  readonly stopped: { readonly reason: unknown } | undefined;
  /** The next piece; undefined at the end, and when it was stopped. */
  next(): Promise<Uint8Array | undefined>;
  stop(reason: unknown): void;
  release(): Promise<void>;
}

function sourceOf(data: ReadableStream<Uint8Array>): Source {
  const reader = data.getReader();
  let stopped: { readonly reason: unknown } | undefined;
  let cancelled: Promise<void> | undefined;
  function stop(reason: unknown): void {
    stopped ??= { reason };
    // It has been told; that it fails to clean up as well changes nothing here.
    cancelled ??= reader.cancel(reason).catch(() => {});
  }
  return {
    get stopped() {
      return stopped;
    },
    stop,
    async next() {
      if (stopped !== undefined) return undefined;
      try {
        const { done, value } = await reader.read();
        if (done || stopped !== undefined) return undefined;
        if (value instanceof Uint8Array) return value;
        throw new TypeError("The data of a copy must come as Uint8Array");
      } catch (error) {
        stop(error);
        return undefined;
      }
    },
    async release() {
      await cancelled;
      reader.releaseLock();
    },
  };
}

/**
 * Sends the data in messages of one size, however it comes: one is filled while another is written.
 * What waits for more that does not come is sent meanwhile, so that the server can refuse it.
 *
 * @returns whether all of it was sent
 */
async function pump(source: Source, line: Line): Promise<boolean> {
  let filling = new Uint8Array(HEADER_BYTES + IN_BYTES);
  let written = new Uint8Array(HEADER_BYTES + IN_BYTES);
  let filled = HEADER_BYTES;
  let writing = Promise.resolve();
  /** Resolves when the buffer that is filled next is no longer written. */
  let free = writing;
  function flush(): void {
    const message = filling.subarray(0, filled);
    fillCopyHeader(message);
    free = writing;
    writing = writing.then(() => line.send(message));
    [filling, written] = [written, filling];
    filled = HEADER_BYTES;
  }
  let unheard = 0;
  let seen = filled;
  const idle = setInterval(() => {
    if (filled > HEADER_BYTES && filled === seen) flush();
    seen = filled;
  }, IDLE_MILLISECONDS);
  try {
    for (let piece = await source.next(); piece !== undefined; piece = await source.next()) {
      for (let at = 0; at < piece.length;) {
        if (filled === HEADER_BYTES) await free;
        const part = piece.subarray(at, at + filling.length - filled);
        filling.set(part, filled);
        filled += part.length;
        at += part.length;
        if (filled < filling.length) continue;
        flush();
        // Writes that never wait would keep the runtime from reading what the server refuses.
        if (++unheard % HEARD_MESSAGES === 0) await new Promise((resolve) => setTimeout(resolve));
      }
    }
  } finally {
    clearInterval(idle);
  }
  if (filled > HEADER_BYTES && source.stopped === undefined) flush();
  await writing;
  return source.stopped === undefined;
}

/** Refuses what cannot be the copy that is meant before it is sent, since it may do anything. */
function checkCopy(sql: string, direction: "STDIN" | "STDOUT"): void {
  const begins = /^copy(?![\w$\u0080-\uffff])/i.test(withoutLeadingComments(sql));
  if (!begins || !new RegExp(direction, "i").test(sql)) throw copyExpected(direction);
}

function withoutLeadingComments(sql: string): string {
  const rest = sql.replace(/^(?:\s|--[^\n\r]*)+/, "");
  if (!rest.startsWith("/*")) return rest;
  // Comments of this kind hold others.
  let depth = 0;
  for (const { 0: mark, index } of rest.matchAll(/\/\*|\*\//g)) {
    depth += mark === "/*" ? 1 : -1;
    if (depth === 0) return withoutLeadingComments(rest.slice(index + 2));
  }
  return "";
}

function copyExpected(direction: "STDIN" | "STDOUT"): OperationError {
  const [verb, form] = direction === "STDIN"
    ? ["copy into", "COPY … FROM STDIN"]
    : ["copy out of", "COPY … TO STDOUT"];
  return new OperationError(`Cannot ${verb} the database: the statement is no ${form}`, {
    code: "copy_expected",
    hint: `Give one statement of the form ${form}`,
  });
}
