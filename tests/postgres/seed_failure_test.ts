import assert from "assert";
import { type SeedProject, seedProject } from "../seed_project.ts";

const TABLES = `
CREATE TABLE parents (id int PRIMARY KEY, up int REFERENCES parents, name text);
CREATE TABLE t (
  id int PRIMARY KEY,
  name text NOT NULL,
  n int CHECK (n > 0),
  parent int REFERENCES parents,
  late int REFERENCES parents DEFERRABLE INITIALLY DEFERRED,
  once int UNIQUE DEFERRABLE INITIALLY DEFERRED
);
INSERT INTO parents (id) VALUES (1);`;

/** Seeds, and gives the message's place and the rest of stderr; nothing may be left of the file. */
async function fails(given: SeedProject, table = "t"): Promise<{ place: string; stderr: string }> {
  const { exit, stderr } = await given.seed(["--only", "base/9*"]);
  assert.equal(exit, 1, stderr);
  assert.match(stderr, /^Nothing of this file was kept$/m);
  const [left] = await given.database.query(
    `SELECT (SELECT count(*)::int FROM ${table} WHERE id > 1) AS rows,
       (SELECT count(*)::int FROM observatory.seeds WHERE path LIKE 'base/9%') AS recorded`,
  );
  assert.deepEqual(left, { rows: 0, recorded: 0 }, stderr);
  return { place: /Cannot load \S+\/seeds\/base\/(\S+): /.exec(stderr)?.[1] ?? "", stderr };
}

Deno.test("seed: tells the line of a value that does not fit, whatever ends lines and stands in quotes", async () => {
  await using given = await seedProject(TABLES, {});
  for (const end of ["\n", "\r\n", "\r"]) {
    for (const inner of ["\n", "\r\n", "\r"]) {
      // An editor counts the line ends that the file uses; other ones are told by line feeds.
      const lines = end === "\r" ? inner.includes("\r") ? 1 : 0 : inner.includes("\n") ? 1 : 0;
      const text = [
        "id,name,n",
        `10,"a${inner}b",1`,
        "11,c,2",
        `12,"${inner}${inner}",3`,
        "13,d,wrong",
        `14,"${inner}",5`,
      ].join(end);
      await given.write({ "base/9_t.csv": text });
      const { place, stderr } = await fails(given);
      assert.equal(place, `9_t.csv:${5 + 3 * lines}`, JSON.stringify(text));
      assert.match(stderr, /invalid input syntax for type integer: "wrong" \(SQLSTATE 22P02\)/);
      assert.match(stderr, /^Column: n$/m);
    }
  }
});

Deno.test("seed: tells the line of a row that a constraint refuses", async () => {
  const cases: [rows: string, line: number, message: RegExp][] = [
    ["10,a,1,,,\n11,,2,,,\n12,c,3,,,\n", 3, /null value in column "name"/],
    ["10,a,1,,,\n11,b,2,,,\n12,c,-1,,,\n", 4, /check constraint "t_n_check"/],
    ["10,a,0,,,\n11,b,2,,,\n", 2, /check constraint "t_n_check"/],
    ["10,a,1,1,,\n11,b,2,7,,\n12,c,2,8,,\n", 3, /foreign key constraint "t_parent_fkey"/],
    ['10,"a\nb",1,,1,\n11,b,2,,7,\n', 4, /foreign key constraint "t_late_fkey"/],
    ["10,a,1,,,\n11,b\n", 3, /missing data for column "n"/],
    ["10,a,1,,,,\n", 2, /extra data after last expected column/],
    ["10,a,1,,,\n11,b,99999999999,,,\n", 3, /out of range for type integer/],
    ['10,a,1,,,\n11,"b\n', 3, /unterminated CSV quoted field/],
  ];
  for (const filled of [false, true]) {
    await using given = await seedProject(TABLES, {});
    if (filled) await given.database.query("INSERT INTO t VALUES (1, 'there')");
    for (const [rows, line, message] of cases) {
      await given.write({ "base/9_t.csv": `id,name,n,parent,late,once\n${rows}` });
      const { place, stderr } = await fails(given);
      assert.equal(place, `9_t.csv:${line}`, stderr);
      assert.match(stderr, message);
    }
  }
});

Deno.test("seed: names no line where several rows are at fault together", async () => {
  await using given = await seedProject(TABLES, {
    "base/9_t.csv": "id,name,once\n10,a,5\n11,b,5\n12,c,6\n",
  });
  const { place, stderr } = await fails(given);
  assert.equal(place, "9_t.csv");
  assert.match(stderr, /duplicate key value violates unique constraint "t_once_key"/);
});

Deno.test("seed: lets rows of a file refer to each other, and finds the one that refers to none", async () => {
  await using given = await seedProject(TABLES, { "base/9_parents.csv": "id,up\n2,4\n3,2\n4,5\n" });
  const { place } = await fails(given, "parents");
  assert.equal(place, "9_parents.csv:4");
  await given.write({ "base/9_parents.csv": "id,up\n2,4\n3,2\n4,1\n" });
  assert.equal((await given.data()).files[0]?.inserted, 3);
});

