/** Sources of restores: backups and dumps of every kind, found, read, verified, and damaged. */
import assert from "assert";
import { createHash } from "node:crypto";
import { basename, join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { Encrypter, generateIdentity, identityToRecipient } from "age-encryption";
import { OperationError } from "../../core/plugin.ts";
import { backupProject, type MadeBackup } from "../backup_project.ts";
import { SOURCE } from "../backup_source.ts";
import { runClient } from "../client_majors.ts";
import { clientTools, clientToolsMissing } from "../database.ts";
import { withChance } from "../faults/random.ts";
import { bytesOf, failsDamaged, isDamaged, opened, type Opening } from "../restore_source.ts";
import { skipWhenMissing } from "../skip.ts";

const ignore = skipWhenMissing("tests of sources of restores", await clientToolsMissing());

const identity = await generateIdentity();
const recipient = await identityToRecipient(identity);

function test(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore, fn });
}

const FORMS: readonly { readonly args: readonly string[]; readonly format: string }[] = [
  { args: [], format: "custom" },
  { args: ["--globals", "--encrypt", recipient], format: "custom" },
  { args: ["--format", "plain"], format: "plain" },
  { args: ["--format", "plain", "--compress"], format: "plain" },
  { args: ["--format", "plain", "--compress", "--encrypt", recipient], format: "plain" },
  { args: ["--format", "directory", "--globals"], format: "directory" },
];

for (const { args, format } of FORMS) {
  test(`source: a backup, ${args.join(" ").replace(recipient, "…") || "as is"}`, async () => {
    await using project = await backupProject({ sql: SOURCE });
    const made = await project.backup(args);
    const { manifest } = made;
    const key = join(project.directory, "key.txt");
    await Deno.writeTextFile(key, `${identity}\n`);
    const encrypted = args.includes("--encrypt");
    const wrapping = [
      ...encrypted ? ["age"] : [],
      ...format === "plain" && args.includes("--compress") ? ["gzip"] : [],
    ];
    const env = { BACKUPS_DIR: project.backups };
    const opening: Opening = {
      name: manifest.id,
      env,
      database: project.database.name,
      ...encrypted ? { identity: key } : {},
    };
    const main = format === "directory" ? `${manifest.id}.dir` : basename(made.dump);
    const member = manifest.files.find(({ name }) => name !== manifest.globals)?.name ?? "";
    const names = [
      ...["latest", manifest.id, main, member, `${manifest.id}.manifest.json`, made.dump],
      join(project.backups, member),
      join(project.backups, `${manifest.id}.manifest.json`),
      join(project.backups, manifest.id),
      ...format === "directory" ? [`${made.dump}/`, `${main}/`] : [],
    ];
    for (const name of names) {
      await opened({ ...opening, name }, (source) => {
        assert.deepEqual([source.title, source.kind], [manifest.id, "local"], name);
        assert.deepEqual(source.manifest, manifest);
        assert.deepEqual(source.contents, { format, wrapping });
        assert.equal(source.size, manifest.files.reduce((sum, { size }) => sum + size, 0));
        assert.equal(source.archive === null, format === "plain");
        assert.deepEqual(source.warnings, []);
        return Promise.resolve();
      });
    }
    await opened(opening, async (source) => {
      await source.verify();
      if (format !== "directory") {
        const bytes = await bytesOf(await source.stream());
        const sha256 = createHash("sha256").update(bytes).digest("hex");
        if (manifest.plaintext !== null && !wrapping.includes("gzip")) {
          assert.deepEqual([bytes.length, sha256], [
            manifest.plaintext.size,
            manifest.plaintext.sha256,
          ]);
        }
        const head = new TextDecoder().decode(bytes.subarray(0, 40));
        assert.match(head, format === "plain" ? /^--\n-- PostgreSQL database dump\n/ : /^PGDMP/);
      }
      if (format === "plain") return;
      if (encrypted) await assert.rejects(source.path(), { kind: "refused", code: "encrypted" });
      else assert.equal(await source.path(), made.dump);
    });
    if (encrypted) {
      const { identity: _, ...without } = opening;
      await assert.rejects(opened(without, () => Promise.resolve()), {
        kind: "usage",
        code: "no_identity",
      });
    }
    await damageAnywhere(opening, { made, format });
  });
}

