/** The example plugins that change data, from outside: `archive-traces` and `anonymize`. */
import assert from "assert";
import { join } from "node:path";
import { forEachKind } from "../program.ts";
import { observatory } from "./example_plugins.ts";
import { type Project, until } from "./project.ts";

const ALL = ["archive-traces", "--days", "1"];

/** Every row as JSON by its key, as the database has it. */
async function rowsOf({ database }: Project): Promise<Map<string, unknown>> {
  const rows = await database.query<{ row: { ts: string; trace_id: string; span_id: string } }>(
    "SET timezone = 'UTC'; SELECT to_jsonb(traces) AS row FROM traces",
  );
  return new Map(rows.map(({ row }) => [keyOf(row), row]));
}

function keyOf(row: { ts: string; trace_id: string; span_id: string }): string {
  return `${row.ts} ${row.trace_id} ${row.span_id}`;
}

/** Every line of the files by its key; a key that is there twice fails. */
async function archived({ directory }: Project): Promise<Map<string, unknown>> {
  const rows = new Map<string, unknown>();
  for (const name of await filesOf(directory)) {
    const text = await Deno.readTextFile(join(directory, "archive", name));
    for (const line of text.trimEnd().split("\n")) {
      const row = JSON.parse(line);
      assert.ok(!rows.has(keyOf(row)), `${keyOf(row)} is there twice`);
      rows.set(keyOf(row), row);
    }
  }
  return rows;
}

async function filesOf(directory: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(join(directory, "archive"))) names.push(name);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return names.sort();
}

forEachKind("archive-traces: every old row is in a file, and nowhere else", async (kind) => {
  await using given = await observatory(kind, ["archive-traces"]);
  await given.database.query(
    `INSERT INTO traces (ts, trace_id, span_id, project_id, operation, input, latency_ms)
     SELECT now(), repeat('a', 32), repeat('b', 16), id, 'chat', '{"text": "Grüße\\n\\u2028"}', 0.1
     FROM projects LIMIT 1;
     INSERT INTO traces (ts, trace_id, span_id, project_id, operation, input, cost_usd)
     SELECT '2026-01-02 03:04:05.678901+02', repeat('c', 32), repeat('d', 16), id, 'chat',
       '{"text": "Grüße\\n\\u2028"}', 0.000000000001 FROM projects LIMIT 1`,
  );
  const before = await rowsOf(given);
  const fresh = [...before.keys()].filter((key) => key.includes("aaaa"));
  const dry = await given.run([...ALL, "--dry-run"]);
  assert.deepEqual(
    [dry.code, dry.stdout],
    [0, `Would archive ${before.size - 1} rows\n`],
    dry.stderr,
  );
  assert.deepEqual([await filesOf(given.directory), await rowsOf(given)], [[], before]);

  const { code, stdout, stderr } = await given.run([...ALL, "--batch", "100"]);
  assert.equal(code, 0, stderr);
  const files = await filesOf(given.directory);
  assert.equal(files.length, Math.ceil((before.size - 1) / 100));
  assert.match(
    stdout,
    new RegExp(`^Archived ${before.size - 1} rows\n  \\./archive/traces-2026-01`),
  );
  assert.deepEqual([...(await rowsOf(given)).keys()], fresh);
  const written = await archived(given);
  assert.deepEqual(new Map([...before].filter(([key]) => !fresh.includes(key))), written);

  const again = await given.run([...ALL, "--json"]);
  assert.deepEqual(JSON.parse(again.stdout).data, { files: [], rows: 0, recovered: 0 });
  assert.deepEqual(await filesOf(given.directory), files);
  assert.equal((await given.run(["archive-traces", "--days", "0"])).code, 2);
});

/** Holds every commit that deletes traces until the work is done; the run is then killed. */
async function killedAtCommit(
  given: Project,
  atCommit: (pid: number) => Promise<void>,
): Promise<void> {
  const holder = await given.database.connect();
  try {
    await holder.query(
      `CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NULL; END';
       CREATE CONSTRAINT TRIGGER wait AFTER DELETE ON traces DEFERRABLE INITIALLY DEFERRED
         FOR EACH ROW EXECUTE FUNCTION wait();
       SELECT pg_advisory_lock(4711)`,
    );
    const run = await given.start([...ALL, "--batch", "100"]);
    let pid = 0;
    await until("a commit that waits", async () => {
      const [waiting] = await given.database.query<{ pid: number }>(
        `SELECT pid FROM pg_stat_activity WHERE datname = current_database()
           AND query LIKE 'COMMIT%' AND wait_event = 'advisory'`,
      );
      pid = waiting?.pid ?? 0;
      return pid !== 0;
    });
    run.kill("SIGKILL");
    await run.result();
    await atCommit(pid);
    await holder.query("SELECT pg_advisory_unlock(4711)");
    await until("the end of the sessions", async () => {
      const rows = await given.database.query(
        `SELECT FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'observatory'`,
      );
      return rows.length === 0;
    });
    await holder.query("DROP TRIGGER wait ON traces");
  } finally {
    await holder.end();
  }
}