Deno.test("seed: tells the line of a JSON object that the table does not take", async () => {
  await using given = await seedProject(TABLES, {});
  const good = '{"id":10,"name":"a","n":1}\n\n';
  const cases: [line: string, place: string, message: RegExp][] = [
    ['{"id":11,"name":"b","n":"x"}', "3", /invalid input syntax for type integer: "x"/],
    ['{"id":11,"name":null,"n":2}', "3", /null value in column "name"/],
    ['{"id":11,"name":"b","n":-2}', "3", /t_n_check/],
    ['{"id":11,"name":"b\\u0000","n":2}', "3", /cannot be converted to text/],
    ['{"id":11,"name":"b","n":2', "3:26", /not valid JSON/],
    ['{"id":11,"name":"b","m":2}', "3", /the key "m" is not in the first object/],
  ];
  for (const [line, place, message] of cases) {
    await given.write({ "base/9_t.jsonl": `${good}${line}\n` });
    const failed = await fails(given);
    assert.equal(failed.place, `9_t.jsonl:${place}`, failed.stderr);
    assert.match(failed.stderr, message);
  }
  await given.write({ "base/9_t.jsonl": Uint8Array.of(...new TextEncoder().encode(good), 0xff) });
  assert.match((await fails(given)).stderr, /9_t\.jsonl:3: this is not valid UTF-8/);
});

Deno.test("seed: tells the line that a trigger refuses, with its context", async () => {
  await using given = await seedProject(
    `${TABLES}
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN IF NEW.n = 13 THEN RAISE EXCEPTION 'unlucky %', NEW.name; END IF; RETURN NEW; END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION refuse();`,
    { "base/9_t.csv": "id,name,n\n10,a,1\n11,b,13\n12,c,2\n" },
  );
  const { place, stderr } = await fails(given);
  assert.equal(place, "9_t.csv:3");
  assert.match(stderr, /unlucky b \(SQLSTATE P0001\)/);
  assert.match(stderr, /^Context: PL\/pgSQL function refuse\(\)/m);
});

Deno.test("seed: refuses a line that would end the data, and takes one in quotes", async () => {
  await using given = await seedProject("CREATE TABLE t (id int PRIMARY KEY, name text)", {
    "base/9_t.csv": "id,name\n10,a\n\\.\n11,b\n",
  });
  const { place, stderr } = await fails(given);
  assert.equal(place, "9_t.csv:3");
  assert.match(stderr, /a line of \\\. alone, which ends the data/);
  await given.write({ "base/9_t.csv": 'id,name\n10,"a\n\\.\n"\n11,b\n' });
  assert.equal((await given.data()).files[0]?.inserted, 2);
  assert.deepEqual(await given.database.query("SELECT name FROM t ORDER BY id"), [
    { name: "a\n\\.\n" },
    { name: "b" },
  ]);
});

Deno.test("seed: keeps the files before the one that fails, and goes on with it", async () => {
  await using given = await seedProject(TABLES, {
    "base/1_t.csv": "id,name\n2,a\n",
    "base/2_t.csv": "id,name\n3,b\n",
    "base/3_t.csv": "id,nome\n4,c\n",
    "base/4_t.csv": "id,name\n5,d\n",
  });
  const { exit, stderr, stdout } = await given.seed(["--json"]);
  assert.equal(exit, 1);
  assert.match(stderr, /3_t\.csv:1: table t has no column "nome"/);
  assert.match(
    stderr,
    /^Nothing of this file was kept; the 2 files before it in this run are loaded$/m,
  );
  assert.match(stderr, /Did you mean "name"\? Its columns are: id, name, n, parent, late, once/);
  const { error } = JSON.parse(stdout);
  assert.deepEqual([error.code, error.details.line], ["unknown_column", 1]);
  assert.deepEqual(await given.database.query("SELECT id FROM t ORDER BY id"), [{ id: 2 }, {
    id: 3,
  }]);
  await given.write({ "base/3_t.csv": "id,name\n4,c\n" });
  const { files } = await given.data();
  assert.deepEqual(files.map(({ loaded }) => loaded), [false, false, true, true]);
});

Deno.test("seed: points at the statement of an SQL file that fails, and keeps nothing", async () => {
  await using given = await seedProject(TABLES, {
    "base/9_t.sql":
      "-- ä\nINSERT INTO t (id, name) VALUES (2, 'x');\n  INSERT INTO t (id, nome)\n VALUES (3, 'y');",
  });
  const { place, stderr } = await fails(given);
  assert.equal(place, "9_t.sql:3:22");
  assert.match(stderr, /^3 \| {3}INSERT INTO t \(id, nome\)\n {2}\| {22}\^$/m);
  // What is checked at the end of a transaction is told of the file, too.
  await given.write({ "base/9_t.sql": "INSERT INTO t (id, name, late) VALUES (2, 'x', 7)" });
  assert.match(
    (await fails(given)).stderr,
    /9_t\.sql: insert or update on table "t" violates foreign key/,
  );
});
