import assert from "assert";
import { join } from "node:path";
// @ts-types="@types/pg"
import pg from "pg";
import { PROJECT as ROOT } from "../../tasks/build.ts";
import type { ServerAddress } from "../../tasks/server.ts";
import { forEachServerVersion, freshDatabase } from "../database.ts";
import { migrate, rows } from "../observatory_schema.ts";
import { runProgram } from "../program.ts";
import { startTimescale } from "../timescale.ts";
import { checkBase, checkSample, ENVIRONMENTS, type Sample } from "./seeds_rules.ts";

const SEEDS = join(ROOT, "seeds");

/** Loads the files as the program does; returns what it shows of each file. */
async function seed(url: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runProgram(["seed", ...args], {
    env: { DATABASE_URL: url, SEEDS_DIR: SEEDS },
  });
  assert.equal(code, 0, stderr);
  return stdout;
}

function keysIn(stdout: string): string[] {
  return [...stdout.matchAll(/\blo_[0-9a-f]{64}\b/g)].map(([key]) => key);
}

/** A database with the schema, and a session in it. */
async function schema(server?: ServerAddress, settings: readonly string[] = []) {
  const database = await freshDatabase(server === undefined ? {} : { server });
  for (const setting of settings) {
    await database.query(`ALTER DATABASE "${database.name}" SET ${setting}`);
  }
  const client = await database.connect();
  await client.query(
    "SET client_min_messages = error; SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET extra_float_digits = 1",
  );
  await migrate(client);
  return {
    client,
    url: database.url,
    async [Symbol.asyncDispose]() {
      await client.end();
      await database.drop();
    },
  };
}

async function seeded(environment: string) {
  const made = await schema();
  return { ...made, stdout: await seed(made.url, ["--env", environment]) };
}

const TABLES = ["projects", "prompts", "prompt_versions", "models", "configurations"];

/** What must be the same wherever an environment is loaded: every row that is not a key. */
async function checksums(client: pg.Client): Promise<Record<string, string | null>> {
  const found: Record<string, string | null> = {};
  for (const table of [...TABLES, "traces", "metrics", "logs"]) {
    const [row] = await rows<{ sum: string | null }>(
      client,
      // The times at which rows are made and changed are the clock's.
      `SELECT md5(string_agg(line, E'\\n' ORDER BY line COLLATE "C")) AS sum FROM (
         SELECT (to_jsonb(t) ${TABLES.includes(table) ? "- 'created_at' - 'updated_at'" : ""} ${
        table === "configurations" ? "- 'id'" : ""
      })::text AS line FROM ${table} AS t) AS rows`,
    );
    found[table] = row?.sum ?? null;
  }
  return found;
}

const references = new Map<Sample, Promise<Record<string, string | null>>>();

/** The checksums of an environment on the server that the tests share. */
function reference(environment: Sample): Promise<Record<string, string | null>> {
  async function load() {
    await using one = await seeded(environment);
    return await checksums(one.client);
  }
  const known = references.get(environment) ?? load();
  references.set(environment, known);
  return known;
}

/** The tables in which a text stands, of all tables of the database. */
async function tablesWith(client: pg.Client, text: string): Promise<string[]> {
  const tables = await rows<{ name: string }>(
    client,
    `SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables
     WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`,
  );
  assert.ok(tables.length > 8);
  const holding: string[] = [];
  for (const { name } of tables) {
    const sql = `SELECT FROM ${name} AS t WHERE position($1 IN t::text) > 0
      OR position(encode(convert_to($1, 'UTF8'), 'hex') IN t::text) > 0`;
    if ((await rows(client, sql, [text])).length > 0) holding.push(name);
  }
  return holding;
}

