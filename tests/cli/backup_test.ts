/** `backup` and `backup verify` from outside: what they print, write and end with. */
import assert from "assert";
import { join } from "node:path";
import { generateIdentity, identityToRecipient } from "age-encryption";
import { filesBelow, slowPrograms } from "../backup_project.ts";
import { clientMajors } from "../client_majors.ts";
import { clientToolsMissing } from "../database.ts";
import { manifestProblems, verificationProblems } from "../manifest_schema.ts";
import { forEachKind, type Kind, kinds, terminalMissing } from "../program.ts";
import { skipWhenMissing } from "../skip.ts";
import { type Project, project, until } from "./project.ts";

const missing = await clientToolsMissing();
/** Programs that know zstd. */
const zstd = (await clientMajors()).find(({ version }) => version === 17);
const noTerminal = skipWhenMissing("progress of backups on a terminal", await terminalMissing());

/** A project with rows to back up. */
async function filled(kind: Kind): Promise<Project> {
  const made = await project(kind, { "migrations/1_first.sql": "CREATE TABLE first (n int);" });
  await made.database.query(
    `CREATE TABLE items AS SELECT i, md5(i::text) AS text FROM generate_series(1, 20000) i;
     CREATE TABLE "Odd; one" (n int); INSERT INTO "Odd; one" VALUES (1)`,
  );
  return made;
}

/** Backs up, which must work; the data of the answer. */
async function backUp(given: Project, args: readonly string[] = []) {
  const { code, stdout, stderr } = await given.run(["backup", "--json", ...args]);
  assert.equal(code, 0, stdout + stderr);
  return JSON.parse(stdout).data;
}

const filesOf = ({ directory }: Project) => filesBelow(join(directory, "backups"));

forEachKind(
  "backup: tells what was made in a line, and where; all else is on stderr",
  async (kind) => {
    await using given = await filled(kind);
    const { code, stdout, stderr } = await given.run(["backup"]);
    assert.equal(code, 0, stderr);
    const [, id] =
      /^(\w+_backup_\d{8}_\d{6}): full, custom, (?:gzip:1|zstd:3), [\d.]+ KiB, 2 tables, 20001 rows, [\d.]+ s\n {2}in \.\/backups\n$/
        .exec(stdout) ?? [];
    assert.ok(id?.startsWith(`${given.database.name}_backup_`), stdout);
    assert.equal(
      stderr,
      "[INFO] Creating database backup...\n[INFO] Waiting for database to be ready...\n" +
        "[SUCCESS] Database is ready\n[SUCCESS] Backup completed successfully\n",
    );
    assert.deepEqual(await filesOf(given), [`${id}.dump`, `${id}.manifest.json`]);
    for (const name of await filesOf(given)) {
      const { mode } = await Deno.stat(join(given.directory, "backups", name));
      assert.equal((mode ?? 0) & 0o777, 0o600, name);
    }
    const { mode } = await Deno.stat(join(given.directory, "backups"));
    assert.equal((mode ?? 0) & 0o777, 0o700);
  },
  { missing },
);

forEachKind(
  "backup: --json is one object, with the manifest as it was written",
  async (kind) => {
    await using given = await filled(kind);
    const { code, stdout } = await given.run(["backup", "--json", "--note", "of the test"]);
    assert.equal(code, 0);
    assert.match(stdout, /^\{[^\n]*\}\n$/);
    const { ok, command, data } = JSON.parse(stdout);
    assert.deepEqual([ok, command, data.skipped, data.locations, data.pruned], [
      ...[true, "backup", false, ["./backups"], []],
    ]);
    const { manifest } = data;
    const path = join(given.directory, "backups", `${manifest.id}.manifest.json`);
    assert.deepEqual(JSON.parse(await Deno.readTextFile(path)), manifest);
    assert.deepEqual(manifestProblems(manifest), []);
    assert.equal(manifest.note, "of the test");
  },
  { missing },
);

forEachKind(
  "backup --dry-run: tells what would be made, by what and to where, and writes nothing",
  async (kind) => {
    await using given = await filled(kind);
    const line = ["backup", "--dry-run", "--format", "plain", "--tables", "items"];
    const { code, stdout, stderr } = await given.run(line);
    assert.equal(code, 0, stderr);
    const lines = stdout.split("\n");
    assert.match(
      lines[0] ?? "",
      new RegExp(
        `^Would back up ${given.database.name} \\([\\d.]+ MiB, PostgreSQL \\d.*\\) as partial, plain, not compressed$`,
      ),
    );
    assert.equal(lines[1], "  to ./backups");
    assert.match(lines[2] ?? "", /^ {2}by \/.*\/pg_dump \d+\.\d+/);
    assert.deepEqual(lines.slice(3), [
      "  with the rows of 1 table",
      '  table "public"."items"',
      "",
    ]);
    const json = await given.run([...line, "--json"]);
    const { ok, data } = JSON.parse(json.stdout);
    assert.deepEqual([ok, data.kind, data.tables.length], [true, "partial", 1]);
    assert.deepEqual(data.selection.resolved_tables, ['"public"."items"']);
    assert.deepEqual(await filesOf(given), []);
    await assert.rejects(Deno.stat(join(given.directory, "backups")), Deno.errors.NotFound);
  },
  { missing },
);

