/** `backup prune` and `backup gc` from outside, on backups made by hand. */
import assert from "assert";
import {
  type BackupFiles,
  backupFiles,
  type BackupSpec,
  FIRST,
  namesIn,
  writeFiles,
} from "../backup_files.ts";
import { forEachKind } from "../program.ts";
import { place } from "./backup_place.ts";
import { until } from "./project.ts";

const DAY = 86_400_000;

/** A backup on each of the first days, counted from the oldest. */
function days(count: number): BackupSpec[] {
  return Array.from({ length: count }, (_, day) => ({ time: FIRST + day * DAY }));
}

function namesOf(backups: readonly BackupFiles[]): string[] {
  return backups.flatMap(({ files }) => Object.keys(files)).sort();
}

forEachKind(
  "backup prune: a dry run tells every line with its reason, and changes nothing",
  async (kind) => {
    await using given = await place(kind, [
      { verified: [{ level: "restore" }] },
      ...days(6).slice(1),
      { kind: "schema" },
    ]);
    const before = await namesIn(given.path);
    const line = ["prune", "--keep-daily", "2", "--min-keep", "3", "--dry-run"];
    const { code, stdout, stderr } = await given.run(line);
    assert.deepEqual([code, stderr], [0, "[INFO] Dry run: nothing was changed\n"]);
    const rows = stdout.split("\n").slice(1, 8).map((row) => row.split(/ {2,}/));
    assert.deepEqual(rows.map(([action, time, kind, , , reason]) => [action, time, kind, reason]), [
      ["keep", "2024-01-06 12:00:00", "full", "daily 2024-01-06, newest"],
      ["keep", "2024-01-05 12:00:00", "full", "daily 2024-01-05, one of the newest 3"],
      ["keep", "2024-01-04 12:00:00", "full", "one of the newest 3"],
      ["remove", "2024-01-03 12:00:00", "full", "kept by none of: daily 2"],
      ["remove", "2024-01-02 12:00:00", "full", "kept by none of: daily 2"],
      ["keep", "2024-01-01 12:00:00", "full", "newest verified (restore)"],
      ["keep", "2024-01-01 12:00:00", "schema", "daily 2024-01-01, newest"],
    ]);
    assert.equal(
      stdout.trimEnd().split("\n").at(-1),
      "2 backups would be removed (94 B), 5 kept in ./backups; policy: daily 2",
    );
    assert.deepEqual(await namesIn(given.path), before);

    const { data } = JSON.parse((await given.run([...line, "--json"])).stdout);
    const { backups, ...rest } = data;
    assert.deepEqual(rest, {
      where: "local",
      title: "./backups",
      dry_run: true,
      policy: { daily: 2, min_keep: 3 },
      kept: 5,
      removed: 0,
      freed_bytes: 0,
    });
    assert.deepEqual(backups[3], {
      id: given.backups[2]?.id,
      database: "llm_observatory",
      kind: "full",
      created_at: "2024-01-03T12:00:00.000Z",
      bytes: 47,
      verified: null,
      action: "remove",
      reasons: ["kept by none of: daily 2"],
      removed: false,
    });
  },
);

forEachKind("backup prune: removes what no rule keeps, with all its files", async (kind) => {
  await using given = await place(kind, [
    {
      files: { ".dir/toc.dat": "toc", ".dir/1.dat": "1", ".globals.sql": "r" },
      manifest: { format: "directory" },
    },
    { time: FIRST + DAY, verified: [{ ok: false }, { level: "read" }] },
    ...days(6).slice(2).map((spec) => ({ ...spec, verified: [{ level: "read" } as const] })),
    { database: "app" },
  ]);
  await writeFiles(given.path, { "by-hand.dump": "", "notes.txt": "" });
  const { code, stdout } = await given.run([
    "prune",
    "--keep-last",
    "1",
    "--keep-within",
    "2d",
    "--database",
    "llm_observatory",
  ]);
  assert.equal(code, 0, stdout);
  assert.match(
    stdout,
    /^3 backups removed \(\d+ B\), 3 kept in \.\/backups; policy: last 1, within 2 days$/m,
  );
  const kept = [...given.backups.slice(3, 6), ...given.backups.slice(6)];
  assert.deepEqual(
    await namesIn(given.path),
    [...namesOf(kept), "by-hand.dump", "notes.txt"].sort(),
  );
  const again = await given.run(["prune", "--keep-last", "1", "--keep-within", "2d"]);
  assert.match(again.stdout, /^0 backups removed \(0 B\), 4 kept/m);
});

