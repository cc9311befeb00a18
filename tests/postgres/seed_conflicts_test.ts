import assert from "assert";
import { join } from "node:path";
import { PROJECT } from "../../tasks/build.ts";
import { migrate } from "../observatory_schema.ts";
import { type SeedProject, seedProject } from "../seed_project.ts";

const MODELS = `
CREATE TABLE models (
  id int PRIMARY KEY, name text NOT NULL, price int CHECK (price > 0), ended date, code text UNIQUE
);
CREATE UNIQUE INDEX models_current_key ON models (name) WHERE ended IS NULL;`;
const VERSIONS = `
CREATE TABLE versions (id int PRIMARY KEY, prompt text, is_active boolean NOT NULL);
CREATE UNIQUE INDEX active_key ON versions (prompt) WHERE is_active;`;

/** Seeds, which has to succeed, and gives the first file's counts and the warnings. */
async function seeded(
  given: SeedProject,
  args: readonly string[] = [],
): Promise<{ counts: (number | undefined)[]; warnings: string[] }> {
  const { exit, stdout, stderr } = await given.seed([...args, "--json"]);
  assert.equal(exit, 0, stderr);
  const { inserted, updated, untouched } = JSON.parse(stdout).data.files[0];
  const warnings = stderr.split("\n").filter((line) => /WARN/i.test(line));
  return { counts: [inserted, updated, untouched], warnings };
}

async function lines(given: SeedProject, table: string): Promise<string[]> {
  const rows = await given.database.query<{ line: string }>(
    `SELECT trim(both '()' from t::text) AS line FROM ${table} t ORDER BY 1`,
  );
  return rows.map(({ line }) => line);
}

Deno.test("seed: leaves rows alone that another constraint keeps out, also when the file has changed", async () => {
  await using given = await seedProject(
    `${MODELS} INSERT INTO models VALUES (900, 'claude', 9, NULL, NULL);`,
    { "base/models.csv": "id,name,price\n1,gpt,1\n2,claude,2\n3,gemini,3\n" },
  );
  const warning = /Left 1 row of \S+models\.csv alone \(line 3\): it meets .+ models_current_key/;
  const first = await seeded(given);
  assert.deepEqual(first.counts, [2, 0, 1]);
  assert.equal(first.warnings.length, 1);
  assert.match(first.warnings[0] ?? "", warning);

  await given.write({
    "base/models.csv": "id,name,price\n1,gpt,5\n2,claude,2\n3,gemini,3\n4,x,4\n",
  });
  const second = await seeded(given);
  assert.deepEqual(second.counts, [1, 1, 2]);
  assert.equal(second.warnings.length, 1);
  assert.match(second.warnings[0] ?? "", warning);
  const expected = ["1,gpt,5,,", "3,gemini,3,,", "4,x,4,,", "900,claude,9,,"];
  assert.deepEqual(await lines(given, "models"), expected);
  assert.deepEqual((await seeded(given, ["--rerun"])).counts, [0, 0, 4]);
  assert.deepEqual(await lines(given, "models"), expected);

  // When the operator's row makes way, the file's goes in, and nothing is told any more.
  await given.database.query("UPDATE models SET ended = '2026-01-01' WHERE id = 900");
  const last = await seeded(given, ["--rerun"]);
  assert.deepEqual(last, { counts: [1, 0, 3], warnings: [] });
});

Deno.test("seed: tells all constraints that keep rows out in one warning", async () => {
  await using given = await seedProject(
    `${MODELS} INSERT INTO models VALUES (900, 'claude', 9, NULL, 'c'), (901, 'mine', 9, NULL, 'd');`,
    { "base/models.jsonl": '{"id":1,"name":"gpt","code":"a"}\n' },
  );
  await given.data();
  await given.write({
    "base/models.jsonl":
      '{"id":1,"name":"gpt","code":"b"}\n\n{"id":2,"name":"claude","code":"x"}\n' +
      '{"id":3,"name":"new","code":"d"}\n{"id":4,"name":"both","code":"c"}\n' +
      '{"id":5,"name":"good","code":"e"}\n',
  });
  const { counts, warnings } = await seeded(given);
  assert.deepEqual(counts, [1, 1, 3]);
  assert.equal(warnings.length, 1);
  assert.match(
    warnings[0] ?? "",
    /Left 3 rows of \S+ alone \(first: line 3\): they .+ under models_code_key, models_current_key/,
  );
});

