/** Manifests and results as they are read, and as their JSON Schemas say: both must agree. */
import assert from "assert";
import { join } from "node:path";
import { OperationError } from "../../core/plugin.ts";
import type { Manifest } from "../../plugins/repository/manifest.ts";
import { backupId, fileRole, parseBackupName } from "../../plugins/repository/names.ts";
import { parseManifest, sealed } from "../../plugins/repository/read_manifest.ts";
import { parseVerification, verificationName } from "../../plugins/repository/verification.ts";
import { backupFiles, FIRST, resultOf } from "../backup_files.ts";
import { manifestProblems, SCHEMAS, verificationProblems } from "../manifest_schema.ts";

/** Every part that a manifest can have. */
const { id, manifest: FULL } = backupFiles({
  files: { ".sql.zst.age": "dump", ".globals.sql.age": "roles" },
  manifest: {
    format: "plain",
    compression: { method: "zstd", level: -3 },
    plaintext: { size: 4, sha256: "0".repeat(64) },
    encryption: { method: "age", recipients: ["age1qqqq"] },
    globals: "llm_observatory_backup_20240101_120000.globals.sql.age",
    note: "before the upgrade",
    warnings: ["one"],
    timescaledb: {
      version: "2.17.2",
      hypertables: [{ schema: "public", name: "traces", chunks: 9, compressed_chunks: 4 }],
      continuous_aggregates: [{ schema: "public", name: "hourly" }],
      jobs: [{ id: 1000, owner: "postgres", procedure: "policy_retention" }],
    },
  },
});

const EMPTY = sealed({
  ...FULL,
  source: { ...FULL.source, system_identifier: null, lsn: null },
  compression: { method: "none", level: null },
  files: FULL.files.slice(0, 1),
  plaintext: null,
  encryption: null,
  globals: null,
  timescaledb: null,
  tables: [],
  sequences: [{ schema: "public", name: "unused", last_value: null }],
  migrations: { applied: 0, last: null },
});

/** Why a manifest is refused; undefined when it is not. An object is one that was written so. */
function refusal(value: unknown, name = id): string | undefined {
  return reasonOf(() =>
    parseManifest(typeof value === "string" ? value : JSON.stringify(resealed(value)), name)
  );
}

/** With the checksum that it would have been written with, if it has one of that form. */
function resealed(value: unknown): unknown {
  const whole = typeof value === "object" && value !== null && "checksum" in value &&
    /^[0-9a-f]{64}$/.test(String(value.checksum));
  return whole ? sealed(value as Manifest) : value;
}

function reasonOf(read: () => unknown): string | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    assert(error instanceof OperationError, String(error));
    assert.match(error.message, /^Cannot read the (manifest|verification) of backup "/);
    return String(error.details["reason"]);
  }
}

type Json = { [key: string]: unknown } | unknown[];

/** All places in a value, as paths of keys. */
function* placesIn(value: unknown, path: string[] = []): Generator<string[]> {
  if (path.length > 0) yield path;
  if (typeof value !== "object" || value === null) return;
  for (const [key, each] of Object.entries(value)) yield* placesIn(each, [...path, key]);
}

/** A copy in which what is at a path is changed. */
function changed(
  value: unknown,
  path: string[],
  change: (parent: Json, key: string) => void,
): unknown {
  const copy = structuredClone(value);
  let parent = copy as Json;
  for (const key of path.slice(0, -1)) parent = Reflect.get(parent, key);
  change(parent, path.at(-1) ?? "");
  return copy;
}

Deno.test("parseManifest: reads what it is written as, and the schema agrees", () => {
  for (const manifest of [FULL, EMPTY, backupFiles().manifest]) {
    assert.deepEqual(parseManifest(JSON.stringify(manifest), id), manifest);
    assert.deepEqual(manifestProblems(manifest), []);
  }
});

Deno.test("parseManifest: each member that is missing or of another type is named, and the schema agrees", () => {
  let tried = 0;
  for (const path of placesIn(FULL)) {
    const where = path.map((key) => /^\d+$/.test(key) ? `[${key}]` : `.${key}`).join("").slice(1);
    const isMember = !/^\d+$/.test(path.at(-1) ?? "");
    const without = changed(FULL, path, (parent, key) => Reflect.deleteProperty(parent, key));
    if (isMember) {
      assert.equal(refusal(without), `${where} is missing`);
      assert.notDeepEqual(manifestProblems(without), [], where);
    }
    // An object is of no other type that is asked for.
    const other = changed(FULL, path, (parent, key) => Reflect.set(parent, key, { "": true }));
    const told = refusal(other) ?? "";
    assert([" ", ".", "["].some((next) => told.startsWith(`${where}${next}`)), `${where}: ${told}`);
    assert.notDeepEqual(manifestProblems(other), [], where);
    tried++;
  }
  assert(tried > 100, String(tried));
});

