import assert from "assert";
import { directoryWith } from "../cli/project.ts";
import { forEachServerVersion, freshDatabase } from "../database.ts";
import { runProgram } from "../program.ts";

await forEachServerVersion(
  "seed: loads, updates and finds lines on every major",
  async (server) => {
    await using database = await freshDatabase({
      server,
      sql: "CREATE TABLE t (id int PRIMARY KEY, name text NOT NULL, n int CHECK (n > 0), j json);" +
        "CREATE UNIQUE INDEX once ON t (n) WHERE n > 90",
    });
    await using directory = await directoryWith({
      "base/1_t.csv": 'id,name,n\n1,"a\nb",1\n2,c,2\n',
      "base/2_t.jsonl": '{"id":3,"name":"d","j":{"x":[1]}}\n',
      "base/3_t.sql": "SELECT count(*) FROM t",
    });
    const seed = async () => {
      const { code, stdout, stderr } = await runProgram(
        ["seed", "--env", "production", "--dir", directory.path, "--json"],
        { env: { DATABASE_URL: database.url } },
      );
      return { code, stderr, answer: JSON.parse(stdout) };
    };
    const write = (text: string) => Deno.writeTextFile(`${directory.path}/base/1_t.csv`, text);
    const first = await seed();
    assert.equal(first.code, 0, first.stderr);
    assert.deepEqual(first.answer.data.files[2].rows, [{ count: "3" }]);
    await write('id,name,n\n1,"a\nb",5\n2,c,2\n4,e,4\n');
    const [file] = (await seed()).answer.data.files;
    assert.deepEqual([file.inserted, file.updated, file.untouched], [1, 1, 1]);

    const wrong: [text: string, line: number, message: RegExp][] = [
      ['id,name,n\n1,"a\nb",5\n"2","\n\n",2\n4,e,x\n', 7, /invalid input syntax for type integer/],
      ['id,name,n\n1,"a\nb",5\n2,c,2\n4,e,-4\n', 5, /t_n_check/],
      ["id,name,n\n1,a,5\n2,c\n", 3, /missing data for column "n"/],
      ["id,name,n\n1,a,5\n2,,1\n", 3, /null value in column "name"/],
    ];
    for (const [text, line, message] of wrong) {
      await write(text);
      const { code, answer } = await seed();
      assert.equal(code, 1);
      assert.match(answer.error.message, message);
      assert.equal(answer.error.details.line, line, answer.error.message);
    }
    assert.deepEqual(await database.query("SELECT id, name, n, j FROM t ORDER BY id"), [
      { id: 1, name: "a\nb", n: 5, j: null },
      { id: 2, name: "c", n: 2, j: null },
      { id: 3, name: "d", n: null, j: { x: [1] } },
      { id: 4, name: "e", n: 4, j: null },
    ]);

    // Row 2 makes way for row 1, and row 6 meets one that nobody wrote here.
    await database.query("INSERT INTO t VALUES (90, 'mine', 99)");
    await write("id,name,n\n1,a,92\n2,c,93\n6,g,99\n");
    assert.equal((await seed()).code, 0);
    await write("id,name,n\n1,a,93\n2,c,92\n6,g,99\n7,h,-1\n");
    const refused = (await seed()).answer.error;
    assert.match(refused.message, /1_t\.csv:5: .*t_n_check/);
    await write("id,name,n\n6,g,99\n1,a,93\n2,c,2\n7,h,1\n");
    const last = await seed();
    const [{ inserted, updated, untouched }] = last.answer.data.files;
    assert.deepEqual([inserted, updated, untouched], [1, 2, 1]);
    assert.match(last.stderr, /Left 1 row of \S+1_t\.csv alone \(line 2\): .+ under once/);
  },
);
