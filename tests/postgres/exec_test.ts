import assert from "assert";
import { type MigrationProject, migrationProject, type ProjectRun } from "../migration_project.ts";
import { runDatabase } from "../core/run_database.ts";

/** What is on stdout under `--json`: exactly one object. */
function objectOf({ stdout }: ProjectRun) {
  assert.match(stdout, /^\{[^\n]*\}\n$/);
  return JSON.parse(stdout);
}

async function withTable(): Promise<MigrationProject> {
  const project = await migrationProject();
  await project.database.query("CREATE TABLE t (n int PRIMARY KEY); INSERT INTO t VALUES (1)");
  return project;
}

async function numbers({ database }: MigrationProject): Promise<number[]> {
  return (await database.query<{ n: number }>("SELECT n FROM t ORDER BY n")).map(({ n }) => n);
}

Deno.test("exec: several statements are one transaction, each result is shown", async () => {
  await using project = await withTable();
  const { exit, stdout, stderr } = await project.run([
    "exec",
    "INSERT INTO t VALUES (2), (3); SELECT n FROM t WHERE n > 1; DELETE FROM t WHERE n = 3 RETURNING n",
  ]);
  assert.equal(exit, 0, stderr);
  assert.equal(
    stdout,
    "INSERT 0 2\n\nn\n-\n2\n3\n(2 rows)\n\nn\n-\n3\n(1 row)\nDELETE 1\n",
  );
  const failed = await project.run([
    "exec",
    "INSERT INTO t VALUES (4);\nINSERT INTO t\nVALUES (1)",
  ]);
  assert.deepEqual([failed.exit, failed.stdout], [1, "INSERT 0 1\n"]);
  assert.match(failed.stderr, /line 2, column 1: duplicate key .*\(SQLSTATE 23505\)/);
  assert.match(failed.stderr, /Detail: Key \(n\)=\(1\) already exists/);
  assert.match(failed.stderr, /The statement before it is rolled back too/);
  assert.deepEqual(await numbers(project), [1, 2]);
});

Deno.test("exec: an error tells where, in characters, with a caret", async () => {
  await using project = await withTable();
  const failed = await project.run(["exec", "-- ünï 日本\nSELECT '日本', nope FROM t", "--json"]);
  assert.equal(failed.exit, 1);
  const { ok, command, error } = objectOf(failed);
  assert.deepEqual([ok, command, error.code], [false, "exec", "sql_failed"]);
  assert.deepEqual(
    [error.details.line, error.details.column, error.details.sqlstate, error.details.completed],
    [2, 14, "42703", 0],
  );
  assert.equal(
    error.excerpt,
    "1 | -- ünï 日本\n2 | SELECT '日本', nope FROM t\n  |                ^",
  );
  const inside = await project.run(["exec", "DO $$ BEGIN PERFORM 1/0; END $$"]);
  assert.match(inside.stderr, /division by zero \(SQLSTATE 22012\)/);
  assert.match(inside.stderr, /Context: .*line 1 at PERFORM/s);
});

Deno.test("exec: what the SQL commits itself is kept and told, what it leaves open is not", async () => {
  await using project = await withTable();
  const half = await project.run([
    "exec",
    "BEGIN; INSERT INTO t VALUES (2); COMMIT; INSERT INTO t VALUES (3); SELECT nope",
  ]);
  assert.equal(half.exit, 1);
  assert.match(half.stderr, /The 4 statements before it had been done; what the SQL committed is/);
  assert.deepEqual(await numbers(project), [1, 2]);
  for (const sql of ["BEGIN; INSERT INTO t VALUES (9)", "SELECT 1; BEGIN; SELECT 2"]) {
    const open = await project.run(["exec", sql, "--json"]);
    const { ok, error, results } = objectOf(open);
    assert.deepEqual([open.exit, ok, error.code], [1, false, "transaction_left_open"]);
    assert(results.every((result: object) => "command" in result));
  }
  assert.deepEqual(await numbers(project), [1, 2]);
  const ended = ["COMMIT AND CHAIN; END", "COMMIT", "SAVEPOINT a; COMMIT", "ROLLBACK; SELECT 1"];
  for (const end of ended) {
    const n = 3 + ended.indexOf(end);
    const whole = await project.run(["exec", `BEGIN; INSERT INTO t VALUES (${n}); ${end}`]);
    assert.equal(whole.exit, 0, whole.stderr);
  }
  assert.deepEqual(await numbers(project), [1, 2, 3, 4, 5]);
});

Deno.test("exec: statements that no transaction takes run alone, and beside others say so", async () => {
  await using project = await withTable();
  const alone = await project.run(["exec", "VACUUM t"]);
  assert.deepEqual([alone.exit, alone.stdout], [0, "VACUUM\n"]);
  const beside = await project.run(["exec", "SELECT 1; VACUUM t"]);
  assert.equal(beside.exit, 1);
  assert.match(beside.stderr, /SQLSTATE 25001/);
  assert.match(beside.stderr, /Hint: .*`observatory exec` alone/);
});

