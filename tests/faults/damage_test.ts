/** What happens to backups where they are kept: bytes that change, and files that are lost or exchanged. */
import assert from "assert";
import { generateIdentity, identityToRecipient } from "age-encryption";
import { join } from "node:path";
import { clientToolsMissing } from "../database.ts";
import { forUsersKind } from "../program.ts";
import { skipWhenMissing } from "../skip.ts";
import { withChance } from "./random.ts";
import { makeSite, type Site } from "./site.ts";

const missing = await clientToolsMissing();
const ignore = skipWhenMissing("damage to backups", missing);

/** Of what is not compressed only its SHA-256 tells. */
const WAYS: readonly (readonly string[])[] = [
  ["--format=custom"],
  ["--format=custom", "--compression=none"],
  ["--format=plain"],
  ["--format=plain", "--compress", "--globals"],
  ["--format=directory", "--jobs=2"],
  ["--format=directory", "--compression=none"],
];

/** Removes results of verifications, which would speak of what was mended since. */
async function forgetResults({ backups }: Site): Promise<void> {
  for await (const { name } of Deno.readDir(backups)) {
    if (name.includes(".verify-")) await Deno.remove(join(backups, name));
  }
}

/** Changes one byte of a file, for as long as `work` runs. */
async function flipped<T>(
  path: string,
  { at, by }: { readonly at: number; readonly by: number },
  work: () => Promise<T>,
): Promise<T> {
  const whole = await Deno.readFile(path);
  const changed = whole.slice();
  changed[at] = (changed[at] ?? 0) ^ by;
  await Deno.writeFile(path, changed);
  try {
    return await work();
  } finally {
    await Deno.writeFile(path, whole);
  }
}

Deno.test({
  name: "damage: a byte flipped at a random place of the data is found, 240 times of 240",
  ignore,
  fn: () =>
    withChance(41, async (chance) => {
      await using site = await makeSite();
      let found = 0;
      for (const args of WAYS) {
        const id = await site.good(args);
        const { files } = await site.manifest(id);
        const total = files.reduce((sum, { size }) => sum + size, 0);
        await forgetResults(site);
        for (let time = 0; time < 40; time++) {
          let at = chance.below(total);
          const file = files.find(({ size }) => {
            if (at < size) return true;
            at -= size;
            return false;
          });
          assert(file);
          const by = 1 + chance.below(255);
          const where = `${args.join(" ")}: byte ${at} of ${file.name} by ${by}`;
          const { code, stdout, stderr } = await flipped(
            join(site.backups, file.name),
            { at, by },
            () => site.inside(["backup", "verify", id, "--level=bytes"]),
          );
          assert.equal(code, 3, `${where}: ${stderr}`);
          assert.match(stdout, /DAMAGED at the level "bytes"/, where);
          assert(
            stderr.includes(`${file.name} is not what was written: its SHA-256 differs`),
            where,
          );
          // Nobody is told that it is good any more.
          if (time % 10 === 0) {
            assert.equal((await site.listed()).includes(id), false, where);
            assert.equal((await site.inside(["backup", "list"])).code, 3, where);
          }
          await forgetResults(site);
          found++;
        }
      }
      assert.equal(found, 240);
      assert.equal((await site.requireCollected()).length, WAYS.length);
    }),
});

