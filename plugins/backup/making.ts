/** A backup in the making: what is wanted, what is known before it is written, and what came of it. */
import type { ClientTool, OperationError } from "../../core/plugin.ts";
import type { CountedTable } from "../repository/counts.ts";
import type { Inventory } from "../repository/inventory.ts";
import type { Manifest } from "../repository/manifest.ts";
import type { Compression } from "./compression.ts";
import type { BackupOptions } from "./options.ts";
import type { Places } from "./places.ts";
import type { Resolved } from "./selection.ts";
import type { Snapshot } from "./snapshot.ts";
import type { Workspace } from "./workspace.ts";

/** A backup that was made. */
export interface Made {
  readonly manifest: Manifest;
  /** Where it is complete. */
  readonly locations: readonly string[];
  /** Why it is not in the bucket, when it is complete on this machine. */
  readonly uploadFailure: OperationError | undefined;
}

/** What is to be made, and where. */
export interface Making {
  readonly options: BackupOptions;
  readonly places: Places;
  /** Aborted when the lock is lost, or the run is to end. */
  readonly signal: AbortSignal;
}

/** Everything known before pg_dump is started. */
export interface Prepared extends Making {
  readonly id: string;
  /** What the sessions of this backup are known by in `pg_stat_activity`. */
  readonly name: string;
  readonly snapshot: Snapshot;
  readonly inventory: Inventory;
  readonly selection: Resolved;
  /** What is known to be missing, a sentence each. */
  readonly warnings: readonly string[];
  readonly tables: readonly CountedTable[];
  readonly tool: ClientTool;
  readonly compression: Compression;
  /** When the snapshot was taken, in milliseconds since 1970. */
  readonly created: number;
  readonly workspace: Workspace;
}
