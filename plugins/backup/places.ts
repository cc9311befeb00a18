/** Where a backup goes. */
import type { OperationError } from "../../core/plugin.ts";
import type { Store } from "../repository/store.ts";
import type { Bucket } from "./bucket.ts";

/** The directory, the bucket, or both. */
export interface Places {
  /** Undefined when nothing stays on this machine. */
  readonly directory: { readonly path: string; readonly store: Store } | undefined;
  readonly bucket: Bucket | undefined;
  /** Why the bucket that was asked for cannot be reached now, when the backup stays here anyway. */
  readonly unreachable?: OperationError;
}
