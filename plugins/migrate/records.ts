/** What is written to the bookkeeping table for one file. */
import type { Step } from "../../core/plugin.ts";
import type { MigrationFile } from "./files.ts";
import type { Bookkeeping } from "./history.ts";

/** The writes for one file, by the way it is run. */
export interface Records {
  /** Within the file's transaction. */
  together(checksum: Uint8Array): Step;
  /** Before the first of several statements that run alone: a break then leaves a dirty row. */
  started(checksum: Uint8Array): Step;
  /** When no statement has had an effect after all. */
  withdrawn(): Step;
  /** After the last statement that runs alone. */
  finished(checksum: Uint8Array, how: { started: boolean; nanoseconds: bigint }): Step;
}

/**
 * Nanoseconds since the transaction began, by the server's clock. sqlx writes
 * this number in a second transaction; any value is valid to it.
 */
const SINCE_BEGIN = "(extract(epoch FROM pg_catalog.clock_timestamp() - " +
  "pg_catalog.transaction_timestamp()) * 1000000000)::pg_catalog.int8";
/** The execution time of a migration that has not ended, as sqlx writes it. */
export const NOT_KNOWN = -1n;

/** Records a file as applied. */
export function recordsOfApplying({ table }: Bookkeeping, file: MigrationFile): Records {
  const { version, description } = file;
  const insert = `INSERT INTO ${table}
    (version, description, checksum, success, execution_time) VALUES ($1, $2, $3`;
  return {
    together: (checksum) => ({
      sql: `${insert}, true, ${SINCE_BEGIN})`,
      params: [version, description, checksum],
    }),
    started: (checksum) => ({
      sql: `${insert}, false, $4)`,
      params: [version, description, checksum, NOT_KNOWN],
    }),
    withdrawn: () => ({ sql: `DELETE FROM ${table} WHERE version = $1`, params: [version] }),
    finished: (checksum, { started, nanoseconds }) =>
      started
        ? {
          sql: `UPDATE ${table} SET success = true, execution_time = $2 WHERE version = $1`,
          params: [version, nanoseconds],
        }
        : {
          sql: `${insert}, true, $4)`,
          params: [version, description, checksum, nanoseconds],
        },
  };
}

/** Records a file's migration as no longer applied. */
export function recordsOfRollback({ table }: Bookkeeping, { version }: MigrationFile): Records {
  const remove = { sql: `DELETE FROM ${table} WHERE version = $1`, params: [version] };
  const mark = (success: boolean) => ({
    sql: `UPDATE ${table} SET success = $2 WHERE version = $1`,
    params: [version, success],
  });
  return {
    together: () => remove,
    started: () => mark(false),
    withdrawn: () => mark(true),
    finished: () => remove,
  };
}