/** Changes bytes at random places, and cuts: none of it passes for whole. */
async function damageAnywhere(
  opening: Opening,
  { made, format }: { readonly made: MadeBackup; readonly format: string },
): Promise<void> {
  const { manifest } = made;
  const directory = opening.env["BACKUPS_DIR"] ?? "";
  await withChance(7, async (chance) => {
    for (let round = 0; round < 12; round++) {
      const files = manifest.files.filter(({ size }) => size > 0);
      const file = files[chance.below(files.length)];
      if (file === undefined) throw new Error("There is no file");
      const path = join(directory, file.name);
      const whole = await Deno.readFile(path);
      const changed = whole.slice();
      const at = chance.below(whole.length);
      changed[at] = (changed[at] ?? 0) ^ (1 << chance.below(8));
      await Deno.writeFile(path, changed);
      const isMain = file.name !== manifest.globals;
      try {
        await opened(opening, async (source) => {
          await assert.rejects(source.verify(), isDamaged);
          // A second time it is not taken for good either.
          await assert.rejects(source.verify(), isDamaged);
          if (format !== "plain" && !opening.identity) {
            await assert.rejects(source.path(), isDamaged);
          }
          if (format !== "directory" && isMain) {
            const came = await failsDamaged(source);
            assert.ok(came < source.size * 20);
          }
        });
      } catch (error) {
        // What the first bytes tell may be wrong already, and the key of an encrypted one.
        const known = error instanceof OperationError &&
          ["backup_damaged", "other_identity", "unknown_archive"].includes(error.code);
        if (!known) throw error;
      }
      await Deno.writeFile(path, whole);
    }
  });
  const [file] = manifest.files;
  const path = join(directory, file?.name ?? "");
  await Deno.truncate(path, (file?.size ?? 0) - 1);
  await assert.rejects(opened(opening, () => Promise.resolve()), (error) => {
    assert.match(String(error), / is damaged: .* has \d+ bytes instead of \d+/);
    return isDamaged(error);
  });
  await Deno.remove(path);
  await assert.rejects(opened(opening, () => Promise.resolve()), (error) => {
    assert.match(String(error), / is damaged: .* is missing/);
    return isDamaged(error);
  });
}

/** What pg_dump of whoever writes, for every format. */
async function dumped(url: string, path: string, args: readonly string[]): Promise<void> {
  const { code, stderr } = await runClient((await clientTools())?.pgDump ?? "", {
    args: [...args, `--file=${path}`, `--dbname=${url}`],
  });
  assert.equal(code, 0, stderr);
}

test("source: dumps made by hand, of every format and wrapping", async () => {
  await using project = await backupProject({ sql: SOURCE });
  const { directory, backups } = project;
  await Deno.mkdir(backups);
  const url = project.database.url;
  const at = (name: string) => join(directory, name);
  await dumped(url, at("custom.dump"), ["--format=custom"]);
  await dumped(url, at("stored.dump"), ["--format=custom", "--compress=0"]);
  await dumped(url, at("dumped"), ["--format=directory"]);
  await dumped(url, at("dumped.tar"), ["--format=tar"]);
  await dumped(url, at("plain.sql"), ["--format=plain"]);
  const custom = await Deno.readFile(at("custom.dump"));
  const plain = await Deno.readFile(at("plain.sql"));
  const tar = await Deno.readFile(at("dumped.tar"));
  await Deno.writeFile(at("custom.dump.gz"), gzipSync(custom));
  await Deno.writeFile(at("plain.sql.gz"), gzipSync(plain));
  await Deno.writeFile(at("plain.sql.zst"), zstdCompressSync(plain));
  await Deno.writeFile(at("dumped.tar.gz"), gzipSync(tar));
  const encrypter = new Encrypter();
  encrypter.addRecipient(recipient);
  await Deno.writeFile(at("custom.age"), await encrypter.encrypt(custom));
  await Deno.writeTextFile(at("hand.sql"), "create table by_hand ();\n");
  await Deno.writeTextFile(at("key.txt"), `${identity}\n`);
  const cases = [
    ["custom.dump", "custom", [], custom],
    ["stored.dump", "custom", [], await Deno.readFile(at("stored.dump"))],
    ["dumped", "directory", [], undefined],
    ["dumped/toc.dat", "directory", [], undefined],
    ["dumped.tar", "tar", [], tar],
    ["plain.sql", "plain", [], plain],
    ["custom.dump.gz", "custom", ["gzip"], custom],
    ["plain.sql.gz", "plain", ["gzip"], plain],
    ["plain.sql.zst", "plain", ["zstd"], plain],
    ["dumped.tar.gz", "tar", ["gzip"], tar],
    ["custom.age", "custom", ["age"], custom],
    ["hand.sql", "plain", [], await Deno.readFile(at("hand.sql"))],
  ] as const;
  for (const [name, format, wrapping, bytes] of cases) {
    const opening = { name: at(name), env: { BACKUPS_DIR: backups }, identity: at("key.txt") };
    let made = "";
    await opened(opening, async (source) => {
      assert.equal(source.title, at(name.replace("/toc.dat", "")));
      assert.equal(source.manifest, null);
      assert.deepEqual(source.contents, { format, wrapping }, name);
      assert.equal(source.warnings.length, 1);
      assert.match(source.warnings[0] ?? "", /^There is no manifest of /);
      assert.equal(source.downloads, wrapping.length > 0, name);
      await source.verify();
      if (bytes !== undefined) assert.deepEqual(await bytesOf(await source.stream()), bytes, name);
      if (format === "plain") return;
      if (name === "custom.age") {
        await assert.rejects(source.path(), { code: "encrypted" });
        return;
      }
      made = await source.path();
      assert.equal(await source.path(), made);
      if (!source.downloads) {
        assert.equal(made, source.title);
        made = "";
        return;
      }
      assert.match(
        made,
        new RegExp(`^${backups}/\\w+_backup_\\d{8}_\\d{6}\\.restore-[0-9a-f]{8}\\.partial$`),
      );
      assert.equal(((await Deno.stat(made)).mode ?? 0) & 0o777, 0o600);
      assert.deepEqual(new Uint8Array(await Deno.readFile(made)), bytes);
    });
    assert.deepEqual(await project.files(), [], name);
  }
  await damageDumps({ at, names: cases.map(([name]) => name), backups });
});

