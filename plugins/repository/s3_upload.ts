/** Uploads objects of any size, part by part as they come; nothing is there before all of it is. */
import { createHash } from "node:crypto";
import { OperationError } from "../../core/plugin.ts";
import type { S3Store } from "./s3.ts";
import { completeParts, putWhole } from "./s3_completion.ts";
import { type ObjectPart, type SentPart, uploadPart } from "./s3_part.ts";
import { beginUpload, forgetUpload } from "./s3_unfinished.ts";

export type { ObjectPart } from "./s3_part.ts";

const MIB = 2 ** 20;
const SMALLEST_PART = 6 * MIB;
const LARGEST_PART = 5 * 1024 * MIB;

/** What a part count is planned for, so that an estimate may be too low. */
const PLANNED_PARTS = 9000;

/**
 * The size of parts for an object whose size is only estimated: 6 MiB, or more where so many parts
 * were too many.
 *
 * @param estimate bytes
 */
export function partSizeFor(estimate: number): number {
  const needed = Math.ceil(estimate / PLANNED_PARTS / MIB) * MIB;
  return Math.min(Math.max(SMALLEST_PART, needed), LARGEST_PART);
}

/** What is uploaded, and how. */
export interface UploadOptions {
  /** The object's name in the store. */
  readonly name: string;
  /** The size of every part but the last, which may be smaller. */
  readonly partSize: number;
  /** Whether there are several parts for certain: the first one is then sent at once. */
  readonly several?: boolean;
  /** Kept with the object, such as `observatory: <backup id>`. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** How many parts are sent at once; 4 by default. */
  readonly concurrency?: number;
  /** Ends the upload; by default the store's. */
  readonly signal?: AbortSignal | undefined;
}

/** An object on its way. */
export interface ObjectUpload {
  /**
   * Hands over the next part. It resolves when there is room for another: fewer than `concurrency`
   * are on their way then. The first one is held until a second comes or all is there, since an
   * object of one part is sent in one request.
   *
   * @throws OperationError why this part or an earlier one cannot be sent
   */
  part(part: ObjectPart): Promise<void>;
  /**
   * Waits for all parts, puts them together, and makes sure that the object is there and whole. Where
   * the service can tell, an object of that name is not overwritten.
   *
   * @throws OperationError `already_exists`, or another one in words
   */
  complete(): Promise<UploadedObject>;
  /**
   * Gives up: ends what is on its way, and has the service forget the parts. Safe at any time, and
   * after `complete` it does nothing. It never fails: a warning tells what it leaves behind.
   */
  abort(): Promise<void>;
}

/** An object that is there. */
export interface UploadedObject {
  /** Bytes. */
  readonly size: number;
  readonly etag: string | undefined;
  readonly parts: number;
}

const CONCURRENCY = 4;

/** How long an upload that is given up waits for its beginning, whose answer tells what to forget. */
const BEGINNING_MILLISECONDS = 5000;

