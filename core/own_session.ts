/** One statement whose data streams, on a session of its own: it is closed with the stream. */
import type { QueryResult, Session } from "./plugin.ts";

/** Where a session is opened. */
interface Sessions<S> {
  session(): Promise<S>;
}

/**
 * Opens a stream on a session of its own, which is closed when the stream has ended, has failed or
 * is cancelled.
 */
export async function ownStream<T, S extends Session>(
  db: Sessions<S>,
  open: (session: S) => Promise<ReadableStream<T>>,
): Promise<ReadableStream<T>> {
  const session = await db.session();
  let reader: ReadableStreamDefaultReader<T>;
  try {
    reader = (await open(session)).getReader();
  } catch (error) {
    await session.close();
    throw error;
  }
  return new ReadableStream<T>({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (!done) return controller.enqueue(value);
      } catch (error) {
        await session.close();
        throw error;
      }
      await session.close();
      controller.close();
    },
    async cancel(reason) {
      try {
        await reader.cancel(reason);
      } finally {
        await session.close();
      }
    },
  }, { highWaterMark: 0 });
}

/** Copies data in on a session of its own; whatever goes wrong, the data is given up. */
export async function ownCopyIn(
  db: Sessions<Session>,
  { sql, data }: { readonly sql: string; readonly data: ReadableStream<Uint8Array> },
): Promise<QueryResult<never>> {
  let session: Session;
  try {
    session = await db.session();
  } catch (error) {
    // What is thrown tells more than that the data fails to end as well.
    await data.cancel(error).catch(() => {});
    throw error;
  }
  try {
    return await session.copyIn(sql, data);
  } finally {
    await session.close();
  }
}
