/** Pruning and collection, killed and hindered at every step. */
import assert from "assert";
import { OperationError } from "../../core/plugin.ts";
import { readCatalogue } from "../../plugins/repository/catalogue.ts";
import { collectGarbage, type CollectOptions } from "../../plugins/repository/gc.ts";
import { listedOf } from "../../plugins/repository/listed.ts";
import { type PruneOptions, pruneStore } from "../../plugins/repository/prune.ts";
import type { Store } from "../../plugins/repository/store.ts";
import { saveVerification } from "../../plugins/repository/verification.ts";
import { type BackupFiles, backupFiles, FIRST, resultOf } from "../backup_files.ts";
import {
  Killed,
  killedAt,
  type MemoryPlace,
  memoryPlace,
  memoryStore,
  put,
} from "../memory_store.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const NOW = FIRST + 30 * DAY;
const KINDS = ["local", "s3"] as const;
const { signal } = new AbortController();

/** Keeps two of the five. */
const OPTIONS: PruneOptions = {
  policy: { last: 2, minKeep: 1 },
  now: () => NOW,
  dryRun: false,
  signal,
};
const COLLECT: CollectOptions = { now: () => NOW, dryRun: false, signal };

/** Five backups, of all forms; the third one is the newest that is verified. */
function five(): BackupFiles[] {
  return [
    backupFiles({ files: { ".dump": "dump", ".globals.sql": "roles" }, verified: [{}, {}] }),
    backupFiles({
      time: FIRST + DAY,
      files: { ".dir/toc.dat": "toc", ".dir/1.dat.gz": "one", ".dir/2.dat.gz": "two" },
      manifest: { format: "directory" },
    }),
    backupFiles({ time: FIRST + 2 * DAY, verified: [{ level: "read" }] }),
    backupFiles({ time: FIRST + 3 * DAY }),
    backupFiles({ time: FIRST + 4 * DAY }),
  ];
}

function placeWith(backups: readonly BackupFiles[]): MemoryPlace {
  return memoryPlace(Object.assign({}, ...backups.map(({ files }) => files)), FIRST + 5 * DAY);
}

async function ids(store: Store): Promise<string[]> {
  return listedOf([await readCatalogue(store)]).map(({ id }) => id);
}

