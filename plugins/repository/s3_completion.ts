/** The end of an upload: the object appears, and is looked at. */
import { Buffer } from "node:buffer";
import { OperationError } from "../../core/plugin.ts";
import { type S3Store, withCondition } from "./s3.ts";
import type { RequestOptions } from "./s3_bucket.ts";
import { failureOf, mayPass, Mismatch } from "./s3_failure.ts";
import { type ObjectPart, plainMd5, sendPart, type SentPart } from "./s3_part.ts";
import { type Beginning, headerSafe } from "./s3_unfinished.ts";

/** An object of one part. */
export interface WholeObject extends Beginning {
  readonly part: ObjectPart;
}

/** An object whose parts are all there. */
export interface PartedObject extends Beginning {
  readonly uploadId: string;
  /** By their numbers. */
  readonly parts: readonly SentPart[];
  /** Bytes of all parts. */
  readonly size: number;
  /**
   * What its ETag is where the service makes none of its own: the MD5 of the MD5s, and the count.
   * Undefined where they are not known.
   */
  readonly md5: string | undefined;
}

/**
 * Puts an object in one request.
 *
 * @returns its ETag
 */
export async function putWhole(store: S3Store, object: WholeObject): Promise<string | undefined> {
  const { bucket } = store;
  const { key, doing, metadata, signal, part } = object;
  const md5 = part.md5 && Buffer.from(part.md5).toString("hex");
  const expected: Expected = { ...object, size: part.size, md5 };
  await bucket.request(doing, async (call) => {
    const { sdk, client, http } = call;
    const put = (condition: { readonly IfNoneMatch?: string }) =>
      sendPart(part, {
        bucket,
        call,
        send: (body) =>
          client.send(
            new sdk.PutObjectCommand({
              Bucket: bucket.settings.bucket,
              Key: key,
              Metadata: headerSafe(metadata),
              ...body,
              ...condition,
            }),
            http,
          ),
      });
    try {
      await withCondition(bucket, put);
    } catch (error) {
      if (await isThereAfterAll(store, { error, expected })) return;
      // It was taken, and is something else: under this name it must not stay, nor be in the way.
      if (error instanceof Mismatch) {
        await client.send(
          new sdk.DeleteObjectCommand({ Bucket: bucket.settings.bucket, Key: key }),
          http,
        );
      }
      throw error;
    }
  }, { signal });
  return await requireThere(store, expected);
}

/**
 * Puts the parts of an object together.
 *
 * @returns its ETag
 */
export async function completeParts(
  store: S3Store,
  object: PartedObject,
): Promise<string | undefined> {
  const { bucket } = store;
  const { key, doing, signal, uploadId, parts } = object;
  await bucket.request(doing, async ({ sdk, client, http }) => {
    const complete = (condition: { readonly IfNoneMatch?: string }) =>
      client.send(
        new sdk.CompleteMultipartUploadCommand({
          Bucket: bucket.settings.bucket,
          Key: key,
          UploadId: uploadId,
          MultipartUpload: { Parts: [...parts] },
          ...condition,
        }),
        // A service may put terabytes together before it answers.
        { ...http, requestTimeout: bucket.limits.completion },
      );
    try {
      await withCondition(bucket, complete);
    } catch (error) {
      if (await isThereAfterAll(store, { error, expected: object })) return;
      throw error;
    }
  }, { signal });
  return await requireThere(store, object);
}

/** What an object must be. */
interface Expected extends Beginning {
  readonly size: number;
  readonly md5: string | undefined;
}

/**
 * Whether a refusal means that an earlier try has succeeded, whose answer was lost: the upload is not
 * there any more, or the object is there already, and it is this one.
 */
async function isThereAfterAll(
  store: S3Store,
  { error, expected }: { readonly error: unknown; readonly expected: Expected },
): Promise<boolean> {
  const { code, status } = failureOf(error) ?? {};
  if (code !== "NoSuchUpload" && status !== 412) return false;
  const found = await look(store, { ...expected, tries: 1 });
  return found !== undefined && found.isOurs && wrongWith(found, expected) === undefined;
}

/** Makes sure that an object is what it must be, and gives its ETag. */
async function requireThere(store: S3Store, expected: Expected): Promise<string | undefined> {
  const { limits: { tries } } = store.bucket;
  const found = await look(store, { ...expected, tries });
  const wrong = found === undefined ? "it is not there afterwards" : wrongWith(found, expected);
  if (wrong === undefined) return found?.etag;
  throw new OperationError(`Cannot ${expected.doing}: ${wrong}`, {
    code: "not_uploaded",
    hint: "The service said that all was well; try again, and ask whoever runs it",
  });
}

function wrongWith(found: Found, { size, md5 }: Expected): string | undefined {
  if (found.size !== size) {
    return `it has ${found.size ?? "an unknown number of"} bytes there instead of ${size}`;
  }
  if (found.md5 !== undefined && md5 !== undefined && found.md5 !== md5) {
    return `other bytes are there than were sent (ETag ${found.md5} instead of ${md5})`;
  }
  return undefined;
}

interface Found {
  readonly size: number | undefined;
  readonly etag: string | undefined;
  /** Undefined where the ETag is something else. */
  readonly md5: string | undefined;
  /** Whether it has the metadata of this upload. */
  readonly isOurs: boolean;
}

/** What is there; undefined for nothing. */
async function look(
  { bucket }: S3Store,
  { key, doing, metadata, signal, tries }: Expected & { readonly tries: number },
): Promise<Found | undefined> {
  const missing = (error: unknown) => failureOf(error)?.status === 404;
  // Some services show an object a moment after it was put.
  const options: RequestOptions = {
    signal,
    tries,
    passes: (error) => mayPass(error) || missing(error),
  };
  try {
    return await bucket.request(doing, async ({ sdk, client, http }) => {
      const head = await client.send(
        new sdk.HeadObjectCommand({ Bucket: bucket.settings.bucket, Key: key }),
        http,
      );
      const kept = head.Metadata ?? {};
      return {
        size: head.ContentLength,
        etag: head.ETag,
        md5: plainMd5(head),
        isOurs: Object.entries(headerSafe(metadata)).every(([name, value]) => kept[name] === value),
      };
    }, options);
  } catch (error) {
    if (error instanceof OperationError && error.code === "not_found") return undefined;
    throw error;
  }
}
