import assert from "assert";
import { uniqueName } from "../database.ts";
import { seedProject } from "../seed_project.ts";

Deno.test("seed: recognises rows by the primary key, else by a unique constraint whose columns the file has", async () => {
  await using given = await seedProject(
    `CREATE TABLE t (
       id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
       a int, b int NOT NULL, c int NOT NULL, v text,
       UNIQUE (a), UNIQUE (b, c)
     );
     CREATE UNIQUE INDEX partial ON t (b) WHERE v IS NULL;
     CREATE UNIQUE INDEX expression ON t (lower(v), b);`,
    { "base/t.csv": "a,b,c,v\n1,10,100,x\n2,20,200,y\n" },
  );
  assert.equal((await given.data()).files[0]?.inserted, 2);
  // By b and c, which are never null, rather than by a.
  await given.write({ "base/t.csv": "a,b,c,v\n7,10,100,x\n2,20,200,z\n" });
  assert.equal((await given.data()).files[0]?.updated, 2);
  const rows = () => given.database.query("SELECT id, a, b, v FROM t ORDER BY b");
  assert.deepEqual(await rows(), [{ id: 1, a: 7, b: 10, v: "x" }, { id: 2, a: 2, b: 20, v: "z" }]);
  // By the primary key, although the server gives it.
  await given.write({ "base/t.csv": "id,a,b,c,v\n1,7,11,101,x\n" });
  assert.equal((await given.data()).files[0]?.updated, 1);
  assert.equal((await rows())[0]?.["b"], 11);
  // By a, the only one left.
  await given.write({ "base/t.csv": "a,b,v\n7,12,w\n" });
  const { exit, stderr } = await given.seed();
  assert.equal(exit, 1, "c is missing and has no default, but the key is a");
  assert.match(stderr, /t\.csv:2: null value in column "c"/);
});

Deno.test("seed: refuses a changed file whose rows cannot be recognised, unless the table is empty", async () => {
  await using given = await seedProject(
    "CREATE TABLE free (n int); CREATE TABLE keyed (id int DEFAULT 1 PRIMARY KEY, n int);",
    { "base/1_free.csv": "n\n1\n1\n", "base/2_keyed.csv": "n\n1\n" },
  );
  assert.deepEqual((await given.data()).files.map(({ inserted }) => inserted), [2, 1]);
  await given.write({ "base/1_free.csv": "n\n1\n2\n" });
  for (const args of [[], ["--rerun"]]) {
    const { exit, stderr } = await given.seed([...args, "--only", "1_*"]);
    assert.equal(exit, 1);
    assert.match(
      stderr,
      /which of its rows are in table free already: the table has no primary key/,
    );
  }
  assert.match((await given.seed(["--dry-run"])).stderr, /1_free\.csv: it cannot be told/);
  const keyed = await given.seed(["--rerun", "--only", "2_*"]);
  assert.match(keyed.stderr, /Add the columns of a key \(id\) to the file, or empty the table/);
  await given.database.query("TRUNCATE free");
  assert.equal((await given.data()).files[0]?.inserted, 2);
  assert.deepEqual(await given.database.query("SELECT n FROM free ORDER BY n"), [{ n: 1 }, {
    n: 2,
  }]);
});

Deno.test("seed: refuses keys that are given twice or not at all when rows are updated", async () => {
  await using given = await seedProject(
    "CREATE TABLE t (k int UNIQUE, v text); CREATE TABLE once (k int UNIQUE NULLS NOT DISTINCT, v text);",
    { "base/t.csv": "k,v\n1,a\n1,b\n,c\n", "base/once.csv": "k,v\n,a\n1,a\n" },
  );
  const { files } = await given.data();
  assert.deepEqual(files.map(({ inserted, untouched }) => [inserted, untouched]), [[2, 0], [2, 1]]);
  await given.write({ "base/t.csv": 'k,v\n1,x\n"2","a\nb"\n1,y\n' });
  assert.match(
    (await given.seed()).stderr,
    /t\.csv:5: the key \(k\) is the same as in a row before it/,
  );
  await given.write({ "base/t.csv": "k,v\n1,x\n,y\n" });
  assert.match((await given.seed()).stderr, /t\.csv:3: a column of the key \(k\) is null/);
  await given.write({ "base/t.csv": "k,v\n1,x\n", "base/once.csv": "k,v\n,b\n1,a\n" });
  const again = (await given.data()).files;
  assert.deepEqual(
    again.map(({ inserted, updated, untouched }) => [inserted, updated, untouched]),
    [
      [0, 1, 1],
      [0, 1, 0],
    ],
  );
  assert.deepEqual(await given.database.query("SELECT k, v FROM once ORDER BY k"), [
    { k: 1, v: "a" },
    { k: null, v: "b" },
  ]);
});

