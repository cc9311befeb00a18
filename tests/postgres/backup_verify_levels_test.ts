/** `backup verify` by restoring: on a throw-away server, and on one that is named. */
import assert from "assert";
import { generateIdentity, identityToRecipient } from "age-encryption";
import { join } from "node:path";
import { startServer } from "../../tasks/server.ts";
import { findServerBinaries } from "../../tasks/server_binaries.ts";
import { type BackupProject, backupProject, type MadeBackup } from "../backup_project.ts";
import { SOURCE } from "../backup_source.ts";
import { clientToolsMissing, openDatabase, sharedServer, uniqueName } from "../database.ts";
import type { ProjectRun } from "../migration_project.ts";
import { until } from "../core/run_database.ts";
import { startProgram } from "../program.ts";
import { freshBucket } from "../s3.ts";
import { skipWhenMissing } from "../skip.ts";
import { tortureDatabase } from "../torture.ts";

const installed = await findServerBinaries();
const ignore = skipWhenMissing(
  "tests of backups that are restored for a trial",
  await clientToolsMissing() ??
    (installed === undefined ? "PostgreSQL's server is not installed" : undefined),
);

const PATH = `${installed?.directory}:${Deno.env.get("PATH")}`;

interface Verified extends ProjectRun {
  // deno-lint-ignore no-explicit-any -- the data of a result, as a program reads it
  readonly data: any;
}

async function verify(
  project: BackupProject,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Verified> {
  const [name = "latest", ...flags] = args[0]?.startsWith("--") ? ["latest", ...args] : args;
  const run = await project.run(["backup", "verify", name, "--json", ...flags], {
    env: { PATH, SCRIPTS_DIR: join(project.directory, "scripts"), ...env },
  });
  const output = run.stdout === "" ? {} : JSON.parse(run.stdout);
  return { ...run, data: output.data };
}

/** The databases of a server whose names tell that they were made for a trial. */
async function scratches(url: string, database: string): Promise<string[]> {
  const at = openDatabase({ ...await sharedServer(), url: () => url }, "postgres");
  const rows = await at.query<{ name: string }>(
    "SELECT datname AS name FROM pg_database WHERE datname LIKE $1 AND datname <> $2",
    [`${database.slice(0, 20)}%`, database],
  );
  return rows.map(({ name }) => name);
}

/** Files of a backup's directory that tell of verifications. */
async function results(project: BackupProject): Promise<string[]> {
  return (await project.files()).filter((name) => /\.verify-/.test(name));
}

Deno.test({
  name: "backup verify: a good backup is good at every level, in every format, encrypted too",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: SOURCE });
    await Deno.mkdir(join(project.directory, "scripts"));
    await Deno.writeTextFile(
      join(project.directory, "scripts", "verify.sql"),
      "SELECT count(*) = 500 AS all_people FROM people;\nSET work_mem = '8MB';\nSELECT doors > 3 FROM cars;",
    );
    const tries = [
      [["--fingerprint", "full"], ["restore", "compare", "assert"]],
      [["--format", "plain"], ["compare"]],
      [["--format", "directory"], ["compare"]],
    ] as const;
    for (const [args, levels] of tries) {
      const { manifest } = await project.backup(args);
      for (const level of levels) {
        const { exit, data, stderr } = await verify(project, ["--level", level]);
        assert.equal(exit, 0, stderr);
        assert.deepEqual([data.backup, data.level, data.ok, data.findings], [
          manifest.id,
          level,
          true,
          [],
        ]);
        const names = ["read", "server", "restore", "compare", "assert"];
        assert.deepEqual(
          data.steps.map(({ name }: { name: string }) => name),
          names.slice(0, names.indexOf(level) + 1),
        );
        assert.equal(data.server.title, "throw-away");
        assert.match(stderr, /\[SUCCESS\] The backup is good at the level/);
      }
      await project.database.query("SELECT pg_sleep(1)");
    }
    const { stdout } = await project.run(["backup", "list"]);
    assert.match(stdout, /assert/);
    assert.equal((await results(project)).length, 5);
    assert.deepEqual(await scratches(project.database.url, project.database.name), []);
  },
});

