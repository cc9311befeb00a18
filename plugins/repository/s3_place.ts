/**
 * The bucket as a place of backups: what is ours in it, and uploads that were never ended. It is
 * opened here and nowhere else.
 */
import { type Context, OperationError } from "../../core/plugin.ts";
import { parseBackupName } from "./names.ts";
import { type S3Store, s3Store } from "./s3.ts";
import { failureOf } from "./s3_failure.ts";
import { s3Credentials, type S3Flags, s3Settings } from "./s3_settings.ts";
import { abortUpload, headerSafe, listUploads, type UnfinishedUpload } from "./s3_unfinished.ts";
import type { StoredUpload } from "./store.ts";

/** What every file of a backup bears in a bucket: the backup's id, as metadata of this name. */
export const MARK = "observatory";

/** A bucket with all that a place of backups can be asked. */
export interface S3Place extends S3Store {
  isOurs(name: string): Promise<boolean>;
  listUploads(): Promise<StoredUpload[]>;
  abortUpload(upload: StoredUpload): Promise<void>;
}

/**
 * Opens the bucket of the configuration; nothing is sent yet.
 *
 * @throws OperationError of kind `usage` when none is set, or what is set cannot be meant
 */
export async function openS3Place(
  { config, log, signal }: Pick<Context, "config" | "log" | "signal">,
  flags: S3Flags = {},
): Promise<S3Place> {
  return s3Place(
    await s3Store({
      settings: s3Settings(config, flags),
      credentials: s3Credentials(config),
      signal,
      log,
    }),
  );
}

/** Makes a place of a bucket that is open. */
export function s3Place(store: S3Store): S3Place {
  return {
    ...store,
    isOurs: (name) => isOurs(store, name),
    async listUploads() {
      const found: StoredUpload[] = [];
      for (const upload of await listUploads(store)) {
        const { name, uploadId } = upload;
        found.push({ name, uploadId, modified: await lastPart(store, upload) });
      }
      return found;
    },
    abortUpload: (upload) => abortUpload(store, upload),
  };
}

async function isOurs(store: S3Store, name: string): Promise<boolean> {
  const id = parseBackupName(name)?.id;
  if (id === undefined) return false;
  const { bucket } = store;
  try {
    const { Metadata = {} } = await bucket.request(
      `look at ${store.titleOf(name)}`,
      ({ sdk, client, http }) =>
        client.send(
          new sdk.HeadObjectCommand({ Bucket: bucket.settings.bucket, Key: store.key(name) }),
          http,
        ),
    );
    return Metadata[MARK] === headerSafe({ [MARK]: id })[MARK];
  } catch (error) {
    if (error instanceof OperationError && error.code === "not_found") return false;
    throw error;
  }
}

/** When the last part of an upload came; when it was begun, where there is none or it is over. */
async function lastPart(
  store: S3Store,
  { name, uploadId, begun }: UnfinishedUpload,
): Promise<number> {
  const { bucket } = store;
  let latest = begun;
  let marker: string | undefined;
  for (;;) {
    const page = await bucket.request(
      `list the parts of the upload of ${store.titleOf(name)}`,
      async ({ sdk, client, http }) => {
        try {
          return await client.send(
            new sdk.ListPartsCommand({
              Bucket: bucket.settings.bucket,
              Key: store.key(name),
              UploadId: uploadId,
              ...(marker === undefined ? {} : { PartNumberMarker: marker }),
            }),
            http,
          );
        } catch (error) {
          if (failureOf(error)?.code !== "NoSuchUpload") throw error;
          return undefined;
        }
      },
    );
    for (const { LastModified } of page?.Parts ?? []) {
      latest = Math.max(latest, LastModified?.getTime() ?? 0);
    }
    const next = page?.IsTruncated === true ? page.NextPartNumberMarker : undefined;
    // A service that gives the same page for ever has told all that it tells.
    if (next === undefined || Number(next) <= Number(marker ?? 0)) return latest;
    marker = next;
  }
}
