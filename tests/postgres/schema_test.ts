import assert from "assert";
// @ts-types="@types/pg"
import type pg from "pg";
import { forEachServerVersion, freshDatabase, uniqueName } from "../database.ts";
import {
  catalogue,
  checkManualQueries,
  checkPairs,
  checkRoundTrip,
  freshClient,
  migrate,
  MIGRATIONS,
  migrations,
  PROJECT,
  ROWS,
  rows,
} from "../observatory_schema.ts";

async function assertRefused(client: pg.Client, sql: string, constraint: string): Promise<void> {
  await assert.rejects(client.query(sql), { constraint }, sql);
}

Deno.test("migrations: each is a pair of files with sqlx's names, without a transaction of its own", async () => {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(MIGRATIONS)) {
    if (name.endsWith(".sql")) names.push(name);
  }
  assert.deepEqual(
    names.sort(),
    migrations.flatMap(({ name }) => [`${name}.down.sql`, `${name}.up.sql`]),
  );
  for (const { name, up, down } of migrations) {
    assert.match(name, /^\d{14}_[a-z]+(_[a-z]+)*$/);
    for (const file of [up, down]) {
      // What stands between dollar quotes is PL/pgSQL, whose blocks have a BEGIN too.
      const sql = file.replaceAll(/(\$\w*\$).*?\1/gs, "''");
      assert.doesNotMatch(sql, /^\s*(BEGIN|COMMIT|START TRANSACTION)\b/im, name);
    }
  }
});

await forEachServerVersion(
  "migrations: up, down and up again leaves the same schema, and the manual's queries work",
  async (server) => {
    await using database = await freshDatabase({ server });
    const client = await database.connect();
    try {
      await client.query("SET client_min_messages = error");
      const empty = await catalogue(client);
      await checkPairs(client);
      await client.query(ROWS);
      await checkManualQueries(client);
      await checkRoundTrip(client, empty);
    } finally {
      await client.end();
    }
  },
);

Deno.test("migrations: every table, view and function has a comment", async () => {
  await using fresh = await freshClient("");
  const bare = await rows(
    fresh.client,
    `SELECT relname AS name FROM pg_class
     WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
       AND obj_description(oid, 'pg_class') IS NULL
     UNION ALL
     SELECT proname FROM pg_proc
     WHERE pronamespace = 'public'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL`,
  );
  assert.deepEqual(bare, []);
});

Deno.test("migrations: a role that owns nothing but its schema can apply them, and they stay in it", async () => {
  await using fresh = await freshClient();
  const role = uniqueName("role");
  await fresh.client.query(`CREATE ROLE ${role}; CREATE SCHEMA app AUTHORIZATION ${role}`);
  try {
    await fresh.client.query(`SET ROLE ${role}; SET search_path = app`);
    const empty = await catalogue(fresh.client);
    await migrate(fresh.client);
    await fresh.client.query(ROWS);
    assert.deepEqual(
      await rows(
        fresh.client,
        "SELECT DISTINCT schemaname FROM pg_tables WHERE tableowner = current_user",
      ),
      [{ schemaname: "app" }],
    );
    await checkRoundTrip(fresh.client, empty);
  } finally {
    await fresh.client.query(`RESET ROLE; DROP OWNED BY ${role} CASCADE; DROP ROLE ${role}`);
  }
});

Deno.test("migrations: a down file refuses to take along what others have built on its tables", async () => {
  await using fresh = await freshClient(
    "CREATE VIEW mine AS SELECT id FROM traces_hourly, projects",
  );
  const last = migrations.at(-1);
  assert.ok(last);
  await assert.rejects(fresh.client.query(last.down), { code: "2BP01" });
});

Deno.test("projects: one with traces, metrics or logs cannot be deleted, and takes its keys along otherwise", async () => {
  await using fresh = await freshClient(ROWS);
  const { client } = fresh;
  await client.query(
    `INSERT INTO api_keys (project_id, name, prefix, key_hash)
     VALUES ('${PROJECT}', 'ingest', 'lo_a1b2', sha256('the whole key'))`,
  );
  for (const table of ["traces", "metrics", "logs"]) {
    await assertRefused(client, "DELETE FROM projects", `${table}_project_id_fkey`);
    await client.query(`DELETE FROM ${table}`);
  }
  await client.query("DELETE FROM projects");
  assert.deepEqual(await rows(client, "SELECT FROM api_keys"), []);
});

