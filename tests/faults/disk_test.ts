/** Disks that are full, and directories that cannot be written to or vanish. */
import assert from "assert";
import { join } from "node:path";
import { clientToolsMissing, freshDatabase } from "../database.ts";
import { forUsersKind } from "../program.ts";
import { skipWhenMissing } from "../skip.ts";
import { type Disk, disksMissing, mountDisk } from "./disk.ts";
import { type Hold, makeShim, type Shim } from "./shim.ts";
import { makeSite, type Site } from "./site.ts";

const toolsMissing = await clientToolsMissing();
const noDisk = toolsMissing ?? await disksMissing();
const ignore = skipWhenMissing("faults of directories", toolsMissing);
const ignoreDisks = skipWhenMissing("faults of disks", noDisk);

const SMALL = "CREATE TABLE item (id int); INSERT INTO item SELECT generate_series(1, 100)";
const PAGE = 4096;

const WAYS = [
  ["--format=custom"],
  ["--format=plain", "--compress", "--globals"],
  ["--format=directory", "--globals"],
];

/** A site whose backups are on a disk of its own. */
async function onDisk(
  options: string,
  sql: string | undefined,
  work: (site: Site, disk: Disk) => Promise<void>,
): Promise<void> {
  await using database = await freshDatabase();
  if (sql !== undefined) await database.query(sql);
  await using disk = await mountDisk(options);
  await using site = await makeSite({ database, backups: join(disk.path, "backups") });
  await work(site, disk);
}

Deno.test({
  name: "disk: full after any page, for the dump, its roles, its manifest and its marker",
  ignore: ignoreDisks,
  fn: () =>
    onDisk("size=1m", SMALL, async (site, disk) => {
      const good = await site.good();
      for (const args of WAYS) {
        const before = await site.files();
        let full = 0;
        for (let pages = 0;; pages++) {
          await disk.leave(pages * PAGE);
          const { code, stderr } = await site.inside(["backup", "--no-prune", ...args]);
          const what = `${args.join(" ")} with ${pages} pages: ${stderr}`;
          if (code === 0) break;
          full++;
          assert.equal(code, 1, what);
          assert.match(stderr, /^\[ERROR\] Cannot .*[Nn]o space (is )?left on/m, what);
          assert.deepEqual(await site.files(), before, what);
          assert.deepEqual(await site.listed(), [good], what);
        }
        assert(full >= 3, `${args.join(" ")}: ${full}`);
        await disk.leave(PAGE * 60);
        const [id = ""] = await site.requireCollected();
        site.forget(id);
        for (const name of await site.files()) {
          if (name.startsWith(id)) {
            await Deno.remove(join(site.backups, name.replace(/\/.*/, "")), { recursive: true })
              .catch(() => {});
          }
        }
      }
    }),
});

Deno.test({
  name: "disk: a full one is no reason to call a backup bad, and pruning makes room",
  ignore: ignoreDisks,
  fn: () =>
    onDisk("size=1m", SMALL, async (site, disk) => {
      const ids: string[] = [];
      for (const args of [[], ["--format=directory"], []]) ids.unshift(await site.good(args));
      const [newest = ""] = ids;
      await disk.leave(0);
      const verified = await site.inside(["backup", "verify", newest]);
      assert.equal(verified.code, 0, verified.stderr);
      assert.match(
        verified.stderr,
        /^\[WARNING\] Cannot keep the result beside the backup: .*no space/m,
      );
      const { code, stderr } = await site.inside([
        "backup",
        "prune",
        "--keep-last=1",
        "--min-keep=1",
      ]);
      assert.equal(code, 0, stderr);
      assert.deepEqual(await site.requireCollected({ pruned: true }), [newest]);
      const next = await site.inside(["backup"]);
      assert.equal(next.code, 0, next.stderr);
    }),
});