/** Cuts and changes dumps without a manifest; what is wrong with them only reading tells. */
async function damageDumps(
  { at, names, backups }: {
    readonly at: (name: string) => string;
    readonly names: readonly string[];
    readonly backups: string;
  },
): Promise<void> {
  const env = { BACKUPS_DIR: backups };
  await withChance(13, async (chance) => {
    for (const name of names.filter((each) => !/^(dumped|dumped\/toc.dat|hand.sql)$/.test(each))) {
      const whole = await Deno.readFile(at(name));
      for (const length of [whole.length - 1, chance.below(whole.length - 5000) + 4096]) {
        await Deno.writeFile(at(name), whole.subarray(0, length));
        const opening = { name: at(name), env, identity: at("key.txt") };
        await assert.rejects(
          opened(opening, async (source) => void await bytesOf(await source.stream())),
          isDamaged,
          `${name} cut to ${length} of ${whole.length}`,
        );
      }
      await Deno.writeFile(at(name), whole);
    }
  });
  const opening = { name: at("dumped"), env };
  for await (const { name } of Deno.readDir(at("dumped"))) {
    const path = join(at("dumped"), name);
    const whole = await Deno.readFile(path);
    await Deno.writeFile(path, whole.subarray(0, whole.length - 3));
    await assert.rejects(opened(opening, (source) => source.path()), isDamaged, name);
    if (name !== "toc.dat") {
      await Deno.remove(path);
      await assert.rejects(opened(opening, (source) => source.verify()), isDamaged, name);
    }
    await Deno.writeFile(path, whole);
  }
  await opened(opening, (source) => source.verify());
}

test("source: a dump that is changed between its verification and its restore is told", async () => {
  await using project = await backupProject({ sql: SOURCE });
  const path = join(project.directory, "x.sql");
  await dumped(project.database.url, path, ["--format=plain"]);
  await opened({ name: path, env: {} }, async (source) => {
    await source.verify();
    const bytes = await Deno.readFile(path);
    bytes[1000] = (bytes[1000] ?? 0) ^ 1;
    await Deno.writeFile(path, bytes);
    assert.ok(await failsDamaged(source) < bytes.length);
  });
});

