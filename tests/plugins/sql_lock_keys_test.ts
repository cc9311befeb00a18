import assert from "assert";
import { crc32, sessionLockKey, sqlxLockKey } from "../../plugins/sql/lock_keys.ts";

Deno.test("crc32: gives the standard check value", () => {
  assert.equal(crc32(new TextEncoder().encode("123456789")), 0xcbf43926);
  assert.equal(crc32(new Uint8Array()), 0);
});

Deno.test("sqlxLockKey: gives the keys that sqlx's library was seen to take", () => {
  assert.equal(sqlxLockKey("postgres"), 368907709894077238n);
  assert.equal(sqlxLockKey("app"), 3469795979745788610n);
  assert.equal(sqlxLockKey("mydb"), 293176876009260204n);
});

Deno.test("sqlxLockKey: fits a signed 64-bit number for the largest checksum", () => {
  assert.ok(0x3d32ad9en * 0xffffffffn < 2n ** 63n);
});

Deno.test("sessionLockKey: is no key that sqlx could take for any database", () => {
  assert.notEqual(sessionLockKey("app") % 0x3d32ad9en, 0n);
});