Deno.test("manifest.schema.json: allows no further members, which a reader passes over", () => {
  for (
    const path of [["more"], ["source", "more"], ["files", "0", "more"], ["tables", "0", "more"]]
  ) {
    const more = changed(FULL, path, (parent, key) => Reflect.set(parent, key, 1));
    assert.deepEqual(manifestProblems(more).map(({ keyword }) => keyword), [
      "additionalProperties",
    ]);
    assert.equal(refusal(more), undefined);
  }
});

Deno.test("parseManifest: values of the right type that cannot be are refused, and the schema agrees", () => {
  for (
    const [path, value] of [
      ["id", ""],
      ["kind", "most"],
      ["created_at", "2024-01-01 12:00:00"],
      ["created_at", "2024-01-01T12:00:00+01:00"],
      ["format", "tar"],
      ["compression.method", "xz"],
      ["files.0.size", -1],
      ["files.0.size", 1.5],
      ["files.0.sha256", "ABCD".repeat(16)],
      ["files.0.sha256", "ab"],
      ["encryption.method", "gpg"],
      ["source.system_identifier", "x"],
      ["sequences.0.last_value", "7.5"],
      ["tables.0.kind", "view"],
      ["tables.0.rows", -1],
    ] as const
  ) {
    const wrong = changed(FULL, path.split("."), (parent, key) => Reflect.set(parent, key, value));
    assert(refusal(wrong) !== undefined, `${path}: ${value}`);
    assert.notDeepEqual(manifestProblems(wrong), [], `${path}: ${value}`);
  }
  // The pattern of a schema knows no calendar.
  assert.equal(
    refusal({ ...FULL, created_at: "2024-13-01T12:00:00Z" }),
    "created_at is not a time in UTC",
  );
});

Deno.test("parseManifest: what is no manifest at all is told as such", () => {
  assert.equal(refusal(""), "it is empty");
  assert.equal(refusal(JSON.stringify(FULL).slice(0, -1)), "it is not JSON");
  assert.equal(refusal("[]"), "it is not an object");
  assert.equal(refusal("null"), "it is not an object");
  assert.equal(refusal("{}"), "schema is missing");
  assert.equal(refusal({ ...FULL, schema: 0 }), "schema 0 is not known");
  assert.equal(
    refusal({ schema: 2, unlike: true }),
    "it was made by a newer version (schema 2; this version reads 1)",
  );
  assert.throws(() => parseManifest('{"schema":2}', id), { code: "manifest_newer" });
  assert.throws(() => parseManifest("{}", id), { code: "manifest_invalid" });
});

Deno.test("parseManifest: it names files of its own backup alone, in their place", () => {
  const named = (...names: string[]) =>
    refusal({ ...FULL, globals: null, files: names.map((name) => ({ ...FULL.files[0], name })) });
  for (const rest of [".dump", ".sql.lz4.age", ".dir/toc.dat", ".dir/1.dat.gz.age"]) {
    assert.equal(named(`${id}${rest}`), undefined, rest);
  }
  for (
    const name of [
      "/etc/passwd",
      `/srv/${id}.dump`,
      `../${id}.dump`,
      `./${id}.dump`,
      `${id}.dir/../../etc/passwd`,
      `${id}.dir/..`,
      `${id}.dir/.`,
      `${id}.dir/`,
      `${id}.dir/a/b`,
      `${id}.dir/a\\b`,
      `${id}.dir/a\0b`,
      `${id}.dump/../x`,
      `${id}_schema.dump`,
      "llm_observatory_backup_20240102_120000.dump",
      `${id}.manifest.json`,
      `${id}.manifest.json.deleted`,
      `${id}.started.json`,
      `${id}.dump.partial`,
      `${id}.verify-20240101T130000Z.json`,
      `${id}.txt`,
      id,
      "x",
    ]
  ) {
    assert.equal(
      named(`${id}.dump`, name),
      `the file ${JSON.stringify(name)} is not one of this backup`,
    );
  }
  assert.equal(named(`${id}.dump`, `${id}.dump`), `the file "${id}.dump" is named twice`);
  assert.equal(named(), "it names no file of a dump");
  assert.equal(
    refusal({ ...FULL, files: FULL.files.slice(1) }),
    "it names no file of a dump",
  );
  assert.equal(
    refusal({ ...FULL, files: FULL.files.slice(0, 1) }),
    `the file "${id}.globals.sql.age" is not among its files`,
  );
  assert.equal(refusal(FULL, "app_backup_20240101_120000"), `it is of another backup, "${id}"`);
});

