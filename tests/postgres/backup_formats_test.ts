/** Every format of a backup is restored by PostgreSQL's own programs, and equals the source. */
import assert from "assert";
import { createHash } from "node:crypto";
import { join } from "node:path";
import {
  type BackupProject,
  backupProject,
  contentsOf,
  definitionsOf,
  type MadeBackup,
  requireSame,
  restoreByHand,
  restored,
} from "../backup_project.ts";
import { SOURCE } from "../backup_source.ts";
import { clientToolsMissing, freshDatabase } from "../database.ts";
import { skipWhenMissing } from "../skip.ts";

const ignore = skipWhenMissing("tests of backups", await clientToolsMissing());

/** The forms, and what their files are called. */
const FORMS: readonly (readonly [args: readonly string[], name: RegExp])[] = [
  [[], /\/\w+_backup_\d{8}_\d{6}\.dump$/],
  [["--compression", "none"], /\.dump$/],
  [["--compression", "gzip:9"], /\.dump$/],
  [["--format", "plain"], /_\d{6}\.sql$/],
  [["--format", "plain", "--compress"], /_\d{6}\.sql\.gz$/],
  [["--format", "directory", "--jobs", "3"], /_\d{6}\.dir$/],
  [["--format", "directory", "--compression", "none"], /_\d{6}\.dir$/],
];

for (const [args, name] of FORMS) {
  Deno.test({
    name: `backup ${args.join(" ")}: restored, it equals the source, and its manifest is true`,
    ignore,
    async fn() {
      await using project = await backupProject({ sql: SOURCE });
      const made = await project.backup([...args, "--fingerprint", "full"]);
      assert.match(made.dump, name);
      await requireFiles(project, made);
      await requireCounts(project, made);
      await using target = await restored(made);
      await requireSame(target, project.database);
      for (const level of ["bytes", "read"]) {
        const verified = await project.run(["backup", "verify", "latest", "--level", level]);
        assert.equal(verified.exit, 0, verified.stderr);
      }
      // Without this program, by what the manifest says, where nothing else is left.
      const [definitions, contents] = [
        await definitionsOf(project.database),
        await contentsOf(project.database),
      ];
      await project.database.drop();
      const { code, stderr } = await restoreByHand(made.manifest, { directory: project.backups });
      assert.equal(code, 0, stderr);
      assert.deepEqual(await definitionsOf(project.database), definitions);
      assert.deepEqual(await contentsOf(project.database), contents);
    },
  });
}

/** The files are those of the manifest, to the byte, and this user's alone. */
async function requireFiles(project: BackupProject, { manifest }: MadeBackup): Promise<void> {
  const names = manifest.files.map(({ name }) => name);
  assert.deepEqual(await project.files(), [...names, `${manifest.id}.manifest.json`].sort());
  for (const { name, size, sha256 } of manifest.files) {
    const bytes = await Deno.readFile(join(project.backups, name));
    assert.equal(bytes.length, size, name);
    assert.equal(createHash("sha256").update(bytes).digest("hex"), sha256, name);
  }
  const written = await Deno.readTextFile(join(project.backups, `${manifest.id}.manifest.json`));
  assert.deepEqual(JSON.parse(written), manifest);
  for await (const { name, isDirectory } of Deno.readDir(project.backups)) {
    const { mode } = await Deno.stat(join(project.backups, name));
    assert.equal((mode ?? 0) & 0o777, isDirectory ? 0o700 : 0o600, name);
  }
  assert.equal(((await Deno.stat(project.backups)).mode ?? 0) & 0o777, 0o700);
}

/** Every table whose rows are in the dump is there, with as many as it has. */
async function requireCounts({ database }: BackupProject, { manifest }: MadeBackup): Promise<void> {
  const tables = await database.query<{ schema: string; name: string; sql: string }>(
    `SELECT nspname AS schema, relname AS name, c.oid::regclass::text AS sql
       FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
      WHERE relkind IN ('r', 'm') AND nspname !~ '^(pg_|information_schema$)' AND relispopulated`,
  );
  for (const { schema, name, sql } of tables) {
    const found = manifest.tables.find((each) => each.schema === schema && each.name === name);
    const [row] = await database.query<{ count: string }>(`SELECT count(*) FROM ONLY ${sql}`);
    assert.equal(found?.rows, Number(row?.count), sql);
    assert.match(found?.fingerprint ?? "", /^-?\d+$/, sql);
  }
  assert.equal(manifest.tables.length, tables.length);
}