Deno.test({
  name: "backup verify: one that is encrypted is restored with its key, and refused without",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: "CREATE TABLE t AS SELECT 1 AS n" });
    const identity = await generateIdentity();
    await Deno.writeTextFile(join(project.directory, "key.txt"), `${identity}\n`);
    await project.backup(["--encrypt", await identityToRecipient(identity)]);
    const without = await verify(project, ["--level", "compare"]);
    assert.equal(without.exit, 2);
    const { exit, stderr, data } = await verify(project, [
      "--level",
      "compare",
      "--identity",
      join(project.directory, "key.txt"),
    ]);
    assert.equal(exit, 0, stderr);
    assert.equal(data.ok, true);
    assert.equal((await results(project)).length, 1);
  },
});

Deno.test({
  name: "backup verify --on: on another server, in a scratch database that is gone afterwards",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: SOURCE });
    const role = uniqueName("owner");
    await project.database.query(`CREATE ROLE ${role}; ALTER TABLE cars OWNER TO ${role}`);
    try {
      await project.backup();
      // The roles are on this server.
      const here = (await sharedServer()).url();
      const same = await verify(project, ["--level", "compare", "--on", here]);
      assert.equal(same.exit, 0, same.stderr);
      assert.match(same.data.server.title, /:\d+$/);
      assert.deepEqual(await scratches(here, project.database.name), []);
      // They are not on that one.
      await using server = await startServer();
      const { exit, stderr, data } = await verify(project, ["--level", "compare"], {
        BACKUP_VERIFY_URL: server.url(),
      });
      assert.equal(exit, 0, stderr);
      assert.equal(data.server.title, `${server.host}:${server.port}`);
      assert.deepEqual(await scratches(server.url(), project.database.name), []);
      assert.equal((await results(project)).length, 2);
    } finally {
      await project.database.drop();
      await openDatabase(await sharedServer(), "postgres").query(`DROP ROLE ${role}`);
    }
  },
});

/** Changes what a manifest says, as no dump does, and seals it again. */
async function lie(
  project: BackupProject,
  { manifest }: MadeBackup,
  change: (text: Record<string, unknown>) => void,
): Promise<void> {
  const { sealed } = await import("../../plugins/repository/read_manifest.ts");
  const { checksum: _, ...rest } = structuredClone(manifest);
  change(rest);
  await Deno.writeTextFile(
    join(project.backups, `${manifest.id}.manifest.json`),
    `${JSON.stringify(sealed(rest), null, 2)}\n`,
  );
}

Deno.test({
  name: "backup verify: what differs, or does not hold, is found, kept and told by exit code 3",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: SOURCE });
    const made = await project.backup();
    await Deno.writeTextFile(
      join(project.directory, "must-hold.sql"),
      `SELECT true;
-- there are none
SELECT count(*) > 900 AS many FROM people;
SELECT name, doors > 4 AS large FROM cars;
SELECT NULL::boolean AS known;
SELECT true FROM people WHERE false;
SELECT count(*) > 0 FROM no_such_table;
SELECT 1 / 0 = 1;`,
    );
    const asserted = await verify(project, ["--assert", join(project.directory, "must-hold.sql")]);
    assert.equal(asserted.exit, 3, asserted.stderr);
    assert.equal(asserted.data.level, "assert");
    assert.deepEqual(asserted.data.findings, [
      'must-hold.sql:3: "many" is false in row 1',
      'must-hold.sql:4: "large" is false in row 1',
      'must-hold.sql:5: "known" is null in row 1',
      "must-hold.sql:6: it gives no row",
      'must-hold.sql:7: relation "no_such_table" does not exist (SQLSTATE 42P01)',
      "must-hold.sql:8: division by zero (SQLSTATE 22012)",
    ]);
    assert.match(asserted.stderr, /must-hold\.sql:3: "many" is false/);
    const kept = JSON.parse(await Deno.readTextFile(join(project.backups, asserted.data.kept_as)));
    assert.deepEqual([kept.level, kept.ok, kept.findings], [
      "assert",
      false,
      asserted.data.findings,
    ]);
    await lie(project, made, (manifest) => {
      const tables = made.manifest.tables.map((table) =>
        table.name === "cars" ? { ...table, rows: 3 } : table
      );
      Object.assign(manifest, { tables, large_objects: 4 });
    });
    const restored = await verify(project, [made.manifest.id, "--level", "restore"]);
    assert.equal(restored.exit, 0, restored.stderr);
    const compared = await verify(project, [made.manifest.id, "--level", "compare"]);
    assert.equal(compared.exit, 3);
    assert.deepEqual(compared.data.findings, [
      '"public"."cars" has 2 rows, and had 3 in the dump',
      "There are 3 large objects, and 4 in the dump",
    ]);
    const status = await project.run([
      "backup",
      "status",
      "--max-age",
      "1h",
      "--verified",
      "compare",
    ]);
    assert.equal(status.exit, 3);
  },
});