async function terminate(given: Project, pid: number): Promise<void> {
  await given.database.query("SELECT pg_terminate_backend($1)", [pid]);
}

forEachKind(
  "archive-traces: killed before its commit, it goes on without a double",
  async (kind) => {
    await using given = await observatory(kind, ["archive-traces"]);
    const before = await rowsOf(given);
    await killedAtCommit(given, (pid) => terminate(given, pid));
    assert.deepEqual([await rowsOf(given), (await archived(given)).size], [before, 100]);

    const elsewhere = await Deno.makeTempDir({ dir: given.directory });
    const wrong = await given.run([...ALL, "--plugin-dir", join(given.directory, "plugins")], {
      cwd: elsewhere,
      env: { PLUGINS_DIR: "" },
    });
    assert.equal(wrong.code, 1, wrong.stderr);
    assert.match(wrong.stderr, /Run this in the directory in which that one ran/);

    const { code, stdout, stderr } = await given.run([...ALL, "--json"]);
    assert.equal(code, 0, stderr);
    const { data } = JSON.parse(stdout);
    assert.deepEqual([data.recovered, data.rows], [100, before.size - 100]);
    assert.deepEqual([await archived(given), (await rowsOf(given)).size], [before, 0]);
  },
);

forEachKind("archive-traces: killed during its commit, it loses nothing", async (kind) => {
  await using given = await observatory(kind, ["archive-traces"]);
  const before = await rowsOf(given);
  await killedAtCommit(given, () => Promise.resolve());
  assert.equal((await rowsOf(given)).size, before.size - 100);
  const { code, stdout, stderr } = await given.run([...ALL, "--json"]);
  assert.equal(code, 0, stderr);
  const { data } = JSON.parse(stdout);
  assert.deepEqual([data.recovered, data.rows], [0, before.size - 100]);
  assert.deepEqual([await archived(given), (await rowsOf(given)).size], [before, 0]);
});

forEachKind("archive-traces: of a file that is not whole nothing is deleted", async (kind) => {
  await using given = await observatory(kind, ["archive-traces"]);
  const before = await rowsOf(given);
  await killedAtCommit(given, (pid) => terminate(given, pid));
  const [name = ""] = await filesOf(given.directory);
  const path = join(given.directory, "archive", name);
  await Deno.truncate(path, 1000);
  const { code, stdout, stderr } = await given.run([...ALL, "--json"]);
  assert.equal(code, 0, stderr);
  assert.match(stderr, new RegExp(`"\\./archive/${name}" is not whole: delete it`));
  const { data } = JSON.parse(stdout);
  assert.deepEqual([data.recovered, data.rows], [0, before.size]);
  await Deno.remove(path);
  assert.deepEqual([await archived(given), (await rowsOf(given)).size], [before, 0]);
});

forEachKind(
  "archive-traces: a directory that cannot be written stops it unharmed",
  async (kind) => {
    await using given = await observatory(kind, ["archive-traces"]);
    const before = await rowsOf(given);
    await Deno.writeTextFile(join(given.directory, "archive"), "in the way");
    assert.equal((await given.run(ALL)).code, 1);
    assert.deepEqual(await rowsOf(given), before);
    await Deno.remove(join(given.directory, "archive"));
    assert.equal((await given.run(ALL)).code, 0);
    assert.deepEqual([await archived(given), (await rowsOf(given)).size], [before, 0]);
  },
);

/** What must not be left anywhere. */
const PERSONAL = `
  INSERT INTO traces (ts, trace_id, span_id, project_id, operation, status, error_message, input,
    output, metadata)
  SELECT '2026-01-02 03:04:05Z', repeat('c', 32), repeat('d', 16), id, 'chat', 'error',
    'no answer for ada@example.com', '{"messages": ["I am ada@example.com"]}',
    '"Hello ada@example.com"', '{"user": "ada@example.com", "phone": 5550100, "sample": true,
      "nested": {"mail": "ada@example.com"}, "list": ["ada@example.com"], "release": "1.2"}'
  FROM projects ORDER BY slug LIMIT 1;
  INSERT INTO logs (ts, project_id, severity, message, attributes)
  SELECT '2026-01-02 03:04:05Z', id, 'info', 'Login of ada@example.com', '{"user": "ada@example.com"}'
  FROM projects ORDER BY slug LIMIT 1;
  UPDATE prompt_versions SET created_by = 'ada@example.com' WHERE version = 1`;

