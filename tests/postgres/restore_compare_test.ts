/** What differs between a restored database and the manifest of its backup. */
import assert from "assert";
import type { Manifest } from "../../plugins/repository/manifest.ts";
import { compareDatabase, compareWith } from "../../plugins/restore/compare.ts";
import { backupProject, type MadeBackup, restored } from "../backup_project.ts";
import { ODD_NAMES, SOURCE } from "../backup_source.ts";
import { withContext } from "../context.ts";
import { clientToolsMissing, freshDatabase, type TestDatabase } from "../database.ts";
import { skipWhenMissing } from "../skip.ts";

const ignore = skipWhenMissing("tests of comparisons", await clientToolsMissing());

const MIGRATIONS = { "migrations/20240101000000_first.sql": "CREATE TABLE first (n int);" };

function compare(database: TestDatabase, manifest: Manifest, parts?: "all" | "schema" | "data") {
  return withContext({ database, effect: "write" }, (context) =>
    compareDatabase(context, {
      database: database.name,
      manifest,
      ...parts === undefined ? {} : { parts },
    }));
}

/** A backup of the source, with a migration, an extension and fingerprints. */
async function made(args: readonly string[] = []): Promise<MadeBackup & AsyncDisposable> {
  const project = await backupProject({ files: MIGRATIONS, sql: SOURCE });
  try {
    await project.database.query(
      `CREATE EXTENSION pg_trgm; CREATE SEQUENCE down INCREMENT -1; SELECT nextval('down'), nextval('down');
       CREATE SEQUENCE round MAXVALUE 3 CYCLE; SELECT nextval('round'), nextval('round')`,
    );
    assert.equal((await project.run(["migrate"])).exit, 0);
    const backup = await project.backup(["--fingerprint", "full", ...args]);
    return { ...backup, [Symbol.asyncDispose]: () => project[Symbol.asyncDispose]() };
  } catch (error) {
    await project[Symbol.asyncDispose]();
    throw error;
  }
}

/** Each kind of difference: what makes it, and what is told of it. */
const CHANGES: Readonly<Record<string, { readonly sql: string; readonly told: RegExp[] }>> = {
  "a table is missing": {
    sql: "DROP TABLE friends",
    told: [/^The table "public"\."friends" is missing$/],
  },
  "a table is something else": {
    sql: 'DROP TABLE "UPPER"; CREATE VIEW "UPPER" AS SELECT 1',
    told: [/^The table "public"\."UPPER" is a view$/],
  },
  "a materialized view is not filled": {
    sql: "REFRESH MATERIALIZED VIEW moods WITH NO DATA",
    told: [/^The materialized view "public"\."moods" is not filled$/],
  },
  "a table more": {
    sql: "CREATE TABLE more (n int)",
    told: [/^The table "public"\."more" was not in the dump$/],
  },
  "a row is missing": {
    sql: "DELETE FROM cars WHERE name = 'van'",
    told: [/^"public"\."cars" has 1 rows, and had 2 in the dump$/],
  },
  "a row more, in a table with an odd name": {
    sql: `INSERT INTO "${ODD_NAMES.schema.replaceAll('"', '""')}"."${
      ODD_NAMES.table.replaceAll('"', '""')
    }" DEFAULT VALUES`,
    told: [/has 4 rows, and had 3 in the dump$/],
  },
  "other contents in as many rows": {
    sql: "UPDATE people SET luck = 7 WHERE id = 3",
    told: [
      /^"public"\."people" has other contents than the dump, in as many rows \(500\): its fingerprint differs$/,
    ],
  },
  "a sequence is missing": {
    sql: "DROP SEQUENCE unused",
    told: [/^The sequence "public"\."unused" is missing$/],
  },
  "a sequence is behind": {
    sql: "SELECT setval('counter', 5)",
    told: [/^The sequence "public"\."counter" has come to 5, and had come to 8 in the dump$/],
  },
  "a sequence that counts down is behind": {
    sql: "SELECT setval('down', -1)",
    told: [/^The sequence "public"\."down" has come to -1, and had come to -2 in the dump$/],
  },
  "a sequence was never used": {
    sql: "ALTER SEQUENCE counter RESTART",
    told: [
      /^The sequence "public"\."counter" was never used, and had come to 8 in the dump$/,
    ],
  },
  "an extension is missing": {
    sql: "DROP EXTENSION pg_trgm",
    told: [/^The extension "pg_trgm" is missing$/],
  },
  "a large object is missing": {
    sql: "SELECT lo_unlink(77002)",
    told: [/^There are 2 large objects, and 3 in the dump$/],
  },
  "the last migration is another one": {
    sql: "UPDATE _sqlx_migrations SET checksum = '\\x00'",
    told: [
      /^"public"\."_sqlx_migrations" has other contents/,
      /^The last migration, 20240101000000, has another checksum than in the dump$/,
    ],
  },
  "a migration more": {
    sql:
      `INSERT INTO _sqlx_migrations SELECT version + 1, description, installed_on, success, checksum, execution_time
      FROM _sqlx_migrations`,
    told: [
      /^"public"\."_sqlx_migrations" has 2 rows, and had 1 in the dump$/,
      /^2 migrations are applied, and 1 were in the dump$/,
      /^The last migration is 20240101000001, and was 20240101000000 in the dump$/,
    ],
  },
};

