import assert from "assert";
// @ts-types="@types/pg"
import pg from "pg";
import { runProgram } from "../program.ts";
import { directoryWith } from "../cli/project.ts";
import { startTimescale } from "../timescale.ts";

Deno.test("seed: fills hypertables, and updates their rows", async () => {
  await using server = await startTimescale();
  const query = async (sql: string) => {
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    try {
      return (await client.query(sql)).rows;
    } finally {
      await client.end();
    }
  };
  await query("CREATE EXTENSION timescaledb");
  await query("CREATE TABLE points (at timestamptz, id int, v float8, PRIMARY KEY (id, at))");
  await query("SELECT create_hypertable('points', 'at', chunk_time_interval => interval '1 day')");
  const rows = (value: number) =>
    `at,id,v\n2026-01-01T00:00Z,1,1\n2026-01-05T00:00Z,2,${value}\n2026-01-09T00:00Z,3,3\n`;
  await using directory = await directoryWith({ "seeds/base/1_points.csv": rows(2) });
  const seed = async () => {
    const { code, stdout, stderr } = await runProgram(["seed", "--json", "--env", "production"], {
      cwd: directory.path,
      env: { DATABASE_URL: `${server.url}?sslmode=disable` },
    });
    assert.equal(code, 0, stderr);
    const [file] = JSON.parse(stdout).data.files;
    return [file.inserted, file.updated, file.untouched];
  };
  assert.deepEqual(await seed(), [3, 0, 0]);
  await Deno.writeTextFile(`${directory.path}/seeds/base/1_points.csv`, rows(5));
  assert.deepEqual(await seed(), [0, 1, 2]);
  assert.deepEqual(await query("SELECT id, v FROM points ORDER BY id"), [
    { id: 1, v: 1 },
    { id: 2, v: 5 },
    { id: 3, v: 3 },
  ]);
  await Deno.writeTextFile(
    `${directory.path}/seeds/base/1_points.csv`,
    `${rows(5)}2026-02-01T00:00Z,4,4\n`,
  );
  assert.deepEqual(await seed(), [1, 0, 3]);
});