forEachKind(
  "backup prune: without flags the settings say what is kept, and BACKUP_KEEP before the days",
  async (kind) => {
    await using given = await place(kind, days(8));
    const policyOf = async (args: readonly string[], env: Record<string, string>) => {
      const { code, stdout, stderr } = await given.run(["prune", "--dry-run", "--json", ...args], {
        env,
      });
      assert.equal(code, 0, stderr);
      return JSON.parse(stdout).data.policy;
    };
    assert.deepEqual(await policyOf([], {}), { within_seconds: 30 * 86_400, min_keep: 3 });
    const settings = { BACKUP_RETENTION_DAYS: "9", BACKUP_KEEP_WEEKLY: "4", BACKUP_MIN_KEEP: "2" };
    assert.deepEqual(await policyOf([], settings), { weekly: 4, min_keep: 2 });
    assert.deepEqual(await policyOf(["--retention-days", "5"], settings), {
      within_seconds: 5 * 86_400,
      min_keep: 2,
    });
    // The manual's promise, from the newest backup and not from now.
    const { stdout } = await given.run(["prune"], { env: { BACKUP_RETENTION_DAYS: "5" } });
    assert.match(stdout, /^2 backups removed .* 6 kept in \.\/backups; policy: within 5 days$/m);
    assert.deepEqual(await namesIn(given.path), namesOf(given.backups.slice(2)));
  },
);

forEachKind(
  "backup prune: an empty policy and what cannot be read is exit 2, and nothing is removed",
  async (kind) => {
    await using given = await place(kind, days(5));
    const before = await namesIn(given.path);
    for (
      const [args, env, message] of [
        [[], { BACKUP_RETENTION_DAYS: "0" }, /Cannot prune: nothing says what is to be kept/],
        [["--keep-last", "0"], {}, /Cannot prune: nothing says what is to be kept/],
        [["--retention-days", "0"], {}, /Cannot prune: nothing says what is to be kept/],
        [["--keep-last", "-1"], {}, /"-1" of --keep-last is not a whole number/],
        [["--keep-within", "1 week"], {}, /"1 week" of --keep-within is not a length of time/],
        [
          ["--min-keep", "0", "--keep-last", "1"],
          {},
          /"0" of --min-keep is not a whole number from 1/,
        ],
        [["--where", "s3", "--keep-last", "1"], {}, /Cannot use S3: S3_BACKUP_BUCKET is not set/],
        [[], { BACKUP_KEEP_DAILY: "many" }, /BACKUP_KEEP_DAILY/],
      ] as const
    ) {
      const { code, stdout, stderr } = await given.run(["prune", ...args], { env });
      assert.deepEqual([code, stdout], [2, ""], args.join(" "));
      assert.match(stderr, message);
    }
    assert.deepEqual(await namesIn(given.path), before);
  },
);

forEachKind(
  "backup prune: what is broken or cannot be read is left, and what cannot be read is told",
  async (kind) => {
    await using given = await place(kind, days(6));
    const [cut, newer] = given.backups;
    assert(cut && newer);
    await writeFiles(given.path, {
      [`${cut.id}.dump`]: "cut",
      [`${newer.id}.manifest.json`]: '{"schema":2}',
    });
    const { code, stdout, stderr } = await given.run([
      "prune",
      "--keep-last",
      "1",
      "--min-keep",
      "1",
    ]);
    assert.equal(code, 3);
    assert.match(
      stdout,
      /^keep .*broken \(\S+ has 3 bytes instead of 47\): look at it and delete it by hand$/m,
    );
    assert.match(stdout, /^3 backups removed/m);
    assert.match(
      stderr,
      /^\[WARNING\] Cannot read \S+ in \.\/backups: it was made by a newer version/,
    );
    assert.deepEqual(await namesIn(given.path), namesOf([cut, newer, ...given.backups.slice(5)]));
  },
);

