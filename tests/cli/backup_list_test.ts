/** `backup list`, `backup show` and `backup status` from outside, on backups made by hand. */
import assert from "assert";
import { join } from "node:path";
import { type BackupFiles, type BackupSpec, FIRST, writeFiles } from "../backup_files.ts";
import { forEachKind } from "../program.ts";
import { place } from "./backup_place.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** A backup so many hours old. */
function aged(hours: number, spec: BackupSpec = {}): BackupSpec {
  return { time: Date.now() - hours * HOUR, ...spec };
}

function name({ id }: BackupFiles): string {
  return `${id}.dump`;
}

forEachKind(
  "backup list: shows whole backups, the newest first, and counts the rest",
  async (kind) => {
    await using given = await place(kind, [
      { verified: [{ level: "restore" }] },
      {
        time: FIRST + DAY,
        kind: "schema",
        files: { ".sql.gz": "x".repeat(2048) },
        manifest: { format: "plain" },
      },
      aged(5.5, {
        files: { ".dir/toc.dat": "toc", ".dir/1.dat": "1" },
        manifest: {
          format: "directory",
          encryption: { method: "age", recipients: ["age1x"] },
        },
      }),
    ]);
    await writeFiles(given.path, {
      "llm_observatory_backup_20230101_000000.dump": "of the replaced system",
      "by-hand.sql": "1",
    });
    const { code, stdout, stderr } = await given.run(["list"]);
    assert.deepEqual([code, stderr], [0, ""]);
    const [heading, newest, second, first, empty, count, others] = stdout.split("\n");
    assert.match(heading ?? "", /^TIME \(UTC\) +AGE +KIND +FORMAT +SIZE +VERIFIED +WHERE +ID$/);
    const [oldId, schemaId, newId] = given.backups.map(({ id }) => id);
    assert.match(
      newest ?? "",
      new RegExp(
        `^\\d{4}-\\d\\d-\\d\\d [\\d:]{8}  5 h +full +directory, age +4 B +- +local  ${newId}$`,
      ),
    );
    assert.match(
      second ?? "",
      new RegExp(`^2024-01-02 12:00:00  \\d+ d +schema +plain +2.0 KiB +- +local  ${schemaId}$`),
    );
    assert.match(
      first ?? "",
      new RegExp(`^2024-01-01 12:00:00  \\d+ d +full +custom +47 B +restore +local  ${oldId}$`),
    );
    assert.deepEqual([empty, count, others], [
      "",
      "3 backups in ./backups",
      "2 dumps without a manifest in ./backups (23 B): not managed, never removed",
    ]);
  },
);

forEachKind("backup list: --json, another database, another directory, and none", async (kind) => {
  await using given = await place(kind, [{}, { database: "app", manifest: { note: "by cron" } }]);
  const all = JSON.parse((await given.run(["list", "--json"])).stdout);
  assert.equal(all.problems, undefined);
  assert.deepEqual(
    all.data.backups.map((each: { database: string }) => each.database),
    ["app", "llm_observatory"],
  );
  const { stdout } = await given.run([
    "list",
    "--json",
    "--database",
    "app",
    "--output-dir",
    given.path,
  ]);
  const { data: { backups: [only, ...more], places } } = JSON.parse(stdout);
  assert.deepEqual(more, []);
  const { age_seconds: age, ...rest } = only;
  assert(age > 86_400 * 365, age);
  assert.deepEqual(rest, {
    id: "app_backup_20240101_120000",
    database: "app",
    system_identifier: "7300000000000000001",
    kind: "full",
    format: "custom",
    compression: { method: "gzip", level: 1 },
    encrypted: false,
    created_at: "2024-01-01T12:00:00.000Z",
    bytes: 35,
    verified: null,
    note: "by cron",
    copies: [{ where: "local", title: given.path, verified: null, verified_at: null }],
  });
  assert.deepEqual(places, [{
    where: "local",
    title: given.path,
    unreadable: [],
    unmanaged: { names: [], bytes: 0 },
    leftovers: [],
  }]);
  const none = await given.run(["list"], { env: { BACKUPS_DIR: "elsewhere/kept" } });
  assert.deepEqual([none.code, none.stdout], [0, "No backups in elsewhere/kept\n"]);
});

