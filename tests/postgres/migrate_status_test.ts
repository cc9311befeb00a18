import assert from "assert";
import { type MigrationProject, migrationProject } from "../migration_project.ts";

interface StatusLine {
  readonly version: string;
  readonly state: string;
  readonly out_of_order: boolean;
  readonly applied_at: string | null;
  readonly checksum: string | null;
}

interface Status {
  readonly applied: number;
  readonly pending: number;
  readonly last_applied_at: string | null;
  readonly migrations: readonly StatusLine[];
  readonly problems: readonly { readonly code: string }[];
}

async function statusOf(project: MigrationProject): Promise<Status> {
  const { stdout } = await project.run(["migrate", "status", "--json"]);
  return JSON.parse(stdout).data;
}

Deno.test("migrate status: shows what is applied and pending, with checksums and the last date", async () => {
  await using project = await migrationProject({
    files: { "migrations/1_first_one.sql": "SELECT 1;", "migrations/20_later.sql": "SELECT 2;" },
  });
  await project.run(["migrate", "--to", "1"]);
  const { exit, stdout, stderr } = await project.run(["migrate-status"]);
  assert.equal(exit, 0, stderr);
  const [heading, first, second, , summary] = stdout.split("\n");
  assert.match(heading ?? "", /^VERSION {2}STATE +APPLIED AT +CHECKSUM +DESCRIPTION$/);
  assert.match(
    first ?? "",
    /^1 +applied +\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ +[0-9a-f]{12} +first one$/,
  );
  assert.match(second ?? "", /^20 +pending +- +[0-9a-f]{12} +later$/);
  assert.match(summary ?? "", /^1 applied, 1 pending; last migration: \d{4}-\d\d-\d\dT[\d:]+Z$/);
});

Deno.test("migrate status: writes nothing, and needs no table", async () => {
  await using project = await migrationProject({ files: { "migrations/1_a.sql": "SELECT 1;" } });
  const { applied, pending, last_applied_at } = await statusOf(project);
  assert.deepEqual({ applied, pending, last_applied_at }, {
    applied: 0,
    pending: 1,
    last_applied_at: null,
  });
  const [table] = await project.database.query("SELECT to_regclass('_sqlx_migrations') AS found");
  assert.deepEqual(table, { found: null });
});

Deno.test("migrate status: tells everything that is not in order, and ends with 3 when asked to", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_gone.sql": "SELECT 1;",
      "migrations/2_changed.sql": "SELECT 2;",
      "migrations/4_dirty.sql": "SELECT 4;",
    },
  });
  assert.equal((await project.run(["migrate"])).exit, 0);
  assert.equal((await project.run(["migrate", "status", "--exit-code"])).exit, 0);
  await project.database.query("UPDATE _sqlx_migrations SET success = false WHERE version = 4");
  await project.remove("migrations/1_gone.sql");
  await project.write({
    "migrations/2_changed.sql": "SELECT 'two';",
    "migrations/3_late.sql": "SELECT 3;",
    "migrations/seed_users.sql": "SELECT 5;",
  });
  const { migrations, problems } = await statusOf(project);
  assert.deepEqual(
    migrations.map(({ version, state, out_of_order }) => [version, state, out_of_order]),
    [
      ["1", "missing", false],
      ["2", "changed", false],
      ["3", "pending", true],
      ["4", "dirty", false],
    ],
  );
  assert.deepEqual(problems.map(({ code }) => code), [
    "dirty",
    "missing_file",
    "checksum_changed",
    "out_of_order",
    "unversioned_file",
  ]);
  assert.equal((await project.run(["migrate", "status"])).exit, 0);
  const { exit, stderr } = await project.run(["migrate", "status", "--exit-code"]);
  assert.equal(exit, 3);
  assert.match(stderr, /1 migration is pending/);
  assert.match(stderr, /Migration 4 \(dirty\) is recorded as broken off half-way/);
});

Deno.test("migrate status: hashes large files too", async () => {
  const text = `-- ${"x".repeat(2 << 20)}\nSELECT 1;\n`;
  await using project = await migrationProject({ files: { "migrations/1_large.sql": text } });
  assert.equal((await project.run(["migrate"])).exit, 0);
  assert.equal((await statusOf(project)).migrations[0]?.state, "applied");
  await project.write({ "migrations/1_large.sql": `${text}\n` });
  assert.equal((await statusOf(project)).migrations[0]?.state, "changed");
});