Deno.test("parseManifest: what its checksum does not fit is refused, and the schema knows it", () => {
  const whole = sealed(FULL);
  assert.deepEqual(parseManifest(JSON.stringify(whole, null, 2), id), whole);
  assert.deepEqual(manifestProblems(whole), []);
  const told = "it is not what was written: its checksum differs";
  for (const path of placesIn(FULL)) {
    const other = changed(whole, path, (parent, key) => {
      const value = Reflect.get(parent, key);
      if (typeof value === "number") Reflect.set(parent, key, value + 1);
    });
    const differs = JSON.stringify(other) !== JSON.stringify(whole);
    if (differs && path[0] !== "schema") {
      assert.equal(refusal(JSON.stringify(other)), told, path.join("."));
    }
  }
  for (const other of [{ ...whole, checksum: "0".repeat(64) }, { ...whole, more: 1 }]) {
    assert.equal(refusal(JSON.stringify(other)), told);
  }
  // One whose name is damaged is not taken for one that was never there.
  const { checksum, ...others } = whole;
  assert.equal(refusal({ ...others, "check\ufffdum": checksum }), "checksum is missing");
  assert.notDeepEqual(manifestProblems({ ...whole, checksum: "no" }), []);
});

Deno.test("parseVerification: reads results, and the schema agrees on what is wrong", () => {
  const result = resultOf({ ok: false, findings: ["one"] }, { id, time: FIRST });
  assert.deepEqual(parseVerification(JSON.stringify(result), id), result);
  assert.deepEqual(verificationProblems(result), []);
  const wrong: [string, unknown][] = [...placesIn(result)].flatMap((path) => [
    [path.join("."), changed(result, path, (parent, key) => Reflect.set(parent, key, { "": 1 }))],
    ...path.at(-1) === "0" ? [] : [[
      path.join("."),
      changed(result, path, (parent, key) => Reflect.deleteProperty(parent, key)),
    ] as [string, unknown]],
  ]);
  for (const [where, value] of [...wrong, ["level", { ...result, level: "most" }] as const]) {
    assert(reasonOf(() => parseVerification(JSON.stringify(value), id)) !== undefined, where);
    assert.notDeepEqual(verificationProblems(value), [], where);
  }
  assert.notDeepEqual(verificationProblems({ ...result, more: 1 }), []);
  assert.equal(
    reasonOf(() => parseVerification(JSON.stringify(result), "x_backup_20240101_120000")),
    `it is of another backup, "${id}"`,
  );
});

Deno.test("schemas: every member is described, and needed", async () => {
  // Who adds a member to the type has to add it to what the builder makes, and then here.
  const members = {
    manifest: Object.keys(FULL),
    verification: Object.keys(resultOf({}, { id, time: FIRST })),
  };
  for (const [name, keys] of Object.entries(members)) {
    const schema = JSON.parse(await Deno.readTextFile(join(SCHEMAS, `${name}.schema.json`)));
    assert.equal(schema.$schema, "https://json-schema.org/draft/2020-12/schema");
    assert.deepEqual(Object.keys(schema.properties).sort(), [...keys].sort());
    assert.deepEqual([...schema.required].sort(), keys.sort());
  }
});

Deno.test("fileRole: tells what each file of a backup is", () => {
  for (
    const [rest, role] of [
      [".manifest.json", "manifest"],
      [".manifest.json.deleted", "tombstone"],
      [".started.json", "started"],
      [".dump", "data"],
      [".dump.age", "data"],
      [".sql", "data"],
      [".sql.gz", "data"],
      [".sql.zst.age", "data"],
      [".sql.lz4", "data"],
      [".dir/toc.dat", "data"],
      [".dir/", "data"],
      [".globals.sql", "globals"],
      [".globals.sql.age", "globals"],
      [".verify-20240101T120000Z.json", "verification"],
      [".dump.partial", "partial"],
      [".dir.partial/1.dat", "partial"],
      [".dir/1.dat.partial", "partial"],
      [".manifest.json.0a1b2c3d.partial", "partial"],
      [".dump.sha256", "other"],
      [".dump.gpg", "other"],
      [".partially", "other"],
      ["", "other"],
    ] as const
  ) {
    const name = `${backupId("app", "schema", FIRST)}${rest}`;
    const parsed = parseBackupName(name);
    assert.equal(parsed?.id, "app_backup_20240101_120000_schema", name);
    assert.equal(fileRole(parsed?.rest ?? ""), role, name);
  }
  assert.equal(
    verificationName("app_backup_20240101_120000", FIRST + 999),
    "app_backup_20240101_120000.verify-20240101T120000Z.json",
  );
});