Deno.test({
  name: "disk: pruning makes room for names where there are no more of them",
  ignore: ignoreDisks,
  fn: () =>
    onDisk("size=4m,nr_inodes=40", SMALL, async (site, disk) => {
      const old = await site.good();
      const newest = await site.good();
      for (let file = 0;; file++) {
        try {
          await Deno.writeTextFile(join(disk.path, String(file)), "");
        } catch {
          break;
        }
      }
      const failed = await site.inside(["backup"]);
      assert.equal(failed.code, 1);
      assert.match(failed.stderr, /^\[ERROR\] Cannot .*[Nn]o space (is )?left on/m);
      const { code, stderr } = await site.inside([
        "backup",
        "prune",
        "--keep-last=1",
        "--min-keep=1",
      ]);
      assert.equal(code, 0, stderr);
      site.forget(old);
      assert.deepEqual(await site.requireCollected(), [newest]);
    }),
});

forUsersKind(
  "disk: full in the middle of a dump",
  (kind) =>
    onDisk("size=200k", undefined, async (site) => {
      await site.database.query(
        "CREATE TABLE item AS SELECT n, md5(n::text) FROM generate_series(1, 20000) n",
      );
      const good = await site.good(["--schema-only"]);
      for (const args of [["--format=custom"], ["--format=plain"], ["--format=directory"]]) {
        const { code, stdout, stderr } = await site.outside(["backup", ...args], { kind });
        assert.deepEqual([code, stdout], [1, ""], stderr);
        assert.match(stderr, /^\[ERROR\] Cannot .*[Nn]o space (is )?left on/m);
        assert.deepEqual(await site.requireCollected(), [good]);
      }
    }),
  { missing: noDisk },
);

Deno.test({
  name: "disk: mounted for reading alone",
  ignore: ignoreDisks,
  fn: () =>
    onDisk("size=2m", SMALL, async (site, disk) => {
      const good = await site.good();
      await disk.change("ro");
      for (const args of WAYS) {
        const { code, stderr } = await site.inside(["backup", ...args]);
        assert.equal(code, 1, stderr);
        assert.match(stderr, /^\[ERROR\] Cannot create "\S+\.started\.json": .*read-only/mi);
      }
      const verified = await site.inside(["backup", "verify", good]);
      assert.equal(verified.code, 0, verified.stderr);
      assert.match(verified.stderr, /^\[WARNING\] Cannot keep the result/m);
      const pruned = await site.inside(["backup", "prune", "--keep-last=1"]);
      assert.equal(pruned.code, 0, pruned.stderr);
      assert.equal((await site.inside(["backup", "gc"])).code, 0);
      assert.deepEqual(await site.listed(), [good]);
      await disk.change("rw");
      await site.requireCollected();
    }),
});

Deno.test({
  name: "directory: is none, or cannot be one",
  ignore,
  async fn() {
    await using site = await makeSite({ sql: SMALL });
    const file = join(site.directory, "file");
    await Deno.writeTextFile(file, "mine");
    await Deno.symlink(join(site.directory, "nowhere", "else"), join(site.directory, "link"));
    for (const path of [file, join(file, "below"), join(site.directory, "link"), "/proc/none"]) {
      for (const args of WAYS) {
        const { code, stdout, stderr } = await site.inside([
          "backup",
          ...args,
          "--output-dir",
          path,
        ]);
        assert.deepEqual([code, stdout], [1, ""], `${path}: ${stderr}`);
        assert.match(stderr, new RegExp(`^\\[ERROR\\] Cannot .*"${path}.*": `, "m"));
        assert.doesNotMatch(stderr, /bug/);
      }
      const listed = await site.inside(["backup", "list", "--output-dir", path]);
      assert([0, 1].includes(listed.code), `${listed.code} ${listed.stderr}`);
    }
    assert.equal(await Deno.readTextFile(file), "mine");
    assert.deepEqual(
      (await Array.fromAsync(Deno.readDir(site.directory))).map(({ name }) => name).sort(),
      ["file", "link"],
    );
  },
});

