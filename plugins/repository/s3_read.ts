/** Reads objects, and goes on where a connection broke off. */
import { OperationError } from "../../core/plugin.ts";
import type { Bucket } from "./s3_bucket.ts";
import { inWords } from "./s3_errors.ts";
import { failureOf, mayPass } from "./s3_failure.ts";
import { pause } from "./s3_retry.ts";
import type { Range } from "./store.ts";

/** Which object, and which part of it. */
export interface ReadOptions {
  readonly key: string;
  /** For messages: the object with its place. */
  readonly title: string;
  readonly range?: Range | undefined;
}

/** A place in an object up to which its bytes have come. */
interface Position {
  /** The next byte. */
  readonly offset: number;
  /** How many are still wanted; undefined for all that there are. */
  readonly left: number | undefined;
  /** What the object was when reading began. */
  readonly etag: string | undefined;
}

/**
 * Reads an object as a stream. A connection that breaks off is opened again, and the rest of the very
 * same object asked for.
 *
 * @throws OperationError `not_found`, or another one in words; so does the stream
 */
export async function readObject(
  bucket: Bucket,
  { key, title, range = { offset: 0 } }: ReadOptions,
): Promise<ReadableStream<Uint8Array>> {
  const doing = `read ${title}`;
  const at: Position = { offset: range.offset, left: range.length, etag: range.version };
  if (at.left === 0) return ReadableStream.from<Uint8Array>([]);
  const first = await open(bucket, { key, doing, at });
  const pieces = following(bucket, { key, doing, at, first });
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await pieces.next();
      if (done === true) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await pieces.return(undefined);
    },
  }, { highWaterMark: 0 });
}

interface Opened {
  readonly body: ReadableStream<Uint8Array>;
  readonly etag: string | undefined;
  /** The bytes from the position to the end of what was asked for; undefined when it is not told. */
  readonly size: number | undefined;
}

interface Opening {
  readonly key: string;
  readonly doing: string;
  readonly at: Position;
}

async function open(bucket: Bucket, { key, doing, at }: Opening): Promise<Opened> {
  const { offset, left, etag } = at;
  const whole = offset === 0 && left === undefined;
  const last = left === undefined ? "" : String(offset + left - 1);
  const answer = await bucket.request(doing, ({ sdk, client, http }) =>
    client.send(
      new sdk.GetObjectCommand({
        Bucket: bucket.settings.bucket,
        Key: key,
        ...(whole ? {} : { Range: `bytes=${offset}-${last}` }),
        ...(etag === undefined ? {} : { IfMatch: etag }),
      }),
      http,
    )).catch((error: unknown) => {
      throw etag === undefined ? error : changed(error, doing);
    });
  const { Body, ContentRange, ContentLength } = answer;
  if (!(Body instanceof ReadableStream)) {
    throw new OperationError(`Cannot ${doing}: the service gave no content`, { code: "s3_error" });
  }
  if (!whole && !ContentRange?.startsWith(`bytes ${offset}-`)) {
    await Body.cancel();
    throw new OperationError(`Cannot ${doing}: the service does not give parts of objects`, {
      code: "s3_error",
    });
  }
  return { body: Body, etag: answer.ETag, size: ContentLength };
}

/** An object that is another one by now. */
function changed(error: unknown, doing: string): unknown {
  if (!(error instanceof OperationError) || error.details["status"] !== 412) return error;
  return new OperationError(`Cannot ${doing}: it was changed while it was read`, {
    code: "changed_while_read",
  });
}

/** The bytes of an object, over as many connections as it takes. */
async function* following(
  bucket: Bucket,
  { key, doing, at: start, first }: Opening & { readonly first: Opened },
): AsyncGenerator<Uint8Array> {
  const { tries, backoff } = bucket.limits;
  let at: Position = { ...start, etag: first.etag, left: first.size };
  let opened = first;
  for (let failures = 0;;) {
    try {
      for await (const piece of opened.body) {
        const { length } = piece;
        at = {
          ...at,
          offset: at.offset + length,
          left: at.left === undefined ? undefined : at.left - length,
        };
        failures = 0;
        yield piece;
      }
      return;
    } catch (error) {
      bucket.signal?.throwIfAborted();
      failures++;
      if (failures >= tries || !mayPass(error)) {
        throw inWords(error, { doing, settings: bucket.settings });
      }
      bucket.log.debug(`Reading on at byte ${at.offset} to ${doing}: ${failureOf(error)?.message}`);
    }
    await pause(backoff * failures, bucket.signal);
    opened = await open(bucket, { key, doing, at });
  }
}