Deno.test({
  name: "backup --schema-only: definitions alone, restored from a script and from an archive",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: SOURCE });
    for (const format of ["custom", "plain", "directory"]) {
      const made = await project.backup(["--schema-only", "--format", format]);
      const { manifest } = made;
      assert.match(made.dump, /_backup_\d{8}_\d{6}_schema\.(dump|sql|dir)$/);
      assert.deepEqual([manifest.kind, manifest.tables], ["schema", []]);
      assert.deepEqual([manifest.sequences, manifest.large_objects], [[], 0]);
      await using target = await restored(made);
      assert.deepEqual(await definitionsOf(target), await definitionsOf(project.database));
      const rows = await target.query("SELECT FROM people UNION ALL SELECT FROM events");
      assert.equal(rows.length, 0);
    }
  },
});

Deno.test({
  name: "backup --data-only: rows alone, restored beside the definitions",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: SOURCE });
    const schema = await project.backup(["--schema-only"]);
    for (const format of ["custom", "plain", "directory"]) {
      const made = await project.backup(["--data-only", "--format", format]);
      assert.match(made.dump, /_backup_\d{8}_\d{6}_data\.(dump|sql|dir)$/);
      assert.equal(made.manifest.kind, "data");
      assert.equal(made.manifest.tables.find(({ name }) => name === "people")?.rows, 500);
      assert.equal(made.manifest.large_objects, 3);
      await using target = await restored(schema);
      await restored(made, { into: target });
      // Views are filled with the definitions; a dump of rows alone leaves them as they are.
      assert.equal(made.manifest.tables.some(({ name }) => name === "moods"), false);
      await target.query("REFRESH MATERIALIZED VIEW moods");
      await requireSame(target, project.database);
    }
  },
});

Deno.test({
  name: "backup: of a database in which there is nothing",
  ignore,
  async fn() {
    await using project = await backupProject();
    for (const format of ["custom", "plain", "directory"]) {
      const made = await project.backup(["--format", format]);
      assert.deepEqual([made.manifest.tables, made.manifest.migrations], [[], null]);
      await using target = await restored(made);
      await requireSame(target, project.database);
      const verified = await project.run(["backup", "verify", made.manifest.id]);
      assert.equal(verified.exit, 0, verified.stderr);
    }
  },
});

Deno.test({
  name: "backup: the counts are those of the snapshot, while somebody writes all the time",
  ignore,
  async fn() {
    await using project = await backupProject({
      sql: `CREATE TABLE busy (n bigint PRIMARY KEY, text text);
        CREATE TABLE large AS SELECT i, md5(i::text) FROM generate_series(1, 200000) i`,
    });
    const writer = await project.database.connect();
    let writing = true;
    const written = (async () => {
      for (let n = 0; writing; n++) {
        await writer.query(
          "INSERT INTO busy SELECT $1 * 10 + i, 'x' FROM generate_series(0, 9) i",
          [n],
        );
        if (n % 5 === 4) await writer.query("DELETE FROM busy WHERE n % 7 = 0");
      }
    })();
    try {
      for (const format of ["custom", "plain", "directory"]) {
        const made = await project.backup(["--format", format, "--fingerprint", "full"]);
        await using target = await restored(made);
        const busy = made.manifest.tables.find(({ name }) => name === "busy");
        const [row] = await target.query<{ rows: number; hash: string }>(
          `SELECT count(*)::int AS rows,
             coalesce(sum(hashtextextended(ROW(busy.*)::text COLLATE "C", 0)::numeric), 0)::text AS hash
           FROM busy`,
        );
        assert.ok((busy?.rows ?? 0) > 0);
        assert.deepEqual([busy?.rows, busy?.fingerprint], [row?.rows, row?.hash]);
      }
    } finally {
      writing = false;
      await written;
      await writer.end();
    }
  },
});