Deno.test({
  name: "compare: nothing where nothing differs, and each kind of difference where it is",
  ignore,
  async fn() {
    await using backup = await made();
    await using target = await restored(backup);
    assert.deepEqual(await compare(target, backup.manifest), { differences: [], notes: [] });
    for (const [what, { sql, told }] of Object.entries(CHANGES)) {
      await using copy = await freshDatabase();
      await restored(backup, { into: copy });
      await copy.query(sql);
      const { differences, notes } = await compare(copy, backup.manifest);
      assert.equal(differences.length, told.length, `${what}: ${differences.join("; ")}`);
      told.forEach((pattern, at) => assert.match(differences[at] ?? "", pattern, what));
      assert.deepEqual(notes, [], what);
    }
  },
});

Deno.test({
  name: "compare: several differences are all told, and the log has what is not compared",
  ignore,
  async fn() {
    await using backup = await made();
    await using target = await restored(backup);
    await target.query(
      "DROP TABLE friends; DELETE FROM cars; SELECT setval('counter', 1); SELECT lo_unlink(77001)",
    );
    const lines: string[] = [];
    const manifest: Manifest = {
      ...backup.manifest,
      tables: backup.manifest.tables.map((table) =>
        ["people", "upper"].includes(table.name)
          ? { ...table, rows: null, fingerprint: null }
          : table
      ),
      extensions: backup.manifest.extensions.map((each) =>
        each.name === "pg_trgm" ? { ...each, version: "0.1" } : each
      ),
    };
    await target.query("DELETE FROM upper");
    const differences = await withContext(
      { database: target, lines },
      (context) => compareWith(context, { database: target.name, manifest }),
    );
    assert.equal(differences.length, 4, differences.join("; "));
    assert.match(lines.join("\n"), /The rows of 2 tables are not compared: they were not counted/);
    assert.match(
      lines.join("\n"),
      /The extension "pg_trgm" is of version \S+, and was of version 0\.1 in the dump: dumps leave/,
    );
  },
});

Deno.test({
  name: "compare: what a restore of a part cannot have is not missed",
  ignore,
  async fn() {
    await using backup = await made();
    const { manifest } = backup;
    await using target = await restored(backup, { args: ["--schema-only"] });
    assert.deepEqual((await compare(target, manifest, "schema")).differences, []);
    // An empty copy is not taken for a full one.
    const { differences } = await compare(target, manifest);
    assert.ok(
      differences.some((each) => each === '"public"."people" has 0 rows, and had 500 in the dump'),
    );
    await restored(backup, { into: target, args: ["--data-only", "--disable-triggers"] });
    assert.deepEqual((await compare(target, manifest, "data")).differences, []);
    await target.query("DELETE FROM cars; DELETE FROM _sqlx_migrations; CREATE TABLE more (n int)");
    assert.deepEqual((await compare(target, manifest, "data")).differences, [
      '"public"."cars" has 0 rows, and had 2 in the dump',
    ]);
    await target.query("DROP TABLE cars");
    assert.deepEqual((await compare(target, manifest, "schema")).differences, [
      'The table "public"."cars" is missing',
      'The table "public"."more" was not in the dump',
    ]);
  },
});

Deno.test({
  name: "compare: backups of parts, and without counts",
  ignore,
  async fn() {
    const project = await backupProject({ sql: SOURCE });
    await using _project = project;
    const tables = await project.backup(["--tables", "people,vehicles,cars"]);
    await using some = await freshDatabase();
    await some.query(
      `CREATE TYPE mood AS ENUM ('sad', 'ok; then', 'happy'); CREATE DOMAIN positive AS int;
       CREATE TYPE pair AS (a int, b text); CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql
         AS 'BEGIN RETURN NEW; END'; CREATE TABLE more (n int)`,
    );
    await restored(tables, { into: some });
    assert.deepEqual(await compare(some, tables.manifest), { differences: [], notes: [] });
    await some.query(
      "DELETE FROM ONLY vehicles; DROP RULE quiet ON vehicles; DELETE FROM ONLY vehicles",
    );
    assert.deepEqual((await compare(some, tables.manifest)).differences, [
      '"public"."vehicles" has 0 rows, and had 1 in the dump',
    ]);
    const schema = await project.backup(["--schema-only"]);
    await using empty = await restored(schema);
    assert.deepEqual(await compare(empty, schema.manifest), { differences: [], notes: [] });
    const uncounted = await project.backup(["--fingerprint", "none"]);
    await using all = await restored(uncounted);
    const { differences, notes } = await compare(all, uncounted.manifest);
    assert.deepEqual(differences, []);
    assert.match(notes.join("\n"), /^The rows of 1\d tables are not compared/);
  },
});

Deno.test({
  name: "compare: the tool's own schema is left out",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: "CREATE TABLE t AS SELECT 1 AS n" });
    await project.database.query(
      "CREATE SCHEMA observatory; CREATE TABLE observatory.kept AS SELECT 1 AS n; CREATE SEQUENCE observatory.s",
    );
    const backup = await project.backup();
    await using target = await restored(backup);
    await target.query(
      "DROP TABLE observatory.kept; DROP SEQUENCE observatory.s; CREATE TABLE observatory.other (n int)",
    );
    assert.deepEqual(await compare(target, backup.manifest), { differences: [], notes: [] });
  },
});