Deno.test({
  name:
    "backup verify: damage is found before a server is started, and a dump that cannot be restored is told",
  ignore,
  async fn() {
    await using project = await backupProject({
      sql: `CREATE TABLE t (n int); INSERT INTO t VALUES (1);
        CREATE FUNCTION f(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT n';
        CREATE TABLE checked (n int CHECK (f(n) > 0)); INSERT INTO checked VALUES (1);
        CREATE OR REPLACE FUNCTION f(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT -n'`,
    });
    // The rows do not pass their own check any more: pg_restore fails.
    const made = await project.backup();
    const failed = await verify(project, ["--level", "restore"]);
    assert.equal(failed.exit, 3, failed.stderr);
    assert.equal(failed.data.findings.length, 1);
    assert.match(
      failed.data.findings[0],
      /^It cannot be restored: .*checked.*violates check constraint "checked_n_check"/s,
    );
    const bytes = await Deno.readFile(made.dump);
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
    await Deno.writeFile(made.dump, bytes);
    const { exit, data, stderr } = await verify(project, [
      made.manifest.id,
      "--level",
      "compare",
    ]);
    assert.equal(exit, 3);
    assert.match(data.findings[0], /its SHA-256 differs$/);
    assert.deepEqual([data.server, data.steps.length], [null, 1]);
    assert.doesNotMatch(stderr, /throw-away/);
  },
});

Deno.test({
  name: "backup verify: what cannot be verified says nothing about the backup",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: "CREATE TABLE t AS SELECT 1 AS n" });
    const made = await project.backup();
    const fail = async (
      args: readonly string[],
      { code, told, env }: {
        readonly code: number;
        readonly told: RegExp;
        readonly env?: Readonly<Record<string, string>>;
      },
    ) => {
      const { exit, stderr, stdout } = await verify(project, args, env);
      assert.equal(exit, code, stderr + stdout);
      assert.match(stderr, told);
      assert.deepEqual(await results(project), []);
    };
    const stranger = (await sharedServer()).url().replace("postgres@", "no_such_role@");
    await fail(["--level", "restore", "--on", stranger], { code: 5, told: /no_such_role/ });
    await fail(["--level", "restore", "--on", "nonsense"], { code: 2, told: /Cannot use --on/ });
    await fail(["--level", "assert"], { code: 2, told: /there is no ".*scripts\/verify\.sql"/ });
    for (
      const [text, told] of [
        ["\\d t", /bad\.sql:1: \\d is a command of psql/],
        ["SELECT true;\nSELECT 'open", /bad\.sql:2: /],
        ["SELECT true;\n\nSELECT 1 AS n;", /bad\.sql:3: the statement has no boolean column/],
        ["SELECT true;\nSELEC true;", /bad\.sql:2: syntax error at or near "SELEC"/],
        ["-- nothing", /it holds no statement/],
      ] as const
    ) {
      await Deno.writeTextFile(join(project.directory, "bad.sql"), text);
      await fail(["--assert", join(project.directory, "bad.sql")], { code: 2, told });
    }
    await lie(project, made, (manifest) => {
      const source = { ...made.manifest.source, server_version_num: 990001 };
      Object.assign(manifest, { source });
    });
    await fail(["--level", "restore"], {
      code: 4,
      told: /no server of PostgreSQL 99 or newer is installed here\nHint: .*--on URL/,
    });
    await fail(["--level", "restore", "--on", (await sharedServer()).url()], {
      code: 4,
      told: /it was dumped from PostgreSQL 99, and this is PostgreSQL \d+/,
    });
    await lie(project, made, (manifest) => {
      const extensions = [{ name: "no_such", version: "1", schema: "public" }];
      Object.assign(manifest, { extensions });
    });
    await fail(["--level", "restore"], {
      code: 4,
      told: /it needs "no_such", not installed there/,
    });
    await project.backup(["--data-only"]);
    const { manifest } = await project.backup(["--data-only"]);
    const rows = await project.run(["backup", "verify", manifest.id, "--level", "restore"]);
    assert.equal(rows.exit, 2);
    assert.match(rows.stderr, /it has rows alone/);
  },
});

