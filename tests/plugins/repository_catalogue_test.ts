import assert from "assert";
import { readCatalogue } from "../../plugins/repository/catalogue.ts";
import { listedOf, newestFull, troublesOf } from "../../plugins/repository/listed.ts";
import { backupFiles, FIRST } from "../backup_files.ts";
import { memoryPlace, memoryStore, put } from "../memory_store.ts";

const DAY = 86_400_000;

Deno.test("readCatalogue: a backup is what has a manifest and all its files in their sizes", async () => {
  const whole = backupFiles({
    files: { ".dump": "dump", ".globals.sql": "roles" },
    verified: [{ level: "restore" }],
  });
  const directory = backupFiles({
    time: FIRST + DAY,
    files: { ".dir/toc.dat": "toc", ".dir/1.dat.gz": "" },
    manifest: { format: "directory" },
  });
  const short = backupFiles({ time: FIRST + 2 * DAY });
  const missing = backupFiles({
    time: FIRST + 3 * DAY,
    files: { ".sql.gz": "sql", ".globals.sql": "roles" },
  });
  const place = memoryPlace({
    ...whole.files,
    ...directory.files,
    ...short.files,
    [`${short.id}.dump`]: "cut",
    [`${missing.id}.manifest.json`]: JSON.stringify(missing.manifest),
  }, 5);

  const { backups, unmanaged, leftovers, unreadable } = await readCatalogue(memoryStore(place));
  assert.deepEqual(backups.map(({ id, broken }) => [id, broken]), [
    [missing.id, `${missing.id}.sql.gz is missing, and 1 more is wrong`],
    [short.id, `${short.id}.dump has 3 bytes instead of ${"PGDMP of ".length + short.id.length}`],
    [directory.id, null],
    [whole.id, null],
  ]);
  const [, , , found] = backups;
  assert.deepEqual(
    [found?.bytes, found?.modified, found?.verified.level, found?.place, found?.title],
    [9, 5, "restore", "local", "./backups"],
  );
  assert.deepEqual(found?.manifest, whole.manifest);
  assert.deepEqual([unmanaged.names, leftovers, unreadable], [[], [], []]);
});

Deno.test("readCatalogue: dumps without a manifest are counted apart, and everything else is not ours", async () => {
  const place = memoryPlace({
    "llm_observatory_backup_20230101_000000.dump": "12345",
    "llm_observatory_backup_20230102_000000_schema.sql.gz": "12",
    "llm_observatory_backup_20230103_000000.dir/toc.dat": "1",
    "llm_observatory_backup_20230103_000000.dir/12.dat": "123",
    "llm_observatory_backup_20230104_000000": "unlike ours",
    "before-upgrade.dump": "1",
    "notes.txt": "1",
    "archive.tar": "1",
  });
  const { backups, unmanaged, leftovers, unreadable } = await readCatalogue(memoryStore(place));
  assert.deepEqual([backups, leftovers, unreadable], [[], [], []]);
  assert.deepEqual(unmanaged, {
    names: [
      "before-upgrade.dump",
      "llm_observatory_backup_20230101_000000.dump",
      "llm_observatory_backup_20230102_000000_schema.sql.gz",
      "llm_observatory_backup_20230103_000000.dir/",
    ],
    bytes: 12,
  });
});

Deno.test("readCatalogue: a manifest that cannot be read is told, and its files are left alone", async () => {
  const newer = backupFiles();
  const torn = backupFiles({ time: FIRST + DAY });
  const place = memoryPlace({
    ...newer.files,
    ...torn.files,
    [`${newer.id}.manifest.json`]: JSON.stringify({ ...newer.manifest, schema: 2 }),
    [`${torn.id}.manifest.json`]: JSON.stringify(torn.manifest).slice(0, -9),
    [`${torn.id}.started.json`]: "{}",
  });
  const catalogue = await readCatalogue(memoryStore(place));
  assert.deepEqual([catalogue.backups, catalogue.leftovers], [[], []]);
  assert.deepEqual(catalogue.unmanaged.names, []);
  assert.deepEqual(troublesOf([catalogue]), [
    `Cannot read ${newer.id}.manifest.json in ./backups: it was made by a newer version ` +
    "(schema 2; this version reads 1)",
    `Cannot read ${torn.id}.manifest.json in ./backups: it is not JSON`,
  ]);
});

