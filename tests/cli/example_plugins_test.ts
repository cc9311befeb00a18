/** The plugins of `examples/plugins/` from outside, on our own schema with its test data. */
import assert from "assert";
import { join } from "node:path";
import { PROJECT } from "../../tasks/build.ts";
import { forEachKind, type Kind, type RunResult } from "../program.ts";
import { until } from "./project.ts";
import { examplePlugin, EXAMPLES, observatory } from "./example_plugins.ts";

const NAMES = [
  "anonymize",
  "archive-traces",
  "pg-upgrade-check",
  "slack-notify",
  "table-sizes",
  "vacuum",
];

/** The data of a run with `--json`, which has to succeed. */
function dataOf({ code, stdout, stderr }: RunResult) {
  assert.equal(code, 0, stdout + stderr);
  return JSON.parse(stdout).data;
}

forEachKind("examples: all are usable, together and each by itself", async (kind) => {
  await using given = await observatory(kind, NAMES, { empty: true });
  const list = await given.run(["plugin", "list", "--check", "--json"]);
  const { plugins } = dataOf(list);
  assert.deepEqual(
    plugins.filter(({ source }: { source: string }) => source !== "built-in")
      .map(({ name, status }: { name: string; status: string }) => [name, status]),
    NAMES.map((name) => [name, "ok"]),
  );
  for (const name of NAMES) {
    const { code, stderr } = await given.run(["plugin", "check", `plugins/${name}.ts`]);
    assert.deepEqual([code, stderr], [0, ""], name);
  }
});

forEachKind(
  "examples: they compile with the contract that the program writes out",
  async (kind) => {
    await using given = await observatory(kind, NAMES, { empty: true });
    assert.equal((await given.run(["plugin", "types"])).code, 0);
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["check", ...NAMES.map((name) => `${name}.ts`)],
      cwd: join(given.directory, "plugins"),
      env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
  },
);

Deno.test("examples: every file of the directory is tested here", async () => {
  const found: string[] = [];
  for await (const { name } of Deno.readDir(EXAMPLES)) found.push(name);
  assert.deepEqual(found.sort(), NAMES.map((name) => `${name}.ts`));
});

