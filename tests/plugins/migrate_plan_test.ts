import assert from "assert";
import { fakeHost } from "../../core/testing.ts";
import { sha384 } from "../../plugins/migrate/contents.ts";
import { listMigrationFiles } from "../../plugins/migrate/files.ts";
import type { AppliedMigration } from "../../plugins/migrate/history.ts";
import { type Plan, planMigrations } from "../../plugins/migrate/plan.ts";

interface Situation {
  /** The files in `m/`. */
  readonly files: readonly string[];
  /** Applied versions; negative success is told by `dirty`. */
  readonly applied?: readonly number[];
  readonly dirty?: readonly number[];
  /** Versions whose file is another than the applied one, with its present and applied text. */
  readonly changed?: Readonly<Record<number, readonly [present: string, applied: string]>>;
  readonly to?: number;
  readonly ignoreMissing?: boolean;
  readonly strict?: boolean;
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

async function planOf(situation: Situation): Promise<Plan> {
  const { applied = [], dirty = [], changed = {} } = situation;
  const stored = Object.fromEntries(situation.files.map((name) => [`m/${name}`, ""]));
  const files = await listMigrationFiles(fakeHost({ files: { ...stored, "m/.keep": "" } }).files, [
    "m",
  ]);
  const rows = applied.map((version): [bigint, AppliedMigration] => [BigInt(version), {
    version: BigInt(version),
    description: `d${version}`,
    success: !dirty.includes(version),
    checksum: sha384(bytesOf(changed[version]?.[1] ?? "")),
  }]);
  const presentOf = (version: bigint) => bytesOf(changed[Number(version)]?.[0] ?? "");
  return planMigrations({
    files,
    history: applied.length === 0 ? undefined : new Map(rows),
    checksumOf: (version) => sha384(presentOf(version)),
    bytesOf: presentOf,
    to: situation.to === undefined ? undefined : BigInt(situation.to),
    ignoreMissing: situation.ignoreMissing ?? false,
    strict: situation.strict ?? false,
  });
}

function versions(files: readonly { readonly version: bigint }[]): number[] {
  return files.map(({ version }) => Number(version));
}

function codes({ problems }: Plan): string[] {
  return problems.map(({ code }) => code);
}

Deno.test("planMigrations: takes what has no row, in order of the versions", async () => {
  const plan = await planOf({
    files: ["10_j.sql", "2_b.up.sql", "1_a.sql", "2_b.down.sql"],
    applied: [1],
  });
  assert.deepEqual(versions(plan.pending), [2, 10]);
  assert.deepEqual([plan.applied, plan.problems, plan.warnings], [1, [], []]);
});

Deno.test("planMigrations: never takes a down file for a migration that is pending", async () => {
  const plan = await planOf({ files: ["1_a.down.sql", "2_b.sql"] });
  assert.deepEqual(versions(plan.pending), [2]);
});

Deno.test("planMigrations: stops after the version asked for", async () => {
  const plan = await planOf({ files: ["1_a.sql", "2_b.sql", "3_c.sql"], applied: [1], to: 2 });
  assert.deepEqual([versions(plan.pending), versions(plan.beyond)], [[2], [3]]);
  assert.deepEqual(plan.problems, []);
});

Deno.test("planMigrations: refuses a version that no file has, and one below the newest applied", async () => {
  const files = ["1_a.sql", "2_b.sql", "3_c.sql"];
  assert.deepEqual(codes(await planOf({ files, to: 9 })), ["unknown_version"]);
  assert.deepEqual(codes(await planOf({ files, applied: [1, 2, 3], to: 1 })), ["target_is_older"]);
  assert.deepEqual(codes(await planOf({ files, applied: [1, 2], to: 2 })), []);
});

Deno.test("planMigrations: refuses applied migrations whose files are gone, unless told otherwise", async () => {
  const situation = { files: ["3_c.sql"], applied: [1, 2] };
  const plan = await planOf(situation);
  assert.deepEqual(plan.problems.map(({ code, version }) => [code, version]), [
    ["missing_file", "1"],
    ["missing_file", "2"],
  ]);
  const ignoring = await planOf({ ...situation, ignoreMissing: true });
  assert.deepEqual([ignoring.problems, versions(ignoring.pending)], [[], [3]]);
});

Deno.test("planMigrations: takes a down file alone for the file of an applied migration, as sqlx does", async () => {
  assert.deepEqual((await planOf({ files: ["1_a.down.sql"], applied: [1] })).problems, []);
});

Deno.test("planMigrations: refuses dirty rows, with or without their files", async () => {
  const plan = await planOf({
    files: ["1_a.sql"],
    applied: [1, 2],
    dirty: [2],
    ignoreMissing: true,
  });
  assert.deepEqual(plan.problems.map(({ code, version }) => [code, version]), [["dirty", "2"]]);
  assert.match(plan.problems[0]?.hint ?? "", /migrate resolve 2 --unapplied/);
});

Deno.test("planMigrations: finds every changed file, and tells changes of line ends from others", async () => {
  const plan = await planOf({
    files: ["1_a.sql", "2_b.sql", "3_c.sql"],
    applied: [1, 2],
    changed: { 1: ["SELECT 2;\n", "SELECT 1;\n"], 2: ["SELECT 1;\r\n", "SELECT 1;\n"] },
  });
  assert.deepEqual(codes(plan), ["checksum_changed", "checksum_changed"]);
  assert.match(plan.problems[0]?.hint ?? "", /former contents/);
  assert.match(plan.problems[1]?.message ?? "", /only its line endings/);
  assert.match(plan.problems[1]?.hint ?? "", /migrate repair/);
});

Deno.test("planMigrations: warns of migrations out of order, and refuses them when strict", async () => {
  const situation = { files: ["1_a.sql", "2_b.sql", "3_c.sql", "4_d.sql"], applied: [1, 3] };
  const plan = await planOf(situation);
  assert.deepEqual([versions(plan.pending), plan.problems], [[2, 4], []]);
  assert.deepEqual(plan.warnings, [
    'Out of order: "m/2_b.sql" is pending, but older than 3, which is applied',
  ]);
  const strict = await planOf({ ...situation, strict: true });
  assert.deepEqual([codes(strict), strict.warnings], [["out_of_order"], []]);
});

Deno.test("planMigrations: gives one warning for all names without a version, and refuses them when strict", async () => {
  const situation = { files: ["1_a.sql", "seed_a.sql", "test_b.sql"] };
  const plan = await planOf(situation);
  assert.equal(plan.warnings.length, 1);
  assert.match(plan.warnings[0] ?? "", /2 files .*"m\/seed_a\.sql", "m\/test_b\.sql"/);
  assert.deepEqual(codes(await planOf({ ...situation, strict: true })), ["unversioned_file"]);
});

Deno.test("planMigrations: reports all problems together", async () => {
  const plan = await planOf({
    files: ["1_a.sql", "1_b.sql", "2_c.sql"],
    applied: [2, 3, 4],
    dirty: [4],
    changed: { 2: ["now", "then"] },
    to: 9,
  });
  assert.deepEqual(codes(plan), [
    "duplicate_version",
    "dirty",
    "missing_file",
    "missing_file",
    "checksum_changed",
    "unknown_version",
  ]);
});
