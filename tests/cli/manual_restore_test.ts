/**
 * The manual of the system that is replaced, its blocks on restores: the lines as they stand there,
 * but for the names of the files, which backups choose by themselves.
 */
import assert from "assert";
import { join } from "node:path";
import { clientToolsMissing, openDatabase, sharedServer } from "../database.ts";
import { forEachKind, type Kind } from "../program.ts";
import { type Installation, installation } from "./manual_installation.ts";

const missing = await clientToolsMissing();

/** An installation that is migrated and seeded, and has a backup. */
async function backedUp(
  kind: Kind,
  args: readonly string[] = [],
): Promise<{ manual: Installation; name: string }> {
  const manual = await installation(kind);
  await manual.works(["migrate"]);
  await manual.works(["seed"]);
  const { stdout } = await manual.works(["backup", ...args, "--json"]);
  const { manifest } = JSON.parse(stdout).data;
  // The first file of a directory stands for it.
  const name = manifest.files[0].name.replace(/\/.*$/, "");
  return { manual, name };
}

/** Removes all that is in the database, and the files of migrations stay where they are. */
async function emptied({ name }: Installation): Promise<void> {
  const admin = openDatabase(await sharedServer(), "postgres");
  await admin.query(`DROP DATABASE "${name}" WITH (FORCE)`);
  await admin.query(`CREATE DATABASE "${name}" TEMPLATE template0 STRATEGY file_copy`);
}

async function requireWhole(manual: Installation): Promise<void> {
  assert.equal(await manual.value("SELECT count(*)::int FROM models"), 50);
  const status = JSON.parse((await manual.works(["migrate", "status", "--json"])).stdout);
  assert.equal(status.data.pending ?? 0, 0, JSON.stringify(status.data).slice(0, 500));
}

forEachKind("manual, restore: basic, interactive", async (kind) => {
  const { manual, name } = await backedUp(kind);
  await using _ = manual;
  // Nobody is there to be asked, and something would be lost: the objects are in the way.
  const refused = await manual.cli(["restore", `backups/${name}`]);
  assert.equal(refused.code, 4, refused.stderr);
  assert.match(refused.stderr, /objects are there already.*\nHint: --clean drops them first/);
  await emptied(manual);
  await manual.works(["restore", `backups/${name}`]);
  await requireWhole(manual);
}, { missing });

forEachKind("manual, restore: forced, and clean", async (kind) => {
  const { manual, name } = await backedUp(kind);
  await using _ = manual;
  await emptied(manual);
  await manual.works(["restore", `backups/${name}`, "--force"]);
  await requireWhole(manual);
  await manual.database.query("TRUNCATE models CASCADE; CREATE TABLE mine (n int)");
  // Without a terminal there is no confirmation but the flag.
  const asked = await manual.cli(["restore", `backups/${name}`, "--clean"]);
  assert.equal(asked.code, 4, asked.stderr);
  assert.match(asked.stderr, /Hint: To go on: .* --clean --confirm /);
  assert.equal(await manual.value("SELECT count(*)::int FROM models"), 0);
  await manual.works(["restore", `backups/${name}`, "--clean", "--force"]);
  await requireWhole(manual);
  assert.equal(await manual.value("SELECT count(*)::int FROM mine"), 0);
}, { missing });

forEachKind("manual, restore: the database is created first", async (kind) => {
  const { manual, name } = await backedUp(kind);
  await using _ = manual;
  const admin = openDatabase(await sharedServer(), "postgres");
  await admin.query(`DROP DATABASE "${manual.name}" WITH (FORCE)`);
  await manual.works(["restore", `backups/${name}`, "--create"]);
  await requireWhole(manual);
}, { missing });

forEachKind("manual, restore: in steps, schema and then data", async (kind) => {
  const { manual, name } = await backedUp(kind);
  await using _ = manual;
  await emptied(manual);
  await manual.works(["restore", name, "--schema-only"]);
  assert.equal(await manual.value("SELECT count(*)::int FROM models"), 0);
  await manual.works(["restore", name, "--data-only", "--force"]);
  await requireWhole(manual);
  // A second time the rows would be there twice.
  const twice = await manual.cli(["restore", name, "--data-only", "--force"]);
  assert.equal(twice.code, 4, twice.stderr);
  assert.match(twice.stderr, /hold rows, which would be there twice/);
  await requireWhole(manual);
}, { missing });

forEachKind("manual, restore: a directory by eight jobs", async (kind) => {
  const { manual, name } = await backedUp(kind, ["--format", "directory", "--jobs", "8"]);
  await using _ = manual;
  await emptied(manual);
  await manual.works(["restore", `backups/${name}`, "--jobs", "8", "--force"]);
  await requireWhole(manual);
}, { missing });

forEachKind("manual, disaster recovery, and migration between environments", async (kind) => {
  const { manual, name } = await backedUp(kind, ["--format", "custom", "--s3-upload"]);
  await using _ = manual;
  // The machine is lost, with its backups and its database.
  await Deno.remove(join(manual.directory, "backups"), { recursive: true });
  const admin = openDatabase(await sharedServer(), "postgres");
  await admin.query(`DROP DATABASE "${manual.name}" WITH (FORCE)`);
  await manual.works(["restore", name, "--s3-download", "--create", "--force"]);
  await manual.works(["verify"]);
  await requireWhole(manual);
  await manual.database.query("TRUNCATE models CASCADE");
  await manual.works(["restore", name, "--s3-download", "--clean", "--force"]);
  await requireWhole(manual);
  await manual.database.query("TRUNCATE models CASCADE");
  // The old flags alone, as under "Restore fails with errors".
  await manual.works(["restore", name, "--s3-download"], { env: {} }).then(
    () => assert.fail("it restores over what is there"),
    (error) => assert.match(String(error), /--clean drops them first/),
  );
}, { missing });

forEachKind("manual, restore: a test of the procedure, by the latest backup", async (kind) => {
  const { manual } = await backedUp(kind);
  await using _ = manual;
  const copy = openDatabase(await sharedServer(), `${manual.name}_copy`);
  try {
    await manual.works(["restore", "latest", "--into", copy.name]);
    const [row] = await copy.query("SELECT count(*)::int AS n FROM models");
    assert.deepEqual(row, { n: 50 });
    await requireWhole(manual);
  } finally {
    await copy.drop();
  }
}, { missing });
