/** What the tests of streams over the wire share. */
import assert from "assert";
import { DatabaseError, OperationError, type RowPart } from "../../core/plugin.ts";
import type { Connection } from "../../core/postgres/connection.ts";
import type { RowStreamOptions } from "../../core/postgres/row_stream.ts";
import type { Dialer } from "../../core/postgres/transport.ts";
import { dialer } from "./wire_connection.ts";

/** Rows without end, each given when it is made. */
export const ENDLESS = "SELECT generate_series(1, 1e18::bigint), repeat('x', 50)";

/** The parts of an answer, and what it failed with. */
export interface Answer<T> {
  readonly parts: readonly T[];
  readonly error: unknown;
}

/** Runs SQL and collects what it gives. */
export async function run(
  session: Connection,
  sql: string | Uint8Array,
  options?: RowStreamOptions,
): Promise<Answer<RowPart>> {
  return await collect((await session.execute(sql, options)).stream);
}

/** Reads a stream to its end or failure. */
export async function collect<T>(stream: ReadableStream<T>): Promise<Answer<T>> {
  const parts: T[] = [];
  try {
    for await (const part of stream) parts.push(part);
  } catch (error) {
    return { parts, error };
  }
  return { parts, error: undefined };
}

/** The rows among parts. */
export function rowsOf(parts: readonly RowPart[]): (string | null)[][] {
  return parts.flatMap((part) => part.kind === "rows" ? part.rows.map((row) => [...row]) : []);
}

/** A stream of the pieces, each made when it is asked for. */
export function streamOf(pieces: Iterable<Uint8Array | string>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const iterator = pieces[Symbol.iterator]();
  return new ReadableStream({
    pull(controller) {
      const { done, value } = iterator.next();
      if (done === true) controller.close();
      else controller.enqueue(typeof value === "string" ? encoder.encode(value) : value);
    },
  }, { highWaterMark: 0 });
}

/** Real connections of which is counted what is read. */
export function countingDialer(): { readonly dialer: Dialer; readonly read: () => number } {
  let total = 0;
  return {
    read: () => total,
    dialer: {
      ...dialer,
      async tcp(hostname, port) {
        const below = await dialer.tcp(hostname, port);
        return {
          async read(into) {
            const count = await below.read(into);
            total += count ?? 0;
            return count;
          },
          write: (bytes) => below.write(bytes),
          close: () => below.close(),
        };
      },
    },
  };
}

/** Waits until a session's process is in a state, such as `wait_event = 'PgSleep'`. */
export async function untilServer(
  observer: Connection,
  pid: number,
  condition: string,
): Promise<void> {
  for (;;) {
    const { count } = await observer.query(
      `SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND ${condition}`,
      [pid],
    );
    if (count === 1) return;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** What was thrown, which has to be an error of the server. */
export async function databaseError(work: Promise<unknown>): Promise<DatabaseError> {
  const error = await rejection(work);
  assert.ok(error instanceof DatabaseError, String(error));
  return error;
}

/** What was thrown, which has to be an error of that code. */
export async function operationError(
  work: Promise<unknown>,
  code: string,
): Promise<OperationError> {
  const error = await rejection(work);
  assert.ok(error instanceof OperationError, String(error));
  assert.equal(error.code, code);
  return error;
}

async function rejection(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  assert.fail("nothing was thrown");
}

/** Makes sure that a session goes on as if nothing had been. */
export async function goesOn(session: Pick<Connection, "query">): Promise<void> {
  const { rows } = await session.query("SELECT pg_sleep(0.005)::text AS slept, 1 AS one");
  assert.deepEqual(rows, [{ slept: "", one: 1 }]);
}

/** All of a stream as text. */
export async function joinedText(stream: ReadableStream<Uint8Array>): Promise<string> {
  return await new Response(stream).text();
}