for (const kind of KINDS) {
  Deno.test(`pruneStore: removes what no rule keeps, the manifest first and the oldest first (${kind})`, async () => {
    const backups = five();
    const [first, second, third, fourth, fifth] = backups.map(({ id }) => id);
    const place = placeWith(backups);
    const report = await pruneStore(memoryStore(place, { kind }), OPTIONS);
    assert.deepEqual(
      report.backups.map(({ backup, action, removed }) => [backup.id, action, removed]),
      [
        [fifth, "keep", false],
        [fourth, "keep", false],
        [third, "keep", false],
        [second, "remove", true],
        [first, "remove", true],
      ],
    );
    assert.deepEqual(report.backups[2]?.reasons, ["newest verified (read)"]);
    assert.deepEqual(report.problems, []);
    const kept = [third, fourth, fifth].flatMap((id) =>
      Object.keys(backups.find((each) => each.id === id)?.files ?? {})
    );
    assert.deepEqual([...place.files.keys()].sort(), kept.sort());

    const changes = place.calls.filter(({ method }) => method === "remove" || method === "rename")
      .filter(({ name }) => !name.endsWith(".deleted"))
      .map(({ name }) => name);
    assert.equal(changes[0], `${first}.manifest.json`);
    assert.deepEqual(
      changes.indexOf(`${second}.manifest.json`),
      changes.indexOf(`${first}.dump`) + 4,
    );
    for (const name of changes) {
      const manifest = `${name.replace(/\.(?!_).*$/s, "")}.manifest.json`;
      assert(changes.indexOf(manifest) <= changes.indexOf(name), name);
    }
    const again = await pruneStore(memoryStore(place, { kind }), OPTIONS);
    assert.deepEqual(again.backups.map(({ action }) => action), ["keep", "keep", "keep"]);
  });

  Deno.test(`pruneStore: killed at any step, it leaves whole backups alone, and gc the rest (${kind})`, async () => {
    const backups = five();
    const kept = backups.slice(2).map(({ id }) => id).reverse();
    const whole = new Map(backups.map(({ id, files }) => [id, Object.keys(files)]));
    let killed = 0;
    for (let change = 1;; change++) {
      const ends: boolean[] = [];
      for (const moment of ["before", "within", "after"] as const) {
        const place = placeWith(backups);
        const store = memoryStore(place, killedAt(kind, { change, moment }));
        const where = `${moment} change ${change}`;
        ends.push(await endsKilled(() => pruneStore(store, OPTIONS)));

        // What is listed has every file; what was to be kept is there.
        const after = memoryStore(place, { kind });
        const listed = await ids(after);
        for (const id of listed) {
          for (const name of whole.get(id) ?? ["unknown"]) {
            assert(place.files.has(name), `${where}: ${name}`);
          }
        }
        assert.deepEqual(listed.slice(0, 3), kept, where);
        const catalogue = await readCatalogue(after);
        assert.deepEqual(catalogue.backups.filter(({ broken }) => broken !== null), [], where);
        assert.deepEqual(catalogue.unmanaged.names, [], where);
        assert.deepEqual(catalogue.unreadable, [], where);

        // Collection, killed at any step too, leaves nothing but backups.
        for (let step = 1;; step++) {
          const collecting = memoryStore(place, killedAt(kind, { change: step, moment }));
          if (!await endsKilled(() => collectGarbage(collecting, COLLECT))) break;
          assert.deepEqual(await ids(after), listed, where);
        }
        const rest = listed.flatMap((id) => whole.get(id) ?? []);
        // A second name that a whole backup's manifest has already got goes with the backup.
        const left = [...place.files.keys()].filter((name) =>
          !listed.some((id) => name === `${id}.manifest.json.deleted`)
        );
        assert.deepEqual(left.sort(), rest.sort(), where);
        // And the next pruning finishes.
        await pruneStore(after, OPTIONS);
        assert.deepEqual(await ids(after), kept, where);
        const end = kept.flatMap((id) => whole.get(id) ?? []);
        assert.deepEqual([...place.files.keys()].sort(), end.sort(), where);
      }
      killed += ends.filter((each) => each).length;
      if (!ends.includes(true)) break;
    }
    assert(killed >= 20, String(killed));
  });

  Deno.test(`pruneStore: a step that fails is told, and what else is to go goes (${kind})`, async () => {
    const backups = five();
    const [first, second] = backups;
    assert(first && second);
    for (const name of Object.keys(first.files)) {
      const place = placeWith(backups);
      const store = memoryStore(place, {
        kind,
        before(call) {
          if (call.name !== name || call.method === "readTexts") return;
          throw new OperationError(`Cannot remove "${name}": it is locked`, {
            code: "permission_denied",
          });
        },
      });
      const { backups: pruned, problems } = await pruneStore(store, OPTIONS);
      assert.deepEqual(problems, [
        `Cannot remove backup "${first.id}": Cannot remove "${name}": it is locked`,
      ]);
      assert.deepEqual(
        pruned.slice(-2).map(({ backup, action, removed }) => [
          backup.id,
          action,
          removed,
        ]),
        [[second.id, "remove", true], [first.id, "remove", false]],
      );
      const listed = await ids(memoryStore(place, { kind }));
      // It is whole until its manifest goes, and then it is none.
      assert.equal(listed.includes(first.id), name.endsWith(".manifest.json"));
      assert.equal(listed.includes(second.id), false);
    }
  });

  Deno.test(`pruneStore: two at once do no harm, whoever is first at each step (${kind})`, async () => {
    const backups = five();
    const kept = backups.slice(2).map(({ id }) => id).reverse();
    for (let at = 1; at <= 14; at++) {
      const place = placeWith(backups);
      let calls = 0;
      let other: Promise<unknown> = Promise.resolve();
      const store = memoryStore(place, {
        kind,
        before() {
          if (++calls === at) other = pruneStore(memoryStore(place, { kind }), OPTIONS);
        },
      });
      const report = await pruneStore(store, OPTIONS);
      await other;
      assert.deepEqual(report.problems, []);
      assert.deepEqual(await ids(memoryStore(place, { kind })), kept, String(at));
      await collectGarbage(memoryStore(place, { kind }), COLLECT);
      const rest = backups.slice(2).flatMap(({ files }) => Object.keys(files));
      assert.deepEqual([...place.files.keys()].sort(), rest.sort(), String(at));
    }
  });

  Deno.test(`pruneStore: two at once, one of them killed at any step, leave nothing that gc does not take (${kind})`, async () => {
    const backups = five();
    const rest = backups.slice(2).flatMap(({ files }) => Object.keys(files)).sort();
    for (let change = 1; change <= 8; change++) {
      for (const moment of ["before", "within", "after"] as const) {
        for (let at = 1; at <= 10; at++) {
          const place = placeWith(backups);
          let calls = 0;
          let other: Promise<unknown> = Promise.resolve();
          const store = memoryStore(place, {
            kind,
            before() {
              if (++calls !== at) return;
              const killed = memoryStore(place, killedAt(kind, { change, moment }));
              other = endsKilled(() => pruneStore(killed, OPTIONS));
            },
          });
          await pruneStore(store, OPTIONS);
          await other;
          await collectGarbage(memoryStore(place, { kind }), COLLECT);
          await pruneStore(memoryStore(place, { kind }), OPTIONS);
          const left = [...place.files.keys()].sort();
          assert.deepEqual(left, rest, `${moment} change ${change}, begun at call ${at}`);
        }
      }
    }
  });

  Deno.test(`pruneStore: what changes meanwhile is decided anew (${kind})`, async () => {
    const backups = five();
    const [, second, third] = backups;
    assert(second && third);
    const place = placeWith(backups);
    let lists = 0;
    const store = memoryStore(place, {
      kind,
      before({ method }) {
        if (method !== "list" || ++lists !== 2) return;
        // The only one that is verified turns out to be damaged; the second one is verified then.
        const results = [
          resultOf({ level: "read", ok: false }, { id: third.id, time: NOW }),
          resultOf({ level: "restore" }, { id: second.id, time: NOW }),
        ];
        for (const result of results) {
          const name = `${result.backup}.verify-20240131T120000Z.json`;
          put(place, { [name]: JSON.stringify(result) }, NOW);
        }
      },
    });
    const { backups: pruned } = await pruneStore(store, OPTIONS);
    assert.deepEqual(pruned.map(({ backup, removed }) => [backup.id, removed]), [
      [backups[4]?.id, false],
      [backups[3]?.id, false],
      [third.id, false],
      [second.id, false],
      [backups[0]?.id, true],
    ]);
    assert.deepEqual(pruned[2]?.reasons, ["damaged (read): look at it and delete it by hand"]);
  });
}

