/** Multipart uploads that are not finished: their parts take room, and no listing of objects shows them. */
import { OperationError } from "../../core/plugin.ts";
import { parseBackupName } from "./names.ts";
import type { S3Store } from "./s3.ts";
import { failureOf } from "./s3_failure.ts";
import { pause } from "./s3_retry.ts";

/** One multipart upload that is not finished. */
export interface UnfinishedUpload {
  /** The object's name in the store. */
  readonly name: string;
  /** What tells it from other uploads of the same object. */
  readonly uploadId: string;
  /** When it was begun, in milliseconds since 1970. */
  readonly begun: number;
}

/** One object, and how it is begun. */
export interface Beginning {
  readonly key: string;
  /** For messages. */
  readonly doing: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** Begins a multipart upload, and gives its id. */
export async function beginUpload(
  { bucket }: S3Store,
  { key, doing, metadata, signal }: Beginning,
): Promise<string> {
  const { UploadId } = await bucket.request(
    doing,
    ({ sdk, client, http }) =>
      client.send(
        new sdk.CreateMultipartUploadCommand({
          Bucket: bucket.settings.bucket,
          Key: key,
          Metadata: headerSafe(metadata),
        }),
        http,
      ),
    { signal },
  );
  if (UploadId !== undefined && UploadId !== "") return UploadId;
  throw new OperationError(`Cannot ${doing}: the service gave no upload id`, { code: "s3_error" });
}

/** Metadata as headers can hold it: other characters than ASCII are escaped as in addresses. */
export function headerSafe(metadata: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata).map(([name, value]) => [name, encodeURIComponent(value)]),
  );
}

/** How long the service is asked to forget an upload, though the run is ending. */
const FORGET_MILLISECONDS = 30_000;
/** How often, and how soon again; some say each time that they have just forgotten it. */
const FORGET_TIMES = 3;
const FORGET_PAUSE_MILLISECONDS = 100;

/**
 * Has the service forget an upload with its parts; one that it does not know is no error. It is done
 * even when the run is ending.
 */
export async function forgetUpload(
  { bucket, title }: S3Store,
  { key, uploadId }: { readonly key: string; readonly uploadId: string },
): Promise<void> {
  const limit = new AbortController();
  const doing = `abort the upload of "${key}" to ${title}`;
  const timer = setTimeout(() => {
    const seconds = FORGET_MILLISECONDS / 1000;
    const message = `Cannot ${doing}: the service has not done it within ${seconds} s`;
    limit.abort(new OperationError(message, { code: "no_answer" }));
  }, FORGET_MILLISECONDS);
  try {
    // Parts that were on their way may come to be there after it, so it is asked until it knows none.
    for (let asked = 1;; asked++) {
      const known = await bucket.request(doing, async ({ sdk, client, http }) => {
        try {
          await client.send(
            new sdk.AbortMultipartUploadCommand({
              Bucket: bucket.settings.bucket,
              Key: key,
              UploadId: uploadId,
            }),
            http,
          );
          return true;
        } catch (error) {
          if (failureOf(error)?.code !== "NoSuchUpload") throw error;
          return false;
        }
      }, { signal: limit.signal });
      if (!known || asked === FORGET_TIMES) return;
      await pause(FORGET_PAUSE_MILLISECONDS, limit.signal);
    }
  } finally {
    clearTimeout(timer);
  }
}

/** The unfinished uploads of backups below the prefix, the oldest first. */
export async function listUploads(store: S3Store): Promise<UnfinishedUpload[]> {
  const uploads = await listAllUploads(store);
  return uploads.filter(({ name }) => parseBackupName(name) !== undefined);
}

/** Has the service forget an unfinished upload; one that it does not know is no error. */
export async function abortUpload(
  store: S3Store,
  { name, uploadId }: Pick<UnfinishedUpload, "name" | "uploadId">,
): Promise<void> {
  await forgetUpload(store, { key: store.key(name), uploadId });
}

/** All unfinished uploads below the prefix, whatever their names, the oldest first. */
export async function listAllUploads({ bucket, title }: S3Store): Promise<UnfinishedUpload[]> {
  const { bucket: name, prefix } = bucket.settings;
  const found: UnfinishedUpload[] = [];
  const pages = new Set<string>();
  for (let marker: { readonly KeyMarker?: string; readonly UploadIdMarker?: string } = {};;) {
    // One service finds nothing by a prefix that is no whole key, so all are listed.
    const page = await bucket.request(
      `list unfinished uploads to ${title}`,
      ({ sdk, client, http }) =>
        client.send(new sdk.ListMultipartUploadsCommand({ Bucket: name, ...marker }), http),
    );
    for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
      if (Key?.startsWith(prefix) !== true || UploadId === undefined) continue;
      const begun = Initiated?.getTime() ?? 0;
      found.push({ name: Key.slice(prefix.length), uploadId: UploadId, begun });
    }
    if (page.IsTruncated !== true) break;
    const { NextKeyMarker, NextUploadIdMarker } = page;
    const next = JSON.stringify([NextKeyMarker, NextUploadIdMarker]);
    if (NextKeyMarker === undefined || pages.has(next)) {
      throw new OperationError(
        `Cannot list unfinished uploads to ${title}: the service does not give the whole list`,
        { code: "s3_error" },
      );
    }
    pages.add(next);
    marker = {
      KeyMarker: NextKeyMarker,
      ...(NextUploadIdMarker === undefined ? {} : { UploadIdMarker: NextUploadIdMarker }),
    };
  }
  return found.sort((a, b) => a.begun - b.begun);
}