forEachKind("backup gc: removes what is a day old and ours, and nothing else", async (kind) => {
  await using given = await place(kind, [{}]);
  const [whole] = given.backups as [BackupFiles];
  const gone = backupFiles({ time: FIRST + DAY });
  const { [`${gone.id}.manifest.json`]: tombstone = "", ...rest } = gone.files;
  const theirs = {
    "app_backup_20230101_000000.dump": "of the replaced system",
    "app_backup_20240102_000000.dump.sha256": "somebody's",
    "notes.partial": "somebody's",
  };
  const old = {
    "app_backup_20240102_000000.started.json": "{}",
    "app_backup_20240102_000000.dump": "done but for its manifest",
    "app_backup_20240103_000000.dir.partial/toc.dat": "toc",
    [`${whole.id}.started.json`]: "{}",
  };
  const young = { "app_backup_20240104_000000.dump.partial": "half" };
  await writeFiles(given.path, { ...old, ...theirs }, Date.now() - DAY - 60_000);
  await writeFiles(given.path, {
    ...young,
    ...rest,
    [`${gone.id}.manifest.json.deleted`]: tombstone,
  });
  const before = await namesIn(given.path);

  const dry = await given.run(["gc", "--dry-run"]);
  assert.equal(dry.code, 0);
  assert.match(dry.stdout, /^4 leftovers would be removed \(2\.5 KiB\) in \.\/backups$/m);
  assert.deepEqual(await namesIn(given.path), before);

  const { code, stdout } = await given.run(["gc"]);
  assert.equal(code, 0);
  const rows = stdout.split("\n").slice(1, 6).map((row) => row.split(/ {2,}/));
  assert.deepEqual(rows.map(([action, , , files, id, reason]) => [action, files, id, reason]), [
    ["remove", "2", "app_backup_20240102_000000", "its run broke off"],
    ["remove", "1", "app_backup_20240103_000000", "its run broke off"],
    ["keep", "1", "app_backup_20240104_000000", "written within the last day"],
    ["remove", "1", whole.id, "left beside a finished backup"],
    ["remove", "2", gone.id, "its removal broke off"],
  ]);
  assert.match(stdout, /^4 leftovers removed \(2\.5 KiB\) in \.\/backups$/m);
  assert.deepEqual(
    await namesIn(given.path),
    [...namesOf([whole]), ...Object.keys(theirs), ...Object.keys(young)].sort(),
  );
  const { data } = JSON.parse((await given.run(["gc", "--json"])).stdout);
  assert.deepEqual(
    data.places[0].leftovers.map(({ id, action }: { id: string; action: string }) => [id, action]),
    [["app_backup_20240104_000000", "keep"]],
  );
  const none = await given.run(["gc", "--output-dir", "elsewhere"]);
  assert.deepEqual([none.code, none.stdout], [0, "Nothing is left over in elsewhere\n"]);
});

forEachKind(
  "backup prune: killed with -9 at any moment, it leaves whole backups and what gc takes",
  async (kind) => {
    const members = Object.fromEntries(
      Array.from({ length: 12 }, (_, index) => [`.dir/${index}.dat`, String(index)]),
    );
    await using given = await place(
      kind,
      days(120).map((spec) => ({ ...spec, files: members, manifest: { format: "directory" } })),
    );
    const files = new Map(given.backups.map((each) => [each.id, each]));
    const count = async (end: string) =>
      (await namesIn(given.path)).filter((name) => name.endsWith(end)).length;
    let listed: string[] = [];
    for (const left of [118, 105, 90]) {
      const run = await given.start(["prune", "--keep-last", "3"]);
      await until("the removals", async () => await count(".manifest.json") <= left);
      run.kill("SIGKILL");
      const { signal, stderr } = await run.result();
      assert.equal(signal, "SIGKILL", stderr);

      const { code, stdout } = await given.run(["list", "--json"]);
      assert.equal(code, 0);
      const { data } = JSON.parse(stdout);
      listed = data.backups.map(({ id }: { id: string }) => id);
      assert(listed.length <= left && listed.length > 3, String(listed.length));
      assert.deepEqual([data.broken, data.places[0].unmanaged.names], [[], []]);
      const there = new Set(await namesIn(given.path));
      for (const id of listed) {
        for (const name of Object.keys(files.get(id)?.files ?? {})) assert(there.has(name), name);
      }
    }
    assert.equal((await given.run(["gc"])).code, 0);
    const rest = listed.flatMap((id) => files.get(id) ?? []);
    const names = async () =>
      (await namesIn(given.path)).filter((name) => !/\.deleted$|\/$/.test(name));
    assert.deepEqual(await names(), namesOf(rest));
    assert.equal((await given.run(["prune", "--keep-last", "3"])).code, 0);
    assert.deepEqual(await names(), namesOf(given.backups.slice(-3)));
    assert.equal(await count(".deleted"), 0);
  },
);
