/** A bucket as a place of backups: listed, pruned and collected, against each server that can be had. */
import assert from "assert";
import { readCatalogue } from "../../plugins/repository/catalogue.ts";
import { collectGarbage } from "../../plugins/repository/gc.ts";
import { pruneStore } from "../../plugins/repository/prune.ts";
import { MARK, s3Place } from "../../plugins/repository/s3_place.ts";
import { saveVerification } from "../../plugins/repository/verification.ts";
import { type BackupFiles, backupFiles, FIRST, resultOf } from "../backup_files.ts";
import { forEachS3, freshBucket, type TestBucket } from "../s3.ts";
import { openStore } from "./parts.ts";

const DAY = 86_400_000;
const { signal } = new AbortController();

/** Uploads a backup as `backup` does: what is no manifest or result bears the mark. */
async function upload(bucket: TestBucket, { id, files }: BackupFiles): Promise<void> {
  for (const [name, contents] of Object.entries(files)) {
    const marked = !name.endsWith(".json");
    await bucket.put(`backups/${name}`, contents, marked ? { [MARK]: encodeURIComponent(id) } : {});
  }
}

/** The names in the place, as somebody else sees them. */
async function namesOf(bucket: TestBucket): Promise<string[]> {
  return (await bucket.objects()).map(({ key }) => key.replace("backups/", "")).sort();
}

forEachS3(
  "s3Place: tells what bears the mark of the backup that its name tells",
  async (server) => {
    await using bucket = await freshBucket({ server });
    using store = await openStore(bucket);
    const place = s3Place(store);
    const id = "größe_backup_20240101_120000";
    const mark = { [MARK]: encodeURIComponent(id) };
    await bucket.put(`backups/${id}.dump`, "x", mark);
    await bucket.put(`backups/${id}.sql`, "x");
    await bucket.put("backups/app_backup_20240101_120000.dump", "x", mark);
    await bucket.put("backups/notes.dump", "x", mark);
    const names = [`${id}.dump`, `${id}.sql`, "app_backup_20240101_120000.dump", "notes.dump"];
    const ours = await Promise.all(names.map((name) => place.isOurs(name)));
    assert.deepEqual(ours, [true, false, false, false]);
    assert.equal(await place.isOurs("gone_backup_20240101_120000.dump"), false);
    assert.deepEqual((await place.list(`${id}.`)).map(({ name }) => name), [
      `${id}.dump`,
      `${id}.sql`,
    ]);
  },
);

forEachS3(
  "s3Place: backups are listed, pruned manifest first, and what is left is collected",
  async (server) => {
    await using bucket = await freshBucket({ server });
    using store = await openStore(bucket);
    const place = s3Place(store);
    const old = backupFiles({
      files: { ".dir/toc.dat": "toc", ".dir/1.dat": "1", ".globals.sql": "roles" },
      manifest: { format: "directory" },
    });
    const cut = backupFiles({ time: FIRST + DAY });
    const kept = backupFiles({ time: FIRST + 2 * DAY });
    for (const each of [old, cut, kept]) await upload(bucket, each);
    const result = await saveVerification(place, resultOf({}, { id: kept.id, time: Date.now() }));
    await bucket.put("backups/llm_observatory_backup_20200101_000000.dump", "by hand");
    await bucket.put("backups/elsewhere/llm_observatory_backup_20200101_000000.dump", "not here");

    const { backups, unmanaged } = await readCatalogue(place);
    assert.deepEqual(backups.map(({ id, broken }) => [id, broken]), [
      [kept.id, null],
      [cut.id, null],
      [old.id, null],
    ]);
    assert.deepEqual(unmanaged.names, ["llm_observatory_backup_20200101_000000.dump"]);
    const options = {
      policy: { last: 1, minKeep: 1 },
      now: () => Date.now(),
      dryRun: false,
      signal,
    };
    const report = await pruneStore(place, options);
    assert.deepEqual(report.backups.map(({ removed }) => removed), [false, true, true]);
    assert.deepEqual(report.problems, []);
    const rest = [
      ...Object.keys(kept.files),
      result,
      "elsewhere/llm_observatory_backup_20200101_000000.dump",
      "llm_observatory_backup_20200101_000000.dump",
    ].sort();
    assert.deepEqual(await namesOf(bucket), rest);

    // A removal that was killed when the manifest was gone, and a run that was before it was there.
    await upload(bucket, old);
    await upload(bucket, cut);
    for (const { id } of [old, cut]) await bucket.delete(`backups/${id}.manifest.json`);
    assert.deepEqual((await readCatalogue(place)).backups.map(({ id }) => id), [kept.id]);
    await collectGarbage(place, options);
    assert.equal((await namesOf(bucket)).length, rest.length + 4);
    await collectGarbage(place, { ...options, now: () => Date.now() + DAY + 60_000 });
    assert.deepEqual(await namesOf(bucket), rest);
  },
);

forEachS3(
  "s3Place: uploads that were never ended are told, with their age, and given up",
  async (server) => {
    await using bucket = await freshBucket({ server });
    using store = await openStore(bucket);
    const place = s3Place(store);
    await bucket.beginUpload("backups/app_backup_20240101_120000.dump");
    await bucket.beginUpload("backups/somebody-else.bin");
    await bucket.beginUpload("elsewhere/app_backup_20240101_120000.dump");
    const before = Date.now();
    const uploads = await place.listUploads();
    // This server keeps them to itself.
    if (server.kind === "fauxqs") return assert.deepEqual(uploads, []);
    assert.deepEqual(uploads.map(({ name }) => name), ["app_backup_20240101_120000.dump"]);
    const [first] = uploads;
    assert(first && Math.abs(first.modified - before) < 60_000);

    // A part that came since is what counts.
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const { bucket: { settings } } = store;
    await store.bucket.request("send a part", ({ sdk, client, http }) =>
      client.send(
        new sdk.UploadPartCommand({
          Bucket: settings.bucket,
          Key: store.key(first.name),
          UploadId: first.uploadId,
          PartNumber: 1,
          Body: new Uint8Array(10),
        }),
        http,
      ));
    const [second] = await place.listUploads();
    assert(
      second && second.modified >= first.modified + 1000,
      `${first.modified} ${second?.modified}`,
    );

    const collect = (now: number) =>
      collectGarbage(place, { now: () => now, dryRun: false, signal });
    const young = await collect(first.modified + DAY);
    assert.deepEqual(young.leftovers.map(({ action }) => action), ["keep"]);
    assert.equal((await bucket.uploads()).length, 3);
    const old = await collect(second.modified + DAY);
    assert.deepEqual(old.leftovers.map(({ kind, removed }) => [kind, removed]), [["upload", true]]);
    assert.deepEqual((await bucket.uploads()).sort(), [
      "backups/somebody-else.bin",
      "elsewhere/app_backup_20240101_120000.dump",
    ]);
    // It has ended already: no error.
    await place.abortUpload(second);
  },
);