forUsersKind(
  "damage: a flipped byte is found at both levels",
  (kind) =>
    withChance(42, async (chance) => {
      await using site = await makeSite();
      const recipient = await identityToRecipient(await generateIdentity());
      for (
        const args of [["--format=custom", "--compression=none"], ["--format=directory"], [
          "--format=custom",
          `--encrypt=${recipient}`,
        ]]
      ) {
        const made = await site.outside(["backup", "--json", "--no-prune", ...args], { kind });
        assert.equal(made.code, 0, made.stderr);
        const { manifest } = JSON.parse(made.stdout).data;
        const [file] = manifest.files;
        const levels = manifest.encryption === null ? ["bytes", "read"] : ["bytes"];
        for (const level of levels) {
          await flipped(join(site.backups, file.name), {
            at: chance.below(file.size),
            by: 1 << chance.below(8),
          }, async () => {
            const { code, stderr } = await site.outside([
              "backup",
              "verify",
              manifest.id,
              "--level",
              level,
            ], { kind });
            assert.equal(code, 3, stderr);
            assert.match(stderr, /is not what was written: its SHA-256 differs/);
          });
        }
        await forgetResults(site);
        const mended = await site.outside(["backup", "verify", manifest.id, "--level=bytes"], {
          kind,
        });
        assert.equal(mended.code, 0, mended.stderr);
      }
    }),
  { missing },
);

Deno.test({
  name: "damage: a byte flipped anywhere in a manifest makes it unreadable, or it says the same",
  ignore,
  fn: () =>
    withChance(43, async (chance) => {
      await using site = await makeSite();
      const other = await site.good(["--schema-only"]);
      const id = await site.good(["--globals", "--note=A remark"]);
      await forgetResults(site);
      const path = join(site.backups, `${id}.manifest.json`);
      const text = await Deno.readTextFile(path);
      const { checksum: _, ...meant } = JSON.parse(text);
      let unreadable = 0;
      for (let time = 0; time < 400; time++) {
        const at = chance.below(text.length);
        const by = 1 << chance.below(8);
        const where = `byte ${at} by ${by}`;
        await flipped(path, { at, by }, async () => {
          const { code, stdout, stderr } = await site.inside(["backup", "list", "--json"]);
          const listed = JSON.parse(stdout).data.backups.map((each: { id: string }) => each.id);
          assert(listed.includes(other), where);
          if (listed.includes(id)) {
            const now = await Deno.readTextFile(path);
            // The name of the checksum may have changed, and nothing else.
            assert.deepEqual(
              { ...JSON.parse(now), ...meant },
              JSON.parse(now),
              `${where}: ${now.slice(at - 20, at + 20)}`,
            );
            return;
          }
          unreadable++;
          assert.equal(code, 3, where);
          assert.match(stderr, new RegExp(`Cannot read ${id}\\.manifest\\.json in `), where);
          const verified = await site.inside(["backup", "verify", id, "--level=bytes"]);
          assert.equal(verified.code, 1, `${where}: ${verified.stderr}`);
          const pruned = await site.inside(["backup", "prune", "--keep-last=1", "--min-keep=1"]);
          assert.equal(pruned.code, 3, `${where}: ${pruned.stderr}`);
        });
      }
      assert(unreadable > 350, String(unreadable));
      await site.requireCollected();
    }),
});

/** What happens to the files of a backup; `other` is another one of the same form. */
const HARMS: readonly (readonly [string, (site: Site, names: Names) => Promise<void>])[] = [
  ["the data is cut", ({ backups }, { data }) => Deno.truncate(join(backups, data), 1000)],
  ["the data is emptied", ({ backups }, { data }) => Deno.truncate(join(backups, data), 0)],
  ["the data is lost", ({ backups }, { data }) => Deno.remove(join(backups, data))],
  [
    "the data is longer",
    ({ backups }, { data }) => Deno.writeTextFile(join(backups, data), "more", { append: true }),
  ],
  ["a directory is in its place", async ({ backups }, { data }) => {
    await Deno.remove(join(backups, data));
    await Deno.mkdir(join(backups, data));
  }],
  ["a link that leads nowhere is in its place", async ({ backups }, { data }) => {
    await Deno.remove(join(backups, data));
    await Deno.symlink("nowhere", join(backups, data));
  }],
  ["a pipe is in its place", async ({ backups }, { data }) => {
    await Deno.remove(join(backups, data));
    await new Deno.Command("mkfifo", { args: [join(backups, data)] }).output();
  }],
  [
    "the data is another backup's",
    ({ backups }, { data, otherData }) =>
      Deno.copyFile(join(backups, otherData), join(backups, data)),
  ],
  [
    "the manifest is lost",
    ({ backups }, { id }) => Deno.remove(join(backups, `${id}.manifest.json`)),
  ],
  [
    "the manifest is cut",
    ({ backups }, { id }) => Deno.truncate(join(backups, `${id}.manifest.json`), 700),
  ],
  [
    "the manifest is emptied",
    ({ backups }, { id }) => Deno.truncate(join(backups, `${id}.manifest.json`), 0),
  ],
  [
    "the manifest is another backup's",
    ({ backups }, { id, other }) =>
      Deno.copyFile(join(backups, `${other}.manifest.json`), join(backups, `${id}.manifest.json`)),
  ],
];

