/** The bucket that a backup is sent to. */
import type { Context } from "../../core/plugin.ts";
import type { Store } from "../repository/store.ts";
import { buffersFor, type Upload } from "./storing.ts";

/** A bucket, as a backup uses it. */
export interface Bucket {
  readonly store: Store;
  /** Begins an upload; nothing is in the bucket before it is completed. */
  startUpload(
    name: string,
    options: {
      /** Bytes that there may be, for the size of the parts. */
      readonly estimate: number;
      /** The backup's id, by which what a killed run leaves is known as ours. */
      readonly backup: string;
    },
  ): Upload;
}

/** No backup's name begins so: that it is asked for shows whether the bucket answers. */
const NO_NAME = ".observatory-";

/**
 * Opens the bucket of the settings; nothing is sent yet.
 *
 * @throws OperationError of kind `usage` for settings that cannot be used
 */
export async function openBucket(
  ctx: Context,
  { endpoint }: { readonly endpoint: string | undefined },
): Promise<Bucket> {
  const [{ MARK, openS3Place }, { partSizeFor, startUpload }] = await Promise.all([
    import("../repository/s3_place.ts"),
    import("../repository/s3_upload.ts"),
  ]);
  const store = await openS3Place(ctx, { endpointUrl: endpoint });
  return {
    store,
    startUpload(name, { estimate, backup }) {
      const partSize = partSizeFor(estimate);
      const object = startUpload(store, {
        name,
        partSize,
        metadata: { [MARK]: backup },
        // With one buffer there is no second part before the first one is sent.
        several: buffersFor(partSize) === 1,
      });
      return { object, partSize: () => partSize };
    },
  };
}

/**
 * Makes sure that the bucket answers, before anything is dumped.
 *
 * @throws OperationError what is wrong, in words
 */
export async function requireBucket({ store }: Bucket): Promise<void> {
  await store.list(NO_NAME);
}