Deno.test("exec: what is for psql, for a file, or nothing at all is refused before anything is done", async () => {
  await using project = await withTable();
  const refused: readonly (readonly [string, string, RegExp])[] = [
    ["DELETE FROM t; \\dt", "psql_command", /\\dt in line 1.*observatory shell -c/s],
    ["DELETE FROM t;\nCOPY t FROM STDIN", "copy_not_expected", /line 2.*observatory sql/s],
    ["DELETE FROM t; COPY t TO STDOUT", "copy_not_expected", /--format csv/],
    ["", "sql_empty", /no statement/],
    [" ; -- nothing", "sql_empty", /no statement/],
  ];
  for (const [sql, code, told] of refused) {
    const run = await project.run(["exec", sql, "--json"]);
    assert.deepEqual([run.exit, objectOf(run).error.code], [2, code], sql);
    assert.match(run.stderr, told);
  }
  const both = await project.run(["exec", "DELETE FROM t", "--json", "--format", "csv"]);
  assert.deepEqual([both.exit, objectOf(both).error.kind], [2, "usage"]);
  assert.deepEqual(await numbers(project), [1]);
});

Deno.test("exec: a copy that is only seen by the server is refused there", async () => {
  await using project = await withTable();
  const columns = Array.from({ length: 30 }, (_, index) => `n AS n${index}`).join(", ");
  const run = await project.run(["exec", `COPY (SELECT ${columns} FROM t) TO STDOUT`, "--json"]);
  assert.deepEqual([run.exit, objectOf(run).error.code], [2, "copy_not_expected"]);
});

Deno.test("exec --read-only: reads, one statement after the other", async () => {
  await using project = await withTable();
  const { exit, stdout, stderr } = await project.run([
    ...["exec", "--read-only", "--format", "csv"],
    "SELECT n FROM t; SHOW transaction_read_only; EXPLAIN (COSTS off) SELECT 1 -- the end",
  ]);
  assert.equal(exit, 0, stderr);
  assert.equal(stdout, "n\n1\n\ntransaction_read_only\non\n\nQUERY PLAN\nResult\n");
});

Deno.test("exec --read-only: nothing that writes gets through, whatever it is wrapped in", async () => {
  await using project = await withTable();
  await project.database.query(`
    CREATE FUNCTION sneak() RETURNS int LANGUAGE sql AS 'DELETE FROM t RETURNING n';
    CREATE PROCEDURE sneak_out() LANGUAGE plpgsql AS 'BEGIN COMMIT; DELETE FROM t; END'`);
  const writes = [
    "DELETE FROM t",
    "WITH gone AS (DELETE FROM t RETURNING n) SELECT * FROM gone",
    "SELECT sneak()",
    "DO $$ BEGIN DELETE FROM t; END $$",
    "DO $$ BEGIN SET TRANSACTION READ WRITE; DELETE FROM t; END $$",
    "DO $$ BEGIN EXECUTE 'SET transaction_read_only = off'; DELETE FROM t; END $$",
    "SELECT set_config('transaction_read_only', 'off', false), sneak()",
    "SET TRANSACTION READ WRITE",
    "SET transaction_read_only = off",
    "BEGIN READ WRITE",
    "COMMIT; DELETE FROM t",
    "ROLLBACK AND CHAIN; DELETE FROM t",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; DELETE FROM t",
    "SELECT 1; DELETE FROM t",
    "VACUUM t",
    "TRUNCATE t",
    "CREATE TABLE u ()",
    "SELECT n FROM t FOR UPDATE",
    "EXPLAIN ANALYZE DELETE FROM t",
    "PREPARE gone AS DELETE FROM t; EXECUTE gone",
  ];
  for (const sql of writes) {
    const { exit, stderr } = await project.run(["exec", "--read-only", sql]);
    assert.equal(exit, 4, `${sql}: ${stderr}`);
  }
  // The server has words of its own for these.
  for (const sql of ["CALL sneak_out()", "DO $$ BEGIN COMMIT; DELETE FROM t; END $$"]) {
    const { exit, stderr } = await project.run(["exec", "--read-only", sql]);
    assert.deepEqual([exit, /SQLSTATE 2D000/.test(stderr)], [1, true], `${sql}: ${stderr}`);
  }
  assert.deepEqual(await numbers(project), [1]);
});

Deno.test("exec --read-only: an error is told with its place in the whole SQL", async () => {
  await using project = await withTable();
  const run = await project.run(["exec", "--read-only", "SELECT 1;\n  SELECT nope;", "--json"]);
  const { error, results } = objectOf(run);
  assert.deepEqual([run.exit, error.details.line, error.details.column], [1, 2, 10]);
  assert.deepEqual(results[0].rows, [[1]]);
  const refused = await project.run(["exec", "--read-only", "SELECT 1; SET timezone = 'UTC'"]);
  assert.equal(refused.exit, 4);
  assert.match(refused.stderr, /PGOPTIONS/);
});

