import assert from "assert";
import { createHash } from "node:crypto";
import { migrationProject } from "../migration_project.ts";

const ROWS = "SELECT version, success FROM _sqlx_migrations ORDER BY version";

function sha384(text: string): string {
  return createHash("sha384").update(text).digest("hex");
}

Deno.test("migrate resolve: takes back the record of a broken-off migration, or completes it with the file as it is", async () => {
  const broken = "-- no-transaction\nCREATE TABLE a ();\nSELECT 1 / 0;\n";
  await using project = await migrationProject({ files: { "migrations/1_a.sql": broken } });
  assert.equal((await project.run(["migrate"])).exit, 1);

  const planned = await project.run(["migrate", "resolve", "1", "--unapplied", "--dry-run"]);
  assert.deepEqual([planned.exit, planned.stdout], [
    0,
    "Would record migration 1 as not applied\n",
  ]);
  assert.deepEqual(await project.database.query(ROWS), [{ version: "1", success: false }]);
  const taken = await project.run(["migrate", "resolve", "1", "--unapplied"]);
  assert.deepEqual([taken.exit, taken.stdout], [0, "Recorded migration 1 as not applied\n"]);
  assert.deepEqual(await project.database.query(ROWS), []);

  await project.database.query("DROP TABLE a");
  assert.equal((await project.run(["migrate"])).exit, 1);
  const mended = "-- no-transaction\nCREATE TABLE a ();\nSELECT 1;\n";
  await project.write({ "migrations/1_a.sql": mended });
  assert.equal((await project.run(["migrate", "resolve", "1", "--applied"])).exit, 0);
  const [row] = await project.database.query(
    "SELECT success, encode(checksum, 'hex') AS checksum FROM _sqlx_migrations",
  );
  assert.deepEqual(row, { success: true, checksum: sha384(mended) });
  assert.equal((await project.run(["migrate", "status", "--exit-code"])).exit, 0);

  const again = await project.run(["migrate", "resolve", "1", "--applied"]);
  assert.equal(again.stdout, "Nothing to do: migration 1 is recorded as applied already\n");
});

Deno.test("migrate resolve: records what has no row yet, and refuses what has no file", async () => {
  await using project = await migrationProject({
    files: { "migrations/7_a.sql": "CREATE TABLE a ();" },
  });
  assert.equal((await project.run(["migrate", "resolve", "7", "--applied"])).exit, 0);
  assert.deepEqual(await project.database.query(ROWS), [{ version: "7", success: true }]);
  const refused = await project.run(["migrate", "resolve", "8", "--applied"]);
  assert.equal(refused.exit, 4);
  assert.match(refused.stderr, /no migration file has this version/);
  for (const args of [["7"], ["7", "--applied", "--unapplied"], ["seven", "--applied"]]) {
    assert.equal((await project.run(["migrate", "resolve", ...args])).exit, 2, args.join(" "));
  }
});

Deno.test("migrate repair: accepts changes of form, and others only where they are named", async () => {
  await using project = await migrationProject({
    files: { "migrations/1_a.sql": "SELECT 1;\n", "migrations/2_b.sql": "SELECT 2;\n" },
  });
  assert.equal((await project.run(["migrate"])).exit, 0);
  await project.write({
    "migrations/1_a.sql": "\ufeffSELECT 1;\r\n",
    "migrations/2_b.sql": "SELECT 3;\n",
  });
  const before = await project.run(["migrate"]);
  assert.equal(before.exit, 4);
  assert.match(
    before.stderr,
    /1_a\.sql" was changed after it was applied \(only its line endings and byte order mark\)/,
  );

  const planned = await project.run(["migrate", "repair", "--dry-run"]);
  assert.match(
    planned.stdout,
    /^Would accept .*1_a\.sql \(only its line endings and byte order mark changed\)\n$/,
  );
  const repaired = await project.run(["migrate", "repair"]);
  assert.equal(repaired.exit, 3);
  assert.match(
    repaired.stderr,
    /2_b\.sql" was changed in more than its form .* --force 2 accepts it/,
  );
  const forced = await project.run(["migrate", "repair", "--force", "2"]);
  assert.equal(forced.exit, 0, forced.stderr);
  assert.equal((await project.run(["migrate"])).exit, 0);
  const again = await project.run(["migrate", "repair"]);
  assert.equal(again.stdout, "Nothing to repair: no applied file was changed\n");
});

Deno.test("migrate baseline: records everything up to a version, as sqlx's override does, and no more", async () => {
  await using project = await migrationProject({
    files: {
      "migrations/1_a.sql": "CREATE TABLE a ();",
      "migrations/2_b_b.up.sql": "CREATE TABLE b ();",
      "migrations/3_c.sql": "CREATE TABLE c ();",
    },
  });
  await project.database.query("CREATE TABLE a (); CREATE TABLE b ()");
  const planned = await project.run(["migrate", "baseline", "2", "--dry-run"]);
  assert.equal(planned.exit, 0, planned.stderr);
  assert.match(planned.stdout, /^Would record 1 a .*\nWould record 2 b b /);
  assert.equal((await project.run(["migrate", "baseline", "2"])).exit, 0);
  assert.deepEqual(
    await project.database.query(
      "SELECT version, description, success, encode(checksum, 'hex') AS checksum, execution_time " +
        "FROM _sqlx_migrations ORDER BY version",
    ),
    [
      {
        version: "1",
        description: "a",
        success: true,
        checksum: sha384("CREATE TABLE a ();"),
        execution_time: "-1",
      },
      {
        version: "2",
        description: "b b",
        success: true,
        checksum: sha384("CREATE TABLE b ();"),
        execution_time: "-1",
      },
    ],
  );
  const { exit, stdout } = await project.run(["migrate"]);
  assert.equal(exit, 0);
  assert.match(stdout, /^Applied 3 c \(\d+ ms\)\n$/);
  assert.equal((await project.run(["migrate", "baseline", "9"])).exit, 4);
  assert.match((await project.run(["migrate", "baseline", "3"])).stdout, /^Nothing to record/);
});