Deno.test("projects: a change moves updated_at, and an update that changes nothing does not", async () => {
  await using fresh = await freshClient(ROWS);
  const { client } = fresh;
  const moved = "SELECT updated_at > created_at AS moved FROM projects";
  await client.query("UPDATE projects SET name = name");
  assert.deepEqual(await rows(client, moved), [{ moved: false }]);
  await client.query("UPDATE projects SET name = 'Other'");
  assert.deepEqual(await rows(client, moved), [{ moved: true }]);
});

Deno.test("api_keys: a hash that is not of 32 bytes, or is there already, is refused", async () => {
  await using fresh = await freshClient(ROWS);
  const { client } = fresh;
  function insert(hash: string): string {
    return `INSERT INTO api_keys (project_id, name, prefix, key_hash)
      VALUES ('${PROJECT}', 'ingest', 'lo_a1b2', ${hash})`;
  }
  await assertRefused(client, insert("'plain key'"), "api_keys_key_hash_check");
  await client.query(insert("sha256('key')"));
  await assertRefused(client, insert("sha256('key')"), "api_keys_key_hash_key");
});

Deno.test("models: a new price closes the row before it", async () => {
  await using fresh = await freshClient(ROWS);
  const { client } = fresh;
  const insert =
    "INSERT INTO models (provider, name, effective_from) VALUES ('openai', 'gpt-4o', '2025-01-01')";
  await assertRefused(client, insert, "models_current_key");
  await client.query("UPDATE models SET effective_to = '2025-01-01' WHERE name = 'gpt-4o'");
  await client.query(insert);
  await assertRefused(
    client,
    "UPDATE models SET effective_to = effective_from",
    "models_effective_to_check",
  );
});

Deno.test("configurations: a key has one global value, and one for each project", async () => {
  await using fresh = await freshClient(ROWS);
  const { client } = fresh;
  const insert =
    "INSERT INTO configurations (key, value, project_id) VALUES ('enable_caching', 'x', $1)";
  await assert.rejects(client.query(insert, [null]), {
    constraint: "configurations_key_project_id_key",
  });
  await client.query(insert, [PROJECT]);
  await assert.rejects(client.query(insert, [PROJECT]), {
    constraint: "configurations_key_project_id_key",
  });
});

Deno.test("prompt_versions: a version's text never changes, and one of them is active", async () => {
  await using fresh = await freshClient(ROWS);
  const { client } = fresh;
  await client.query(
    `WITH prompt AS (
       INSERT INTO prompts (project_id, name) VALUES ('${PROJECT}', 'greeting') RETURNING id
     )
     INSERT INTO prompt_versions (prompt_id, version, template, is_active)
     SELECT id, number, 'Hello {name}', number = 1 FROM prompt, generate_series(1, 2) AS number`,
  );
  for (const change of ["template = 'Bye'", "version = 9", `parameters = '{"temperature": 1}'`]) {
    await assert.rejects(client.query(`UPDATE prompt_versions SET ${change}`), { code: "23001" });
  }
  await assertRefused(
    client,
    "UPDATE prompt_versions SET is_active = true",
    "prompt_versions_active_key",
  );
  await client.query("UPDATE prompt_versions SET is_active = false");
  await client.query(
    "UPDATE prompt_versions SET is_active = true, note = 'Live' WHERE version = 2",
  );
});

Deno.test("traces: the same span sent twice is one row", async () => {
  await using fresh = await freshClient(ROWS);
  const { client } = fresh;
  const again = await client.query(
    "INSERT INTO traces SELECT * FROM traces ON CONFLICT (ts, trace_id, span_id) DO NOTHING",
  );
  assert.equal(again.rowCount, 0);
  await assertRefused(client, "UPDATE traces SET trace_id = 'ABC'", "traces_trace_id_check");
  await assertRefused(client, "UPDATE traces SET status = 'fine'", "traces_status_check");
});

Deno.test("traces_hourly: hours do not depend on the session's time zone, and an index finds them", async () => {
  await using fresh = await freshClient(ROWS);
  const { client } = fresh;
  const hours =
    "SELECT extract(epoch FROM bucket)::int % 3600 AS rest, sum(calls) AS calls FROM traces_hourly GROUP BY 1";
  await client.query("SET timezone = 'Asia/Kathmandu'");
  assert.deepEqual(await rows(client, hours), [{ rest: 0, calls: "400" }]);
  await client.query("SET enable_seqscan = off");
  const plan = await rows<{ "QUERY PLAN": string }>(
    client,
    "EXPLAIN SELECT * FROM traces_hourly WHERE bucket >= '2026-01-02 00:00:00+00'",
  );
  const lines = plan.map((line) => line["QUERY PLAN"]).join("\n");
  assert.match(lines, /Index (Only )?Scan (using|on) traces_hourly_idx/);
});
