import assert from "assert";
import { until } from "../migration_project.ts";
import { type SeedProject, seedProject } from "../seed_project.ts";

const TABLES = `
CREATE TABLE models (
  id int PRIMARY KEY, name text NOT NULL UNIQUE, price numeric(10, 2) CHECK (price >= 0),
  added timestamptz NOT NULL DEFAULT now(), note text DEFAULT 'none'
);
CREATE TABLE calls (id int PRIMARY KEY, model int NOT NULL REFERENCES models);`;
const MODELS = "id,name,price\n1,gpt,1.50\n2,claude,\n3,gemini,0.5\n";
const LEDGER = "SELECT path, checksum, rows::int FROM observatory.seeds ORDER BY path";

async function models(given: SeedProject): Promise<string[]> {
  const rows = await given.database.query<{ line: string }>(
    "SELECT concat_ws(' ', id, name, price, note) AS line FROM models ORDER BY id",
  );
  return rows.map(({ line }) => line);
}

/** Everything that a run could have changed. */
async function everything({ database }: SeedProject): Promise<unknown> {
  const [row] = await database.query(
    `SELECT (SELECT json_agg(format('%s %s %s', relnamespace::regnamespace, relname, relkind)
         ORDER BY 1) FROM (SELECT * FROM pg_class ORDER BY oid) c) AS relations,
       (SELECT json_agg(m) FROM models m) AS models,
       (SELECT json_agg(nspname ORDER BY 1) FROM pg_namespace
         WHERE nspname !~ '^pg_(toast_)?temp_') AS schemas,
       (SELECT json_agg(s) FROM pg_sequences s) AS sequences`,
  );
  return row;
}

Deno.test("seed: loads what is new, once, in the order of the names", async () => {
  await using given = await seedProject(TABLES, {
    "base/10_models.csv": MODELS,
    "base/20_calls.sql": "INSERT INTO calls SELECT id * 10, id FROM models;",
    "development/01_models.jsonl": '{"name":"dev","id":9,"note":null}\n',
    "test/01_models.csv": "id,name\n8,test\n",
  });
  const first = await given.seed();
  assert.equal(first.exit, 0, first.stderr);
  assert.match(
    first.stdout,
    /^Loaded base\/10_models\.csv: 3 rows inserted \(\d+ ms\)\nRan base\/20_calls\.sql \(\d+ ms\)\nLoaded development\/01_models\.jsonl: 1 row inserted \(\d+ ms\)\n$/,
  );
  assert.match(first.stderr, /^\[INFO\] Seeding database for environment "development"\.\.\.$/m);
  assert.match(first.stderr, /^\[SUCCESS\] Seeding completed successfully$/m);
  const loaded = ["1 gpt 1.50 none", "2 claude none", "3 gemini 0.50 none", "9 dev"];
  assert.deepEqual(await models(given), loaded);
  const ledger = await given.database.query(LEDGER);
  assert.deepEqual(ledger.map(({ path, rows }) => [path, rows]), [
    ["base/10_models.csv", 3],
    ["base/20_calls.sql", null],
    ["development/01_models.jsonl", 1],
  ]);
  const again = await given.seed();
  assert.equal(again.exit, 0);
  assert.equal(
    again.stdout,
    "Unchanged base/10_models.csv\nUnchanged base/20_calls.sql\nUnchanged development/01_models.jsonl\n",
  );
  assert.deepEqual(await models(given), loaded);
  assert.deepEqual(await given.database.query(LEDGER), ledger);
});

Deno.test("seed: takes the environment from ENVIRONMENT, and --env before it", async () => {
  await using given = await seedProject(TABLES, {
    "base/1_models.csv": "id,name\n1,base\n",
    "development/1_models.csv": "id,name\n2,development\n",
    "test/1_models.csv": "id,name\n3,test\n",
  });
  const env = { ENVIRONMENT: "production" };
  await given.data([], { env });
  assert.deepEqual(await models(given), ["1 base none"]);
  const { stderr } = await given.seed(["--env", "test"], { env });
  assert.match(stderr, /\[WARNING\] ENVIRONMENT is production, but the seeds of "test" are loaded/);
  assert.deepEqual(await models(given), ["1 base none", "3 test none"]);
});