Deno.test({
  name: "backup verify --on: a run that is killed leaves what the next one drops",
  ignore,
  async fn() {
    await using project = await backupProject({
      sql: "CREATE TABLE t AS SELECT i, repeat('x', 100) AS x FROM generate_series(1, 300000) i",
    });
    await project.backup();
    await using server = await startServer();
    const run = await startProgram(
      ["backup", "verify", "latest", "--level", "compare", "--on", server.url()],
      {
        cwd: project.directory,
        env: { DATABASE_URL: project.database.url, BACKUPS_DIR: project.backups, PATH },
      },
    );
    await until(
      "the restore has begun",
      async () => (await scratches(server.url(), project.database.name)).length > 0,
    );
    run.kill("SIGKILL");
    await run.result();
    const [left] = await scratches(server.url(), project.database.name);
    assert.ok(left !== undefined);
    await until("nobody works there any more", async () => {
      const rows = await openDatabase(server, "postgres").query(
        "SELECT FROM pg_stat_activity WHERE datname = $1",
        [left],
      );
      return rows.length === 0;
    });
    const again = await verify(project, ["--level", "compare", "--on", server.url()]);
    assert.equal(again.exit, 0, again.stderr);
    assert.match(again.stderr, new RegExp(`Dropped "${left}"`));
    assert.deepEqual(await scratches(server.url(), project.database.name), []);
  },
});

Deno.test({
  name: "backup verify: a run that is ended or killed leaves no throw-away server, and no result",
  ignore,
  async fn() {
    await using project = await backupProject({
      sql: "CREATE TABLE t AS SELECT i, repeat('x', 100) AS x FROM generate_series(1, 300000) i",
    });
    await project.backup();
    const temporary = await Deno.makeTempDir({ prefix: "verify-", dir: "/tmp" });
    await Deno.chmod(temporary, 0o1777);
    try {
      for (const signal of ["SIGTERM", "SIGKILL"] as const) {
        const run = await startProgram(["backup", "verify", "latest", "--level", "compare"], {
          cwd: project.directory,
          env: {
            DATABASE_URL: project.database.url,
            BACKUPS_DIR: project.backups,
            TMPDIR: temporary,
            PATH,
          },
        });
        await run.until(/Restoring .* for a trial/);
        run.kill(signal);
        const { code, stderr } = await run.result();
        assert.equal(code, signal === "SIGTERM" ? 143 : 137, stderr);
        await until(
          "nothing is left",
          async () => (await Array.fromAsync(Deno.readDir(temporary))).length === 0,
        );
        assert.deepEqual(await results(project), []);
      }
    } finally {
      await Deno.remove(temporary, { recursive: true });
    }
  },
});

Deno.test({
  name: "backup verify: of everything that breaks restores nothing is found that is not there",
  ignore,
  async fn() {
    await using torture = await tortureDatabase();
    await using project = await backupProject();
    await using bucket = await freshBucket({});
    const env = { DATABASE_URL: torture.url, ...bucket.env };
    for (const args of [["--fingerprint", "full"], ["--format", "plain"], ["--s3-only"]]) {
      const { manifest } = await project.backup(args, { env });
      const line = [manifest.id, "--level", "compare"];
      const { exit, stderr, data } = await verify(project, line, env);
      assert.deepEqual([exit, data?.findings], [0, []], stderr);
      const on = (await sharedServer()).url();
      const there = await verify(project, [...line, "--jobs", "2", "--on", on], env);
      assert.deepEqual([there.exit, there.data?.findings], [0, []], there.stderr);
    }
    assert.deepEqual(await scratches(torture.url, torture.name), []);
  },
});