/** Whether work ends as a killed process does. */
async function endsKilled(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return false;
  } catch (error) {
    if (error instanceof Killed) return true;
    throw error;
  }
}

Deno.test("pruneStore: a dry run changes nothing and decides the same", async () => {
  const place = placeWith(five());
  const store = memoryStore(place);
  const would = await pruneStore(store, { ...OPTIONS, dryRun: true });
  assert(place.calls.every(({ method }) => method === "list" || method === "readTexts"));
  const did = await pruneStore(store, OPTIONS);
  const told = (report: typeof did) =>
    report.backups.map(({ backup, action, reasons }) => [backup.id, action, reasons]);
  assert.deepEqual(told(would), told(did));
  assert.deepEqual(would.backups.map(({ removed }) => removed), Array(5).fill(false));
});

Deno.test("pruneStore: other databases, dumps without a manifest and unreadable manifests stay", async () => {
  const backups = five();
  const others = [0, 1, 2].map((day) => backupFiles({ time: FIRST + day * DAY, database: "app" }));
  const strange = {
    "llm_observatory_backup_20200101_000000.dump": "by hand",
    "llm_observatory_backup_20200102_000000.manifest.json": "{",
    "llm_observatory_backup_20200102_000000.dump": "whose?",
  };
  const place = placeWith([...backups, ...others]);
  put(place, strange);
  const { problems } = await pruneStore(memoryStore(place), {
    ...OPTIONS,
    database: "llm_observatory",
  });
  assert.deepEqual(problems, [
    "Cannot read llm_observatory_backup_20200102_000000.manifest.json in ./backups: it is not JSON",
  ]);
  const kept = [...backups.slice(2), ...others].flatMap(({ files }) => Object.keys(files));
  assert.deepEqual([...place.files.keys()].sort(), [...kept, ...Object.keys(strange)].sort());
});

Deno.test("pruneStore: one that is broken, damaged or has a result that cannot be read stays", async () => {
  const backups = five();
  const [first, second, third] = backups;
  assert(first && second && third);
  const place = placeWith(backups);
  place.files.delete(`${first.id}.globals.sql`);
  put(place, { [`${second.id}.verify-20240105T000000Z.json`]: "{}" });
  await saveVerification(
    memoryStore(place),
    resultOf({ level: "compare", ok: false }, { id: third.id, time: NOW }),
  );
  const { backups: pruned } = await pruneStore(memoryStore(place), OPTIONS);
  assert.deepEqual(pruned.slice(2).map(({ reasons }) => reasons), [
    ["damaged (compare): look at it and delete it by hand"],
    [`Cannot read ${second.id}.verify-20240105T000000Z.json: schema is missing`],
    [`broken (${first.id}.globals.sql is missing): look at it and delete it by hand`],
  ]);
  assert.equal(pruned.filter(({ removed }) => removed).length, 0);
});

