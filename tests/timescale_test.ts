import assert from "assert";
// @ts-types="@types/pg"
import pg from "pg";
import { clientTools } from "./database.ts";
import { skipWhenMissing } from "./skip.ts";
import { startTimescale } from "./timescale.ts";

const tools = await clientTools();
const noPsql = tools === undefined ? "psql is not installed" : undefined;

async function connect(url: string, options: pg.ClientConfig = {}): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, ...options });
  await client.connect();
  return client;
}

Deno.test("startTimescale: takes clients as a server does", async (t) => {
  await using server = await startTimescale();
  const one = await connect(server.url);
  const two = await connect(server.url, { application_name: "two" });
  try {
    await t.step("the extension works", async () => {
      await one.query("CREATE EXTENSION timescaledb");
      await one.query("CREATE TABLE m (time timestamptz NOT NULL, v float8)");
      await one.query("SELECT create_hypertable('m', 'time')");
      await one.query(
        "INSERT INTO m SELECT now() - i * interval '1 day', i FROM generate_series(1, 30) i",
      );
      const { rows } = await two.query("SELECT count(*)::int FROM show_chunks('m')");
      assert.ok(rows[0].count > 1);
    });
    await t.step("an error is one, and the session goes on", async () => {
      await assert.rejects(one.query("SELECT no_such"), { code: "42703" });
      await assert.rejects(one.query("SELECT $1::int", ["x"]), { code: "22P02" });
      assert.deepEqual((await one.query("SELECT $1::int AS n", [7])).rows, [{ n: 7 }]);
    });
    await t.step("a transaction is not seen by another client, which waits", async () => {
      await one.query("BEGIN");
      await one.query("INSERT INTO m VALUES (now(), -1)");
      let answered = false;
      const count = two.query("SELECT count(*)::int FROM m WHERE v = -1").then(({ rows }) => {
        answered = true;
        return rows[0].count;
      });
      await one.query("SELECT pg_sleep(0.1)");
      assert.equal(answered, false);
      await one.query("ROLLBACK");
      assert.equal(await count, 0);
    });
    await t.step("each client has its own settings", async () => {
      await one.query("SET work_mem = '7MB'");
      assert.equal((await two.query("SHOW application_name")).rows[0].application_name, "two");
      assert.equal((await two.query("SHOW work_mem")).rows[0].work_mem, "4MB");
      assert.equal((await one.query("SHOW work_mem")).rows[0].work_mem, "7MB");
      const three = await connect(server.url, { options: "-c search_path=pg_catalog" });
      assert.equal((await three.query("SHOW search_path")).rows[0].search_path, "pg_catalog");
      await three.end();
    });
    await t.step("the process is the one that the client was told of", async () => {
      const { rows: [row] } = await one.query("SELECT pg_backend_pid() AS pid");
      assert.equal(row.pid, Reflect.get(one, "processID"));
    });
    await t.step({
      name: "psql copies in what it reads",
      ignore: skipWhenMissing("COPY into TimescaleDB", noPsql),
      async fn() {
        await one.query("CREATE TABLE copied (id int, word text)");
        const psql = new Deno.Command(tools?.psql ?? "", {
          args: ["-X", "-v", "ON_ERROR_STOP=1", "-c", "\\copy copied FROM pstdin", server.url],
          stdin: "piped",
          stdout: "piped",
        }).spawn();
        const writer = psql.stdin.getWriter();
        await writer.write(new TextEncoder().encode("1\tone\n2\ttwo\n"));
        await writer.close();
        const { code, stdout } = await psql.output();
        assert.equal(new TextDecoder().decode(stdout), "COPY 2\n");
        assert.equal(code, 0);
        const { rows } = await one.query("SELECT id, word FROM copied ORDER BY id");
        assert.deepEqual(rows, [{ id: 1, word: "one" }, { id: 2, word: "two" }]);
      },
    });
    await t.step("an advisory lock can be taken", async () => {
      const { rows } = await two.query("SELECT pg_try_advisory_lock(42) AS taken");
      assert.deepEqual(rows, [{ taken: true }]);
    });
    await t.step("the transaction of a client that goes away is rolled back", async () => {
      const four = await connect(server.url);
      await four.query("BEGIN");
      await four.query("CREATE TABLE left_behind ()");
      await four.end();
      const { rows } = await two.query("SELECT to_regclass('left_behind') AS name");
      assert.deepEqual(rows, [{ name: null }]);
    });
    await t.step("a database that is not there is refused", async () => {
      await assert.rejects(connect(server.url.replace(/postgres$/, "other")), { code: "3D000" });
    });
  } finally {
    await one.end();
    await two.end();
  }
});
