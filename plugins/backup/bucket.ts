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
  /** Removes an object that this run has put there, also when the run is ending. */
  takeBack(name: string): Promise<void>;
  close(): void;
}

/** How long that may take, in milliseconds. */
const TAKE_BACK_LIMIT = 30_000;

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
  let ending: Promise<Store> | undefined;
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
    async takeBack(name) {
      if (!ctx.signal.aborted) return await store.remove(name);
      const { config, log } = ctx;
      const signal = AbortSignal.timeout(TAKE_BACK_LIMIT);
      ending ??= openS3Place({ config, log, signal }, { endpointUrl: endpoint });
      await (await ending).remove(name);
    },
    close() {
      store.close?.();
      ending?.then((place) => place.close?.(), () => {});
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