forEachKind(
  "backup list: what is broken, damaged or unreadable is exit 3, and no backup",
  async (kind) => {
    await using given = await place(kind, [
      {},
      { time: FIRST + DAY },
      {
        time: FIRST + 2 * DAY,
        verified: [{ level: "read", ok: false, findings: ["Block 7 is torn"] }],
      },
      { time: FIRST + 3 * DAY },
    ]);
    const [good, cut, damaged, newer] = given.backups;
    assert(good && cut && damaged && newer);
    await writeFiles(given.path, {
      [name(cut)]: "cut",
      [`${newer.id}.manifest.json`]: '{"schema":2}',
      "llm_observatory_backup_20250101_000000.dump.partial": "half",
    });
    const { code, stdout, stderr } = await given.run(["list"]);
    assert.equal(code, 3);
    assert.deepEqual(
      stdout.split("\n").slice(1).filter((line) => /^\d{4}/.test(line)).map((line) =>
        line.split(" ").at(-1)
      ),
      [good.id],
    );
    assert.match(stdout, /^1 backup in \.\/backups$/m);
    // It was written just now, and may be the work of a run that goes on.
    assert.doesNotMatch(stdout, /broke off|dumps? without a manifest/);
    assert.deepEqual(stderr.trimEnd().split("\n"), [
      `[WARNING] Backup "${damaged.id}" in ./backups is damaged, as its verification (read) has found: ` +
      "Block 7 is torn",
      `[WARNING] Backup "${cut.id}" in ./backups is broken: ${name(cut)} has 3 bytes instead of 47`,
      `[WARNING] Cannot read ${newer.id}.manifest.json in ./backups: it was made by a newer version ` +
      "(schema 2; this version reads 1)",
    ]);
    const { data, problems } = JSON.parse((await given.run(["list", "--json"])).stdout);
    assert.equal(problems.length, 3);
    assert.deepEqual(data.broken.map(({ id }: { id: string }) => id), [damaged.id, cut.id]);
  },
);

forEachKind("backup list: a run that broke off more than a day ago is told", async (kind) => {
  await using given = await place(kind, [{}]);
  await writeFiles(given.path, {
    "llm_observatory_backup_20250101_000000.started.json": "{}",
    "llm_observatory_backup_20250101_000000.dump.partial": "half",
  }, Date.now() - 25 * HOUR);
  const { code, stdout } = await given.run(["list"]);
  assert.equal(code, 0);
  assert.match(
    stdout,
    /\n\n1 backup in \.\/backups\n1 run broke off in \.\/backups: `observatory backup gc` removes what it left\n$/,
  );
});