forEachKind(
  "backup: exit codes, and errors that say what to do",
  async (kind) => {
    await using given = await filled(kind);
    const flags = await given.run(["backup", "--schema-only", "--data-only", "--jobs", "4"]);
    assert.equal(flags.code, 2);
    assert.match(
      flags.stderr,
      /--schema-only and --data-only exclude each other\n.*--jobs needs --format directory/,
    );
    const pattern = await given.run(["backup", "--tables", "itmes"]);
    assert.equal(pattern.code, 2);
    assert.match(pattern.stderr, /no table matches "itmes"\nHint: /);
    const server = await given.run(["backup", "--wait", "0"], {
      env: { DATABASE_URL: "postgres://127.0.0.1:1/x" },
    });
    assert.equal(server.code, 5);
    const tools = await given.run(["backup"], { env: { PG_BIN_DIR: given.directory } });
    assert.equal(tools.code, 1);
    assert.match(
      tools.stderr,
      /Cannot find pg_dump in ".*", which PG_BIN_DIR names\nHint: Install /,
    );
    const recipient = await given.run(["backup", "--encrypt", "nobody"]);
    assert.equal(recipient.code, 2);
    assert.deepEqual(await filesOf(given), []);
  },
  { missing },
);

for (const [signal, exit] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
  forEachKind(
    `backup: ${signal} in the midst of a dump leaves nothing, exit ${exit}`,
    async (kind) => {
      await using given = await filled(kind);
      const programs = await slowPrograms(given.directory, { after: 100_000, seconds: 60 });
      for (const args of [[], ["--format", "plain", "--json"]]) {
        const run = await given.start(["backup", ...args], { env: { PG_BIN_DIR: programs } });
        await until(
          "the dump is written",
          async () => (await filesOf(given)).some((name) => name.endsWith(".partial")),
        );
        run.kill(signal);
        const { code, stdout, stderr } = await run.result();
        assert.equal(code, exit, stderr);
        assert.match(stderr, new RegExp(`\\[WARNING\\] ${signal} received`));
        if (args.length === 0) assert.equal(stdout, "");
        else assert.equal(JSON.parse(stdout).error.exit, exit);
        assert.deepEqual(await filesOf(given), []);
        await until("no session is left", async () => {
          const rows = await given.database.query(
            `SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
          );
          return rows.length === 0;
        });
      }
      // Nothing is in the way of the next one.
      await backUp(given);
    },
    { missing },
  );
}

forEachKind(
  "backup verify: both levels, told in the list and to a monitor",
  async (kind) => {
    await using given = await filled(kind);
    const { manifest } = await backUp(given);
    const unverified = await given.run(["backup", "status", "--verified"]);
    assert.equal(unverified.code, 3);
    for (const level of ["bytes", "read"]) {
      const { code, stdout, stderr } = await given.run([
        "backup",
        "verify",
        "latest",
        "--level",
        level,
      ]);
      assert.equal(code, 0, stderr);
      assert.equal(stdout, `${manifest.id}: good at the level "${level}" in ./backups\n`);
      const list = await given.run(["backup", "list"]);
      assert.match(list.stdout, new RegExp(` ${level} +local +${manifest.id}\n`));
    }
    const status = await given.run(["backup", "status", "--max-age", "1h", "--verified", "read"]);
    assert.equal(status.code, 0, status.stderr);
    const { stdout } = await given.run(["backup", "verify", manifest.id, "--json"]);
    assert.match(stdout, /^\{[^\n]*\}\n$/);
    const { data } = JSON.parse(stdout);
    const kept = join(given.directory, "backups", data.kept_as);
    assert.deepEqual(verificationProblems(JSON.parse(await Deno.readTextFile(kept))), []);
  },
  { missing },
);

forEachKind(
  "backup: a script that zstd has compressed is checked while it is written, and verified",
  async (kind) => {
    await using given = await filled(kind);
    const options = { env: { PG_BIN_DIR: zstd?.directory ?? "" } };
    const { code, stdout, stderr } = await given.run(
      ["backup", "--format", "plain", "--compression", "zstd:5"],
      options,
    );
    assert.equal(code, 0, stderr);
    assert.match(stdout, /: full, plain, zstd:5, /);
    const [dump = ""] = (await filesOf(given)).filter((name) => name.endsWith(".sql.zst"));
    const verified = await given.run(["backup", "verify", "latest"], options);
    assert.equal(verified.code, 0, verified.stderr);
    const path = join(given.directory, "backups", dump);
    const bytes = await Deno.readFile(path);
    // One whose last bytes are missing looks whole to what decompresses it.
    await Deno.writeFile(path, bytes.subarray(0, -1));
    const cut = await given.run(["backup", "list"]);
    assert.equal(cut.code, 3);
    assert.match(cut.stderr, /is broken: .*\.sql\.zst has \d+ bytes instead of/);
  },
  { missing: missing ?? zstd?.missing },
);

forEachKind(
  "backup verify: one byte that was flipped is found, exit 3, and stays told",
  async (kind) => {
    await using given = await filled(kind);
    for (const format of ["custom", "plain", "directory"]) {
      const { manifest } = await backUp(given, ["--format", format]);
      // The largest one: in a directory another than the table of contents.
      const [file] = manifest.files.toSorted((a: { size: number }, b: { size: number }) =>
        b.size - a.size
      );
      const path = join(given.directory, "backups", file.name);
      const bytes = await Deno.readFile(path);
      const place = bytes.length >> 1;
      bytes[place] = (bytes[place] ?? 0) ^ 4;
      await Deno.writeFile(path, bytes);
      for (const level of ["bytes", "read"]) {
        const { code, stdout, stderr } = await given.run([
          ...["backup", "verify", manifest.id, "--level", level],
        ]);
        assert.equal(code, 3, `${format}, ${level}: ${stderr}`);
        assert.equal(stdout, `${manifest.id}: DAMAGED at the level "${level}" in ./backups\n`);
        assert.match(stderr, /is not what was written: its SHA-256 differs/);
      }
      const list = await given.run(["backup", "list"]);
      assert.equal(list.code, 3);
      assert.match(list.stderr, new RegExp(`Backup "${manifest.id}" in ./backups is damaged`));
      const status = await given.run(["backup", "status"]);
      assert.equal(status.code, 3);
      await Deno.remove(join(given.directory, "backups"), { recursive: true });
    }
  },
  { missing },
);

forEachKind(
  "backup verify: an encrypted one needs its identity, and another one is no damage",
  async (kind) => {
    await using given = await filled(kind);
    const files: string[] = [];
    const recipients: string[] = [];
    for (const name of ["own.txt", "other.txt"]) {
      const identity = await generateIdentity();
      recipients.push(await identityToRecipient(identity));
      files.push(join(given.directory, name));
      await Deno.writeTextFile(join(given.directory, name), `# a comment\n${identity}\n`);
    }
    const { manifest } = await backUp(given, ["--encrypt", recipients[0] ?? ""]);
    const verify = (...args: string[]) => given.run(["backup", "verify", manifest.id, ...args]);
    const without = await verify();
    assert.equal(without.code, 2);
    assert.match(without.stderr, /it is encrypted\nHint: .*--identity; --level bytes needs none/);
    assert.equal((await verify("--level", "bytes")).code, 0);
    const other = await verify("--identity", files[1] ?? "");
    assert.equal(other.code, 2);
    assert.match(other.stderr, /Cannot decrypt the backup: it is encrypted for other identities/);
    const nothing = await verify("--identity", join(given.directory, "migrations/1_first.sql"));
    assert.equal(nothing.code, 2);
    assert.match(nothing.stderr, /it holds no secret key of age/);
    const own = await verify("--identity", files[0] ?? "");
    assert.equal(own.code, 0, own.stderr);
    const list = await given.run(["backup", "list"]);
    assert.deepEqual([list.code, / read +local /.test(list.stdout)], [0, true]);
    const path = join(given.directory, "backups", manifest.files[0].name);
    const bytes = await Deno.readFile(path);
    bytes[bytes.length - 100] = (bytes.at(-100) ?? 0) ^ 1;
    await Deno.writeFile(path, bytes);
    const damaged = await verify("--identity", files[0] ?? "");
    assert.equal(damaged.code, 3);
    assert.match(damaged.stderr, /The encryption is damaged/);
  },
  { missing },
);

forEachKind(
  "reset --backup-first: the backup is there, whole, and the database is new",
  async (kind) => {
    await using given = await filled(kind);
    const { code, stderr } = await given.run(["reset", "--force", "--backup-first", "--no-seed"]);
    assert.equal(code, 0, stderr);
    const [row] = await given.database.query("SELECT to_regclass('items')::text AS items");
    assert.deepEqual(row, { items: null });
    const { stdout } = await given.run(["backup", "list", "--json"]);
    const [backup] = JSON.parse(stdout).data.backups;
    assert.equal((await given.run(["backup", "verify", backup.id])).code, 0);
    const manifest = join(given.directory, "backups", `${backup.id}.manifest.json`);
    const { tables } = JSON.parse(await Deno.readTextFile(manifest));
    assert.equal(tables.find(({ name }: { name: string }) => name === "items")?.rows, 20_000);
  },
  { missing },
);

for (const kind of kinds) {
  Deno.test({
    name: `backup: shows on a terminal which table is dumped, and how far it is (${kind})`,
    ignore: noTerminal || missing !== undefined,
    async fn() {
      await using given = await filled(kind);
      const programs = await slowPrograms(given.directory, { after: 200_000, seconds: 1.5 });
      const { code, stdout } = await given.run(["backup"], {
        terminal: true,
        env: { PG_BIN_DIR: programs, TERM: "xterm" },
      });
      assert.equal(code, 0, stdout);
      assert.match(stdout, /Dumping public\.items \(\d+\.\d MiB written\).*%/);
    },
  });
}