Deno.test("seed: leaves rows alone the first time, and sets them when the file has changed", async () => {
  await using given = await seedProject(TABLES, { "base/models.csv": MODELS });
  await given.database.query("INSERT INTO models (id, name, note) VALUES (1, 'mine', 'by hand')");
  const [first] = (await given.data()).files;
  assert.deepEqual([first?.inserted, first?.updated, first?.untouched], [2, 0, 1]);
  assert.deepEqual(await models(given), ["1 mine by hand", "2 claude none", "3 gemini 0.50 none"]);

  await given.database.query("UPDATE models SET name = 'edited' WHERE id = 2");
  await given.database.query("CREATE TABLE before AS SELECT id, xmin::text AS was FROM models");
  await given.write({ "base/models.csv": `${MODELS}4,new,4\n` });
  const [second] = (await given.data()).files;
  assert.equal(second?.reason, "changed");
  assert.deepEqual([second?.inserted, second?.updated, second?.untouched], [1, 2, 1]);
  assert.deepEqual(await models(given), [
    "1 gpt 1.50 by hand",
    "2 claude none",
    "3 gemini 0.50 none",
    "4 new 4.00 none",
  ]);
  // The row that is as the file says is not written to.
  assert.deepEqual(
    await given.database.query(
      "SELECT id FROM models JOIN before USING (id) WHERE models.xmin::text = was",
    ),
    [{ id: 3 }],
  );
  const [third] = (await given.data(["--rerun"])).files;
  assert.deepEqual([third?.reason, third?.untouched], ["rerun", 4]);
});

Deno.test("seed: updates rows of JSON objects likewise, and keeps values exact", async () => {
  await using given = await seedProject(
    "CREATE TABLE t (id bigint PRIMARY KEY, n numeric, j json, b jsonb, a text[], f float8)",
    {
      "base/t.jsonl": '{"id":9007199254740993,"n":0.10000000000000000000001,' +
        '"j":{"b":1,  "a":1.0},"b":{"b":1,"a":1.10},"a":["x","y"],"f":0.1}\r\n\r\n' +
        '{"f":null,"a":null,"b":null,"j":null,"n":1e3,"id":1}',
    },
  );
  assert.equal((await given.data()).files[0]?.inserted, 2);
  const select = "SELECT id, n::text, j::text, b::text, a, f FROM t ORDER BY id";
  assert.deepEqual(await given.database.query(select), [
    { id: "1", n: "1000", j: null, b: null, a: null, f: null },
    {
      id: "9007199254740993",
      n: "0.10000000000000000000001",
      j: '{"b":1,  "a":1.0}',
      b: '{"a": 1.10, "b": 1}',
      a: ["x", "y"],
      f: 0.1,
    },
  ]);
  await given.write({ "base/t.jsonl": '{"id":1,"j":[2]}\n{"id":2,"j":null}\n' });
  const [file] = (await given.data()).files;
  assert.deepEqual([file?.inserted, file?.updated, file?.untouched], [1, 1, 0]);
  assert.deepEqual((await given.database.query(select)).map(({ id, n, j }) => [id, n, j]), [
    ["1", "1000", "[2]"],
    ["2", null, null],
    ["9007199254740993", "0.10000000000000000000001", '{"b":1,  "a":1.0}'],
  ]);
});

Deno.test("seed: reads CSV as COPY does: quotes, line ends, null and empty text, a byte order mark", async () => {
  await using given = await seedProject('CREATE TABLE t (a int PRIMARY KEY, b text, "C d" text)', {
    "base/1_t.csv": '\uFEFF"a",b,"C d"\r\n1,"x\r\ny ""z"", ä",\r\n2,"",plain\r\n3,\\N,"\\."\r\n',
    "base/2_t.csv": "b,a\n no trim ,4",
    "base/3_t.csv": "a\n",
  });
  const { files } = await given.data();
  assert.deepEqual(files.map(({ inserted }) => inserted), [3, 1, 0]);
  assert.deepEqual(await given.database.query("SELECT * FROM t ORDER BY a"), [
    { a: 1, b: 'x\r\ny "z", ä', "C d": null },
    { a: 2, b: "", "C d": "plain" },
    { a: 3, b: "\\N", "C d": "\\." },
    { a: 4, b: " no trim ", "C d": null },
  ]);
});

