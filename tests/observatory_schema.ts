/** The LLM Observatory's own schema, for the tests: its migrations, rows for it, and what must hold of it anywhere. */

import assert from "assert";
import { basename, join } from "node:path";
// @ts-types="@types/pg"
import type pg from "pg";
import { PROJECT as ROOT } from "../tasks/build.ts";
import { describeCatalogue } from "./catalogue.ts";
import { freshDatabase } from "./database.ts";

/** Where the migrations are. */
export const MIGRATIONS = join(ROOT, "migrations");

/** One migration: what its two files hold. */
export interface Migration {
  readonly name: string;
  readonly up: string;
  readonly down: string;
}

async function readMigrations(): Promise<Migration[]> {
  const names: string[] = [];
  for await (const entry of Deno.readDir(MIGRATIONS)) {
    if (entry.name.endsWith(".up.sql")) names.push(basename(entry.name, ".up.sql"));
  }
  return await Promise.all(
    names.sort().map(async (name) => ({
      name,
      up: await Deno.readTextFile(join(MIGRATIONS, `${name}.up.sql`)),
      down: await Deno.readTextFile(join(MIGRATIONS, `${name}.down.sql`)),
    })),
  );
}

/** All migrations, oldest first. */
export const migrations = await readMigrations();

/** Runs a file as `migrate` does: as one simple query within a transaction. */
export async function apply(client: pg.Client, file: string): Promise<void> {
  await client.query("BEGIN");
  await client.query(file);
  await client.query("COMMIT");
}

/** Applies all migrations. */
export async function migrate(client: pg.Client): Promise<void> {
  for (const { up } of migrations) await apply(client, up);
}

/** The rows of one statement. */
export async function rows<R extends pg.QueryResultRow>(
  client: pg.Client,
  sql: string,
  params: unknown[] = [],
): Promise<R[]> {
  return (await client.query<R>(sql, params)).rows;
}

/** Every object of the database, one line each. */
export function catalogue(client: pg.Client): Promise<string[]> {
  return describeCatalogue((sql) => rows(client, sql));
}

/** What each file did is undone by its pair, and done again alike. */
export async function checkPairs(client: pg.Client): Promise<void> {
  for (const { name, up, down } of migrations) {
    const before = await catalogue(client);
    await apply(client, up);
    const after = await catalogue(client);
    await apply(client, down);
    assert.deepEqual(await catalogue(client), before, `${name}: down leaves what was before`);
    await apply(client, up);
    assert.deepEqual(await catalogue(client), after, `${name}: up again does the same`);
  }
}

/** All files down and up again, over a schema that is in place and holds rows. */
export async function checkRoundTrip(client: pg.Client, empty: readonly string[]): Promise<void> {
  const full = await catalogue(client);
  for (const { down } of migrations.toReversed()) await apply(client, down);
  assert.deepEqual(await catalogue(client), empty);
  await migrate(client);
  assert.deepEqual(await catalogue(client), full);
}

/** The project and the model of {@link ROWS}. */
export const PROJECT = "00000000-0000-4000-8000-000000000001";
export const MODEL = "00000000-0000-4000-8000-000000000002";

/** Rows of every table that counts, two days of them in the time series. */
export const ROWS = `
INSERT INTO projects (id, slug, name) VALUES ('${PROJECT}', 'demo', 'Demo');
INSERT INTO models (id, provider, name, input_price_per_million, output_price_per_million, effective_from)
VALUES ('${MODEL}', 'openai', 'gpt-4o', 2.5, 10, '2024-01-01'),
  (gen_random_uuid(), 'anthropic', 'claude', 3, 15, '2024-01-01');
INSERT INTO configurations (key, value) VALUES ('enable_caching', 'false'), ('cache.ttl', '60');
INSERT INTO traces (ts, trace_id, span_id, project_id, operation, model_id, status, latency_ms, input_tokens, cost_usd)
SELECT timestamptz '2026-01-01 00:00:00+00' + i * interval '7 minutes', md5(i::text), left(md5('s' || i), 16),
  '${PROJECT}', 'chat', CASE WHEN i % 3 > 0 THEN '${MODEL}'::uuid END,
  CASE WHEN i % 5 = 0 THEN 'error' ELSE 'ok' END, i % 90, i, i * 2.5 / 1e6
FROM generate_series(1, 400) AS i;
INSERT INTO metrics (ts, project_id, name, unit, value)
SELECT timestamptz '2026-01-01 00:00:00+00' + i * interval '11 minutes', '${PROJECT}', 'queue.depth', '1', i % 7
FROM generate_series(1, 200) AS i;
INSERT INTO logs (ts, project_id, severity, message)
SELECT timestamptz '2026-01-01 00:00:00+00' + i * interval '13 minutes', '${PROJECT}', 'info', 'line ' || i
FROM generate_series(1, 200) AS i;
`;

/** The queries that the manual shows, run as they are written there. */
export async function checkManualQueries(client: pg.Client): Promise<void> {
  assert.deepEqual(await rows(client, "SELECT COUNT(*) FROM projects;"), [{ count: "1" }]);
  const update = await client.query(
    "UPDATE configurations SET value = true WHERE key = 'enable_caching';",
  );
  assert.equal(update.rowCount, 1);
  assert.deepEqual(await rows(client, "SELECT key, value FROM configurations ORDER BY key"), [
    { key: "cache.ttl", value: "60" },
    { key: "enable_caching", value: "true" },
  ]);
  const models = await rows<{ name: string }>(
    client,
    "SELECT * FROM models WHERE provider = 'openai';",
  );
  assert.deepEqual(models.map(({ name }) => name), ["gpt-4o"]);
}

/**
 * A session in a new database of the server that the tests share.
 *
 * @param sql what to run once the schema is there; without it, even empty, there is none
 */
export async function freshClient(sql?: string) {
  const database = await freshDatabase();
  const client = await database.connect();
  await client.query("SET client_min_messages = error");
  if (sql !== undefined) {
    await migrate(client);
    await client.query(sql);
  }
  return {
    client,
    async [Symbol.asyncDispose]() {
      await client.end();
      await database.drop();
    },
  };
}