await forEachServerVersion(
  "seeds: sound, the same in every database, and left alone by a second run",
  async (server) => {
    await using production = await schema(server);
    await seed(production.url, ["--env", "production"]);
    await checkBase(production.client);
    for (const environment of ENVIRONMENTS) {
      await using one = await schema(server, [
        "timezone = 'Asia/Kathmandu'",
        "datestyle = 'German, DMY'",
        "extra_float_digits = 0",
      ]);
      await seed(one.url, ["--env", environment]);
      await checkSample(one.client, environment);
      const sums = await checksums(one.client);
      assert.deepEqual(sums, await reference(environment));
      const again = await seed(one.url, ["--env", environment, "--rerun"]);
      assert.deepEqual(await checksums(one.client), sums);
      assert.deepEqual(keysIn(again), []);
    }
  },
);

Deno.test("seeds: the same on TimescaleDB", async () => {
  const expected = await reference("test");
  await using server = await startTimescale();
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  try {
    await client.query("SET client_min_messages = error; CREATE EXTENSION timescaledb");
    await migrate(client);
    const keys = keysIn(await seed(server.url, ["--env", "test"]));
    assert.equal(keys.length, 3);
    await checkSample(client, "test");
    assert.deepEqual(await checksums(client), expected);
    await seed(server.url, ["--env", "test", "--rerun"]);
    assert.deepEqual(await checksums(client), expected);
    const [sums] = await rows(
      client,
      `SELECT (SELECT sum(calls) FROM traces_hourly) = (SELECT count(*) FROM traces) AS traces,
         (SELECT sum(samples) FROM metrics_hourly) = (SELECT count(*) FROM metrics) AS metrics`,
    );
    assert.deepEqual(sums, { traces: true, metrics: true });
  } finally {
    await client.end();
  }
});

Deno.test("seeds: production gets models and settings, and nothing else", async () => {
  await using one = await seeded("production");
  assert.deepEqual(keysIn(one.stdout), []);
  const filled: string[] = [];
  const tables = await rows<{ name: string }>(
    one.client,
    "SELECT tablename::text AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1",
  );
  for (const { name } of tables) {
    if ((await rows(one.client, `SELECT FROM ${name} LIMIT 1`)).length > 0) filled.push(name);
  }
  assert.deepEqual(filled, ["configurations", "models"]);
});

Deno.test("seeds: keys are of one database, shown once and stored as hashes", async () => {
  await using one = await seeded("test");
  await using other = await seeded("test");
  const keys = keysIn(one.stdout);
  const all = [...keys, ...keysIn(other.stdout)];
  assert.equal(keys.length, 3);
  assert.equal(new Set(all).size, 6);
  for (const key of keys) {
    assert.deepEqual(
      await rows(
        one.client,
        "SELECT prefix FROM api_keys WHERE key_hash = sha256(convert_to($1, 'UTF8'))",
        [key],
      ),
      [{ prefix: key.slice(0, 11) }],
    );
    assert.deepEqual(await tablesWith(one.client, key), []);
    assert.deepEqual(await tablesWith(one.client, key.slice(0, 11)), ["public.api_keys"]);
  }
  await one.client.query("UPDATE api_keys SET revoked_at = now()");
  assert.deepEqual(keysIn(await seed(one.url, ["--env", "test", "--rerun"])), []);
  await one.client.query(
    `DELETE FROM api_keys WHERE project_id = (SELECT id FROM projects WHERE slug = 'code-reviewer')`,
  );
  assert.equal(keysIn(await seed(one.url, ["--env", "test", "--rerun"])).length, 1);
});

Deno.test("seeds: an operator's settings stay, and descriptions follow the file", async () => {
  await using one = await seeded("production");
  await one.client.query("UPDATE configurations SET value = true WHERE key = 'enable_caching';");
  await one.client.query("UPDATE configurations SET description = 'Old'");
  await seed(one.url, ["--env", "production", "--rerun"]);
  assert.deepEqual(
    await rows(one.client, "SELECT value FROM configurations WHERE key = 'enable_caching'"),
    [{ value: "true" }],
  );
  assert.deepEqual(
    await rows(one.client, "SELECT FROM configurations WHERE description = 'Old'"),
    [],
  );
});

