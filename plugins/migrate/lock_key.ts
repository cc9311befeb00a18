/** The advisory lock that sqlx's library takes around its migrations. */

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

/** CRC-32/ISO-HDLC, the checksum of zip and Ethernet, as an unsigned number. */
export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc >>> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
