import assert from "assert";
import { migrationProject } from "../migration_project.ts";

const VERSIONS = "SELECT version::int FROM _sqlx_migrations ORDER BY version";

function pairs(...names: string[]): Record<string, string> {
  return Object.fromEntries(names.flatMap((name, index) => [
    [`migrations/${index + 1}_${name}.up.sql`, `CREATE TABLE ${name} ();`],
    [`migrations/${index + 1}_${name}.down.sql`, `DROP TABLE ${name};`],
  ]));
}

Deno.test("migrate rollback: takes back the last one, then several, then all above a version", async () => {
  await using project = await migrationProject({ files: pairs("a", "b", "c", "d", "e") });
  await project.run(["migrate"]);
  const versions = async () =>
    (await project.database.query<{ version: number }>(VERSIONS)).map(({ version }) => version);
  const one = await project.run(["migrate-rollback"]);
  assert.match(one.stdout, /^Rolled back 5 e \(\d+ ms\)\n$/);
  assert.match(
    one.stderr,
    /\[INFO\] Rolling back the last migration\.\.\.\n\[SUCCESS\] Rollback completed/,
  );
  const two = await project.run(["migrate", "rollback", "--steps", "2"]);
  assert.match(two.stdout, /^Rolled back 4 d .*\nRolled back 3 c .*\n$/);
  assert.deepEqual(await versions(), [1, 2]);
  const dry = await project.run(["migrate", "rollback", "--to", "0", "--dry-run"]);
  assert.equal(dry.stdout, "Would roll back 2 b\nWould roll back 1 a\n");
  const to = await project.run(["migrate", "rollback", "--to", "1"]);
  assert.equal(to.exit, 0, to.stderr);
  assert.deepEqual(await versions(), [1]);
  assert.equal(
    (await project.run(["migrate", "rollback", "--to", "1"])).stdout,
    "Nothing to roll back: no migration above 1 is applied\n",
  );
  assert.equal((await project.run(["migrate", "rollback", "--to", "0"])).exit, 0);
  const none = await project.run(["migrate", "rollback"]);
  assert.deepEqual([none.exit, none.stdout], [
    0,
    "Nothing to roll back: no migration is applied\n",
  ]);
  assert.equal((await project.run(["migrate"])).exit, 0);
  assert.deepEqual(await versions(), [1, 2, 3, 4, 5]);
});

Deno.test("migrate rollback: takes back nothing at all when one of them has no down file", async () => {
  await using project = await migrationProject({ files: pairs("a", "b", "c") });
  await project.run(["migrate"]);
  await project.remove("migrations/2_b.down.sql");
  const { exit, stderr } = await project.run(["migrate", "rollback", "--steps", "3"]);
  assert.equal(exit, 4);
  assert.match(stderr, /Migration 2 \(b\) has no down file/);
  assert.match(stderr, /Write "2_b\.down\.sql"/);
  assert.equal((await project.database.query(VERSIONS)).length, 3);
});

Deno.test("migrate rollback: removes the record in the down file's transaction, its own BEGIN or not", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_a.up.sql": "CREATE TABLE a ();",
      "migrations/1_a.down.sql": "BEGIN;\nDROP TABLE a;\nDROP TABLE nothing;\nCOMMIT;\n",
    },
  });
  await project.run(["migrate"]);
  const failed = await project.run(["migrate", "rollback"]);
  assert.equal(failed.exit, 1);
  assert.match(
    failed.stderr,
    /Cannot roll back .*1_a\.down\.sql:3:1: table "nothing" does not exist/,
  );
  assert.deepEqual(await project.database.query(VERSIONS), [{ version: 1 }]);
  await project.write({ "migrations/1_a.down.sql": "BEGIN;\nDROP TABLE a;\nCOMMIT;\n" });
  assert.equal((await project.run(["migrate", "rollback"])).exit, 0);
  assert.deepEqual(await project.database.query(VERSIONS), []);
});

Deno.test("migrate rollback: warns when what was applied is not what the file holds", async () => {
  await using project = await migrationProject({ files: pairs("a") });
  await project.run(["migrate"]);
  await project.write({ "migrations/1_a.up.sql": "CREATE TABLE a (id int);" });
  const { exit, stderr } = await project.run(["migrate", "rollback"]);
  assert.equal(exit, 0);
  assert.match(stderr, /\[WARNING\] The file .*1_a\.up\.sql" was changed after it was applied/);
});

Deno.test("migrate rollback: refuses flags that make no sense", async () => {
  await using project = await migrationProject({ files: pairs("a") });
  for (
    const flags of [["--steps", "0"], ["--steps", "1.5"], ["--steps", "1", "--to", "0"], [
      "--to",
      "x",
    ]]
  ) {
    assert.equal((await project.run(["migrate", "rollback", ...flags])).exit, 2, flags.join(" "));
  }
  assert.equal((await project.run(["migrate", "rollback", "--to", "9"])).exit, 4);
});

Deno.test("migrate rollback: works on a database that was never migrated, and makes no table there", async () => {
  await using project = await migrationProject({ files: pairs("a") });
  const { exit, stdout } = await project.run(["migrate", "rollback"]);
  assert.deepEqual([exit, stdout], [0, "Nothing to roll back: no migration is applied\n"]);
  const [table] = await project.database.query("SELECT to_regclass('_sqlx_migrations') AS found");
  assert.deepEqual(table, { found: null });
});