Deno.test("seeds: test differs from development in size alone, and its spans are among development's", async () => {
  const files = await Promise.all(ENVIRONMENTS.map(async (environment) => {
    const found: Record<string, string> = {};
    for await (const { name } of Deno.readDir(join(SEEDS, environment))) {
      found[name] = await Deno.readTextFile(join(SEEDS, environment, name));
    }
    return found;
  }));
  const [large = {}, small = {}] = files;
  assert.deepEqual(Object.keys(small).sort(), Object.keys(large).sort());
  const others = Object.keys(small).filter((name) => small[name] !== large[name]);
  assert.deepEqual(others, ["020_configurations.csv"]);

  await using one = await seeded("test");
  await using other = await seeded("development");
  assertWithin(await spansOf(one.client), await spansOf(other.client));
});

Deno.test("seeds: another last day adds spans and leaves those that are there", async () => {
  await using one = await seeded("test");
  const before = await spansOf(one.client);
  await one.client.query(
    "UPDATE configurations SET value = '2026-11-22' WHERE key = 'sample_data.last_day'",
  );
  await seed(one.url, ["--env", "test", "--rerun", "--only", "*.sql"]);
  assertWithin(before, await spansOf(one.client));
  await checkBase(one.client);
});

async function spansOf(client: pg.Client): Promise<string[]> {
  const found = await rows<{ span: string }>(
    client,
    "SELECT to_jsonb(t)::text AS span FROM traces AS t",
  );
  return found.map(({ span }) => span);
}

function assertWithin(fewer: readonly string[], more: readonly string[]): void {
  const all = new Set(more);
  assert.ok(fewer.length > 0 && all.size > fewer.length);
  assert.deepEqual(fewer.filter((each) => !all.has(each)), []);
}

Deno.test("seeds: development looks like real life", async () => {
  await using one = await seeded("development");
  const [looks] = await rows<Record<string, number>>(
    one.client,
    `SELECT
       count(*) FILTER (WHERE status <> 'ok' AND parent_span_id IS NULL)::float8
         / count(*) FILTER (WHERE parent_span_id IS NULL) AS failing,
       count(DISTINCT status)::int AS statuses,
       -- The logarithms of latencies lie evenly around their median: they themselves do not.
       avg(latency_ms) FILTER (WHERE operation = 'retrieval')
         / percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE operation = 'retrieval')
         AS skew,
       avg(ln(latency_ms)) FILTER (WHERE operation = 'retrieval')
         - ln(percentile_cont(0.5) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE operation = 'retrieval'))
         AS log_skew,
       stddev(ln(latency_ms)) FILTER (WHERE operation = 'retrieval') AS log_spread,
       count(*) FILTER (WHERE operation = 'workflow' AND extract(hour FROM ts) BETWEEN 9 AND 15)::float8
         / count(*) FILTER (WHERE operation = 'workflow' AND extract(hour FROM ts) < 7) AS by_day,
       count(*) FILTER (WHERE operation = 'agent' AND extract(isodow FROM ts) > 5)::float8
         / count(*) FILTER (WHERE operation = 'agent') AS weekend,
       count(DISTINCT ts::date)::int AS days
     FROM traces`,
  );
  const { failing = 0, skew = 0, log_skew = 1, log_spread = 0, by_day = 0, weekend = 1, ...rest } =
    looks ?? {};
  assert.deepEqual(rest, { statuses: 4, days: 28 });
  assert.ok(failing > 0.02 && failing < 0.05, `${failing} of the requests fail`);
  assert.ok(skew > 1.1 && Math.abs(log_skew) < 0.06, `skewed by ${skew} and ${log_skew}`);
  assert.ok(log_spread > 0.5 && log_spread < 0.7, `spread by ${log_spread}`);
  assert.ok(by_day > 5, `${by_day} times as many requests by day`);
  assert.ok(weekend > 0 && weekend < 0.15, `${weekend} of the requests at weekends`);
});
