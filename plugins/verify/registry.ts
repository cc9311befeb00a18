/** All checks by name. A new one gets its name in `names.ts`, a file or a place in one, and a line here. */
import { backupsDirectory, diskSpace } from "./backups.ts";
import type { Check } from "./check.ts";
import { clientTools } from "./client_tools.ts";
import { clock } from "./clock.ts";
import { connections, indexes, transactionIds } from "./load.ts";
import { migrations } from "./migrations.ts";
import type { CheckName } from "./names.ts";
import { plugins } from "./plugins.ts";
import { restores } from "./restores.ts";
import { rights } from "./rights.ts";
import { s3 } from "./s3.ts";
import { connection, query, version, writes } from "./server.ts";
import { checksums, collation, encoding } from "./storage.ts";
import { timescaledb } from "./timescale.ts";

/** Every check; their order is that of `CHECK_NAMES`. */
export const CHECKS: Readonly<Record<CheckName, Check>> = {
  "connection": connection,
  "version": version,
  "timescaledb": timescaledb,
  "query": query,
  "writes": writes,
  "rights": rights,
  "migrations": migrations,
  "client-tools": clientTools,
  "backups-dir": backupsDirectory,
  "disk-space": diskSpace,
  "s3": s3,
  "clock": clock,
  "connections": connections,
  "transaction-ids": transactionIds,
  "indexes": indexes,
  "restores": restores,
  "encoding": encoding,
  "collation": collation,
  "checksums": checksums,
  "plugins": plugins,
};