// Root is denied nothing.
if (Deno.uid() !== 0) {
  Deno.test({
    name: "directory: closed to this user",
    ignore,
    async fn() {
      await using site = await makeSite({ sql: SMALL });
      const good = await site.good();
      await Deno.chmod(site.backups, 0o500);
      for (const args of WAYS) {
        const { code, stderr } = await site.inside(["backup", ...args]);
        assert.equal(code, 1, stderr);
        assert.match(stderr, /^\[ERROR\] Cannot create "\S+\.started\.json": /m);
      }
      assert.deepEqual(await site.listed(), [good]);
      await Deno.chmod(site.backups, 0o700);
      await site.requireCollected();
    },
  });
}

/** Holds a run when its dump has its name, and only the roles are missing. */
function holdAtRoles(shim: Shim): Hold {
  return shim.holdAt((flag) => ({ ...shim.env("whole"), FAULT_GLOBALS: `held 100 ${flag}` }));
}

/** What happens to the directory, and what the run tells then; a good backup is somewhere else. */
const LOSSES: readonly (readonly [string, (site: Site) => Promise<void>])[] = [
  ["the directory is removed", ({ backups }) => Deno.remove(backups, { recursive: true })],
  ["another one is there", async ({ backups }) => {
    await Deno.rename(backups, `${backups}-old`);
    await Deno.mkdir(backups);
  }],
  ["a file is there", async ({ backups }) => {
    await Deno.remove(backups, { recursive: true });
    await Deno.writeTextFile(backups, "");
  }],
];

Deno.test({
  name: "directory: vanishes while a backup is written",
  ignore,
  async fn() {
    await using shim = await makeShim();
    for (const [what, lose] of LOSSES) {
      for (
        const [hold, args] of [
          [shim.hold(), ["--format=custom"]],
          [shim.hold(), ["--format=plain", "--compress"]],
          [holdAtRoles(shim), ["--format=custom", "--globals"]],
          [holdAtRoles(shim), ["--format=directory", "--globals"]],
        ] as const
      ) {
        await using site = await makeSite();
        const running = site.inside(["backup", ...args], { env: hold.env });
        await hold.reached();
        await lose(site);
        await hold.release();
        const { code, stdout, stderr } = await running;
        const told = `${what}, ${args.join(" ")}: ${stderr}`;
        assert.deepEqual([code, stdout], [1, ""], told);
        assert.match(stderr, /^\[ERROR\] Cannot /m, told);
        assert.doesNotMatch(stderr, /bug|SUCCESS\] Backup/, told);
        const info = await Deno.stat(site.backups).catch(() => undefined);
        if (info?.isDirectory !== false) assert.deepEqual(await site.requireCollected(), [], told);
      }
    }
  },
});

Deno.test({
  name: "directory: a file of the dump is lost, cut or exchanged before the manifest is written",
  ignore,
  async fn() {
    await using shim = await makeShim();
    await using site = await makeSite();
    const good = await site.good();
    for (const format of ["custom", "directory"]) {
      for (
        const harm of [
          (path: string) => Deno.remove(path),
          (path: string) => Deno.truncate(path, 1000),
          (path: string) => Deno.writeTextFile(path, "other"),
          async (path: string) => {
            await Deno.remove(path);
            await Deno.mkdir(path);
          },
        ]
      ) {
        const before = await site.files();
        const hold = holdAtRoles(shim);
        const running = site.inside(["backup", `--format=${format}`, "--globals"], {
          env: hold.env,
        });
        await hold.reached();
        const name = (await site.files()).find((each) =>
          !before.includes(each) && /\.dump$|\.dir\/.*\.dat\.\w+$/.test(each)
        ) ?? "";
        await harm(join(site.backups, name));
        await hold.release();
        const { code, stderr } = await running;
        assert.equal(code, 1, `${format}: ${stderr}`);
        assert.match(stderr, new RegExp(`^\\[ERROR\\] Cannot back up: .*${name}`, "m"));
        assert.deepEqual(await site.files(), before);
        assert.deepEqual(await site.requireCollected(), [good]);
      }
    }
  },
});