Deno.test("exec --json: a failure in the middle ends the same object", async () => {
  await using project = await withTable();
  const sql = "SELECT 'a' AS x; SELECT 1000 / (50000 - i) AS y FROM generate_series(1, 100000) i";
  const run = await project.run(["exec", sql, "--json"]);
  const { ok, error, results, data } = objectOf(run);
  assert.deepEqual([run.exit, ok, error.details.sqlstate, data], [1, false, "22012", undefined]);
  assert.deepEqual(results[0], {
    columns: [{ name: "x", type: "text" }],
    rows: [["a"]],
    command: "SELECT",
    count: 1,
  });
  assert.equal(results[1].rows.length, 49_999);
  assert.equal(results[1].command, undefined);
});

Deno.test("exec: notices go to stderr, warnings of the server into the object, too", async () => {
  await using project = await withTable();
  const sql = "DO $$ BEGIN RAISE NOTICE 'a note'; RAISE WARNING 'a warning'; END $$";
  const run = await project.run(["exec", sql, "--json"]);
  assert.match(run.stderr, /\[INFO\] .*a note/);
  const { warnings, results } = objectOf(run);
  assert.deepEqual(results, [{ command: "DO", count: 0 }]);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0], /a warning/);
});

/** Texts with everything that quoting is about. */
function randomText(): string {
  const pieces = [
    '"',
    ",",
    "\n",
    "\r",
    "\\",
    "\\.",
    "{",
    "}",
    "NULL",
    " ",
    "é",
    "日本",
    "😀",
    "a",
    "'",
    "\t",
  ];
  return Array.from(
    { length: Math.floor(Math.random() * 6) },
    () => pieces[Math.floor(Math.random() * pieces.length)],
  ).join("");
}

Deno.test("exec --format csv: the server reads the same rows from it", async () => {
  await using project = await migrationProject();
  const { database } = project;
  await database.query(`CREATE TABLE a (n int, x text, y text); CREATE TABLE b (LIKE a);
    CREATE TABLE one (x text); CREATE TABLE one_again (LIKE one)`);
  const texts = Array.from({ length: 600 }, (_, index) => index % 7 === 0 ? null : randomText());
  await database.query(
    `INSERT INTO a SELECT n, x, nullif(x, '') FROM unnest($1::text[]) WITH ORDINALITY AS u (x, n)`,
    [texts],
  );
  await database.query("INSERT INTO one SELECT x FROM a");
  await using run = runDatabase(database);
  const session = await run.session();
  for (const [from, to] of [["a", "b"], ["one", "one_again"]]) {
    const { exit, stdout } = await project.run(["exec", `TABLE ${from}`, "--format", "csv"]);
    assert.equal(exit, 0);
    await session.copyIn(
      `COPY ${to} FROM STDIN (FORMAT csv, HEADER)`,
      ReadableStream.from([new TextEncoder().encode(stdout)]),
    );
    const differing = await database.query(
      `(TABLE ${from} EXCEPT ALL TABLE ${to}) UNION ALL (TABLE ${to} EXCEPT ALL TABLE ${from})`,
    );
    assert.deepEqual(differing, []);
  }
});

Deno.test("exec --format ndjson: arrays are what the server's to_json makes of them", async () => {
  await using project = await migrationProject();
  const { database } = project;
  await database.query("CREATE TABLE a (t text[], n int[], b boolean[], f float8[], j jsonb[])");
  for (let round = 0; round < 60; round++) {
    const texts = Array.from(
      { length: round % 5 },
      () => Math.random() < 0.2 ? null : randomText(),
    );
    const numbers = texts.map((text) => text === null ? null : text.length - 2);
    await database.query(
      "INSERT INTO a VALUES ($1, $2::int[], $2::int[]::boolean[], $3, (SELECT array_agg(to_jsonb(x)) FROM unnest($1::text[]) x))",
      [texts, numbers, numbers.map((number) => number === null ? null : number / 7)],
    );
  }
  await database.query(`INSERT INTO a (t, n) VALUES
    ('[0:1][3:4]={{a,"b c"},{NULL,"{\\"}"}}', '[-3:-2]={5,6}'), ('{{{x}},{{y}}}', '{{1,2},{3,NULL}}')`);
  const { exit, stdout, stderr } = await project.run([
    ...["exec", "--format", "ndjson"],
    `SELECT t, n, b, f, j, json_build_object('t', t, 'n', n, 'b', b, 'f', f, 'j', j) AS all FROM a`,
  ]);
  assert.equal(exit, 0, stderr);
  const lines = stdout.trimEnd().split("\n");
  assert.equal(lines.length, 62);
  for (const line of lines) {
    const { all, ...columns } = JSON.parse(line);
    assert.deepEqual(columns, all);
  }
});