Deno.test("seed: fills partitioned tables, views, tables with rules, and tables of other schemas", async () => {
  await using given = await seedProject(
    `CREATE TABLE parts (id int, at date, v text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
     CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
     CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
     CREATE SCHEMA "App"; CREATE TABLE "App"."Users" ("Id" int PRIMARY KEY, twice int GENERATED ALWAYS AS ("Id" * 2) STORED);
     CREATE TABLE below (id int PRIMARY KEY, v text);
     CREATE VIEW above AS SELECT * FROM below;
     CREATE TABLE ruled (id int PRIMARY KEY); CREATE TABLE noted (id int);
     CREATE RULE note AS ON INSERT TO ruled DO ALSO INSERT INTO noted VALUES (NEW.id);`,
    {
      "base/1_parts.csv": "id,at,v\n1,2026-01-05,a\n2,2026-02-05,b\n",
      "base/2_App.Users.csv": "Id\n1\n",
      "base/3_above.jsonl": '{"id":1,"v":"x"}\n',
    },
  );
  assert.deepEqual((await given.data()).files.map(({ inserted }) => inserted), [2, 1, 1]);
  await given.write({
    "base/1_parts.csv": "id,at,v\n1,2026-01-05,z\n2,2026-02-05,b\n3,2026-02-06,c\n",
  });
  const [parts] = (await given.data()).files;
  assert.deepEqual([parts?.inserted, parts?.updated, parts?.untouched], [1, 1, 1]);
  assert.deepEqual(
    await given.database.query("SELECT tableoid::regclass::text AS part, v FROM parts ORDER BY id"),
    [{ part: "parts_1", v: "z" }, { part: "parts_2", v: "b" }, { part: "parts_2", v: "c" }],
  );
  assert.deepEqual(await given.database.query('SELECT * FROM "App"."Users"'), [{
    Id: 1,
    twice: 2,
  }]);
  await given.write({ "base/4_App.Users.csv": "Id,twice\n3,6\n" });
  assert.match(
    (await given.seed()).stderr,
    /4_App\.Users\.csv:1: column "twice" of table App\.Users is generated/,
  );
  await given.remove("base/4_App.Users.csv");
  // A row outside of all partitions is told by its line.
  await given.write({ "base/5_parts.csv": "id,at\n8,2026-01-01\n9,2027-01-01\n" });
  assert.match(
    (await given.seed()).stderr,
    /5_parts\.csv:3: no partition of relation "parts" found for row/,
  );
});

Deno.test("seed: sets types that have no comparison of their own", async () => {
  const header = "id,j,p,x,b,a\n";
  await using given = await seedProject(
    "CREATE TABLE t (id int PRIMARY KEY, j json, p point, x xml, b box, a json[])",
    { "base/t.csv": `${header}1,"{""a"":1}","(1,2)",<a/>,"(1,1),(0,0)","{}"\n` },
  );
  await given.data();
  // Of the same area, which is all that the type's own comparison sees.
  await given.write({ "base/t.csv": `${header}1,"{""a"":1}","(1,2)",<a/>,"(2,1),(1,0)","{}"\n` });
  assert.equal((await given.data()).files[0]?.updated, 1);
  assert.equal((await given.data(["--rerun"])).files[0]?.untouched, 1);
});