Deno.test({
  name: "backup --fingerprint: the same for the same rows, whatever their order and the settings",
  ignore,
  async fn() {
    const values =
      "VALUES (1, 'b', 1.5::float8, now() - now(), date '2024-05-01', '12.5'::money)," +
      "(2, NULL, 'NaN', '1 year 2 mons', '2024-12-31', '1000')";
    await using one = await backupProject({ sql: `CREATE TABLE t AS ${values}` });
    await using other = await backupProject({
      sql: `CREATE TABLE t AS SELECT * FROM (${values}) AS v ORDER BY 1 DESC`,
    });
    await other.database.query(
      `ALTER DATABASE ${other.database.name} SET DateStyle = 'German, DMY';
       ALTER DATABASE ${other.database.name} SET IntervalStyle = 'iso_8601';
       ALTER DATABASE ${other.database.name} SET extra_float_digits = -5;
       ALTER DATABASE ${other.database.name} SET TimeZone = 'Asia/Tokyo'`,
    );
    const prints = [];
    for (const project of [one, other]) {
      const { manifest } = await project.backup(["--fingerprint", "full"]);
      prints.push(manifest.tables[0]?.fingerprint);
    }
    assert.equal(prints[0], prints[1]);
    await other.database.query("UPDATE t SET column2 = 'c' WHERE column1 = 1");
    const { manifest } = await other.backup(["--fingerprint", "full"]);
    assert.notEqual(manifest.tables[0]?.fingerprint, prints[0]);
    const without = await other.backup(["--fingerprint", "none"]);
    assert.deepEqual(without.manifest.tables.map(({ rows, fingerprint }) => [rows, fingerprint]), [
      [null, null],
    ]);
  },
});

Deno.test({
  name: "backup: a database with an odd name, from its file's name to the restore by hand",
  ignore,
  async fn() {
    await using project = await backupProject();
    const name = `odd "n=me"; $(touch x) '😀' \n${crypto.randomUUID().slice(0, 8)}`;
    const quoted = `"${name.replaceAll('"', '""')}"`;
    await project.database.query(`CREATE DATABASE ${quoted} TEMPLATE template0`);
    const url = new URL(project.database.url);
    url.pathname = `/${encodeURIComponent(name)}`;
    try {
      const env = { DATABASE_URL: url.href };
      const sql = "CREATE TABLE t AS SELECT 1 AS one";
      assert.equal((await project.run(["exec", sql], { env })).exit, 0);
      const made = await project.backup(["--format", "plain"], { env });
      assert.equal(made.manifest.source.database, name);
      assert.match(made.manifest.id, /^odd--n-me.*_backup_\d{8}_\d{6}$/);
      const listed = await project.run(["backup", "verify", "latest"], { env });
      assert.equal(listed.exit, 0, listed.stderr);
      await project.database.query(`DROP DATABASE ${quoted}`);
      const { code, stderr } = await restoreByHand(made.manifest, { directory: project.backups });
      assert.equal(code, 0, stderr);
      const { stdout } = await project.run(["exec", "--format", "csv", "SELECT one FROM t"], {
        env,
      });
      assert.equal(stdout, "one\n1\n");
      assert.equal((await project.files()).includes("x"), false);
    } finally {
      await project.database.query(`DROP DATABASE IF EXISTS ${quoted} WITH (FORCE)`);
    }
  },
});

Deno.test({
  name: "backup: of a database in another encoding, names included",
  ignore,
  async fn() {
    await using project = await backupProject();
    const name = `latin_${crypto.randomUUID().slice(0, 8)}`;
    await project.database.query(
      `CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'`,
    );
    const url = new URL(project.database.url);
    url.pathname = `/${name}`;
    try {
      const env = { DATABASE_URL: url.href };
      const sql = `CREATE TABLE "größe" AS SELECT 'é'::text AS x; CREATE TABLE other (n int)`;
      assert.equal((await project.run(["exec", sql], { env })).exit, 0);
      for (
        const args of [[], ["--tables", "GRÖSSE,größe".slice(7)], ["--exclude-table", "größe"]]
      ) {
        const made = await project.backup(args, { env });
        const names = made.manifest.tables.filter(({ schema }) => schema === "public")
          .map((table) => table.name).sort();
        assert.deepEqual(names, args.length === 0 ? ["größe", "other"].sort() : names);
        await using target = await freshDatabase();
        await restored(made, { into: target });
        const there = await target.query<{ name: string }>(
          "SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
        );
        assert.deepEqual(there.map((row) => row.name).sort(), names);
      }
    } finally {
      await project.database.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    }
  },
});
