import assert from "assert";
import { parseMigrationName, parseVersion } from "../../plugins/migrate/names.ts";

function read(fileName: string): unknown {
  const parsed = parseMigrationName(fileName);
  if (parsed.type !== "migration") return parsed.type;
  const { version, kind, description } = parsed.name;
  return [version, kind, description];
}

Deno.test("parseMigrationName: reads the version before the first underscore as a signed 64-bit number", () => {
  assert.deepEqual(read("0001_leading_zeros.sql"), [1n, "simple", "leading zeros"]);
  assert.deepEqual(read("+2_plus.sql"), [2n, "simple", "plus"]);
  assert.deepEqual(read("-3_minus.sql"), [-3n, "simple", "minus"]);
  assert.deepEqual(read("9223372036854775807_max.sql"), [2n ** 63n - 1n, "simple", "max"]);
  assert.deepEqual(read("-9223372036854775808_min.sql"), [-(2n ** 63n), "simple", "min"]);
});

Deno.test("parseMigrationName: takes the kind from the ending", () => {
  assert.deepEqual(read("1_a.up.sql"), [1n, "up", "a"]);
  assert.deepEqual(read("1_a.down.sql"), [1n, "down", "a"]);
  assert.deepEqual(read("5_up.sql"), [5n, "simple", "up"]);
  assert.deepEqual(read("5_.up.sql"), [5n, "up", ""]);
});

Deno.test("parseMigrationName: takes the ending off as often as it stands there and turns underscores into spaces", () => {
  assert.deepEqual(read("6_x.sql.sql"), [6n, "simple", "x"]);
  assert.deepEqual(read("6_x.up.sql.up.sql"), [6n, "up", "x"]);
  assert.deepEqual(read("6_x.sql.up.sql"), [6n, "up", "x.sql"]);
  assert.deepEqual(read("4__double__underscore_.sql"), [4n, "simple", " double  underscore "]);
  assert.deepEqual(read("9_.sql"), [9n, "simple", ""]);
  assert.deepEqual(read("10_ünïcode_描述.sql"), [10n, "simple", "ünïcode 描述"]);
  assert.deepEqual(read("11_with space-and.dots.sql"), [11n, "simple", "with space-and.dots"]);
});

Deno.test("parseMigrationName: ignores what sqlx ignores", () => {
  for (
    const name of ["README.md", "noversion.sql", "7_UPPER.SQL", "1_a.sql.bak", "1.sql", ".keep"]
  ) {
    assert.equal(read(name), "ignored", name);
  }
});

Deno.test("parseMigrationName: tells a prefix that is no number from one that is too large", () => {
  for (const name of ["seed_users.sql", "_x.sql", "+_x.sql", "1a_x.sql", "._1_x.sql", "١_x.sql"]) {
    assert.equal(read(name), "unversioned", name);
  }
  assert.equal(read("99999999999999999999_big.sql"), "version_too_large");
  assert.equal(read("9223372036854775808_big.sql"), "version_too_large");
  assert.equal(read("-9223372036854775809_small.sql"), "version_too_large");
});

Deno.test("parseVersion: accepts what a file's name may begin with, and nothing else", () => {
  assert.equal(parseVersion("20240101000000"), 20240101000000n);
  assert.equal(parseVersion("0007"), 7n);
  assert.equal(parseVersion("-1"), -1n);
  for (const text of ["", "latest", "1.0", "1e3", "0x10", " 1", "9223372036854775808"]) {
    assert.equal(parseVersion(text), undefined, text);
  }
});