Deno.test("seed: goes on without a ledger where the role may not create one", async () => {
  const role = uniqueName("seeder");
  await using given = await seedProject(
    `CREATE ROLE ${role} LOGIN;
     CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE free (n int);
     GRANT SELECT, INSERT, UPDATE ON t, free TO ${role};`,
    { "base/1_t.csv": "id,v\n1,a\n", "base/2_t.sql": "UPDATE t SET v = v || '!';" },
  );
  try {
    const url = new URL(given.database.url);
    url.username = role;
    const env = { DATABASE_URL: url.href };
    const first = await given.seed([], { env });
    assert.equal(first.exit, 0, first.stderr);
    assert.match(first.stderr, /\[WARNING\] Cannot keep state in observatory\.seeds/);
    assert.match(
      (await given.seed([], { env })).stdout,
      /1_t\.csv: 1 row left alone[^]*Ran base\/2_t/,
    );
    assert.deepEqual(await given.database.query("SELECT v FROM t"), [{ v: "a!!" }]);
    await given.write({ "base/3_free.csv": "n\n1\n" });
    assert.equal((await given.seed(["--only", "3_*"], { env })).exit, 0);
    const again = await given.seed(["--only", "3_*"], { env });
    assert.equal(again.exit, 1);
    assert.match(
      again.stderr,
      /3_free\.csv: it cannot be told which of its rows are in table free/,
    );
    assert.deepEqual(await given.database.query("SELECT n FROM free"), [{ n: 1 }]);
    const status = await given.seed(["status"], { env });
    assert.equal(status.exit, 0, status.stderr);
  } finally {
    await given.database.query(`DROP OWNED BY ${role}; DROP ROLE ${role};`);
  }
});

Deno.test("seed: fills a table under row security as INSERT does", async () => {
  const role = uniqueName("seeder");
  await using given = await seedProject(
    `CREATE ROLE ${role} LOGIN;
     CREATE TABLE t (id int PRIMARY KEY, v text);
     ALTER TABLE t ENABLE ROW LEVEL SECURITY;
     CREATE POLICY p ON t USING (true) WITH CHECK (v <> 'x');
     GRANT SELECT, INSERT, UPDATE ON t TO ${role}; CREATE SCHEMA observatory AUTHORIZATION ${role};`,
    { "base/t.csv": "id,v\n1,a\n2,b\n" },
  );
  try {
    const url = new URL(given.database.url);
    url.username = role;
    const env = { DATABASE_URL: url.href };
    assert.equal((await given.data([], { env })).files[0]?.inserted, 2);
    await given.write({ "base/t.csv": "id,v\n1,a\n3,x\n" });
    assert.match(
      (await given.seed([], { env })).stderr,
      /t\.csv:3: new row violates row-level security/,
    );
  } finally {
    await given.database.query(`DROP OWNED BY ${role}; DROP ROLE ${role};`);
  }
});

Deno.test("seed: keeps the rest of a file whose rows are there already in part", async () => {
  const lines = Array.from({ length: 5000 }, (_, n) => `${n},row ${n}`);
  await using given = await seedProject(
    "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (4000, 'mine');",
    { "base/t.csv": `id,v\n${lines.join("\n")}\n` },
  );
  const [file] = (await given.data()).files;
  assert.deepEqual([file?.inserted, file?.untouched], [4999, 1]);
  // Into an empty table it is copied straight, until a key comes twice.
  await given.database.query("TRUNCATE t; TRUNCATE observatory.seeds");
  await given.write({ "base/t.csv": `id,v\n${lines.join("\n")}\n7,twice\n` });
  const [again] = (await given.data()).files;
  assert.deepEqual([again?.inserted, again?.untouched], [5000, 1]);
  assert.deepEqual(await given.database.query("SELECT v FROM t WHERE id = 7"), [{ v: "row 7" }]);
});

Deno.test("seed: leaves rows alone in a table with deferrable constraints, by its other key", async () => {
  await using given = await seedProject(
    `CREATE TABLE t (id int PRIMARY KEY, place int UNIQUE DEFERRABLE);
     CREATE TABLE late (id int PRIMARY KEY DEFERRABLE, v text);
     INSERT INTO t VALUES (1, 1); INSERT INTO late VALUES (1, 'mine');`,
    { "base/1_t.csv": "id,place\n1,2\n2,3\n", "base/2_late.csv": "id,v\n2,x\n1,y\n" },
  );
  const { exit, stdout, stderr } = await given.seed();
  assert.deepEqual(await given.database.query("SELECT place FROM t ORDER BY id"), [
    { place: 1 },
    { place: 3 },
  ], stdout);
  assert.equal(exit, 1);
  assert.match(stderr, /2_late\.csv:3: duplicate key value violates unique constraint "late_pkey"/);
  // Both rows may change places at once, since that is checked at the end.
  await given.write({ "base/1_t.csv": "id,place\n1,3\n2,1\n" });
  assert.equal((await given.data(["--only", "1_*"])).files[0]?.updated, 2);
});
