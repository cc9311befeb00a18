/** A directory as a place of backups, on a real file system. */
import assert from "assert";
import { join } from "node:path";
import { systemHost } from "../../core/host.ts";
import { readCatalogue } from "../../plugins/repository/catalogue.ts";
import { collectGarbage } from "../../plugins/repository/gc.ts";
import { localStore } from "../../plugins/repository/local_store.ts";
import { pruneStore } from "../../plugins/repository/prune.ts";
import type { Store } from "../../plugins/repository/store.ts";
import { backupFiles, FIRST, namesIn, writeFiles } from "../backup_files.ts";

const { files } = systemHost();
const { signal } = new AbortController();
const DAY = 86_400_000;

async function inDirectory(test: (store: Store, path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempDir({ prefix: "observatory-store-" });
  try {
    await test(localStore(files, join(path, "backups/")), join(path, "backups"));
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

Deno.test("localStore: a directory that is not there is empty, and one that is a file is not", () =>
  inDirectory(async (store, path) => {
    assert.equal(store.title, path);
    assert.deepEqual(await store.list(), []);
    await store.remove("a_backup_20240101_000000.dump");
    await Deno.writeTextFile(path, "");
    await assert.rejects(store.list(), { code: "not_a_directory" });
  }));

Deno.test("localStore: lists files and the members of directory backups, and of no other directory", () =>
  inDirectory(async (store, path) => {
    const id = "app_backup_20240101_000000";
    const names = [
      `${id}.dir/1.dat`,
      `${id}.dir/toc.dat`,
      `${id}.dump`,
      `${id}_data.dir.partial/toc.dat`,
      "z.txt",
    ];
    const hidden = {
      "pre-deployment/app_backup_20240102_000000.dump": "",
      [`${id}.dir/deeper/x`]: "",
      [`${id}.directory/x`]: "",
      "by-hand.dir/toc.dat": "",
    };
    await writeFiles(path, hidden);
    await writeFiles(path, Object.fromEntries(names.map((name) => [name, name])), FIRST);
    await Deno.mkdir(join(path, `${id}_schema.dir`));
    await Deno.utime(join(path, `${id}_schema.dir`), FIRST / 1000, FIRST / 1000);
    await Deno.symlink("nowhere", join(path, "lost"));
    await Deno.symlink("z.txt", join(path, "link.txt"));
    const expected = [
      ...[...names, "link.txt"].map((name) => ({ name, size: name.length, modified: FIRST })),
      { name: `${id}_schema.dir/`, size: 0, modified: FIRST },
    ].map((each) => each.name === "link.txt" ? { ...each, size: "z.txt".length } : each);
    assert.deepEqual(await store.list(), expected.sort((a, b) => a.name < b.name ? -1 : 1));
  }));

Deno.test("localStore: reads, creates for this user alone, renames and removes", () =>
  inDirectory(async (store, path) => {
    await store.create("a.json", "first");
    assert.equal(((await Deno.stat(join(path, "a.json"))).mode ?? 0) & 0o777, 0o600);
    assert.equal(((await Deno.stat(path)).mode ?? 0) & 0o777, 0o700);
    await assert.rejects(store.create("a.json", "second"), { code: "already_exists" });
    await store.create("b.json", "other");
    assert.deepEqual(await store.readTexts(["b.json", "a.json"]), ["other", "first"]);
    await assert.rejects(store.readTexts(["a.json", "c.json"]), { code: "not_found" });
    const part = await store.read("a.json", { offset: 1, length: 3 });
    assert.equal(await new Response(part).text(), "irs");
    await assert.rejects(store.read("c.json"), { code: "not_found" });
    await assert.rejects(async () => await store.rename?.("a.json", "b.json"), {
      code: "already_exists",
    });
    await store.rename?.("a.json", "c.json");
    await store.remove("b.json");
    await store.remove("b.json");
    assert.deepEqual(await namesIn(path), ["c.json"]);
  }));

Deno.test("localStore: a directory goes when nothing is left in it", () =>
  inDirectory(async (store, path) => {
    await writeFiles(path, {
      "a_backup_20240101_000000.dir/1": "",
      "a_backup_20240101_000000.dir/2": "",
    });
    await store.remove("a_backup_20240101_000000.dir/1");
    await store.remove("a_backup_20240101_000000.dir/");
    assert.deepEqual((await namesIn(path)).length, 2);
    await store.remove("a_backup_20240101_000000.dir/2");
    await store.remove("a_backup_20240101_000000.dir/");
    assert.deepEqual(await namesIn(path), []);
  }));

Deno.test("localStore: backups of all forms are pruned and collected from the disk", () =>
  inDirectory(async (store, path) => {
    const members = { ".dir/toc.dat": "toc", ".dir/1.dat": "1", ".globals.sql": "roles" };
    const old = backupFiles({ files: members, verified: [{}] });
    const kept = backupFiles({ time: FIRST + DAY, verified: [{}] });
    await writeFiles(path, { ...old.files, ...kept.files });
    await writeFiles(path, {
      "app_backup_20240101_000000.dir.partial/toc.dat": "toc",
      "app_backup_20240101_000000.started.json": "{}",
      "app_backup_20240101_000000.dir/left.dat": "x",
      [`${old.id}.manifest.json.deleted`]: "of an earlier backup of that name",
    }, FIRST);
    const options = {
      policy: { last: 1, minKeep: 1 },
      now: () => Date.now(),
      dryRun: false,
      signal,
    };
    const { backups } = await pruneStore(store, options);
    assert.deepEqual(backups.map(({ removed }) => removed), [false, true]);
    assert.deepEqual((await readCatalogue(store)).backups.map(({ id }) => id), [kept.id]);
    await collectGarbage(store, options);
    assert.deepEqual(await namesIn(path), Object.keys(kept.files).sort());
  }));