Deno.test("pruneStore: an ended run stops between two removals", async () => {
  const controller = new AbortController();
  const place = placeWith(five());
  const store = memoryStore(place, {
    kind: "local",
    before({ method }) {
      if (method === "rename") controller.abort(new Error("ended"));
    },
  });
  await assert.rejects(pruneStore(store, { ...OPTIONS, signal: controller.signal }), {
    message: "ended",
  });
  const { backups, leftovers } = await readCatalogue(memoryStore(place));
  assert.deepEqual([backups.length, leftovers], [4, []]);
});

Deno.test("pruneStore: a place that cannot be reached fails as a whole, one that never rests is given up", async () => {
  const gone = memoryStore(placeWith(five()), {
    kind: "s3",
    before({ method }) {
      if (method === "remove") throw new OperationError("Cannot reach it", { kind: "connection" });
    },
  });
  await assert.rejects(pruneStore(gone, OPTIONS), { kind: "connection" });

  const place = placeWith(five());
  let count = 0;
  const restless = memoryStore(place, {
    kind: "local",
    before({ method }) {
      if (method === "list") put(place, { [`x_backup_20240101_120000.dump`]: "x".repeat(++count) });
    },
  });
  const { backups, problems } = await pruneStore(restless, OPTIONS);
  assert.deepEqual(problems, ["./backups goes on changing: not all was removed"]);
  assert.equal(backups.some(({ removed }) => removed), false);
});