Deno.test("seed: shows the rows of an SQL file's last statement, on stdout alone", async () => {
  await using given = await seedProject(TABLES, {
    "base/1_keys.sql": "BEGIN;\nSELECT 'not shown';\n" +
      "INSERT INTO models (id, name) SELECT n, 'key-' || n FROM generate_series(1, 2) n\n" +
      "RETURNING id, name AS api_key;\nCOMMIT;\n",
    "base/2_none.sql": "SELECT 1; UPDATE models SET note = 'seen';",
    "base/3_many.sql": "SELECT n FROM generate_series(1, 1002) n",
  });
  const { exit, stdout, stderr } = await given.seed();
  assert.equal(exit, 0, stderr);
  assert.match(
    stdout,
    /^Ran base\/1_keys\.sql \(\d+ ms\)\n {2}id {2}api_key\n {2}1 {3}key-1\n {2}2 {3}key-2\nRan base\/2_none/,
  );
  assert.match(stdout, /\n {2}1000\n {2}\(2 more\)\n$/);
  assert.doesNotMatch(stderr, /key-/);
  const { files } = await given.data(["--rerun", "--only", "3_*"]);
  assert.equal(files[0]?.rows?.length, 1000);
  assert.deepEqual([files[0]?.rows?.[0], files[0]?.more_rows], [{ n: "1" }, 2]);
});

Deno.test("seed: shows what files gave although a later one fails", async () => {
  await using given = await seedProject(TABLES, {
    "base/1_keys.sql": "SELECT 'secret-key' AS api_key",
    "base/2_wrong.sql": "SELECT 1 / 0",
  });
  const { exit, stderr } = await given.seed();
  assert.equal(exit, 1);
  assert.match(
    stderr,
    /1_keys\.sql is loaded and gave this, which is not shown again:\napi_key\nsecret-key/,
  );
  assert.match(stderr, /the one file before it in this run is loaded/);
  assert.match((await given.seed()).stderr, /^Nothing of this file was kept$/m);
});

Deno.test("seed: lets no setting of an SQL file reach the next one", async () => {
  await using given = await seedProject(TABLES, {
    "base/1_set.sql": "SET search_path = pg_catalog; SET SESSION TIME ZONE 'Asia/Tokyo';" +
      "CREATE TEMPORARY TABLE models (id int);",
    "base/2_models.csv": "id,name,added\n1,gpt,2026-01-01 00:00\n",
  });
  await given.data();
  assert.deepEqual(
    await given.database.query("SELECT added = '2026-01-01 00:00' AS same FROM models"),
    [{ same: true }],
  );
});

Deno.test("seed: runs a large SQL file in pieces, and points into it", async () => {
  const line = (n: number) =>
    `INSERT INTO models (id, name) VALUES (${n}, '${"x".repeat(200)}${n}');\n`;
  const text = Array.from({ length: 6000 }, (_, n) => line(n)).join("");
  await using given = await seedProject(TABLES, {
    "base/1_models.sql": `${text}SELECT 1 / 0;\n${text}`,
  });
  const { exit, stderr } = await given.seed();
  assert.equal(exit, 1);
  assert.match(stderr, /1_models\.sql:6001:1: division by zero/);
  assert.deepEqual(await models(given), []);
  await given.write({ "base/1_models.sql": `${text}SELECT count(*) FROM models;` });
  assert.deepEqual((await given.data()).files[0]?.rows, [{ count: "6000" }]);
});

Deno.test("seed --dry-run, seed status: tell what is to be done, and write nothing", async () => {
  await using given = await seedProject(TABLES, {
    "base/1_models.csv": MODELS,
    "base/2_models.csv": "id,name\n7,x\n",
    "base/3_calls.sql": "SELECT 1",
  });
  const untouched = await everything(given);
  const dry = await given.seed(["--dry-run"]);
  assert.equal(dry.exit, 0, dry.stderr);
  assert.equal(
    dry.stdout,
    "Would load base/1_models.csv: new\nWould load base/2_models.csv: new\nWould load base/3_calls.sql: new\n",
  );
  const status = await given.seed(["status", "--exit-code"]);
  assert.equal(status.exit, 3);
  assert.match(
    status.stdout,
    /0 loaded, 3 pending, 0 changed, 0 missing for environment "development"/,
  );
  assert.deepEqual(await everything(given), untouched);

  await given.data();
  assert.equal((await given.seed(["status", "--exit-code"])).exit, 0);
  await given.write({
    "base/1_models.csv": `${MODELS}4,d,1\n`,
    "base/4_models.jsonl": '{"id":1}\n',
  });
  await given.remove("base/2_models.csv");
  const loaded = await everything(given);
  const later = await given.seed(["status", "--json"]);
  assert.equal(later.exit, 0);
  const { data } = JSON.parse(later.stdout);
  assert.deepEqual(
    data.files.map((file: { file: string; state: string }) => [file.file, file.state]),
    [
      ["base/1_models.csv", "changed"],
      ["base/3_calls.sql", "loaded"],
      ["base/4_models.jsonl", "pending"],
      ["base/2_models.csv", "missing"],
    ],
  );
  assert.match(
    (await given.seed(["status"])).stdout,
    /^base\/1_models\.csv +changed +2\S+Z +3 +[0-9a-f]{12}$/m,
  );
  const again = await given.seed(["--dry-run", "--rerun"]);
  assert.match(
    again.stdout,
    /1_models\.csv: changed\nWould load base\/3_calls\.sql: unchanged, but --rerun is given\nWould load base\/4_models\.jsonl: new\n/,
  );
  assert.deepEqual(await everything(given), loaded);
});