forEachKind("backup show: latest is the newest whole full backup of DB_NAME", async (kind) => {
  await using given = await place(kind, [
    {
      manifest: {
        note: "before \x1b[31mthe upgrade",
        warnings: ["a table has no key"],
        timescaledb: {
          version: "2.17.2",
          hypertables: [{ schema: "public", name: "traces", chunks: 9, compressed_chunks: 4 }],
          continuous_aggregates: [],
          jobs: [{ id: 1, owner: "app", procedure: "p" }],
        },
        tables: Array.from({ length: 22 }, (_, index) => ({
          schema: "public",
          name: `t${index}`,
          kind: "table",
          rows: index === 21 ? null : index,
          size: index * 1024,
          fingerprint: null,
        })),
      },
      verified: [{ level: "compare" }],
    },
    { time: FIRST + DAY, kind: "schema" },
    { time: FIRST + DAY, kind: "partial", database: "part" },
    { time: FIRST + DAY, database: "app" },
    { time: FIRST + 2 * DAY },
    aged(-48),
  ]);
  const [first, , , app, cut] = given.backups;
  assert(first && app && cut);
  await writeFiles(given.path, { [name(cut)]: "cut" });
  const { code, stdout, stderr } = await given.run(["show", "latest"]);
  assert.deepEqual([code, stderr], [0, ""]);
  const lines = stdout.trimEnd().split("\n");
  const facts = Object.fromEntries(
    lines.flatMap((line) => /^ {2}([\w ]+): +(.*)$/.exec(line)?.slice(1) ?? []).reduce(
      (pairs: string[][], word, index) =>
        index % 2 === 0
          ? [...pairs, [word]]
          : [...pairs.slice(0, -1), [...pairs.at(-1) ?? [], word]],
      [],
    ),
  );
  assert.equal(lines[0], first.id);
  assert.equal(
    facts["database"],
    "llm_observatory (PostgreSQL 15.18, UTF8, 8.6 MiB on the server)",
  );
  assert.match(
    facts["snapshot"] ?? "",
    /^2024-01-01 12:00:00 UTC \(\d+ d ago\), in 12.0 s on host-1$/,
  );
  assert.equal(facts["local"], "./backups: whole, verified (compare) 2024-01-01 13:00:00 UTC");
  assert.equal(facts["note"], "before  [31mthe upgrade");
  assert.equal(facts["warning"], "a table has no key");
  assert.equal(
    facts["timescaledb"],
    "2.17.2, 1 hypertable with 9 chunks, 0 continuous aggregates, 1 job",
  );
  const table = lines.slice(lines.findIndex((line) => line.startsWith("TABLE")) + 1);
  assert.match(table[0] ?? "", /^public\.t21 +- +21\.0 KiB +table$/);
  assert.match(table[19] ?? "", /^public\.t2 +2 +2\.0 KiB +table$/);
  assert.deepEqual(table.slice(20), [
    "and 2 smaller ones",
    "",
    "Restored by hand with:",
    `  pg_restore --dbname=llm_observatory ${first.id}.dump`,
  ]);
  for (const options of [{ env: { DB_NAME: "app" } }, {}]) {
    const args = options.env === undefined ? ["--database", "app"] : [];
    const { stdout } = await given.run(["show", "latest", ...args], options);
    assert.equal(stdout.split("\n", 1)[0], app.id);
  }
});

forEachKind(
  "backup show: a backup is found by its id, a file or a path; --json holds the manifest",
  async (kind) => {
    await using given = await place(kind, [{ files: { ".dump": "d", ".globals.sql": "r" } }]);
    const [{ id, manifest }] = given.backups as [BackupFiles];
    for (
      const wanted of [
        id,
        `${id}.dump`,
        `${id}.globals.sql`,
        `${id}.manifest.json`,
        `backups/${id}`,
        `./backups/${id}.dump`,
        join(given.path, `${id}.dump`),
      ]
    ) {
      const { code, stdout } = await given.run(["show", wanted, "--json"]);
      assert.equal(code, 0, wanted);
      const { data } = JSON.parse(stdout);
      assert.deepEqual(data.manifest, manifest);
      assert.deepEqual(data.copies, [{
        where: "local",
        title: wanted.includes("/") ? wanted.replace(/\/[^/]*$/, "") : "./backups",
        whole: true,
        trouble: null,
        verified: null,
        verified_at: null,
        verifications: [],
      }]);
    }
  },
);

forEachKind(
  "backup show: what cannot be found is exit 1, with the reason or the nearest name",
  async (kind) => {
    await using given = await place(kind, [{}, { time: FIRST + DAY }, { time: FIRST + 2 * DAY }]);
    const [first, cut, torn] = given.backups;
    assert(first && cut && torn);
    await writeFiles(given.path, {
      [name(cut)]: "cut",
      [`${torn.id}.manifest.json`]: "",
      "by-hand.dump": "",
      "app_backup_20240101_120000.dir/toc.dat": "",
      "llm_observatory_backup_20250101_000000.dump.partial": "",
    });
    const fails = async (wanted: string, message: string, hint: string) => {
      const { code, stdout, stderr } = await given.run(["show", wanted]);
      assert.deepEqual([code, stdout, stderr], [1, "", `[ERROR] ${message}\n${hint}`], wanted);
    };
    const typo = first.id.replace("20240101", "20240111");
    await fails(
      typo,
      `There is no backup "${typo}" in ./backups`,
      `Hint: Did you mean "${first.id}"?\n`,
    );
    const list = "Hint: `observatory backup list` shows what there is\n";
    await fails("./latest", 'There is no backup "latest" in .', list);
    await fails("zebra", 'There is no backup "zebra" in ./backups', list);
    const foreign = "Hint: What other programs made is not managed, whatever its name is\n";
    for (const wanted of ["by-hand.dump", "app_backup_20240101_120000.dir"]) {
      await fails(
        wanted,
        `"${wanted}" in ./backups has no manifest, so that nothing is known of it`,
        foreign,
      );
    }
    await fails(
      "llm_observatory_backup_20250101_000000",
      'Backup "llm_observatory_backup_20250101_000000" in ./backups is not finished, or broke off',
      "Hint: What broke off is removed by `observatory backup gc` when it is a day old\n",
    );
    await fails(torn.id, `Cannot read ${torn.id}.manifest.json in ./backups: it is empty`, "");
    const other = await given.run(["show", "latest", "--database", "other"]);
    assert.match(
      other.stderr,
      /^\[ERROR\] There is no full backup of database "other" in \.\/backups\n/,
    );
    // A broken one can be looked at.
    const broken = await given.run(["show", cut.id]);
    assert.equal(broken.code, 3);
    assert.match(
      broken.stdout,
      /^ {2}local: +\.\/backups: is broken: \S+ has 3 bytes instead of 47$/m,
    );
    assert.match(broken.stderr, /^\[WARNING\] Backup "\S+" in \.\/backups is broken: /);
  },
);