Deno.test("collectGarbage: takes what is a day old and known as ours, and leaves runs that go on", async () => {
  const [old, young, alive, beside] = [0, 1, 2, 3].map((day) =>
    backupFiles({ time: FIRST + day * DAY })
  );
  assert(old && young && alive && beside);
  const place = memoryPlace({
    [`${old.id}.started.json`]: "{}",
    [`${old.id}.dump`]: "dump",
    [`${old.id}.dump.sha256`]: "somebody's",
    [`${alive.id}.started.json`]: "{}",
    ...beside.files,
    [`${beside.id}.started.json`]: "{}",
    "llm_observatory_backup_20200101_000000.dump": "by hand",
  }, NOW - DAY);
  put(place, { [`${young.id}.dump.partial`]: "x" }, NOW - DAY + 1);
  // It began long ago, and still writes.
  put(place, { [`${alive.id}.dump.partial`]: "x" }, NOW - 60_000);
  const before = new Set(place.files.keys());
  const dry = await collectGarbage(memoryStore(place), { ...COLLECT, dryRun: true });
  assert.deepEqual(new Set(place.files.keys()), before);
  const { leftovers, problems } = await collectGarbage(memoryStore(place), COLLECT);
  assert.deepEqual(
    leftovers.map(({ id, action, reason, removed }) => [id, action, reason, removed]),
    [
      [old.id, "remove", "its run broke off", true],
      [young.id, "keep", "written within the last day", false],
      [alive.id, "keep", "written within the last day", false],
      [beside.id, "remove", "left beside a finished backup", true],
    ],
  );
  assert.deepEqual(
    dry.leftovers,
    leftovers.map((each) => ({ ...each, removed: false })),
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(
    [...place.files.keys()].sort(),
    [
      "llm_observatory_backup_20200101_000000.dump",
      `${old.id}.dump.sha256`,
      `${young.id}.dump.partial`,
      `${alive.id}.dump.partial`,
      `${alive.id}.started.json`,
      ...Object.keys(beside.files),
    ].sort(),
  );
});

Deno.test("collectGarbage: a tombstone is taken at once, unless a run of the same name has begun", async () => {
  const [gone, again] = [backupFiles(), backupFiles({ time: FIRST + DAY })];
  const tombstone = ({ id, files }: BackupFiles) => ({
    [`${id}.dump`]: files[`${id}.dump`] ?? "",
    [`${id}.manifest.json.deleted`]: files[`${id}.manifest.json`] ?? "",
  });
  const place = memoryPlace({
    ...tombstone(gone),
    ...tombstone(again),
    [`${again.id}.started.json`]: "{}",
  }, NOW);
  const { leftovers } = await collectGarbage(memoryStore(place), COLLECT);
  assert.deepEqual(leftovers.map(({ id, action, reason }) => [id, action, reason]), [
    [gone.id, "remove", "its removal broke off"],
    [again.id, "keep", "written within the last day"],
  ]);
  assert.equal(place.files.size, 3);
});

Deno.test("collectGarbage: what finishes or goes on meanwhile is left", async () => {
  const { id, files } = backupFiles();
  for (const change of [files, { [`${id}.dump.partial`]: "more" }]) {
    const place = memoryPlace({ [`${id}.started.json`]: "{}", [`${id}.dump`]: "x" }, FIRST);
    let lists = 0;
    const store = memoryStore(place, {
      kind: "local",
      before({ method }) {
        if (method === "list" && ++lists === 2) put(place, change, NOW);
      },
    });
    const { leftovers } = await collectGarbage(store, COLLECT);
    assert.deepEqual(leftovers.map(({ action, reason, removed }) => [action, reason, removed]), [
      ["keep", "it changed just now", false],
    ]);
    for (const name of Object.keys(change)) assert(place.files.has(name), name);
    assert(place.files.has(`${id}.dump`));
  }
});

Deno.test("collectGarbage: in a bucket only what bears our mark goes, each member asked for", async () => {
  const place = memoryPlace({
    // The first member decides what a directory passes for.
    "app_backup_20240101_000000.dir/1.dat": "ours",
    "app_backup_20240101_000000.dir/theirs.dat": "theirs",
    "app_backup_20240102_000000.dump": "theirs",
    "app_backup_20240103_000000.globals.sql": "ours",
  }, FIRST);
  place.ours.delete("app_backup_20240101_000000.dir/theirs.dat");
  place.ours.delete("app_backup_20240102_000000.dump");
  await collectGarbage(memoryStore(place, { kind: "s3" }), COLLECT);
  assert(place.files.has("app_backup_20240101_000000.dir/theirs.dat"));
  assert(!place.files.has("app_backup_20240101_000000.dir/1.dat"));
  assert(place.files.has("app_backup_20240102_000000.dump"));
  assert(!place.files.has("app_backup_20240103_000000.globals.sql"));
});

Deno.test("collectGarbage: uploads are given up when no part of theirs came for a day", async () => {
  const { id, files } = backupFiles();
  const place = memoryPlace(files, FIRST);
  const upload = (name: string, number: string, modified: number) => ({
    name,
    uploadId: number,
    modified,
  });
  place.uploads.push(
    upload(`${id}.dump`, "1", NOW - DAY),
    upload("app_backup_20240101_000000.dump", "2", NOW - DAY + 1),
    upload("app_backup_20240102_000000.dir/1.dat", "3", NOW - 9 * DAY),
    upload("somebody-else.bin", "4", FIRST),
  );
  // A member that is there since an hour belongs to the same run as the old upload.
  put(place, { "app_backup_20240102_000000.dir/2.dat": "x" }, NOW - HOUR);
  const { leftovers } = await collectGarbage(memoryStore(place, { kind: "s3" }), COLLECT);
  assert.deepEqual(place.uploads.map((each) => each.uploadId), ["2", "3", "4"]);
  assert.deepEqual(leftovers.map(({ kind, action, removed }) => [kind, action, removed]), [
    ["unfinished", "keep", false],
    ["upload", "remove", true],
    ["upload", "keep", false],
    ["upload", "keep", false],
  ]);
  assert.deepEqual(Object.keys(files).filter((name) => !place.files.has(name)), []);
});

Deno.test("collectGarbage: an upload that goes on keeps what its run has already put there", async () => {
  const place = memoryPlace({ "app_backup_20240101_000000.dir/1.dat": "x" }, FIRST);
  place.uploads.push({
    name: "app_backup_20240101_000000.dir/2.dat",
    uploadId: "1",
    modified: NOW - HOUR,
  });
  await collectGarbage(memoryStore(place, { kind: "s3" }), COLLECT);
  assert.equal(place.files.size, 1);
});

Deno.test("collectGarbage: what cannot be removed is told, and the rest goes", async () => {
  const [one, other] = ["app_backup_20240101_000000", "app_backup_20240102_000000"];
  const place = memoryPlace({ [`${one}.dump.partial`]: "", [`${other}.dump.partial`]: "" }, FIRST);
  const store = memoryStore(place, {
    kind: "local",
    before({ method, name }) {
      if (method !== "remove" || !name.startsWith(one)) return;
      throw new OperationError("Cannot remove it: permission is denied");
    },
  });
  const { leftovers, problems } = await collectGarbage(store, COLLECT);
  assert.deepEqual(problems, [
    `Cannot remove what is left of "${one}": Cannot remove it: permission is denied`,
  ]);
  assert.deepEqual(leftovers.map(({ removed }) => removed), [false, true]);
});
