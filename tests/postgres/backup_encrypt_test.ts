/** Encrypted backups: nothing in plain on the disk, and what `age` makes of them. */
import assert from "assert";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { Decrypter, generateIdentity, identityToRecipient } from "age-encryption";
import {
  type BackupProject,
  backupProject,
  contentsOf,
  filesBelow,
  requireSame,
  restoreByHand,
  restored,
  slowPrograms,
} from "../backup_project.ts";
import { SOURCE } from "../backup_source.ts";
import { clientToolsMissing } from "../database.ts";
import { skipWhenMissing } from "../skip.ts";

const ignore = skipWhenMissing("tests of encrypted backups", await clientToolsMissing());
const noAge = skipWhenMissing("tests of what age makes of backups", await ageMissing());

async function ageMissing(): Promise<string | undefined> {
  try {
    await new Deno.Command("age", { args: ["--version"] }).output();
    return undefined;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return "age is not installed (package age)";
  }
}

/** A key pair, the secret one in a file as `age-keygen` writes it. */
async function keyPair({ directory }: BackupProject, name = "key.txt") {
  const identity = await generateIdentity();
  const recipient = await identityToRecipient(identity);
  const file = join(directory, name);
  await Deno.writeTextFile(
    file,
    `# created: 2024-01-01T00:00:00Z\n# public key: ${recipient}\n${identity}\n`,
  );
  return { identity, recipient, file };
}

async function decrypted(path: string, identity: string): Promise<Uint8Array<ArrayBuffer>> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  return (await decrypter.decrypt(await Deno.readFile(path))).slice();
}

for (const args of [[], ["--format", "plain"], ["--format", "plain", "--compress"]]) {
  Deno.test({
    name: `backup --encrypt ${args.join(" ")}: decrypted, it is what was dumped`,
    ignore,
    async fn() {
      await using project = await backupProject({ sql: SOURCE });
      const { identity, recipient, file } = await keyPair(project);
      const made = await project.backup([...args, "--globals", "--encrypt", recipient]);
      const { manifest } = made;
      assert.match(made.dump, /\.(dump|sql|sql\.gz)\.age$/);
      assert.equal(manifest.globals, `${manifest.id}.globals.sql.age`);
      assert.deepEqual(manifest.encryption, { method: "age", recipients: [recipient] });
      for (const { name, size } of manifest.files) {
        const stored = await Deno.readFile(join(project.backups, name));
        assert.equal(stored.length, size);
        assert.match(
          new TextDecoder().decode(stored.subarray(0, 30)),
          /^age-encryption\.org\/v1\n/,
        );
      }
      const plain = await decrypted(made.dump, identity);
      assert.deepEqual(manifest.plaintext, {
        size: plain.length,
        sha256: createHash("sha256").update(plain).digest("hex"),
      });
      const dump = join(project.directory, "plain.dump");
      await Deno.writeFile(dump, plain);
      await using target = await restored({ ...made, dump });
      await requireSame(target, project.database);
      const globals = await decrypted(join(project.backups, manifest.globals ?? ""), identity);
      assert.match(new TextDecoder().decode(globals), /^CREATE ROLE/m);
      const verified = await project.run(["backup", "verify", manifest.id, "--identity", file]);
      assert.equal(verified.exit, 0, verified.stderr);
    },
  });
}

Deno.test({
  name: "backup --encrypt: age itself decrypts it, by the manifest's own lines",
  ignore: ignore || noAge,
  async fn() {
    await using project = await backupProject({ sql: SOURCE });
    const { recipient, file } = await keyPair(project);
    for (const args of [[], ["--format", "plain", "--compress"]]) {
      const before = await contentsOf(project.database);
      const { manifest } = await project.backup([...args, "--encrypt", recipient]);
      await project.database.drop();
      const { code, stderr } = await restoreByHand(manifest, {
        directory: project.backups,
        replace: { KEY_FILE: file },
      });
      assert.equal(code, 0, stderr);
      assert.deepEqual(await contentsOf(project.database), before);
    }
  },
});

Deno.test({
  name: "backup --encrypt: nothing in plain is on the disk at any moment",
  ignore,
  async fn() {
    const marker = "plainly-readable-marker";
    await using project = await backupProject({
      sql:
        `CREATE TABLE t AS SELECT '${marker}' || i || md5(i::text) AS text FROM generate_series(1, 50000) i`,
    });
    const { recipient } = await keyPair(project);
    const programs = await slowPrograms(project.directory, { after: 1 << 20, seconds: 0.5 });
    const env = { TMPDIR: join(project.directory, "tmp"), PG_BIN_DIR: programs };
    await Deno.mkdir(env.TMPDIR);
    for (const [args, plain] of [[["--encrypt", recipient], false], [[], true]] as const) {
      const run = project.start(["backup", "--compression", "none", ...args], { env });
      let over = false;
      const ended = run.ended.finally(() => over = true);
      let looks = 0;
      const found = new Set<string>();
      while (!over) {
        for (const name of await filesBelow(project.directory)) {
          if (name.startsWith("slow-programs/")) continue;
          const bytes = await Deno.readFile(join(project.directory, name)).catch(() => undefined);
          if (bytes === undefined) continue;
          if (bytes.length > 0 && name.endsWith(".partial")) looks++;
          if (holds(bytes, marker)) found.add(name);
        }
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      assert.equal((await ended).exit, 0);
      assert.ok(looks >= 3, `looked ${looks} times while it was written`);
      // Without encryption it is found: the look is one that can find it.
      assert.equal(found.size > 0, plain, [...found].join());
    }
  },
});

/** Whether bytes hold a text somewhere in their first and last megabyte. */
function holds(bytes: Uint8Array, text: string): boolean {
  const decoder = new TextDecoder("latin1");
  const million = 1 << 20;
  return decoder.decode(bytes.subarray(0, million)).includes(text) ||
    decoder.decode(bytes.subarray(-million)).includes(text);
}

Deno.test({
  name: "backup --encrypt: for several recipients, each of whom can decrypt it; also from .env",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: "CREATE TABLE t (n int)" });
    const [one, two] = [await keyPair(project, "1.txt"), await keyPair(project, "2.txt")];
    const lines = [
      await project.backup(["--encrypt", one.recipient, "--encrypt", two.recipient]),
      await project.backup([], { env: { BACKUP_ENCRYPT: `${one.recipient} ${two.recipient}` } }),
    ];
    for (const { manifest, dump } of lines) {
      assert.deepEqual(manifest.encryption?.recipients, [one.recipient, two.recipient]);
      assert.deepEqual(await decrypted(dump, one.identity), await decrypted(dump, two.identity));
    }
  },
});

Deno.test({
  name:
    "backup --encrypt: what is no recipient is refused before anything is written, a secret untold",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: "CREATE TABLE t (n int)" });
    const { identity, recipient } = await keyPair(project);
    const wrong = `${recipient.slice(0, -1)}${recipient.endsWith("q") ? "p" : "q"}`;
    for (const text of ["nobody", wrong, identity, "ssh-ed25519 AAAA", "age1"]) {
      for (const more of [[], ["--dry-run"]]) {
        const { exit, stderr } = await project.run(["backup", "--encrypt", text, ...more]);
        assert.equal(exit, 2, `${text}: ${stderr}`);
        assert.match(stderr, /\[ERROR\] Cannot encrypt for /);
        assert.equal(stderr.includes(identity), false);
        assert.deepEqual(await filesBelow(project.backups), []);
      }
    }
  },
});
