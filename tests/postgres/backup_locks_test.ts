/** Who waits for whom: backups of one database, migrations, and others who lock its tables. */
import assert from "assert";
import { watchLocks } from "../../plugins/backup/watch.ts";
import { BACKUP_LOCK_KEY, sqlxLockKey } from "../../plugins/sql/lock_keys.ts";
import { type BackupProject, backupProject } from "../backup_project.ts";
import { withContext } from "../context.ts";
import { clientToolsMissing, freshDatabase, type TestDatabase } from "../database.ts";
import { until } from "../migration_project.ts";
import { skipWhenMissing } from "../skip.ts";

const ignore = skipWhenMissing("tests of backups beside others", await clientToolsMissing());

/** A session that is closed at the end, with whatever it holds. */
async function sessionOf(database: TestDatabase, name = "somebody") {
  const client = await database.connect();
  await client.query("SELECT set_config('application_name', $1, false)", [name]);
  const { rows: [row] } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
  return {
    pid: row?.pid ?? 0,
    query: (sql: string, params?: unknown[]) => client.query(sql, params),
    [Symbol.asyncDispose]: () => client.end(),
  };
}

/** A database with a table that nobody reads until it is let go: a backup of it goes on until then. */
async function heldProject() {
  const project = await backupProject({
    files: { "migrations/1_more.sql": "CREATE TABLE more (n int);" },
    sql: "CREATE TABLE held AS SELECT 1 AS n",
  });
  const holder = await project.database.connect();
  await holder.query("BEGIN; LOCK TABLE held");
  return {
    ...project,
    letGo: () => holder.query("ROLLBACK"),
    async [Symbol.asyncDispose]() {
      await holder.end();
      await project[Symbol.asyncDispose]();
    },
  };
}

/** Waits until a backup has the lock that keeps others out. */
async function untilLocked({ database }: BackupProject): Promise<number> {
  return await until(async () => {
    const [row] = await database.query<{ pid: number }>(
      `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND classid::bigint = ($1::bigint >> 32) & 4294967295
         AND objid::bigint = $1::bigint & 4294967295`,
      [BACKUP_LOCK_KEY],
    );
    return row?.pid;
  });
}

Deno.test({
  name: "two backups at once: the second waits for the first, by its name",
  ignore,
  async fn() {
    await using project = await heldProject();
    const first = project.start(["backup", "--lock-wait", "20"]);
    const holder = await untilLocked(project);
    const second = project.start(["backup", "--format", "plain"]);
    await until(() => Promise.resolve(/Waiting for the backup lock/.test(second.stderr)));
    assert.match(
      second.stderr,
      new RegExp(`held by process ${holder} \\("observatory" as postgres`),
    );
    assert.deepEqual((await project.files()).filter((name) => /manifest/.test(name)), []);
    await project.letGo();
    for (const run of await Promise.all([first.ended, second.ended])) {
      assert.equal(run.exit, 0, run.stderr);
    }
    const manifests = (await project.files()).filter((name) => name.endsWith(".manifest.json"));
    assert.equal(manifests.length, 2);
  },
});

Deno.test({
  name: "two backups at once: --if-locked fail is exit 6, skip is exit 0 without a backup",
  ignore,
  async fn() {
    await using project = await heldProject();
    const first = project.start(["backup", "--lock-wait", "20"]);
    const holder = await untilLocked(project);
    const failed = await project.run(["backup", "--if-locked", "fail"]);
    assert.equal(failed.exit, 6);
    assert.match(
      failed.stderr,
      new RegExp(`\\[ERROR\\] Cannot lock the backup .*process ${holder} `),
    );
    const waited = await project.run(["backup", "--lock-wait", "0.1"]);
    assert.equal(waited.exit, 6);
    const skipped = await project.run(["backup", "--if-locked", "skip"]);
    assert.deepEqual([skipped.exit, skipped.stdout], [0, "No backup was made\n"]);
    assert.match(skipped.stderr, new RegExp(`\\[WARNING\\] Backup skipped: .*process ${holder} `));
    const json = await project.run(["backup", "--if-locked", "skip", "--json"]);
    assert.equal(json.exit, 0);
    const { ok, data } = JSON.parse(json.stdout);
    assert.deepEqual([ok, data.skipped, "manifest" in data], [true, true, false]);
    assert.match(data.reason, /the lock is held by process/);
    await project.letGo();
    assert.equal((await first.ended).exit, 0);
    const manifests = (await project.files()).filter((name) => name.endsWith(".manifest.json"));
    assert.equal(manifests.length, 1);
  },
});

