/** Backups in S3, or in a service that speaks its protocol. */
import { OperationError } from "../../core/plugin.ts";
import { type Bucket, type BucketOptions, type Call, openBucket } from "./s3_bucket.ts";
import { parseBackupName } from "./names.ts";
import { failureOf } from "./s3_failure.ts";
import { readObject } from "./s3_read.ts";
import type { Store, StoredObject } from "./store.ts";

/** A bucket below a prefix, as a place where backups are kept. */
export interface S3Store extends Store {
  readonly kind: "s3";
  readonly bucket: Bucket;
  /** The key of a name. */
  key(name: string): string;
  /** An object for messages: `s3://bucket/backups/a.dump`. */
  titleOf(name: string): string;
  /** Ends the connections that are kept for the next request. */
  close(): void;
}

/** How many small files are read at once. */
const READERS = 16;

/**
 * Opens the place; nothing is sent yet.
 *
 * @throws OperationError of kind `usage` when the file of certificates cannot be read
 */
export async function s3Store(options: BucketOptions): Promise<S3Store> {
  const bucket = await openBucket(options);
  const { prefix, title, bucket: name } = bucket.settings;
  const store: S3Store = {
    kind: "s3",
    title,
    bucket,
    key: (name) => `${prefix}${name}`,
    titleOf: (each) => `s3://${name}/${prefix}${each}`,
    list: (beginning = "") => listObjects(store, beginning),
    read: (each, range) =>
      readObject(bucket, { key: store.key(each), title: store.titleOf(each), range }),
    readTexts: (names) => readTexts(store, names),
    create: (each, contents) => createObject(store, { name: each, contents }),
    remove: (each) => removeObject(store, each),
    close: () => bucket.close(),
  };
  return store;
}

async function listObjects(
  { bucket, title }: S3Store,
  beginning: string,
): Promise<StoredObject[]> {
  const { settings: { bucket: name, prefix } } = bucket;
  const found: StoredObject[] = [];
  const pages = new Set<string>();
  for (let token: string | undefined, more = true; more;) {
    const page = await bucket.request(`list ${title}`, ({ sdk, client, http }) =>
      client.send(
        new sdk.ListObjectsV2Command({
          Bucket: name,
          Prefix: `${prefix}${beginning}`,
          // A key may hold what XML cannot.
          EncodingType: "url",
          ...(token === undefined ? {} : { ContinuationToken: token }),
        }),
        http,
      ));
    const plain = (key: string) => page.EncodingType === "url" ? decoded(key) : key;
    for (const { Key, Size = 0, LastModified, ETag } of page.Contents ?? []) {
      const key = Key === undefined ? "" : plain(Key);
      if (!key.startsWith(`${prefix}${beginning}`)) continue;
      const object = key.slice(prefix.length);
      if (!isOurs(object)) continue;
      const modified = LastModified?.getTime() ?? 0;
      found.push({ name: object, size: Size, modified, version: ETag });
    }
    token = page.NextContinuationToken;
    more = page.IsTruncated === true;
    // Half of a list must not pass for a whole one, nor be read for ever.
    if (more && (token === undefined || pages.has(token))) {
      throw new OperationError(`Cannot list ${title}: the service does not give the whole list`, {
        code: "s3_error",
      });
    }
    if (token !== undefined) pages.add(token);
  }
  return found.sort((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}

function decoded(key: string): string {
  return decodeURIComponent(key.replaceAll("+", " "));
}

/** Whether an object is a file of the place itself, or of a backup's directory. */
function isOurs(name: string): boolean {
  if (name === "") return false;
  return !name.includes("/") || parseBackupName(name)?.rest.startsWith(".dir/") === true;
}

async function readTexts(store: S3Store, names: readonly string[]): Promise<string[]> {
  const texts: string[] = [];
  const waiting = names.entries();
  async function readSome(): Promise<void> {
    // Each takes the next one from the same list.
    for (const [index, name] of waiting) {
      texts[index] = await new Response(await store.read(name)).text();
    }
  }
  await Promise.all(Array.from({ length: Math.min(READERS, names.length) }, readSome));
  return texts;
}

async function createObject(
  store: S3Store,
  { name, contents }: { readonly name: string; readonly contents: string },
): Promise<void> {
  const { bucket } = store;
  const doing = `write ${store.titleOf(name)}`;
  let lost = false;
  await bucket.request(doing, async (call) => {
    try {
      await putUnlessThere(store, { call, name, body: new TextEncoder().encode(contents) });
    } catch (error) {
      // The answer to an earlier try may have been lost, and the object be this one.
      const status = failureOf(error)?.status;
      if (status === 412 && lost && await holds(store, { name, contents })) return;
      if (status === undefined || status >= 500) lost = true;
      throw error;
    }
  });
}

/** Puts a small object, and does not overwrite another one where the service can tell. */
async function putUnlessThere(
  store: S3Store,
  { call: { sdk, client, http }, name, body }: {
    readonly call: Call;
    readonly name: string;
    readonly body: Uint8Array;
  },
): Promise<void> {
  const { bucket } = store;
  const put = (condition: { readonly IfNoneMatch?: string }) =>
    client.send(
      new sdk.PutObjectCommand({
        Bucket: bucket.settings.bucket,
        Key: store.key(name),
        Body: body,
        ...condition,
      }),
      http,
    );
  await withCondition(bucket, put);
}

/**
 * Does something on the condition that no object is overwritten; without it where the service does
 * not know such conditions.
 */
export async function withCondition<T>(
  bucket: Bucket,
  work: (condition: { readonly IfNoneMatch?: string }) => Promise<T>,
): Promise<T> {
  if (!bucket.conditional) return await work({});
  try {
    return await work({ IfNoneMatch: "*" });
  } catch (error) {
    const { status, code } = failureOf(error) ?? {};
    if (status !== 501 && code !== "NotImplemented") throw error;
    bucket.conditional = false;
    return await work({});
  }
}

async function holds(
  store: S3Store,
  { name, contents }: { readonly name: string; readonly contents: string },
): Promise<boolean> {
  const [text] = await store.readTexts([name]);
  return text === contents;
}

async function removeObject(store: S3Store, name: string): Promise<void> {
  const { bucket } = store;
  await bucket.request(`remove ${store.titleOf(name)}`, async ({ sdk, client, http }) => {
    try {
      await client.send(
        new sdk.DeleteObjectCommand({ Bucket: bucket.settings.bucket, Key: store.key(name) }),
        http,
      );
    } catch (error) {
      // Some services tell that there was none.
      if (failureOf(error)?.code !== "NoSuchKey") throw error;
    }
  });
}