test("source: names, and what there is none of", async () => {
  await using project = await backupProject({ sql: "CREATE TABLE a ()" });
  const { backups, directory, database } = project;
  const env = { BACKUPS_DIR: backups };
  const made = await project.backup(["--globals"]);
  const { id } = made.manifest;
  const title = (opening: Omit<Opening, "env">) =>
    opened({ env, database: database.name, ...opening }, ({ title }) => Promise.resolve(title));
  // A copy that somebody has compressed is a dump of its own.
  await Deno.writeFile(`${made.dump}.gz`, gzipSync(await Deno.readFile(made.dump)));
  assert.equal(await title({ name: `${id}.dump.gz` }), `${made.dump}.gz`);
  assert.equal(await title({ name: `${made.dump}.gz` }), `${made.dump}.gz`);
  // The replaced system's: its name is like one of ours.
  const old = "llm_observatory_backup_20230101_120000";
  await Deno.copyFile(made.dump, join(backups, `${old}.dump`));
  for (const name of [old, `${old}.dump`, join(backups, old), join(backups, `${old}.dump`)]) {
    assert.equal(await title({ name }), join(backups, `${old}.dump`), name);
  }
  await Deno.copyFile(made.dump, join(backups, `${old}.sql`));
  await assert.rejects(title({ name: old }), { code: "backup_ambiguous" });
  // A word and a file of that name.
  await Deno.copyFile(made.dump, join(directory, "latest"));
  assert.equal(await title({ name: join(directory, "latest") }), join(directory, "latest"));
  assert.equal(await title({ name: "latest" }), id);
  assert.equal(await title({ name: "latest", directory }).catch(codeOf), "backup_not_found");
  await Deno.copyFile(made.dump, join(directory, "b.dump"));
  assert.equal(await title({ name: "b.dump", directory }), join(directory, "b.dump"));
  await assert.rejects(title({ name: "b.dump" }), { code: "backup_not_found" });
  for (const name of ["none.dump", join(directory, "none.dump"), join(directory, "none/x.dump")]) {
    await assert.rejects(title({ name }), { code: "backup_not_found" }, name);
  }
  await assert.rejects(title({ name: `${id}.globals.sql` }), { kind: "usage", code: "globals" });
  await assert.rejects(title({ name: directory }), { kind: "refused", code: "unknown_contents" });
  await Deno.writeFile(join(directory, "empty.dump"), new Uint8Array());
  await assert.rejects(title({ name: join(directory, "empty.dump") }), {
    code: "unknown_contents",
  });
  const pipe = join(directory, "pipe.dump");
  await new Deno.Command("mkfifo", { args: [pipe] }).output();
  await assert.rejects(title({ name: pipe }), { kind: "refused", code: "unknown_contents" });
  await Deno.writeTextFile(join(backups, `${id}.manifest.json`), "{");
  await assert.rejects(title({ name: id }), { code: "manifest_invalid" });
});

test("source: the newest backup of a moment or before it", async () => {
  await using project = await backupProject({ sql: "CREATE TABLE a ()" });
  const [one, two] = [await project.backup(), await project.backup()];
  const at = (text: string, milliseconds = 0) =>
    opened({
      name: undefined,
      at: Date.parse(text) + milliseconds,
      env: { BACKUPS_DIR: project.backups },
      database: project.database.name,
    }, ({ title }) => Promise.resolve(title));
  const [first, second] = [one.manifest, two.manifest];
  assert.equal(await at(second.created_at, 1000), second.id);
  assert.equal(await at(second.created_at), second.id);
  assert.equal(await at(second.created_at, -1), first.id);
  assert.equal(await at(first.created_at), first.id);
  await assert.rejects(at(first.created_at, -1), (error) => {
    assert.ok(error instanceof OperationError);
    assert.equal(error.code, "backup_not_found");
    assert.match(error.message, /of \d{4}-\d\d-\d\dT[\d:.]+Z or before$/);
    assert.match(error.hint ?? "", new RegExp(`^The oldest one is ${first.id}, of `));
    return true;
  });
});

test("source: a signal in the midst leaves nothing", async () => {
  await using project = await backupProject({ sql: SOURCE });
  const path = join(project.directory, "x.dump.gz");
  await dumped(project.database.url, join(project.directory, "x.dump"), [
    ...["--format=custom", "--compress=0"],
  ]);
  await Deno.writeFile(path, gzipSync(await Deno.readFile(join(project.directory, "x.dump"))));
  const ending = new AbortController();
  const opening = { name: path, env: { BACKUPS_DIR: project.backups }, signal: ending.signal };
  await assert.rejects(opened(opening, async (source) => {
    const made = await source.path();
    assert.ok((await Deno.stat(made)).isFile);
    ending.abort();
    await source.verify();
    for (;;) await bytesOf(await source.stream());
  }));
  assert.deepEqual(await project.files(), []);
});

function codeOf(error: unknown): string {
  return error instanceof OperationError ? error.code : String(error);
}
