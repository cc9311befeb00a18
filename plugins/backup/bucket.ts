/** The bucket that a backup is sent to. */
import type { Store } from "../repository/store.ts";
import type { Upload } from "./storing.ts";
import type { Context } from "../../core/plugin.ts";

/** A bucket, as a backup uses it. */
export interface Bucket {
  readonly store: Store;
  /** Begins an upload; nothing is in the bucket before it is completed. */
  startUpload(
    name: string,
    options: { readonly estimate: number; readonly backup: string },
  ): Upload;
}

/** Opens the bucket of the settings. */
export function openBucket(
  _ctx: Context,
  _options: { readonly endpoint: string | undefined },
): Promise<Bucket> {
  throw new Error("to be wired");
}