Deno.test("seed --dry-run: tells everything that is wrong with the files", async () => {
  await using given = await seedProject(TABLES, {
    "base/1_modles.csv": "id\n1\n",
    "base/2_models.csv": "id,prize\n1,2\n",
    "base/3_models.jsonl": '{"id":1}\n{"id":}\n',
    "base/4_calls.sql": "SELECT 1;\nROLLBACK;",
    "base/5_models.csv": "id,name\n1,x\n\\.\n",
    "base/6_models.csv": "id,name\n5,good\n",
  });
  const { exit, stderr } = await given.seed(["--dry-run"]);
  assert.equal(exit, 3);
  assert.match(stderr, /1_modles\.csv: there is no table modles\. Did you mean "models"\?/);
  assert.match(
    stderr,
    /2_models\.csv:1: table models has no column "prize"\. Did you mean "price"\?/,
  );
  assert.match(stderr, /3_models\.jsonl:2:7: this is not valid JSON/);
  assert.match(stderr, /4_calls\.sql:2:1: the file controls transactions/);
  assert.match(stderr, /5_models\.csv:3: a line of \\\. alone/);
  assert.doesNotMatch(stderr, /6_models/);
});

Deno.test("seed: two runs at once load each file once", async () => {
  await using given = await seedProject(TABLES, {
    "base/1_calls.sql":
      "INSERT INTO models (id, name) SELECT count(*), count(*)::text FROM models;" +
      "SELECT pg_sleep(0.3);",
    "base/2_models.csv": "id,name\n10,x\n",
  });
  const runs = await Promise.all([given.seed(), given.seed(), given.seed()]);
  assert.deepEqual(
    runs.map(({ exit }) => exit),
    [0, 0, 0],
    runs.map(({ stderr }) => stderr).join(),
  );
  assert.equal(runs.filter(({ stdout }) => /Unchanged base\/1_calls\.sql/.test(stdout)).length, 2);
  assert.deepEqual(await models(given), ["0 0 none", "10 x none"]);
});

Deno.test("seed --lock-wait 0: fails at once while another run seeds", async () => {
  await using given = await seedProject(TABLES, { "base/1_slow.sql": "SELECT pg_sleep(60);" });
  const slow = given.start();
  await until(async () =>
    (await given.database.query(
      "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' " +
        "AND datname = current_database()",
    )).length > 0
  );
  const { exit, stderr } = await given.seed(["--lock-wait", "0"]);
  assert.equal(exit, 6, stderr);
  slow.send("SIGINT");
  const ended = await slow.ended;
  assert.equal(ended.exit, 130, ended.stderr);
  assert.deepEqual(await given.database.query(LEDGER), []);
});

Deno.test("seed: tells to migrate first where the database or its tables are missing", async () => {
  await using given = await seedProject("SELECT", { "base/1_models.csv": MODELS });
  const noTable = await given.seed();
  assert.equal(noTable.exit, 1);
  assert.match(noTable.stderr, /1_models\.csv: there is no table models/);
  assert.match(noTable.stderr, /Hint: Run `observatory migrate` first$/m);
  await given.write({
    "base/1_models.csv": "",
    "base/0_models.sql": "INSERT INTO models VALUES (1)",
  });
  assert.match(
    (await given.seed()).stderr,
    /Hint: Run `observatory migrate` first if a migration makes it/,
  );
  await given.database.drop();
  for (const args of [[], ["--dry-run"], ["status"]]) {
    const noDatabase = await given.seed(args);
    assert.equal(noDatabase.exit, 5, noDatabase.stderr);
    assert.match(
      noDatabase.stderr,
      /Hint: `observatory migrate` creates the database and its tables/,
    );
  }
});