Deno.test("readCatalogue: what runs have left is told by whose it is", async () => {
  const [begun, partial, removed, beside] = [0, 1, 2, 3].map((day) =>
    backupFiles({ time: FIRST + day * DAY, verified: [{}] })
  );
  assert(begun && partial && removed && beside);
  const place = memoryPlace({
    [`${begun.id}.started.json`]: "{}",
    [`${begun.id}.dump`]: "dump",
    [`${begun.id}.globals.sql.partial`]: "ro",
    [`${begun.id}.dump.sha256`]: "somebody's",
    [`${partial.id}.dir.partial/toc.dat`]: "toc",
    [`${partial.id}.sql`]: "by hand",
    ...removed.files,
    [`${removed.id}.sql`]: "by hand",
    ...beside.files,
    [`${beside.id}.started.json`]: "{}",
    [`${beside.id}.manifest.json.1a2b3c4d.partial`]: "{",
  }, 7);
  const tombstone = place.files.get(`${removed.id}.manifest.json`);
  assert(tombstone);
  place.files.delete(`${removed.id}.manifest.json`);
  place.files.set(`${removed.id}.manifest.json.deleted`, { ...tombstone, modified: 8 });

  const { backups, leftovers, unmanaged } = await readCatalogue(memoryStore(place));
  assert.deepEqual(backups.map(({ id, broken }) => [id, broken]), [[beside.id, null]]);
  const result = Object.keys(removed.files).find((name) => name.includes(".verify-"));
  assert.deepEqual(
    leftovers.map((
      { id, kind, files, modified },
    ) => [id, kind, files.map((f) => f.name), modified]),
    [
      [
        begun.id,
        "unfinished",
        [`${begun.id}.dump`, `${begun.id}.globals.sql.partial`, `${begun.id}.started.json`],
        7,
      ],
      [partial.id, "unfinished", [`${partial.id}.dir.partial/toc.dat`], 7],
      [
        removed.id,
        "removed",
        [`${removed.id}.dump`, result, `${removed.id}.manifest.json.deleted`],
        8,
      ],
      [
        beside.id,
        "beside",
        [`${beside.id}.manifest.json.1a2b3c4d.partial`, `${beside.id}.started.json`],
        7,
      ],
    ],
  );
  assert.deepEqual(unmanaged.names, [`${partial.id}.sql`, `${removed.id}.sql`]);
});

Deno.test("readCatalogue: in a bucket our mark tells whose a dump without a manifest is", async () => {
  const place = memoryPlace({
    "app_backup_20240101_000000.dump": "ours",
    "app_backup_20240102_000000.dir/toc.dat": "ours",
    "app_backup_20240102_000000.dir/1.dat": "ours",
    "app_backup_20240103_000000.dump": "theirs",
  });
  place.ours.delete("app_backup_20240103_000000.dump");
  const { leftovers, unmanaged } = await readCatalogue(memoryStore(place, { kind: "s3" }));
  assert.deepEqual(leftovers.map(({ id, files }) => [id, files.length]), [
    ["app_backup_20240101_000000", 1],
    ["app_backup_20240102_000000", 2],
  ]);
  assert.deepEqual(unmanaged.names, ["app_backup_20240103_000000.dump"]);
});