Deno.test({
  name: "backups of two databases do not wait for each other",
  ignore,
  async fn() {
    await using held = await heldProject();
    await using other = await backupProject({ sql: "CREATE TABLE t (n int)" });
    const first = held.start(["backup"]);
    await untilLocked(held);
    // Into the same directory, where each has a name of its own.
    const second = await other.backup(["--if-locked", "fail", "--output-dir", held.backups]);
    await held.letGo();
    assert.equal((await first.ended).exit, 0);
    assert.match(second.dump, new RegExp(`^${held.backups}/${other.database.name}_backup_`));
  },
});

Deno.test({
  name: "a migration waits for a backup, and tells for whom",
  ignore,
  async fn() {
    await using project = await heldProject();
    const backup = project.start(["backup", "--json"]);
    const holder = await untilLocked(project);
    const refused = await project.run(["migrate", "--lock-wait", "0"]);
    assert.equal(refused.exit, 6);
    assert.match(
      refused.stderr,
      new RegExp(
        `\\[ERROR\\] Cannot migrate: the database is being backed up \\(process ${holder}\\b`,
      ),
    );
    const migrate = project.start(["migrate", "--lock-wait", "20"]);
    await until(() => Promise.resolve(/Waiting for a backup/.test(migrate.stderr)));
    assert.match(
      migrate.stderr,
      new RegExp(`Waiting for a backup of the database to end \\(process ${holder}\\b`),
    );
    await project.letGo();
    const [made, migrated] = await Promise.all([backup.ended, migrate.ended]);
    assert.deepEqual([made.exit, migrated.exit], [0, 0], made.stderr + migrated.stderr);
    const { manifest } = JSON.parse(made.stdout).data;
    assert.deepEqual([manifest.migrations, manifest.warnings], [null, []]);
  },
});

Deno.test({
  name: "a backup waits for a migration, and holds what that has made",
  ignore,
  async fn() {
    await using project = await backupProject({
      files: {
        "migrations/1_first.sql": "CREATE TABLE first (n int);",
        "migrations/2_slow.sql": "SELECT pg_advisory_xact_lock(42); CREATE TABLE slow (n int);",
      },
    });
    await using gate = await sessionOf(project.database);
    await gate.query("SELECT pg_advisory_lock(42)");
    const migrate = project.start(["migrate", "--lock-wait", "20"]);
    const holder = await untilLocked(project);
    const failed = await project.run(["backup", "--if-locked", "fail"]);
    assert.equal(failed.exit, 6);
    const backup = project.start(["backup", "--json"]);
    await until(() => Promise.resolve(/Waiting for the backup lock/.test(backup.stderr)));
    assert.match(backup.stderr, new RegExp(`held by process ${holder} `));
    await gate.query("SELECT pg_advisory_unlock(42)");
    const [migrated, made] = await Promise.all([migrate.ended, backup.ended]);
    assert.deepEqual([migrated.exit, made.exit], [0, 0], migrated.stderr + made.stderr);
    const { manifest } = JSON.parse(made.stdout).data;
    assert.equal(manifest.migrations.applied, 2);
    const { version, description, checksum } = manifest.migrations.last;
    assert.deepEqual([version, description], ["2", "slow"]);
    assert.match(checksum, /^[0-9a-f]{96}$/);
  },
});

Deno.test({
  name: "an application that embeds sqlx: its migrations are waited for, without a lock of ours",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: "CREATE TABLE t (n int)" });
    await using app = await sessionOf(project.database, "the app");
    const key = sqlxLockKey(project.database.name);
    await app.query("SELECT pg_advisory_lock($1)", [key]);
    const failed = await project.run(["backup", "--if-locked", "fail"]);
    assert.equal(failed.exit, 6);
    assert.match(
      failed.stderr,
      new RegExp(
        `Cannot back up: the database is being migrated by process ${app.pid} \\("the app" as postgres\\)`,
      ),
    );
    const skipped = await project.run(["backup", "--if-locked", "skip"]);
    assert.deepEqual([skipped.exit, skipped.stdout], [0, "No backup was made\n"]);
    const late = await project.run(["backup", "--lock-wait", "0.3"]);
    assert.equal(late.exit, 6);
    const backup = project.start(["backup", "--lock-wait", "20"]);
    await until(() => Promise.resolve(/Waiting for migrations to end/.test(backup.stderr)));
    assert.match(
      backup.stderr,
      new RegExp(`which process ${app.pid} \\("the app" as postgres\\) applies`),
    );
    // A migration of this program takes sqlx's lock first and then the backups': were that held here,
    // both would wait for ever.
    await using other = await sessionOf(project.database);
    for (let look = 0; look < 5; look++) {
      const { rows: [row] } = await other.query(
        "SELECT pg_try_advisory_lock($1) AS locked, pg_advisory_unlock($1)",
        [BACKUP_LOCK_KEY],
      );
      assert.equal(row?.locked, true);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await app.query("SELECT pg_advisory_unlock($1)", [key]);
    const { exit, stderr } = await backup.ended;
    assert.equal(exit, 0, stderr);
  },
});