Deno.test("seed: leaves rows alone that an exclusion constraint keeps out", async () => {
  await using given = await seedProject(
    `CREATE TABLE t (id int PRIMARY KEY, span int4range, v text,
       CONSTRAINT apart EXCLUDE USING gist (span WITH &&));
     INSERT INTO t VALUES (90, '[5,9)', 'mine');`,
    { "base/t.csv": 'id,span,v\n1,"[1,3)",a\n' },
  );
  await given.data();
  await given.write({ "base/t.csv": 'id,span,v\n1,"[1,4)",b\n2,"[8,10)",c\n3,"[20,21)",d\n' });
  const { counts, warnings } = await seeded(given);
  assert.deepEqual(counts, [1, 1, 1]);
  assert.match(warnings[0] ?? "", /\(line 3\): .+ under apart/);
});

Deno.test("seed: updates rows that make way for each other, in whatever order the file has them", async () => {
  const before =
    '{"id":1,"prompt":"p","is_active":true}\n{"id":2,"prompt":"p","is_active":false}\n';
  const after = [
    '{"id":1,"prompt":"p","is_active":false}',
    '{"id":2,"prompt":"p","is_active":false}',
    '{"id":3,"prompt":"p","is_active":true}',
  ];
  const other = [
    '{"id":1,"prompt":"p","is_active":false}',
    '{"id":2,"prompt":"p","is_active":true}',
    '{"id":3,"prompt":"q","is_active":true}',
  ];
  for (const rows of [after, other]) {
    for (const order of [[0, 1, 2], [2, 1, 0], [1, 0, 2], [1, 2, 0]]) {
      await using given = await seedProject(VERSIONS, { "base/versions.jsonl": before });
      await given.data();
      const unchanged = rows === after ? 1 : 0;
      await given.write({ "base/versions.jsonl": order.map((at) => rows[at]).join("\n") });
      const { counts, warnings } = await seeded(given);
      assert.deepEqual(counts, [1, 2 - unchanged, unchanged], String(order));
      assert.deepEqual(warnings, []);
      assert.deepEqual(
        await given.database.query("SELECT id FROM versions WHERE is_active ORDER BY id"),
        rows === after ? [{ id: 3 }] : [{ id: 2 }, { id: 3 }],
      );
    }
  }
});

Deno.test("seed: shifts unique values over many rows, and keeps those it need not change", async () => {
  const text = (by: number) =>
    "id,place,v\n" +
    Array.from({ length: 3000 }, (_, n) => `${n},${n < 2000 ? n + by : n + 10},v\n`).join("");
  await using given = await seedProject(
    "CREATE TABLE t (id int PRIMARY KEY, place int UNIQUE, v text)",
    { "base/t.csv": text(0) },
  );
  await given.data();
  await given.database.query("CREATE TABLE before AS SELECT id, xmin::text AS was FROM t");
  for (const by of [1, 0]) {
    await given.write({ "base/t.csv": text(by) });
    assert.deepEqual((await seeded(given)).counts, [0, 2000, 1000]);
    assert.deepEqual(
      await given.database.query(
        `SELECT count(*)::int AS rows,
           count(*) FILTER (WHERE place = id + CASE WHEN id < 2000 THEN ${by} ELSE 10 END)::int AS good,
           count(*) FILTER (WHERE t.xmin::text = was)::int AS kept
         FROM t JOIN before USING (id)`,
      ),
      [{ rows: 3000, good: 3000, kept: 1000 }],
    );
  }
});