/** Begins to upload an object; nothing is sent before the second part. */
export function startUpload(store: S3Store, options: UploadOptions): ObjectUpload {
  const { bucket } = store;
  const { name, partSize, concurrency = CONCURRENCY, signal = bucket.signal } = options;
  const limit = bucket.limits.parts;
  const key = store.key(name);
  const doing = `upload ${store.titleOf(name)}`;
  const ending = new AbortController();
  const begun = new AbortController();
  const own = signal === undefined ? ending.signal : AbortSignal.any([signal, ending.signal]);
  const target = { key, doing, metadata: options.metadata ?? {}, signal: own };
  const sent: SentPart[] = [];
  const active = new Set<Promise<void>>();
  const composite = createHash("md5");
  let compared = true;
  let count = 0;
  let size = 0;
  let last = partSize;
  let held: ObjectPart | undefined;
  let beginning: Promise<string> | undefined;
  let failure: { readonly error: unknown } | undefined;
  let completing: Promise<UploadedObject> | undefined;
  let completed = false;
  let aborting: Promise<void> | undefined;

  function throwIfFailed(): void {
    if (failure !== undefined) throw failure.error;
    own.throwIfAborted();
  }

  function fail(error: unknown): void {
    failure ??= { error };
    ending.abort(failure.error);
  }

  async function part(next: ObjectPart): Promise<void> {
    throwIfFailed();
    if (completing !== undefined) throw new Error("A part came after the end of an upload");
    if (last < partSize || next.size > partSize) {
      throw new Error(
        `Parts of ${partSize} bytes were announced, and came as ${last}, ${next.size}`,
      );
    }
    if (count === limit) throw tooLarge(doing, { limit, partSize, size: size + next.size });
    const number = ++count;
    size += next.size;
    last = next.size;
    if (next.md5 === undefined) compared = false;
    else composite.update(next.md5);
    if (number === 1 && options.several !== true) {
      held = next;
      return;
    }
    beginning ??= beginUpload(store, { ...target, signal: begun.signal });
    const uploadId = await unlessAborted(beginning, own);
    if (held !== undefined) send(held, { uploadId, number: 1 });
    held = undefined;
    send(next, { uploadId, number });
    while (active.size >= concurrency) await Promise.race(active);
    throwIfFailed();
  }

  function send(
    each: ObjectPart,
    { uploadId, number }: { readonly uploadId: string; readonly number: number },
  ): void {
    const place = { key, uploadId, number };
    const work = bucket.request(
      `upload part ${number} of ${store.titleOf(name)}`,
      async (call) => void sent.push(await uploadPart(bucket, { part: each, place, call })),
      { signal: own },
    ).catch(fail).finally(() => {
      active.delete(work);
      each.released?.();
    });
    active.add(work);
  }

  async function finish(): Promise<UploadedObject> {
    throwIfFailed();
    if (beginning === undefined) {
      const etag = await putWhole(store, { ...target, part: held ?? nothing() });
      release();
      return { size, etag, parts: count };
    }
    const uploadId = await unlessAborted(beginning, own);
    await Promise.all(active);
    throwIfFailed();
    const parts = sent.toSorted((a, b) => a.PartNumber - b.PartNumber);
    const md5 = compared ? `${composite.digest("hex")}-${parts.length}` : undefined;
    const etag = await completeParts(store, { ...target, uploadId, parts, size, md5 });
    return { size, etag, parts: count };
  }

  function release(): void {
    held?.released?.();
    held = undefined;
  }

  async function giveUp(): Promise<void> {
    ending.abort(new OperationError(`Cannot ${doing}: it was given up`, { code: "given_up" }));
    await Promise.all(active);
    // What is under way decides first: an answer that has not come yet tells what to forget.
    await completing?.catch(() => {});
    release();
    const timer = setTimeout(() => begun.abort(ending.signal.reason), BEGINNING_MILLISECONDS);
    const uploadId = await beginning?.catch(() => undefined);
    clearTimeout(timer);
    if (completed || uploadId === undefined) return;
    try {
      await forgetUpload(store, { key, uploadId });
    } catch (error) {
      if (!(error instanceof OperationError)) throw error;
      bucket.log.warn(
        `${error.message}; what was sent of it stays in the bucket until it is removed`,
      );
    }
  }

  return {
    part,
    complete: () =>
      completing ??= finish().then((object) => {
        completed = true;
        return object;
      }),
    abort: () => completed ? Promise.resolve() : aborting ??= giveUp(),
  };
}

/** Waits no longer than until the signal says so; what is waited for goes on. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort);
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** The only part of an object without bytes. */
function nothing(): ObjectPart {
  return {
    size: 0,
    sha256: createHash("sha256").digest(),
    md5: createHash("md5").digest(),
    open: () => Promise.resolve(ReadableStream.from<Uint8Array>([])),
  };
}

function tooLarge(
  doing: string,
  { limit, partSize, size }: {
    readonly limit: number;
    readonly partSize: number;
    readonly size: number;
  },
): OperationError {
  return new OperationError(
    `Cannot ${doing}: it has ${size} bytes or more, and S3 takes ${limit} parts of an object, ` +
      `here of ${partSize} bytes each`,
    { code: "too_large", hint: "Its size was estimated far too low; give a larger estimate" },
  );
}