Deno.test({
  name: "a migration and another backup that both wait for a backup end, whoever is faster",
  ignore,
  async fn() {
    for (let round = 0; round < 2; round++) {
      await using project = await heldProject();
      const first = project.start(["backup", "--lock-wait", "20"]);
      await untilLocked(project);
      const migrate = project.start(["migrate", "--lock-wait", "20"]);
      await until(() => Promise.resolve(/Waiting for a backup/.test(migrate.stderr)));
      const second = project.start(["backup", "--lock-wait", "20"]);
      await until(() => Promise.resolve(/Waiting for the backup lock/.test(second.stderr)));
      await project.letGo();
      const runs = await Promise.all([first.ended, migrate.ended, second.ended]);
      assert.deepEqual(
        runs.map(({ exit }) => exit),
        [0, 0, 0],
        runs.map((run) => run.stderr).join(),
      );
    }
  },
});

Deno.test({
  name: "a backup whose lock is lost ends, and leaves nothing",
  ignore,
  async fn() {
    await using project = await heldProject();
    const backup = project.start(["backup", "--lock-wait", "20"]);
    const holder = await untilLocked(project);
    await project.database.query("SELECT pg_terminate_backend($1)", [holder]);
    const { exit, stderr } = await backup.ended;
    await project.letGo();
    assert.equal(exit, 5, stderr);
    assert.match(stderr, /\[ERROR\] The connection that held the backup lock was lost/);
    assert.deepEqual(await project.files(), []);
  },
});

Deno.test("watching: whoever waits for the dump is told once, and so is the dump that waits", async () => {
  await using database = await freshDatabase({
    sql: "CREATE TABLE a (n int); CREATE TABLE b (n int)",
  });
  const name = "observatory backup 1234";
  await using dump = await sessionOf(database, name);
  await dump.query("BEGIN; LOCK TABLE a IN ACCESS SHARE MODE");
  await using app = await sessionOf(database, "the app");
  await using reader = await sessionOf(database, "");
  await using locker = await sessionOf(database, "locker");
  const lines: string[] = [];
  const { promise: over, resolve: end } = Promise.withResolvers<void>();
  const watching = withContext({ database, lines }, async (ctx) => {
    const session = await ctx.db.session();
    await watchLocks(ctx, { session, name, over, pause: 10, patience: 0 });
  });
  const altered = app.query("ALTER TABLE a ADD COLUMN secret text DEFAULT 'hunter2'");
  await until(() => Promise.resolve(lines.some((line) => line.includes(`Process ${app.pid} `))));
  // Behind the statement that waits for the dump everybody else waits too.
  const read = reader.query("SELECT * FROM a");
  await locker.query("BEGIN; LOCK TABLE b");
  const dumped = dump.query("LOCK TABLE b IN ACCESS SHARE MODE");
  await until(() => Promise.resolve(lines.some((line) => line.includes("The dump has waited"))));
  await locker.query("ROLLBACK");
  await dumped;
  await new Promise((resolve) => setTimeout(resolve, 100));
  await dump.query("COMMIT");
  await Promise.all([altered, read]);
  end();
  await watching;
  const warnings = lines.filter((line) => line.startsWith("[WARNING] "));
  assert.deepEqual(warnings.map((line) => line.replace(/\d+ s /, "N s ")), [
    `[WARNING] Process ${app.pid} ("the app" as postgres) has waited N s for this backup: ` +
    "ALTER TABLE a ADD COLUMN secret text DEFAULT",
    "[WARNING] The dump has waited N s for a lock that somebody else holds",
  ]);
});
