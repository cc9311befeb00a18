/** Backups that are not what they were, and dumps that are not whole: none of them is restored. */
import assert from "assert";
import { join } from "node:path";
import { clientTools, clientToolsMissing } from "../database.ts";
import { runClient } from "../client_majors.ts";
import { forUsersKind } from "../program.ts";
import { skipWhenMissing } from "../skip.ts";
import { withChance } from "./random.ts";
import { makeRestoreFaults, type Mode, type RestoreFaults } from "./restore_site.ts";

const missing = await clientToolsMissing();
const ignore = skipWhenMissing("restores of damaged backups", missing);

/** Of what is not compressed only its SHA-256 tells. */
const WAYS: readonly (readonly [backup: readonly string[], ...restores: [Mode, ...string[]][]])[] =
  [
    [["--format=custom"], ["clean"], ["swap", "--jobs=2"]],
    [["--format=custom", "--compression=none"], ["clean", "--schema-only"], ["create"], ["clean"]],
    [["--format=plain"], ["empty"], ["swap"]],
    [["--format=plain", "--compress", "--globals"], ["create"]],
    [["--format=directory", "--compression=none"], ["swap"], ["clean", "--jobs=2"]],
  ];

Deno.test({
  name:
    "restore, damage: a byte flipped at a random place is found before anything is touched, 60 of 60",
  ignore,
  fn: () =>
    withChance(81, async (chance) => {
      await using faults = await makeRestoreFaults();
      const { site } = faults;
      let found = 0;
      for (const [backup, ...restores] of WAYS) {
        const id = await site.good(backup);
        const { files, globals } = await site.manifest(id);
        // Definitions of roles are not restored.
        const data = files.filter(({ name }) => name !== globals);
        const total = data.reduce((sum, { size }) => sum + size, 0);
        for (let time = 0; time < 12; time++) {
          const [mode, ...args] = restores[time % restores.length] ?? ["create"];
          await faults.reset(mode);
          let at = chance.below(total);
          const file = data.find(({ size }) => at < size || (at -= size) < 0);
          assert(file);
          const path = join(site.backups, file.name);
          const whole = await Deno.readFile(path);
          const changed = whole.slice();
          changed[at] = (changed[at] ?? 0) ^ (1 + chance.below(255));
          await Deno.writeFile(path, changed);
          const { code, stdout, stderr } = await faults.inside(mode, [id, ...args]);
          await Deno.writeFile(path, whole);
          const what = `${backup.join(" ")}, ${mode} ${args.join(" ")}, byte ${at}: ${stderr}`;
          assert.deepEqual([code, stdout], [1, ""], what);
          assert.match(stderr, /^\[ERROR\] .*(SHA-256|damaged|not what was written)/m, what);
          await requireUntouched(faults, mode, what);
          found++;
        }
      }
      assert.equal(found, 60);
    }),
});

/** Nothing was begun: neither the target nor anything beside it. */
async function requireUntouched(faults: RestoreFaults, mode: Mode, what: string): Promise<void> {
  assert.deepEqual(await faults.beside(), [], what);
  if (mode === "create") return;
  const rows = await faults.target.query<{ n: string }>(
    "SELECT relname::text AS n FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1",
  );
  assert.deepEqual(
    rows.map(({ n }) => n),
    mode === "empty" ? [] : ["event", "item", "mine"],
    what,
  );
}