interface Names {
  readonly id: string;
  readonly data: string;
  readonly other: string;
  readonly otherData: string;
}

Deno.test({
  name: "damage: files that are cut, lost or exchanged are told, and everything else goes on",
  ignore,
  async fn() {
    await using site = await makeSite({
      sql: "CREATE TABLE item AS SELECT generate_series(1, 2000) id",
    });
    for (const args of [["--format=custom"], ["--format=directory"]]) {
      const other = await site.good(args);
      await site.database.query("UPDATE item SET id = id + 1");
      const id = await site.good(args);
      const [data, otherData] = await Promise.all([id, other].map(async (each) => {
        const { files } = await site.manifest(each);
        return files.toSorted((a, b) => b.size - a.size)[0];
      }));
      assert(data && otherData);
      const names = { id, data: data.name, other, otherData: otherData.name };
      await forgetResults(site);
      await copy(site.backups, `${site.directory}/kept`);
      for (const [what, harm] of HARMS) {
        await harm(site, names);
        // Of another file of the same size only its bytes tell.
        const quiet = what === "the data is another backup's" && data.size === otherData.size;
        const told = `${what}, ${args.join(" ")}`;
        const list = await site.inside(["backup", "list", "--json"]);
        const ids = JSON.parse(list.stdout).data.backups.map((each: { id: string }) => each.id);
        assert.equal(ids.includes(id), quiet, told);
        assert(ids.includes(other), told);
        assert.equal(
          list.code,
          what === "the manifest is lost" || quiet ? 0 : 3,
          `${told}: ${list.stderr}`,
        );
        for (const level of ["bytes", "read"]) {
          const { code, stderr } = await site.inside(["backup", "verify", id, "--level", level]);
          assert(
            code === 3 || what.startsWith("the manifest") && code === 1,
            `${told}: ${code} ${stderr}`,
          );
          assert.doesNotMatch(stderr, /bug/, told);
        }
        // A new one is made, and what is damaged takes nobody's place and is not removed.
        const before = (await site.files()).filter((name) => name.startsWith(id));
        const next = await site.inside(["backup", "--json"], {
          env: { BACKUP_KEEP_LAST: "1", BACKUP_MIN_KEEP: "1" },
        });
        assert.equal(next.code, 0, `${told}: ${next.stderr}`);
        const after = await site.files();
        assert.deepEqual(after.filter((name) => name.startsWith(id)), before, told);
        assert.equal(
          (await site.inside(["backup", "gc"], { now: () => Date.now() + 2 * 86_400_000 })).code,
          0,
          told,
        );
        assert.deepEqual((await site.files()).filter((name) => name.startsWith(id)), before, told);
        await copy(`${site.directory}/kept`, site.backups);
      }
      await site.requireCollected();
      for (const each of [id, other]) site.forget(each);
    }
  },
});

/** Makes a directory hold what another one does. */
async function copy(from: string, to: string): Promise<void> {
  await Deno.remove(to, { recursive: true }).catch(() => {});
  await Deno.mkdir(to);
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copy(`${from}/${name}`, `${to}/${name}`);
    else await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}
