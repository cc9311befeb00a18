/** The keys of the advisory locks around what must not overlap in a database. */

/** sqlx's own factor (`sqlx-postgres/src/migrate.rs`, `generate_lock_id`; the same from 0.5 to 0.9). */
const FACTOR = 0x3d32ad9en;

/**
 * The lock's key for a database, so that this program and an application that
 * embeds sqlx exclude each other. It depends on the database's name alone.
 *
 * @param database the name as `current_database()` gives it
 */
export function sqlxLockKey(database: string): bigint {
  return FACTOR * BigInt(crc32(new TextEncoder().encode(database)));
}

/**
 * The key of the lock that the migrating session itself holds. A run that was
 * killed leaves a server process that works off what it was sent, and may
 * still commit it; the next run waits for this lock before it reads the
 * history. It is no multiple of sqlx's factor, so that it is nobody's sqlx key.
 */
export function sessionLockKey(database: string): bigint {
  return sqlxLockKey(database) + 1n;
}

/**
 * The key of the lock that a backup holds for as long as it reads, and a migration for as long as it
 * changes: a migration that met a dump would wait for its end, and every reader behind it. The same
 * in every database, since an advisory lock belongs to one.
 */
export const BACKUP_LOCK_KEY = -2572556956169000539n;

/** CRC-32/ISO-HDLC, the checksum of zip and Ethernet, as an unsigned number. */
export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc >>> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