Deno.test("seed: fails with the line of an update that another row stands against", async () => {
  await using given = await seedProject(
    `${MODELS} INSERT INTO models VALUES (900, 'claude', 9, NULL, NULL);`,
    { "base/models.csv": "id,name,price\n1,gpt,1\n2,gemini,2\n3,grok,3\n" },
  );
  await given.data();
  const before = await lines(given, "models");
  const failing: [rows: string, line: number, message: RegExp][] = [
    // Another one's row, also after rows that are left alone or would be changed.
    [
      "4,claude,1\n1,gpt,7\n2,claude,2\n",
      4,
      /models_current_key[^]*Hint: Change the row that is in/,
    ],
    // Two rows cannot exchange their names one after the other.
    ["4,claude,1\n3,grok,4\n1,gemini,1\n2,gpt,2\n", 4, /models_current_key/],
    // What is wrong beside it is told with its own line.
    ["4,claude,1\n1,gpt,7\n2,gemini,-2\n", 4, /check constraint "models_price_check"/],
    ["4,claude,1\n1,gpt,7\n5,x,1\n6,y,-2\n7,z,1\n", 5, /check constraint "models_price_check"/],
    [
      "4,claude,1\n1,gpt,7\n5,x,1\n1,gpt,8\n",
      5,
      /the key \(id\) is the same as in a row before it/,
    ],
  ];
  for (const [rows, line, message] of failing) {
    await given.write({ "base/models.csv": `id,name,price\n${rows}` });
    const { exit, stderr } = await given.seed();
    assert.equal(exit, 1, stderr);
    assert.match(stderr, new RegExp(`models\\.csv:${line}: `));
    assert.match(stderr, message);
    assert.match(stderr, /^Nothing of this file was kept$/m);
    assert.doesNotMatch(stderr, /Left \d+ row/);
    assert.deepEqual(await lines(given, "models"), before);
  }
});

Deno.test("seed: updates rows that refer to new ones beside rows that are left alone", async () => {
  const tables = (how: string) =>
    `CREATE TABLE t (id int PRIMARY KEY, up int REFERENCES t ${how}, name text UNIQUE);
     INSERT INTO t VALUES (90, NULL, 'mine');`;
  for (const how of ["", "DEFERRABLE INITIALLY DEFERRED", "DEFERRABLE"]) {
    await using given = await seedProject(tables(how), {
      "base/t.csv": "id,up,name\n1,,a\n2,1,b\n",
    });
    await given.data();
    await given.write({ "base/t.csv": "id,up,name\n1,5,a\n2,1,b\n3,,mine\n4,1,d\n5,6,e\n6,4,f\n" });
    const { counts, warnings } = await seeded(given);
    assert.deepEqual(counts, [3, 1, 2], how);
    assert.match(warnings[0] ?? "", /\(line 4\): .+ under t_name_key/);
    // A row may not refer to one that is left out, or to none.
    for (const [rows, line] of [["1,5,a\n3,,mine\n4,77,d\n7,4,g\n", 4], ["3,,mine\n1,77,a\n", 3]]) {
      await given.write({ "base/t.csv": `id,up,name\n${rows}` });
      const { exit, stderr } = await given.seed();
      assert.equal(exit, 1, stderr);
      assert.match(stderr, new RegExp(`t\\.csv:${line}: .*violates foreign key constraint`));
    }
  }
});