Deno.test("readCatalogue: a place that changes meanwhile is looked at anew", async () => {
  const going = backupFiles();
  const coming = backupFiles({ time: FIRST + DAY });
  const place = memoryPlace(going.files);
  let lists = 0;
  const store = memoryStore(place, {
    kind: "local",
    after({ method }) {
      if (method !== "list" || ++lists > 1) return;
      // Another run removes one between the listing and the reading of its manifest.
      for (const name of Object.keys(going.files)) place.files.delete(name);
      put(place, coming.files);
    },
  });
  const { backups } = await readCatalogue(store);
  assert.deepEqual(backups.map(({ id, broken }) => [id, broken]), [[coming.id, null]]);

  // A listing that shows a new manifest and not yet the dump, which was there before it.
  const torn = memoryStore(memoryPlace(coming.files));
  let first = true;
  const { backups: again } = await readCatalogue({
    ...torn,
    async list() {
      const objects = await torn.list();
      const seen = first ? objects.filter(({ name }) => !name.endsWith(".dump")) : objects;
      first = false;
      return seen;
    },
  });
  assert.deepEqual(again.map(({ broken }) => broken), [null]);
});

Deno.test("readCatalogue: a result that cannot be read is told, and does not vanish", async () => {
  const { id, files } = backupFiles({ verified: [{}] });
  const name = `${id}.verify-20240102T000000Z.json`;
  const place = memoryPlace({ ...files, [name]: JSON.stringify({ schema: 2 }) });
  const catalogue = await readCatalogue(memoryStore(place));
  assert.deepEqual(catalogue.backups.map(({ verified: { level } }) => level), ["bytes"]);
  assert.deepEqual(troublesOf([catalogue]), [
    `Cannot read ${name}: it was made by a newer version (schema 2; this version reads 1) ` +
    "(in ./backups)",
  ]);
});

Deno.test("listedOf: the same manifest in two places is one backup, another one is another", async () => {
  const one = backupFiles({ verified: [{ level: "read" }] });
  const other = backupFiles({ time: FIRST + DAY });
  const damaged = backupFiles({
    time: FIRST + 2 * DAY,
    verified: [{ level: "bytes", ok: false, findings: ["The SHA-256 differs"] }],
  });
  const local = memoryStore(memoryPlace({ ...one.files, ...other.files, ...damaged.files }));
  const bucket = memoryStore(
    memoryPlace({
      [`${one.id}.dump`]: one.files[`${one.id}.dump`] ?? "",
      [`${one.id}.manifest.json`]: one.files[`${one.id}.manifest.json`] ?? "",
      ...backupFiles({ time: FIRST + DAY, manifest: { note: "another" } }).files,
    }),
    { kind: "s3" },
  );
  const catalogues = await Promise.all([local, bucket].map(readCatalogue));
  const listed = listedOf(catalogues);
  assert.deepEqual(
    listed.map(({ id, level, copies }) => [id, level, copies.map(({ place }) => place)]),
    [
      [other.id, null, ["local"]],
      [other.id, null, ["s3"]],
      [one.id, "read", ["local", "s3"]],
    ],
  );
  assert.deepEqual(troublesOf(catalogues), [
    `Backup "${damaged.id}" in ./backups is damaged, as its verification (bytes) has found: ` +
    "The SHA-256 differs",
  ]);
});

Deno.test("newestFull: is of the database, whole, and not from the future", async () => {
  const files = [
    backupFiles({ verified: [{ level: "restore" }] }),
    backupFiles({ time: FIRST + DAY, verified: [{ level: "bytes" }] }),
    backupFiles({ time: FIRST + 2 * DAY }),
    backupFiles({ time: FIRST + 3 * DAY, kind: "schema" }),
    backupFiles({ time: FIRST + 3 * DAY, database: "app" }),
    backupFiles({ time: FIRST + 9 * DAY }),
  ];
  const all = Object.assign({}, ...files.map((each) => each.files));
  const listed = listedOf([await readCatalogue(memoryStore(memoryPlace(all)))]);
  const now = FIRST + 4 * DAY;
  const newest = (options: { database?: string; level?: "bytes" | "restore" | "assert" }) =>
    newestFull(listed, { database: "llm_observatory", now, ...options })?.id;
  assert.equal(newest({}), files[2]?.id);
  assert.equal(newest({ level: "bytes" }), files[1]?.id);
  assert.equal(newest({ level: "restore" }), files[0]?.id);
  assert.equal(newest({ level: "assert" }), undefined);
  assert.equal(newest({ database: "other" }), undefined);
});