/** A server that keeps what is posted to it, and the plugin made to reach it. */
async function webhook(answer: () => Response | Promise<Response>) {
  const texts: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    texts.push((await request.json()).text);
    return await answer();
  });
  const host = `127.0.0.1:${server.addr.port}`;
  const source = await examplePlugin("slack-notify");
  return {
    texts,
    env: { SLACK_WEBHOOK_URL: `http://${host}/services/T0/B0/secret-part` },
    plugin: source.replace('"hooks.slack.com"', JSON.stringify(host)),
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

async function withWebhook(kind: Kind, hook: { readonly plugin: string }) {
  const given = await observatory(kind, [], { empty: true });
  await Deno.mkdir(join(given.directory, "plugins"), { recursive: true });
  await Deno.writeTextFile(join(given.directory, "plugins/slack-notify.ts"), hook.plugin);
  return given;
}

forEachKind("slack-notify: posts what was done and what failed, and nothing else", async (kind) => {
  await using hook = await webhook(() => new Response("ok"));
  await using given = await withWebhook(kind, hook);
  const { name, host } = given.database;
  const where = `"${name}" on ${host} (development)`;
  const { env } = hook;

  const test = await given.run(["slack", "test"], { env });
  assert.deepEqual([test.code, test.stdout], [0, "Posted a test message\n"], test.stderr);
  assert.deepEqual(hook.texts.splice(0), ["A test message of observatory"]);

  assert.equal((await given.run(["migrate", "--dry-run"], { env })).code, 0);
  assert.equal((await given.run(["seed", "status", "--dir", "nowhere"], { env })).code, 1);
  assert.deepEqual(hook.texts.splice(0), []);

  assert.equal((await given.run(["migrate"], { env })).code, 0);
  assert.deepEqual(hook.texts.splice(0), [`:white_check_mark: \`migrate\` of ${where} is done`]);

  await Deno.mkdir(join(given.directory, "broken"));
  await Deno.writeTextFile(join(given.directory, "broken/1_x.sql"), "CREATE TABLE;");
  const failed = await given.run(["migrate"], { env: { ...env, MIGRATIONS_DIR: "broken" } });
  assert.notEqual(failed.code, 0);
  const [text = "", ...more] = hook.texts.splice(0);
  assert.deepEqual(more, []);
  assert.ok(text.startsWith(`:x: \`migrate\` of ${where} failed: `), text);

  const silent = await given.run(["migrate"]);
  assert.deepEqual([silent.code, hook.texts], [0, []], silent.stderr);
});

forEachKind("slack-notify: a post that fails is a warning without the secret", async (kind) => {
  const hanging = Promise.withResolvers<Response>();
  let answer: () => Response | Promise<Response> = () => new Response("no", { status: 500 });
  await using hook = await webhook(() => answer());
  await using given = await withWebhook(kind, hook);
  async function warned(env: Readonly<Record<string, string>>, warning: RegExp) {
    const { code, stdout, stderr } = await given.run(["migrate"], { env });
    assert.equal(code, 0, stderr);
    assert.match(stderr, warning);
    assert.doesNotMatch(stdout + stderr, /secret-part/);
  }
  await warned(hook.env, /^\[WARNING\] Cannot post to Slack: it answers 500$/m);
  answer = () => hanging.promise;
  await warned(hook.env, /^\[WARNING\] Cannot post to Slack: it did not answer in time$/m);
  hanging.resolve(new Response("late"));
  const other = { SLACK_WEBHOOK_URL: "https://example.com/secret-part" };
  await warned(other, /^\[WARNING\] .*: the webhook's URL does not lead to 127\.0\.0\.1:\d+$/m);

  const test = await given.run(["slack", "test", "--json"], { env: other });
  assert.equal(test.code, 1);
  assert.match(JSON.parse(test.stdout).error.message, /does not lead to/);
  const unset = await given.run(["slack", "test"]);
  assert.equal(unset.code, 2);
});

forEachKind("slack-notify: a service that is not there is a warning", async (kind) => {
  const { plugin, env, [Symbol.asyncDispose]: shutdown } = await webhook(() => new Response());
  await shutdown();
  await using given = await withWebhook(kind, { plugin });
  const { code, stderr } = await given.run(["migrate"], { env });
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^\[WARNING\] Cannot post to Slack: 127\.0\.0\.1:\d+ cannot be reached$/m);
});

forEachKind("table-sizes: the server's own figures, for people and for programs", async (kind) => {
  await using given = await observatory(kind, ["table-sizes"]);
  const { database } = given;
  await database.query(`
    CREATE SCHEMA "Old"; CREATE TABLE "Old".parts (n int PRIMARY KEY) PARTITION BY RANGE (n);
    CREATE TABLE "Old".low PARTITION OF "Old".parts FOR VALUES FROM (0) TO (500);
    CREATE TABLE "Old".high PARTITION OF "Old".parts FOR VALUES FROM (500) TO (1000);
    INSERT INTO "Old".parts SELECT generate_series(0, 999);
    ANALYZE "Old".parts; ANALYZE traces`);
  const { tables } = dataOf(await given.run(["table-sizes", "--json", "--limit", "50"]));
  const [expected] = await database.query(
    `SELECT pg_total_relation_size('traces')::int AS total_bytes, pg_table_size('traces')::int AS table_bytes,
       pg_indexes_size('traces')::int AS index_bytes, count(*)::int AS rows FROM traces`,
  );
  assert.deepEqual(
    tables.find(({ name }: { name: string }) => name === "traces"),
    { schema: "public", name: "traces", parts: 0, ...expected },
  );
  const totals = tables.map(({ total_bytes }: { total_bytes: number }) => total_bytes);
  assert.deepEqual(totals, totals.toSorted((one: number, other: number) => other - one));

  const [size] = await database.query<{ bytes: number }>(
    `SELECT (pg_total_relation_size('"Old".low') + pg_total_relation_size('"Old".high'))::int AS bytes`,
  );
  const own = await given.run(["table-sizes", "--schema", "Old", "--json"]);
  assert.deepEqual(
    dataOf(own).tables.map(({ name, parts, rows, total_bytes }: Record<string, unknown>) => [
      name,
      parts,
      rows,
      total_bytes,
    ]),
    [["parts", 2, 1000, size?.bytes]],
  );

  const line = ["table-sizes", "--sort", "name", "--limit", "2", "--schema", "public"];
  const { code, stdout } = await given.run(line);
  assert.equal(code, 0);
  assert.match(
    stdout,
    /^TABLE +ROWS +TABLE SIZE +INDEXES +TOTAL\npublic\._sqlx_migrations +.+ KiB\npublic\.api_keys .+ KiB\n$/,
  );
  assert.equal((await given.run(["table-sizes", "--sort", "colour"])).code, 2);
});

forEachKind("vacuum: takes the tables with the most dead rows", async (kind) => {
  await using given = await observatory(kind, ["vacuum"]);
  const { database } = given;
  // The server's own vacuum may come at any time.
  await database.query(`ALTER TABLE metrics SET (autovacuum_enabled = off);
    ALTER TABLE logs SET (autovacuum_enabled = off);
    UPDATE metrics SET value = value; UPDATE logs SET message = message`);
  async function vacuumed(): Promise<unknown> {
    const rows = await database.query(
      `SELECT relname::text AS name FROM pg_stat_user_tables WHERE last_vacuum IS NOT NULL ORDER BY 1`,
    );
    return rows.map(({ name }) => name);
  }
  await until("the statistics", async () => {
    const rows = await database.query(
      "SELECT FROM pg_stat_user_tables WHERE relname IN ('metrics', 'logs') AND n_dead_tup > 0",
    );
    return rows.length === 2;
  });
  const line = ["vacuum", "--limit", "1", "--min-dead", "10"];
  const dry = await given.run([...line, "--dry-run"]);
  assert.match(dry.stdout, /^Would vacuum public\.metrics: \d+ dead rows\n$/);
  assert.deepEqual(await vacuumed(), []);

  const done = await given.run(line);
  assert.equal(done.code, 0, done.stderr);
  assert.match(done.stdout, /^Vacuumed public\.metrics: \d+ dead rows\n$/);
  assert.deepEqual(await vacuumed(), ["metrics"]);
  const json = dataOf(await given.run(["vacuum", "--min-dead", "10", "--json"]));
  assert.deepEqual(
    [json.vacuumed, json.tables.map(({ table }: { table: string }) => table)],
    [true, ["public.logs"]],
  );
  const none = await given.run(["vacuum", "--min-dead", "1000000"]);
  assert.deepEqual([none.code, none.stdout], [0, "No table has 1000000 dead rows\n"]);
});

forEachKind("vacuum: an interrupt cancels it, with its exit code", async (kind) => {
  await using given = await observatory(kind, ["vacuum"]);
  await given.database.query("UPDATE metrics SET value = value");
  const client = await given.database.connect();
  try {
    await until("the statistics", async () => {
      const rows = await given.database.query(
        "SELECT FROM pg_stat_user_tables WHERE relname = 'metrics' AND n_dead_tup > 0",
      );
      return rows.length === 1;
    });
    await client.query("BEGIN; LOCK TABLE metrics");
    const run = await given.start(["vacuum", "--min-dead", "10"]);
    await until("the lock's wait", async () => {
      const rows = await given.database.query(
        `SELECT FROM pg_stat_activity WHERE query LIKE 'VACUUM%' AND wait_event_type = 'Lock'
           AND datname = current_database()`,
      );
      return rows.length === 1;
    });
    run.kill("SIGINT");
    assert.equal((await run.result()).code, 130);
  } finally {
    await client.end();
  }
});

forEachKind(
  "pg-upgrade-check: nothing against our schema, and every finding on its own",
  async (kind) => {
    await using given = await observatory(kind, ["pg-upgrade-check"]);
    const { database } = given;
    // Of the server's other databases, some may just now be those that a restore has kept.
    const isOurs = (problem: string) => !problem.startsWith("databases without connections: ");
    const before = JSON.parse((await given.run(["pg-upgrade-check", "--json"])).stdout);
    assert.deepEqual((before.problems ?? []).filter(isOurs), []);
    assert.deepEqual(before.data.extensions.map(({ name }: { name: string }) => name), ["plpgsql"]);

    await database.query(`
    CREATE TABLE called ("the function" regproc, n int, "a class" regclass);
    CREATE UNLOGGED TABLE fleeting (id int PRIMARY KEY);
    CREATE TABLE double (id int PRIMARY KEY, n int);
    INSERT INTO double VALUES (1, 1), (2, 1);
    SELECT lo_create(0)`);
    await assert.rejects(database.query("CREATE UNIQUE INDEX CONCURRENTLY broken ON double (n)"));
    const { code, stdout, stderr } = await given.run(["pg-upgrade-check"]);
    assert.equal(code, 3, stderr);
    const problems = [
      'columns of types whose stored form does not carry over: public.called."the function" regproc',
      "invalid indexes: public.broken",
      "tables without a key to replicate by: public.called",
      "unlogged tables: public.fleeting",
      "large objects: 1 of them",
    ];
    for (const problem of problems) {
      assert.ok(stdout.includes(`${problem}\n  `), `${problem} in ${stdout}`);
      assert.ok(stderr.includes(`[WARNING] ${problem}\n`), `${problem} in ${stderr}`);
    }
    const others = stdout.split("\n").filter((line) => !isOurs(line)).length;
    assert.ok(stdout.endsWith(`\n${problems.length + others} found\n`), stdout);
    for (const [method, some] of [["pg_upgrade", [0, 1]], ["logical", [1, 2, 3, 4]]] as const) {
      const line = ["pg-upgrade-check", "--method", method, "--json"];
      const run = await given.run(line);
      assert.equal(run.code, 3);
      const found: string[] = JSON.parse(run.stdout).problems;
      assert.deepEqual(found.filter(isOurs), some.map((index) => problems[index]));
    }
  },
);

Deno.test("examples: the documentation shows them all", async () => {
  const text = await Deno.readTextFile(join(PROJECT, "docs/PLUGINS.md"));
  for (const name of NAMES) assert.ok(text.includes(`../examples/plugins/${name}.ts`), name);
});
