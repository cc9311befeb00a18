/** Backups by the client programs of several majors, of servers of these majors. */
import assert from "assert";
import { describeCatalogue } from "../catalogue.ts";
import { backupProject, contentsOf, restoreByHand, restored } from "../backup_project.ts";
import { SOURCE } from "../backup_source.ts";
import { clientMajors } from "../client_majors.ts";
import { freshDatabase, serverVersions, type TestDatabase } from "../database.ts";
import { skipWhenMissing } from "../skip.ts";

const servers = await serverVersions();
const clients = await clientMajors();

const FORMS = [
  [],
  ["--format", "plain", "--compress"],
  ["--format", "directory", "--jobs", "2"],
  ["--compression", "none"],
];

/** By the programs that know more methods; the others were built without them. */
const KNOWS_METHODS = 17;
const MORE_FORMS = [
  ["--compression", "zstd:9"],
  ["--compression", "lz4"],
  ["--format", "plain", "--compression", "zstd"],
  ["--format", "directory", "--compression", "zstd:1"],
  ["--format", "directory", "--compression", "lz4"],
];

/** Definitions and contents, without the help of any client program. */
async function described(database: TestDatabase): Promise<unknown> {
  const lines = await describeCatalogue((sql) => database.query(sql));
  return {
    // A column that was dropped has left its number, and is in no dump.
    catalogue: lines.map((line) => line.replace(/^(column public\.gone) \d+ /, "$1 ")),
    contents: await contentsOf(database),
  };
}

for (const { version, missing, directory } of clients) {
  const server = servers.find((each) => each.version === version);
  const title = `backup: of PostgreSQL ${version} by its own programs, in every format`;
  Deno.test({
    name: title,
    ignore: skipWhenMissing(title, missing ?? server?.missing),
    async fn() {
      if (server === undefined) throw new Error(`There is no server of PostgreSQL ${version}`);
      await using running = await server.start();
      await using project = await backupProject({ server: running, sql: SOURCE });
      const source = await described(project.database);
      const env = { PG_BIN_DIR: directory };
      const more = version === KNOWS_METHODS ? MORE_FORMS : [];
      for (const args of [...FORMS, ...more]) {
        const made = await project.backup([...args, "--globals"], { env });
        const { manifest } = made;
        if (args.length === 0) {
          assert.deepEqual(
            manifest.compression,
            version === KNOWS_METHODS ? { method: "zstd", level: 3 } : { method: "gzip", level: 1 },
          );
        }
        if (args.includes("zstd")) assert.match(made.dump, /\.sql\.zst$/);
        assert.match(manifest.client.version, new RegExp(`^${version}\\.`));
        assert.match(manifest.source.server_version, new RegExp(`^${version}\\.`));
        assert.deepEqual(manifest.warnings, []);
        await using target = await freshDatabase({ server: running });
        await restored(made, { into: target, bin: directory });
        assert.deepEqual(await described(target), source);
        const verified = await project.run(["backup", "verify", manifest.id], { env });
        assert.equal(verified.exit, 0, verified.stderr);
        assert.match(verified.stdout, /: good at the level "read"/);
      }
      const partial = await project.backup(
        ["--tables", "events", "--exclude-table", "events_2023"],
        {
          env,
        },
      );
      assert.deepEqual(partial.manifest.tables.map(({ name }) => name).sort(), [
        ...["events_2024_a", "events_2024_b"],
      ]);
    },
  });
}

const [oldest] = clients;
const newest = clients.at(-1);
const newServer = servers.find(({ version }) => version === newest?.version);
Deno.test({
  name: "backup: by programs older than the server is refused, with the package to install",
  ignore: skipWhenMissing(
    "the refusal of older programs",
    oldest?.missing ?? newest?.missing ?? newServer?.missing,
  ),
  async fn() {
    if (newServer === undefined) throw new Error("There is no newer server");
    await using running = await newServer.start();
    await using project = await backupProject({ server: running, sql: "CREATE TABLE t (n int)" });
    const env = { PG_BIN_DIR: oldest?.directory ?? "" };
    for (const args of [[], ["--dry-run"]]) {
      const { exit, stderr } = await project.run(["backup", ...args], { env });
      assert.equal(exit, 1);
      assert.match(
        stderr,
        /\[ERROR\] Cannot find pg_dump of version 18 or newer: .*\/pg_dump is 15[.\d]*\nHint: .*postgresql-client-18 /,
      );
      assert.deepEqual(await project.files(), []);
    }
    // An archive of the newer programs is verified by them, and by no older ones.
    const made = await project.backup([], { env: { PG_BIN_DIR: newest?.directory ?? "" } });
    const old = await project.run(["backup", "verify", made.manifest.id], { env });
    assert.equal(old.exit, 1);
    assert.match(old.stderr, /Cannot find pg_restore of version 18 or newer/);
    const bytes = await project.run(["backup", "verify", "latest", "--level", "bytes"], { env });
    assert.equal(bytes.exit, 0, bytes.stderr);
  },
});

Deno.test({
  name: "backup: by programs newer than the server, restored by them",
  ignore: skipWhenMissing("backups by newer programs", newest?.missing),
  async fn() {
    await using project = await backupProject({ sql: SOURCE });
    const source = await described(project.database);
    for (const args of FORMS) {
      const made = await project.backup(args, { env: { PG_BIN_DIR: newest?.directory ?? "" } });
      assert.match(made.manifest.client.version, /^18\./);
      // No method but gzip was built into these programs.
      if (args.length === 0) assert.equal(made.manifest.compression.method, "gzip");
      // By pg_dump 18's own account an older server does not understand all of it.
      await project.database.drop();
      const { code, stderr, stdout } = await restoreByHand(made.manifest, {
        directory: project.backups,
        bin: newest?.directory ?? "",
      });
      assert.equal(code, 0, stderr);
      if (made.manifest.format !== "plain" && made.manifest.source.server_version_num < 170000) {
        assert.match(stdout, /transaction_timeout: pass over that one error, and no other/);
        assert.match(stderr, /errors ignored on restore: 1\n/);
      }
      assert.deepEqual(await described(project.database), source);
    }
    for (const method of ["zstd", "lz4"]) {
      const line = ["backup", "--compression", method];
      const { exit, stderr } = await project.run(line, {
        env: { PG_BIN_DIR: newest?.directory ?? "" },
      });
      assert.equal(exit, 2);
      assert.match(stderr, new RegExp(`Cannot compress by ${method}: .* was built without it\n`));
    }
  },
});

const knowing = clients.find(({ version }) => version === KNOWS_METHODS);
Deno.test({
  name: "backup: a script compressed by zstd is restored by the lines of its manifest",
  ignore: skipWhenMissing(
    "scripts compressed by zstd",
    knowing?.missing ?? await missingProgram("zstd"),
  ),
  async fn() {
    await using project = await backupProject({ sql: SOURCE });
    const source = await described(project.database);
    const bin = knowing?.directory ?? "";
    const { manifest } = await project.backup(["--format", "plain", "--compression", "zstd"], {
      env: { PG_BIN_DIR: bin },
    });
    await project.database.drop();
    const { code, stderr } = await restoreByHand(manifest, { directory: project.backups, bin });
    assert.equal(code, 0, stderr);
    assert.deepEqual(await described(project.database), source);
  },
});

/** Why a program of the system cannot be used; undefined when it can. */
async function missingProgram(name: string): Promise<string | undefined> {
  const run = new Deno.Command(name, { args: ["--version"], stdout: "null", stderr: "null" });
  return await run.output().then(() => undefined, () => `there is no ${name}`);
}