forUsersKind("restore, damage: a backup that is cut, lost or exchanged", async (kind) => {
  await using faults = await makeRestoreFaults();
  const { site } = faults;
  const other = await site.good();
  await site.database.query("UPDATE item SET token = token || 'x'");
  const id = await site.good();
  const path = join(site.backups, `${id}.dump`);
  const whole = await Deno.readFile(path);
  const manifest = join(site.backups, `${id}.manifest.json`);
  const text = await Deno.readTextFile(manifest);
  const harms: readonly (readonly [string, () => Promise<void>, codes: readonly number[]])[] = [
    ["cut", () => Deno.truncate(path, whole.length - 1000), [1]],
    ["emptied", () => Deno.truncate(path, 0), [1]],
    ["lost", () => Deno.remove(path), [1]],
    ["longer", () => Deno.writeFile(path, new Uint8Array(10), { append: true }), [1]],
    ["another one's", () => Deno.copyFile(join(site.backups, `${other}.dump`), path), [1]],
    [
      "with a manifest that was changed",
      () => Deno.writeTextFile(manifest, text.replace('"rows": 4000', '"rows": 4001')),
      [1],
    ],
    [
      "with another one's manifest",
      () => Deno.copyFile(join(site.backups, `${other}.manifest.json`), manifest),
      [1],
    ],
  ];
  for (const [name, harm, codes] of harms) {
    for (const mode of ["clean", "swap"] as const) {
      await faults.reset(mode);
      await harm();
      const { code, stdout, stderr } = await faults.outside(mode, [id], { kind });
      await Deno.writeFile(path, whole);
      await Deno.writeTextFile(manifest, text);
      const what = `${name}, ${mode}: ${code} ${stderr}`;
      assert(codes.includes(code), what);
      assert.equal(stdout, "", what);
      assert.match(stderr, /^\[ERROR\] /m, what);
      assert.doesNotMatch(stderr, /bug/, what);
      await requireUntouched(faults, mode, what);
    }
  }
  await faults.learn("swap", [id]);
  await faults.requireRecovered("swap", [id], "afterwards");
}, { missing });

/** What pg_dump makes by hand. */
const DUMPS = [
  ["by-hand.dump", "--format=custom", "--compress=0"],
  ["by-hand-gzip.dump", "--format=custom"],
  ["by-hand.tar", "--format=tar"],
  ["by-hand.sql", "--format=plain"],
  ["by-hand.sql.gz", "--format=plain", "--compress=6"],
] as const;

Deno.test({
  name: "restore, damage: a dump without a manifest that was cut anywhere is restored by nobody",
  ignore,
  fn: () =>
    withChance(82, async (chance) => {
      await using faults = await makeRestoreFaults();
      const pgDump = (await clientTools())?.pgDump ?? "";
      for (const [name, ...args] of DUMPS) {
        const path = join(faults.site.directory, name);
        const { code, stderr } = await runClient(pgDump, {
          args: [...args, `--file=${path}`, `--dbname=${faults.site.database.url}`],
        });
        assert.equal(code, 0, stderr);
        await faults.learn("create", [path]);
        const whole = await Deno.readFile(path);
        for (let time = 0; time < 12; time++) {
          // Behind its end a tar archive has blocks of nothing.
          const last = name.endsWith(".tar") ? whole.length - 12_000 : whole.length - 1;
          const size = time < 4 ? last - time * 10 : chance.below(last);
          await Deno.writeFile(path, whole.subarray(0, size));
          const left = await faults.inside("create", [path]);
          const what = `${name}, ${size} of ${whole.length} bytes: ${left.stderr}`;
          assert([1, 4].includes(left.code), `${left.code} ${what}`);
          assert.equal(left.stdout, "", what);
          assert.match(left.stderr, /^\[ERROR\] /m, what);
          assert.doesNotMatch(left.stderr, /bug/, what);
          assert.deepEqual(await faults.beside(), [], what);
          await faults.requireOldOrNew("create", { code: left.code, what });
        }
        await Deno.writeFile(path, whole);
        await faults.requireRecovered("create", [path], name);
      }
    }),
});

Deno.test({
  name: "restore, damage: other SQL that breaks off in the middle of a statement",
  ignore,
  async fn() {
    await using faults = await makeRestoreFaults();
    const path = join(faults.site.directory, "other.sql");
    for (const end of ["'the", "$$ the", "1); /* the", '1, "the']) {
      await Deno.writeTextFile(path, `CREATE TABLE a (t text);\nINSERT INTO a VALUES (${end} end`);
      for (const mode of ["empty", "create"] as const) {
        await faults.reset(mode);
        const { code, stdout, stderr } = await faults.inside(mode, [path]);
        assert.deepEqual([code, stdout], [1, ""], `${end}, ${mode}: ${stderr}`);
        assert.match(stderr, /^\[ERROR\] Cannot restore .*(unterminated|middle of a statement)/m);
        await requireUntouched(faults, mode, `${end}, ${mode}`);
      }
    }
  },
});
