import assert from "assert";
import { command, type Context, type Effect, type Plugin } from "../../core/plugin.ts";
import { systemHost } from "../../core/host.ts";
import { run } from "../../core/run.ts";
import { fakeHost } from "../../core/testing.ts";
import { freshDatabase, type TestDatabase } from "../database.ts";

/** A plugin whose one command does as told with the database. */
function working(effect: Effect, work: (ctx: Context) => Promise<unknown>): Plugin {
  return {
    name: "worker",
    api: 1,
    summary: "Work",
    commands: {
      "work": command({
        summary: "Work",
        examples: [{ line: "observatory work", note: "Work" }],
        effect,
        dryRun: true,
        run: async (ctx) => ({ data: await work(ctx) }),
      }),
    },
    hooks: { "before:work": async (ctx) => void await ctx.db.query("SELECT 1") },
  };
}

async function runOn(database: TestDatabase, args: readonly string[], plugin: Plugin) {
  const host = fakeHost({ env: { DATABASE_URL: database.url }, dialer: systemHost().dialer });
  const code = await run(["--json", "work", "--wait", "5", ...args], host, { plugins: [plugin] });
  return { code, json: JSON.parse(host.written.stdout), stderr: host.written.stderr };
}

const write = async (ctx: Context) => (await ctx.db.query("INSERT INTO t VALUES (9)")).count;

async function rowsOf(database: TestDatabase): Promise<number> {
  return (await database.query("SELECT * FROM t")).length;
}

Deno.test("run: a command that reads cannot write, in any session it opens", async () => {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (n int)" });
  const inSession = async (ctx: Context) => {
    const session = await ctx.db.session({ settings: { default_transaction_read_only: "off" } });
    return await session.query("INSERT INTO t VALUES (9)");
  };
  for (const work of [write, inSession]) {
    const { code, json } = await runOn(database, [], working("read", work));
    assert.equal(code, 1);
    assert.equal(json.error.details.sqlstate, "25006");
  }
  assert.equal(await rowsOf(database), 0);
});

Deno.test("run: a command that writes or destroys writes, and under --dry-run cannot", async () => {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (n int)" });
  let expected = 0;
  for (const [effect, args] of [["write", []], ["destroy", ["--force"]]] as const) {
    const dry = await runOn(database, ["--dry-run"], working(effect, write));
    assert.equal(dry.code, 1);
    assert.equal(dry.json.error.details.sqlstate, "25006");
    assert.equal(await rowsOf(database), expected);
    const { code, json } = await runOn(database, args, working(effect, write));
    assert.deepEqual([code, json.data], [0, 1]);
    assert.equal(await rowsOf(database), ++expected);
  }
});

Deno.test("run: hooks of a command that reads cannot write either", async () => {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (n int)" });
  const plugin = working("read", () => Promise.resolve(1));
  const hooks = { "after:work": async (ctx: Context) => void await write(ctx) };
  const { code, json } = await runOn(database, [], { ...plugin, hooks });
  assert.deepEqual([code, json.error.code], [1, "hook_failed"]);
  assert.equal(await rowsOf(database), 0);
});

Deno.test("run: a server's error that no command worded is told with its SQLSTATE", async () => {
  await using database = await freshDatabase();
  const { code, json, stderr } = await runOn(
    database,
    [],
    working("write", (ctx) => ctx.db.query("SELECT broken")),
  );
  assert.equal(code, 1);
  assert.equal(
    json.error.message,
    'The server reports: column "broken" does not exist (SQLSTATE 42703)',
  );
  assert.match(stderr, /^\[ERROR\] The server reports: /m);
});

Deno.test("run: every session is closed at the end, also of a command that fails", async () => {
  await using database = await freshDatabase();
  const observer = await database.connect();
  const others = async () =>
    (await observer.query(
      `SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
          AND backend_type = 'client backend'`,
    )).rows.length;
  try {
    for (const fails of [false, true]) {
      const work = async (ctx: Context) => {
        await Promise.all([ctx.db.query("SELECT 1"), ctx.db.session(), ctx.db.session()]);
        if (fails) throw new Error("no");
        return await others();
      };
      const { code, json } = await runOn(database, [], working("write", work));
      assert.equal(code, fails ? 70 : 0);
      if (!fails) assert.equal(json.data, 3);
      while (await others() > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
  } finally {
    await observer.end();
  }
});
