/** Backups found by what users call them, in several places at once. */
import assert from "assert";
import { findIn } from "../../plugins/repository/find.ts";
import { backupFiles, FIRST } from "../backup_files.ts";
import { memoryPlace, memoryStore } from "../memory_store.ts";

const DAY = 86_400_000;
const DATABASE = "llm_observatory";
const NOW = FIRST + 30 * DAY;

type Files = Readonly<Record<string, string>>;

function find(name: string | undefined, { local = {}, s3 = {} }: { local?: Files; s3?: Files }) {
  const stores = [
    memoryStore(memoryPlace(local)),
    memoryStore(memoryPlace(s3), { kind: "s3" }),
  ];
  return findIn(stores, { name, database: DATABASE, now: NOW });
}

const one = backupFiles();
const two = backupFiles({ time: FIRST + DAY });

Deno.test("findIn: a backup in both places is found once, the whole copy first", async () => {
  const both = await find(one.id, { local: one.files, s3: one.files });
  assert.deepEqual(both.map(({ backup, store }) => [backup.place, store.kind]), [
    ["local", "local"],
    ["s3", "s3"],
  ]);
  const torn = { ...one.files, [`${one.id}.dump`]: "" };
  const second = await find(one.id, { local: torn, s3: one.files });
  assert.deepEqual(second.map(({ backup }) => backup.place), ["s3", "local"]);
});

Deno.test("findIn: the same name for two backups is ambiguous, for latest too", async () => {
  const other = backupFiles({ manifest: { note: "of another server" } });
  const expected = {
    kind: "usage",
    code: "backup_ambiguous",
    message: `Backup "${one.id}" is not the same in ./backups as in s3://bucket/backups`,
    hint: "Tell which one is meant: --where local or --where s3",
  };
  for (const name of [one.id, `${one.id}.dump`, undefined]) {
    await assert.rejects(find(name, { local: one.files, s3: other.files }), expected);
  }
});

Deno.test("findIn: the newest of all places, whole, full, of the database and not of the future", async () => {
  const others = [
    backupFiles({ time: FIRST + 2 * DAY, kind: "data" }),
    backupFiles({ time: FIRST + 2 * DAY, database: "app" }),
    backupFiles({ time: FIRST + 3 * DAY, verified: [{ ok: false }] }),
    backupFiles({ time: NOW + DAY }),
  ];
  const local = Object.assign({}, one.files, ...others.map(({ files }) => files));
  const [found] = await find(undefined, { local, s3: two.files });
  assert.deepEqual([found.backup.id, found.store.kind], [two.id, "s3"]);
  await assert.rejects(find(undefined, { s3: others[1]?.files ?? {} }), {
    code: "backup_not_found",
    message:
      `There is no full backup of database "${DATABASE}" in ./backups and s3://bucket/backups`,
  });
});

Deno.test("findIn: the nearest name is that which is like it for the most part", async () => {
  const files = { ...one.files, ...two.files, ...backupFiles({ database: "app" }).files };
  const hint = async (name: string) => {
    let found: unknown;
    await assert.rejects(find(name, { local: files }), (error: Error) => {
      found = Reflect.get(error, "hint");
      return Reflect.get(error, "code") === "backup_not_found";
    });
    return found;
  };
  assert.equal(await hint(two.id.replace("0102_", "0202_")), `Did you mean "${two.id}"?`);
  assert.equal(await hint(one.id.slice(3)), `Did you mean "${one.id}"?`);
  assert.equal(
    await hint("app_backup_20240101_1200"),
    'Did you mean "app_backup_20240101_120000"?',
  );
  assert.equal(await hint("yesterday"), "`observatory backup list` shows what there is");
});