const TABLES = ["api_keys", "prompt_versions", "traces", "metrics", "logs"];

/** The whole contents of the tables, sorted. */
async function contents({ database }: Project): Promise<Record<string, string[]>> {
  const tables: Record<string, string[]> = {};
  for (const table of [...TABLES, "projects", "prompts", "models", "configurations"]) {
    const rows = await database.query<{ row: string }>(
      `SELECT ${table}::text AS row FROM ${table} ORDER BY 1`,
    );
    tables[table] = rows.map(({ row }) => row);
  }
  return tables;
}

forEachKind("anonymize: leaves nothing personal, and everything else as it was", async (kind) => {
  await using given = await observatory(kind, ["anonymize"]);
  const { database } = given;
  await database.query(PERSONAL);
  const before = await contents(given);
  const keys = await database.query("SELECT encode(key_hash, 'hex') AS hash, prefix FROM api_keys");
  const dry = await given.run(["anonymize", "--dry-run", "--json"]);
  assert.equal(dry.code, 0, dry.stderr);
  const counts = TABLES.map((table) => [table, before[table]?.length]);
  const told = JSON.parse(dry.stdout).data;
  assert.deepEqual(
    [told.anonymized, told.tables.map(({ table, rows }: Record<string, unknown>) => [table, rows])],
    [false, counts],
  );
  assert.match(
    dry.stderr,
    /^Would replace \d+ rows of traces: input, output, error_message, metadata$/m,
  );
  assert.deepEqual(await contents(given), before);

  const line = ["anonymize", "--confirm", database.name, "--keep", "release"];
  const { code, stdout, stderr } = await given.run(line);
  assert.equal(code, 0, stderr);
  assert.match(stdout, new RegExp(`^Replaced ${before["traces"]?.length} rows of traces: `, "m"));
  const after = await contents(given);
  assert.deepEqual(TABLES.map((table) => [table, after[table]?.length]), counts);
  const text = JSON.stringify(after);
  assert.doesNotMatch(text, /ada@|5550100|How long can I return|Question answered|user-\d/);
  for (const key of keys) {
    assert.ok(!text.includes(String(key["hash"])), "a hash is left");
    assert.ok(!text.includes(String(key["prefix"])), "a prefix is left");
  }
  for (const table of ["projects", "prompts", "models", "configurations"]) {
    assert.deepEqual(after[table], before[table], table);
  }
  const [trace] = await database.query(
    `SELECT input, status, metadata, (SELECT attributes ->> 'user' FROM logs WHERE ts = traces.ts)
       = metadata ->> 'user' AS joins FROM traces WHERE trace_id = repeat('c', 32)`,
  );
  const { user, phone, nested, list, ...rest } = trace?.["metadata"] as Record<string, string>;
  assert.deepEqual(rest, { sample: true, release: "1.2" });
  for (const value of [user, phone, nested, list]) assert.match(value ?? "", /^anon-[0-9a-f]{12}$/);
  assert.deepEqual([trace?.["status"], trace?.["joins"]], ["error", true]);
  assert.deepEqual(Object.keys(trace?.["input"] as object), ["anonymized", "characters"]);
});

forEachKind("anonymize: the same under the same key, and only then", async (kind) => {
  const results: unknown[] = [];
  for (const key of ["one", "one", "other", ""]) {
    await using given = await observatory(kind, ["anonymize"]);
    await given.database.query(PERSONAL);
    const run = await given.run(["anonymize", "--confirm", given.database.name], {
      env: { ANONYMIZE_KEY: key },
    });
    assert.equal(run.code, 0, run.stderr);
    results.push(
      (await given.database.query("SELECT created_by FROM prompt_versions WHERE version = 1"))[0],
    );
  }
  assert.deepEqual(results[0], results[1]);
  assert.equal(new Set(results.map((result) => JSON.stringify(result))).size, 3);
});

forEachKind("anonymize: not in production, and not unasked", async (kind) => {
  await using given = await observatory(kind, ["anonymize"]);
  await given.database.query(PERSONAL);
  const before = await contents(given);
  const production = { env: { ENVIRONMENT: "prod" } };
  const confirmed = ["anonymize", "--confirm", given.database.name];
  for (const line of [confirmed, ["anonymize", "--dry-run"], [...confirmed, "--force"]]) {
    const { code, stderr } = await given.run(line, production);
    assert.equal(code, 4);
    assert.match(stderr, /^\[ERROR\] Refused: ENVIRONMENT is production; nothing was changed$/m);
  }
  for (const line of [["anonymize"], ["anonymize", "--confirm", "other"]]) {
    const { code, stderr } = await given.run(line);
    assert.equal(code, 4, stderr);
  }
  assert.deepEqual(await contents(given), before);
});