Deno.test("seed: lets rows exchange values under a deferrable constraint beside another one", async () => {
  await using given = await seedProject(
    `CREATE TABLE t (id int PRIMARY KEY, place int UNIQUE DEFERRABLE, is_active boolean);
     CREATE UNIQUE INDEX active ON t (is_active) WHERE is_active;`,
    { "base/t.csv": "id,place,is_active\n1,1,false\n2,2,true\n3,3,false\n" },
  );
  await given.data();
  await given.write({
    "base/t.csv": "id,place,is_active\n1,2,true\n2,1,false\n3,3,false\n4,4,false\n",
  });
  assert.deepEqual((await seeded(given)).counts, [1, 2, 1]);
  assert.deepEqual(await lines(given, "t"), ["1,2,t", "2,1,f", "3,3,f", "4,4,f"]);
  // The server passes over no rows of such a table for another constraint than the one named.
  const refused: [rows: string, place: string, name: string][] = [
    ["1,2,true\n5,5,false\n6,6,true\n7,7,false\n", "t.csv:4", "active"],
    ["1,2,false\n8,1,false\n", "t.csv:3", "t_place_key"],
  ];
  for (const [rows, place, name] of refused) {
    await given.write({ "base/t.csv": `id,place,is_active\n${rows}` });
    const { exit, stderr } = await given.seed();
    assert.equal(exit, 1, stderr);
    assert.match(stderr, new RegExp(`${place}: duplicate key value violates .* "${name}"`));
  }
  assert.deepEqual(await lines(given, "t"), ["1,2,t", "2,1,f", "3,3,f", "4,4,f"]);
});

Deno.test("seed: keeps an operator's model beside ours, and activates another version of a prompt", async () => {
  const read = (path: string) => Deno.readTextFile(join(PROJECT, "seeds", path));
  const models = await read("base/020_models.csv");
  const versions = await read("development/040_prompt_versions.jsonl");
  await using given = await seedProject("SELECT", {
    "base/020_models.csv": models,
    "development/010_projects.csv": await read("development/010_projects.csv"),
    "development/030_prompts.csv": await read("development/030_prompts.csv"),
    "development/040_prompt_versions.jsonl": versions,
  });
  const client = await given.database.connect();
  try {
    await migrate(client);
  } finally {
    await client.end();
  }
  const [, first = "", second = ""] = models.split("\n");
  const [, provider, name, version] = first.split(",");
  await given.database.query(
    `INSERT INTO models (provider, name, version, effective_from, input_price_per_million,
       output_price_per_million, context_window)
     VALUES ('${provider}', '${name}', '${version}', '2020-01-01', 77, 77, 77)`,
  );
  const warning = /Left 1 row of \S+020_models\.csv alone \(line 2\): .+ under models_current_key/;
  const all = models.trim().split("\n").length - 1;
  const loaded = await seeded(given);
  assert.deepEqual(loaded.counts, [all - 1, 0, 1]);
  assert.match(loaded.warnings.join(), warning);

  const active = "SELECT version FROM prompt_versions WHERE is_active ORDER BY prompt_id, version";
  const before = await given.database.query(active);
  // The first prompt goes back to its first version, which the file has before the one in force.
  const rows = versions.trim().split("\n").map((line) => JSON.parse(line));
  const mine = rows.filter((row) => row.prompt_id === rows[0].prompt_id);
  assert.ok(mine.length > 1 && !mine[0].is_active, "the file's first version is not in force");
  for (const row of mine) row.is_active = row === mine[0];
  await given.write({
    "base/020_models.csv": models.replace(
      second,
      second.replace(/,\d[\d.]*,(?=[^,]*,[^,]*,[^,]*$)/, ",1234,"),
    ),
    "development/040_prompt_versions.jsonl": rows.map((row) => JSON.stringify(row)).join("\n"),
  });
  const changed = await given.seed();
  assert.equal(changed.exit, 0, changed.stderr);
  assert.match(changed.stdout, /020_models\.csv: 1 row updated, \d+ left alone/);
  assert.match(changed.stdout, /040_prompt_versions\.jsonl: 2 rows updated, \d+ left alone/);
  assert.match(changed.stderr, warning);
  const after = await given.database.query(active);
  assert.equal(after.length, before.length);
  assert.deepEqual(
    await given.database.query(
      `SELECT version FROM prompt_versions WHERE is_active AND prompt_id = '${rows[0].prompt_id}'`,
    ),
    [{ version: mine[0].version }],
  );
});
