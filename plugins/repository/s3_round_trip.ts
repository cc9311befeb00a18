/** Tries in a bucket all that backups need, and leaves nothing there. */
import { createHash, randomUUID } from "node:crypto";
import { OperationError } from "../../core/plugin.ts";
import type { S3Store } from "./s3.ts";
import { abortUpload, beginUpload, listAllUploads } from "./s3_unfinished.ts";
import { type ObjectPart, startUpload } from "./s3_upload.ts";

/** What a round trip has shown. */
export interface RoundTrip {
  /** Whether an object that is there is kept from being overwritten. */
  readonly conditional: boolean;
  /** Whether unfinished uploads are told, so that they can be cleaned up. */
  readonly tellsUploads: boolean;
  /** The service's clock minus this machine's, in milliseconds; undefined when it told no time. */
  readonly skew: number | undefined;
}

/** The smallest part that S3 takes, unless it is the last one. */
const PART_BYTES = 5 * 2 ** 20;

/**
 * Lists the place, writes an object and reads it back, uploads one in two parts, begins another
 * upload and aborts it, and removes everything, whatever fails.
 *
 * @throws OperationError of the step that failed
 */
export async function roundTrip(store: S3Store): Promise<RoundTrip> {
  // Whether it can be reached, and what it thinks of the credentials.
  await store.list();
  const name = `observatory-verify-${randomUUID()}`;
  const names = { small: `${name}.txt`, parted: `${name}.parts`, begun: `${name}.begun` };
  try {
    const conditional = await tryObject(store, names.small);
    await tryParts(store, names.parted);
    const tellsUploads = await tryAbort(store, names.begun);
    return { conditional, tellsUploads, skew: store.bucket.skew() };
  } finally {
    for (const each of [names.small, names.parted]) await removeQuietly(store, each);
  }
}

/** @returns whether the service keeps it from being overwritten */
async function tryObject(store: S3Store, name: string): Promise<boolean> {
  const text = `Written by observatory verify: ${name}\n`;
  await store.create(name, text);
  const [found] = await store.readTexts([name]);
  if (found !== text) throw differs(store, name);
  const listed = await store.list();
  if (!listed.some((object) => object.name === name && object.size === text.length)) {
    throw new OperationError(`${store.title} does not list what was written to it`, {
      code: "not_listed",
    });
  }
  try {
    await store.create(name, text);
    return false;
  } catch (error) {
    if (error instanceof OperationError && error.code === "already_exists") return true;
    throw error;
  }
}

async function tryParts(store: S3Store, name: string): Promise<void> {
  const bytes = new Uint8Array(PART_BYTES).fill(0x6f);
  const last = bytes.subarray(0, 1000);
  const upload = startUpload(store, { name, partSize: PART_BYTES });
  try {
    await upload.part(partOf(bytes));
    await upload.part(partOf(last));
    await upload.complete();
  } catch (error) {
    await upload.abort();
    throw error;
  }
  const hash = createHash("sha256");
  for await (const piece of await store.read(name)) hash.update(piece);
  const whole = createHash("sha256").update(bytes).update(last).digest("hex");
  if (hash.digest("hex") !== whole) throw differs(store, name);
}

/** @returns whether the service tells of the upload */
async function tryAbort(store: S3Store, name: string): Promise<boolean> {
  const signal = store.bucket.signal ?? new AbortController().signal;
  const doing = `begin an upload to ${store.title}`;
  const uploadId = await beginUpload(store, { key: store.key(name), doing, metadata: {}, signal });
  try {
    return (await listAllUploads(store)).some((upload) => upload.uploadId === uploadId);
  } finally {
    await abortUpload(store, { name, uploadId });
  }
}

function partOf(bytes: Uint8Array): ObjectPart {
  const digest = (method: string) => createHash(method).update(bytes).digest();
  return {
    size: bytes.length,
    sha256: digest("sha256"),
    md5: digest("md5"),
    open: () => Promise.resolve(ReadableStream.from([bytes])),
  };
}

function differs(store: S3Store, name: string): OperationError {
  return new OperationError(`${store.titleOf(name)} was not given back as it was written`, {
    code: "corrupted_on_the_way",
  });
}

async function removeQuietly(store: S3Store, name: string): Promise<void> {
  try {
    await store.remove(name);
  } catch (error) {
    // The step that failed tells more than that nothing could be removed after it.
    if (!(error instanceof OperationError)) throw error;
    store.bucket.log.warn(error.message);
  }
}
