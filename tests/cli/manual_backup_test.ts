/**
 * The manual of the system that is replaced, its backup section block by block: the lines as they
 * stand there, against the migrations and seeds that are shipped and a real S3 server.
 */
import assert from "assert";
import { join } from "node:path";
import type { Manifest } from "../../plugins/repository/manifest.ts";
import { backupFiles, writeFiles } from "../backup_files.ts";
import { clientToolsMissing } from "../database.ts";
import { forEachKind, type Kind } from "../program.ts";
import { type Installation, installation } from "./manual_installation.ts";

const missing = await clientToolsMissing();

/** An installation that is migrated and seeded. */
async function filled(kind: Kind): Promise<Installation> {
  const manual = await installation(kind);
  await manual.works(["migrate"]);
  await manual.works(["seed"]);
  return manual;
}

/** Runs a line of the manual; its manifest, and what stands in its place afterwards. */
async function made(
  manual: Installation,
  args: readonly string[],
  directory = "backups",
): Promise<{ manifest: Manifest; names: string[]; locations: string[] }> {
  const { stdout } = await manual.works([...args, "--json"]);
  const { data } = JSON.parse(stdout);
  const names: string[] = [];
  for await (const { name } of Deno.readDir(join(manual.directory, directory))) {
    if (name.startsWith(`${data.manifest.id}.`)) names.push(name.slice(data.manifest.id.length));
  }
  return { manifest: data.manifest, names: names.sort(), locations: data.locations };
}

forEachKind("manual, backup: every format, with the names of the manual", async (kind) => {
  await using manual = await filled(kind);
  const started = Date.now();
  const basic = await made(manual, ["backup"]);
  assert.deepEqual(basic.names, [".dump", ".manifest.json"]);
  const [, database, time = ""] = /^(.*)_backup_(\d{8}_\d{6})$/.exec(basic.manifest.id) ?? [];
  assert.equal(database, manual.name);
  // The time is told in UTC, whatever the machine's zone is.
  const [year, month, day, hour, minute, second] = /^(....)(..)(..)_(..)(..)(..)$/.exec(time)
    ?.slice(1).map(Number) ?? [];
  const utc = Date.UTC(year ?? 0, (month ?? 0) - 1, day, hour, minute, second);
  assert.ok(Math.abs(utc - started) < 60_000, basic.manifest.id);
  assert.equal(basic.manifest.kind, "full");

  const plain = await made(manual, ["backup", "--format", "plain"]);
  assert.deepEqual(plain.names, [".manifest.json", ".sql"]);
  const compressed = await made(manual, ["backup", "--format", "plain", "--compress"]);
  assert.deepEqual(compressed.names, [".manifest.json", ".sql.gz"]);
  const directory = await made(manual, ["backup", "--format", "directory", "--jobs", "8"]);
  assert.deepEqual(directory.names, [".dir", ".manifest.json"]);
  const schema = await made(manual, ["backup", "--schema-only"]);
  assert.match(schema.manifest.id, /_\d{6}_schema$/);
  assert.equal(schema.manifest.kind, "schema");
  const data = await made(manual, ["backup", "--data-only"]);
  assert.match(data.manifest.id, /_\d{6}_data$/);
  for (const { manifest } of [basic, plain, compressed, directory, data]) {
    assert.equal(manifest.tables.find(({ name }) => name === "models")?.rows, 50, manifest.id);
  }
  const { stdout } = await manual.works(["backup", "list", "--json"]);
  assert.equal(JSON.parse(stdout).data.backups.length, 6);
}, { missing });

forEachKind("manual, backup: specific tables, and all but some", async (kind) => {
  await using manual = await filled(kind);
  const names = ({ tables }: Manifest) => tables.map(({ name }) => name).sort();
  const some = await made(manual, ["backup", "--tables", "projects,models,traces"]);
  assert.deepEqual(names(some.manifest), ["models", "projects", "traces"]);
  assert.equal(some.manifest.kind, "partial");
  const others = await made(manual, ["backup", "--exclude-table", "logs"]);
  assert.ok(!names(others.manifest).includes("logs"));
  assert.ok(names(others.manifest).includes("models"));
  await manual.database.query("CREATE TABLE large_log_table (); CREATE TABLE temp_data ()");
  const smaller = await made(manual, [
    "backup",
    "--exclude-table",
    "large_log_table",
    "--exclude-table",
    "temp_data",
  ]);
  assert.ok(!names(smaller.manifest).some((name) => /large_log_table|temp_data/.test(name)));
  const typo = await manual.cli(["backup", "--exclude-table", "large_log_tabel"]);
  assert.equal(typo.code, 2, typo.stderr);
  assert.match(typo.stderr, /no table matches "large_log_tabel"/);
}, { missing });

forEachKind("manual, backup: to S3, and the backup workflow", async (kind) => {
  await using manual = await filled(kind);
  const { bucket } = manual;
  const uploaded = await made(manual, ["backup", "--s3-upload"]);
  assert.deepEqual(uploaded.locations, [
    "./backups",
    `s3://${bucket.name}/production/backups`,
  ]);
  const keys = (await bucket.objects()).map(({ key }) => key).sort();
  assert.deepEqual(keys, [
    `production/backups/${uploaded.manifest.id}.dump`,
    `production/backups/${uploaded.manifest.id}.manifest.json`,
  ]);
  const custom = await made(manual, ["backup", "--format", "custom", "--s3-upload"]);
  assert.equal(custom.locations.length, 2);
  const before = await made(
    manual,
    ["backup", "--format", "custom", "--output-dir", "backups/pre-deployment"],
    "backups/pre-deployment",
  );
  assert.deepEqual(before.names, [".dump", ".manifest.json"]);
  const schema = await made(
    manual,
    ["backup", "--schema-only", "--format", "plain", "--output-dir", "backups/schemas"],
    "backups/schemas",
  );
  assert.deepEqual(schema.names, [".manifest.json", ".sql"]);
  assert.match(schema.manifest.id, /_schema$/);
  await manual.works(["backup", "verify", "latest", "--where", "s3"]);
}, { missing });

forEachKind("manual, retention: what is older than BACKUP_RETENTION_DAYS goes", async (kind) => {
  await using manual = await filled(kind);
  const { manifest: { source } } = await made(manual, ["backup"]);
  const directory = join(manual.directory, "backups");
  // Older ones of the same database, made by hand; the manual's setting is 30 days.
  const old = [];
  for (const days of [29, 31, 60]) {
    const time = Date.now() - days * 86_400_000;
    const backup = backupFiles({ database: manual.name, time, manifest: { source } });
    await writeFiles(directory, backup.files);
    old.push(backup.id);
  }
  const { stdout } = await manual.works(["backup", "--json"], { env: { BACKUP_MIN_KEEP: "1" } });
  const pruned: { id: string }[] = JSON.parse(stdout).data.pruned;
  assert.deepEqual(pruned.map(({ id }) => id).sort(), old.slice(1).sort());
  const listed = await manual.works(["backup", "list", "--where", "local", "--json"]);
  const ids = JSON.parse(listed.stdout).data.backups.map(({ id }: { id: string }) => id);
  assert.deepEqual([ids.length, ids.includes(old[0])], [3, true]);
}, { missing });
