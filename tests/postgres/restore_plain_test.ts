/** Plain dumps in place: one transaction, large objects or not, and no commands of psql from the data. */
import assert from "assert";
import { join } from "node:path";
import { backupProject, contentsOf } from "../backup_project.ts";
import { clientToolsMissing, freshDatabase } from "../database.ts";
import { skipWhenMissing } from "../skip.ts";

const missing = await clientToolsMissing();
const ignore = skipWhenMissing("tests of restores of plain dumps", missing);

const SQL = `
  CREATE TABLE t (id int PRIMARY KEY, text text);
  INSERT INTO t SELECT n, 'row ' || n FROM generate_series(1, 500) n;
  CREATE TABLE empty (n int);
  CREATE INDEX later ON t (text);
  SELECT lo_from_bytea(4711, 'a large object');`;

Deno.test({
  name: "restore of a plain dump: what fails behind large objects is rolled back with them",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: SQL });
    const { manifest } = await project.backup(["--format", "plain"]);
    // No table, so that nothing tells of it beforehand.
    await using target = await freshDatabase({ sql: "CREATE SEQUENCE later" });
    const before = await contentsOf(target);
    const env = { DATABASE_URL: target.url };
    const run = await project.run(["restore", manifest.id, "--force", "--json"], { env });
    assert.equal(run.exit, 1, run.stdout);
    const { error } = JSON.parse(run.stdout);
    assert.match(error.message, /line \d+: relation "later" already exists/);
    assert.equal(error.details.rolled_back, true);
    assert.deepEqual(await contentsOf(target), before);
    await target.query("DROP SEQUENCE later");
    const again = await project.run(["restore", manifest.id], { env });
    assert.equal(again.exit, 0, again.stderr);
    assert.doesNotMatch(again.stderr, /transaction in progress/);
    assert.deepEqual(await contentsOf(target), await contentsOf(project.database));
  },
});

Deno.test({
  name:
    "restore of a script made by hand: it is run with a warning, and psql takes no command from it",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: SQL });
    await using target = await freshDatabase();
    const env = { DATABASE_URL: target.url };
    const touched = join(project.directory, "touched");
    const harmless = join(project.directory, "harmless.sql");
    await Deno.writeTextFile(
      harmless,
      "CREATE TABLE by_hand (n int);\nINSERT INTO by_hand VALUES (1)",
    );
    const run = await project.run(["restore", harmless], { env });
    assert.equal(run.exit, 0, run.stderr);
    assert.match(run.stderr, /There is no manifest of \S+harmless\.sql/);
    assert.deepEqual(await target.query("SELECT n FROM by_hand"), [{ n: 1 }]);
    const evilFile = join(project.directory, "evil.sql");
    await Deno.writeTextFile(
      evilFile,
      `CREATE TABLE evil (n int);\n\\! touch ${touched}\n`,
    );
    const evil = await project.run(["restore", evilFile, "--force"], {
      env,
    });
    assert.equal(evil.exit, 1, evil.stdout);
    assert.match(evil.stderr, /restrict/);
    await assert.rejects(Deno.stat(touched), Deno.errors.NotFound);
    assert.deepEqual(await target.query("SELECT to_regclass('evil') AS evil"), [{ evil: null }]);
  },
});

Deno.test({
  name: "restore of a script: whatever its last statement is, it is run, and all is committed",
  ignore,
  async fn() {
    await using project = await backupProject({ sql: "SELECT 1" });
    const ends: Readonly<Record<string, string>> = {
      "rows": "COPY t (n) FROM stdin;\n1\n2\n\\.\n",
      "no rows": "INSERT INTO t VALUES (1), (2);\nCOPY t (n) FROM stdin;\n\\.\n\n\n-- the end\n\n",
      "a statement without an end": "INSERT INTO t VALUES (1), (2)",
      "a comment": "INSERT INTO t VALUES (1), (2) -- both",
      "a comment of several lines": "INSERT INTO t VALUES (1), (2); /* the\nend */",
      "a function":
        "INSERT INTO t VALUES (1), (2);\nCREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$\n" +
        "SELECT 1;\n$$",
    };
    for (const [what, end] of Object.entries(ends)) {
      const path = join(project.directory, "script.sql");
      await Deno.writeTextFile(path, `CREATE TABLE t (n int);\n${end}`);
      await using target = await freshDatabase();
      const run = await project.run(["restore", path], { env: { DATABASE_URL: target.url } });
      assert.equal(run.exit, 0, `${what}: ${run.stderr}`);
      assert.deepEqual(await target.query("SELECT count(*)::int AS n FROM t"), [{ n: 2 }], what);
    }
  },
});
