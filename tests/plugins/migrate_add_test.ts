import assert from "assert";
import { fakeHost } from "../../core/testing.ts";
import { OperationError } from "../../core/plugin.ts";
import { run } from "../../core/run.ts";
import { nextVersion, suggestedNumbering } from "../../plugins/migrate/add.ts";
import { listMigrationFiles, type MigrationFiles } from "../../plugins/migrate/files.ts";
import { parseMigrationName } from "../../plugins/migrate/names.ts";

async function filesNamed(...names: string[]): Promise<MigrationFiles> {
  const stored = Object.fromEntries(names.map((name) => [`m/${name}`, ""]));
  return await listMigrationFiles(fakeHost({ files: { ...stored, "m/.keep": "" } }).files, ["m"]);
}

const NOON = Date.UTC(2024, 1, 3, 12, 0, 0);

Deno.test("suggestedNumbering: follows the files as sqlx does", async () => {
  const expected: [names: string[], numbering: string][] = [
    [[], "timestamp"],
    [["0001_a.sql"], "sequential"],
    [["0_a.sql"], "sequential"],
    [["2_a.sql"], "timestamp"],
    [["0001_a.sql", "0002_b.sql"], "sequential"],
    [["0001_a.up.sql", "0001_a.down.sql", "0002_b.up.sql", "0002_b.down.sql"], "sequential"],
    [["1_a.sql", "3_b.sql"], "timestamp"],
    [["1_a.sql", "20240101000000_b.sql", "20240101000001_c.sql"], "sequential"],
    [["0001_a.sql", "20240101000000_b.sql"], "timestamp"],
  ];
  for (const [names, numbering] of expected) {
    assert.equal(suggestedNumbering(await filesNamed(...names)), numbering, names.join());
  }
});

Deno.test("nextVersion: counts on from the last version, with four digits at least", async () => {
  const after = async (...names: string[]) =>
    nextVersion(await filesNamed(...names), { numbering: "sequential", now: NOON });
  assert.equal(await after(), "0001");
  assert.equal(await after("0009_a.sql"), "0010");
  assert.equal(await after("99999_a.sql"), "100000");
});

Deno.test("nextVersion: takes the time in UTC, and a later second when that one is taken", async () => {
  const at = async (...names: string[]) =>
    nextVersion(await filesNamed(...names), { numbering: "timestamp", now: NOON });
  assert.equal(await at(), "20240203120000");
  assert.equal(await at("20240203120000_a.sql", "20240203120001_b.down.sql"), "20240203120002");
});

async function addOn(stored: Record<string, string>, ...args: string[]) {
  const host = fakeHost({ files: stored, now: () => NOON });
  const exit = await run(["migrate", "add", ...args, "--dir", "m"], host);
  const texts = new Map(
    [...host.stored].map(([path, bytes]) => [path, new TextDecoder().decode(bytes)]),
  );
  return { exit, texts, ...host.written };
}

Deno.test("migrate add: makes a pair whose names are read back as they were meant", async () => {
  const { exit, texts, stdout } = await addOn({}, "create", "user accounts");
  assert.equal(exit, 0);
  assert.deepEqual([...texts.keys()], [
    "m/20240203120000_create_user_accounts.up.sql",
    "m/20240203120000_create_user_accounts.down.sql",
  ]);
  assert.equal(
    stdout,
    "Created m/20240203120000_create_user_accounts.up.sql\n" +
      "Created m/20240203120000_create_user_accounts.down.sql\n",
  );
  for (const text of texts.values()) assert.match(text, /^-- .*create user accounts\n$/);
  const parsed = parseMigrationName("20240203120000_create_user_accounts.up.sql");
  assert.equal(parsed.type === "migration" && parsed.name.description, "create user accounts");
});

Deno.test("migrate add: makes one file with --simple, and numbers it as told", async () => {
  const { texts } = await addOn({ "m/0001_a.sql": "SELECT 1;" }, "--simple", "--timestamp", "b");
  assert.deepEqual([...texts.keys()], ["m/0001_a.sql", "m/20240203120000_b.sql"]);
  assert.equal(texts.get("m/0001_a.sql"), "SELECT 1;");
  const sequential = await addOn({}, "-s", "-r", "b");
  assert.deepEqual([...sequential.texts.keys()], ["m/0001_b.up.sql", "m/0001_b.down.sql"]);
});

Deno.test("migrate add: refuses names that cannot be a file's, and makes nothing then", async () => {
  for (const name of ["../x", "a\\b", " ", "a\nb"]) {
    const { exit, texts } = await addOn({}, name);
    assert.deepEqual([exit, texts.size], [2, 0], JSON.stringify(name));
  }
  const { exit, stderr } = await addOn({}, "--simple", "--reversible", "x");
  assert.equal(exit, 2);
  assert.match(stderr, /--reversible and --simple exclude each other/);
});

Deno.test("migrate add: refuses a directory whose files are not in order", async () => {
  const { exit, stderr } = await addOn({ "m/1_a.sql": "", "m/1_b.sql": "" }, "c");
  assert.equal(exit, 4);
  assert.match(stderr, /Version 1 is given to two files/);
});

Deno.test("migrate add: writes over no file, even one that comes between", async () => {
  const host = fakeHost({ files: {}, now: () => NOON });
  const files = {
    ...host.files,
    create: (path: string) =>
      Promise.reject(new OperationError(`Cannot create "${path}"`, { code: "already_exists" })),
  };
  assert.equal(await run(["migrate", "add", "x", "--dir", "m"], { ...host, files }), 1);
  assert.equal(host.stored.size, 0);
});