forEachKind("backup status: one line; too old or missing is exit 3", async (kind) => {
  await using given = await place(kind, [
    aged(100, { verified: [{ level: "restore" }] }),
    aged(60, { verified: [{ level: "bytes" }] }),
    aged(25),
    aged(2, { kind: "schema" }),
    aged(2, { database: "app" }),
    aged(-2),
  ]);
  const [restored, bytes, newest] = given.backups;
  assert(restored && bytes && newest);
  const fresh = await given.run(["status", "--max-age", "26h"]);
  assert.deepEqual([fresh.code, fresh.stderr], [0, ""]);
  assert.match(
    fresh.stdout,
    new RegExp(`^${newest.id}: of [-\\d]{10} [:\\d]{8} UTC, 25 h old, not verified, local\n$`),
  );
  const stale = await given.run(["status", "--max-age", "24h"]);
  assert.equal(stale.code, 3);
  assert.equal(stale.stdout, fresh.stdout);
  assert.equal(
    stale.stderr,
    '[WARNING] The newest full backup of database "llm_observatory" is 25 h old; at most 1 day are ' +
      "allowed\n",
  );
  for (
    const [args, code, id] of [
      [[], 0, newest.id],
      [["--verified"], 0, bytes.id],
      [["--verified", "--max-age", "61h"], 0, bytes.id],
      [["--max-age", "61h", "--verified", "restore"], 3, restored.id],
      [["--verified", "read", "--max-age", "1w"], 0, restored.id],
      [["--database", "app", "--max-age", "3h"], 0, given.backups[4]?.id],
    ] as const
  ) {
    const { code: found, stdout } = await given.run(["status", ...args]);
    assert.deepEqual([found, stdout.split(":", 1)[0]], [code, id], args.join(" "));
  }
  const none = await given.run(["status", "--verified", "compare", "--json"]);
  assert.equal(none.code, 3);
  const { data, problems } = JSON.parse(none.stdout);
  assert.deepEqual(data, {
    database: "llm_observatory",
    newest: null,
    max_age_seconds: null,
    required_level: "compare",
    ok: false,
  });
  assert.deepEqual(problems, [
    'There is no full backup of database "llm_observatory" that is verified (compare) in ./backups',
  ]);
  for (
    const args of [["--max-age", "26"], ["restore"], ["--verified", "most"], ["--where", "s3"]]
  ) {
    assert.equal((await given.run(["status", ...args])).code, 2, args.join(" "));
  }
});

forEachKind("backup status: a broken newest backup is told, and does not count", async (kind) => {
  await using given = await place(kind, [aged(50), aged(2)]);
  const [old, cut] = given.backups;
  assert(old && cut);
  await Deno.remove(join(given.path, name(cut)));
  const { code, stdout, stderr } = await given.run(["status", "--max-age", "26h"]);
  assert.deepEqual([code, stdout.split(":", 1)[0]], [3, old.id]);
  assert.match(stderr, new RegExp(`^\\[WARNING\\] Backup "${cut.id}" in \\./backups is broken: `));
});
