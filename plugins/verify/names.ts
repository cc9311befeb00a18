/** The names of the checks, apart from the checks themselves: a declaration loads no more than this. */

/** Every check's name, in the order in which they are made and shown. */
export const CHECK_NAMES = [
  "connection",
  "version",
  "timescaledb",
  "query",
  "writes",
  "rights",
  "migrations",
  "client-tools",
  "backups-dir",
  "disk-space",
  "s3",
  "clock",
  "connections",
  "transaction-ids",
  "indexes",
  "restores",
  "encoding",
  "collation",
  "checksums",
  "plugins",
] as const;

/** The name of a check. */
export type CheckName = typeof CHECK_NAMES[number];
