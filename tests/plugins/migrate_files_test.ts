import assert from "assert";
import { fakeHost } from "../../core/testing.ts";
import { isLarge, LARGE_FILE_BYTES, readContents, sha384 } from "../../plugins/migrate/contents.ts";
import { listMigrationFiles } from "../../plugins/migrate/files.ts";
import type { FileEntry, Files } from "../../core/plugin.ts";
import { OperationError } from "../../core/plugin.ts";

function filesOf(stored: Record<string, string>): Files {
  return fakeHost({ files: stored }).files;
}

Deno.test("listMigrationFiles: sorts by the version's value and keeps ups and downs apart", async () => {
  const { ups, downs, problems } = await listMigrationFiles(
    filesOf({
      "m/10_ten.sql": "",
      "m/9_nine.up.sql": "",
      "m/9_nine.down.sql": "",
      "m/-1_minus.sql": "",
      "m/README.md": "",
      "m/sub_dir/1_deeper.sql": "",
    }),
    ["m"],
  );
  assert.deepEqual([...ups.values()].map(({ path }) => path), [
    "m/-1_minus.sql",
    "m/9_nine.up.sql",
    "m/10_ten.sql",
  ]);
  assert.deepEqual([...downs.keys()], [9n]);
  assert.deepEqual(problems, []);
});

Deno.test("listMigrationFiles: puts several directories together, each once, however it is written", async () => {
  const { ups, downs, problems } = await listMigrationFiles(
    filesOf({ "a/1_one.up.sql": "", "b/1_one.down.sql": "", "b/2_two.sql": "" }),
    ["./a", "b/", "a//"],
  );
  assert.deepEqual([...ups.values()].map(({ path }) => path), ["a/1_one.up.sql", "b/2_two.sql"]);
  assert.equal(downs.get(1n)?.path, "b/1_one.down.sql");
  assert.deepEqual(problems, []);
});

Deno.test("listMigrationFiles: finds versions that two files share, whatever their spelling", async () => {
  const { problems } = await listMigrationFiles(
    filesOf({
      "m/0001_a.sql": "",
      "m/1_b.up.sql": "",
      "m/+1_c.down.sql": "",
      "m/1_d.down.sql": "",
      "m/2_e.sql": "",
    }),
    ["m"],
  );
  assert.deepEqual(problems.map(({ code, version }) => [code, version]), [
    ["duplicate_version", "1"],
    ["duplicate_version", "1"],
  ]);
  assert.match(problems[0]?.message ?? "", /"m\/0001_a\.sql" and "m\/1_b\.up\.sql"/);
});

Deno.test("listMigrationFiles: sets names without a version aside and finds versions beyond 64 bits", async () => {
  const { ups, unversioned, problems } = await listMigrationFiles(
    filesOf({ "m/seed_users.sql": "", "m/99999999999999999999_big.sql": "", "m/1_a.sql": "" }),
    ["m"],
  );
  assert.deepEqual([...ups.keys()], [1n]);
  assert.deepEqual(unversioned, ["m/seed_users.sql"]);
  assert.deepEqual(problems.map(({ code, file }) => [code, file]), [
    ["version_too_large", "m/99999999999999999999_big.sql"],
  ]);
});

Deno.test("listMigrationFiles: finds links that lead nowhere, and passes over what is no file", async () => {
  const entries: FileEntry[] = [
    { name: "1_gone.sql", kind: "dangling", size: 0, modified: 0 },
    { name: "2_folder.sql", kind: "directory", size: 0, modified: 0 },
    { name: "3_pipe.sql", kind: "other", size: 0, modified: 0 },
    { name: "notes_gone.txt", kind: "dangling", size: 0, modified: 0 },
  ];
  const files: Files = { ...filesOf({}), list: () => Promise.resolve(entries) };
  const { ups, problems } = await listMigrationFiles(files, ["m"]);
  assert.equal(ups.size, 0);
  assert.deepEqual(problems.map(({ code, file }) => [code, file]), [
    ["dangling_link", "m/1_gone.sql"],
  ]);
});

Deno.test("listMigrationFiles: tells what to do when there is no such directory", async () => {
  await assert.rejects(
    listMigrationFiles(filesOf({ "m/1_a.sql": "" }), ["m", "elsewhere"]),
    (error) => {
      assert.ok(error instanceof OperationError);
      assert.equal(error.code, "not_found");
      assert.match(error.message, /"elsewhere"/);
      assert.match(error.hint ?? "", /--dir/);
      return true;
    },
  );
});

Deno.test("readContents: hashes the raw bytes of small files and leaves large ones out", async () => {
  const files = filesOf({
    "m/1_crlf.sql": "SELECT 1;\r\n",
    "m/2_empty.sql": "",
    "m/3_large.sql": "x".repeat(LARGE_FILE_BYTES + 1),
  });
  const { ups } = await listMigrationFiles(files, ["m"]);
  const contents = await readContents(files, ups.values());
  assert.deepEqual([...contents.keys()], [1n, 2n]);
  assert.deepEqual(contents.get(1n)?.checksum, sha384(new TextEncoder().encode("SELECT 1;\r\n")));
  assert.equal(
    contents.get(2n)?.checksum.slice(0, 4).join(),
    [0x38, 0xb0, 0x60, 0xa7].join(),
    "the checksum of nothing, as recorded from sqlx",
  );
  assert.equal(isLarge(ups.get(3n) ?? assert.fail()), true);
});

Deno.test("readContents: keeps no more bytes of many files than its bound, and all checksums", async () => {
  const stored: Record<string, string> = {};
  for (let version = 1; version <= 20; version++) {
    stored[`m/${version}_x.sql`] = String(version).padEnd(LARGE_FILE_BYTES, " ");
  }
  const files = filesOf(stored);
  const { ups } = await listMigrationFiles(files, ["m"]);
  const contents = [...(await readContents(files, ups.values())).values()];
  assert.equal(contents.length, 20);
  assert.equal(contents.filter(({ bytes }) => bytes !== undefined).length, 16);
});
