import assert from "assert";
// @ts-types="@types/pg"
import pg from "pg";
import {
  apply,
  catalogue,
  checkManualQueries,
  checkPairs,
  checkRoundTrip,
  freshClient,
  migrations,
  PROJECT,
  ROWS,
  rows,
} from "../observatory_schema.ts";
import { startTimescale } from "../timescale.ts";

/** What a program sees of the schema: alike whether TimescaleDB is there or not. */
const VISIBLE = `
SELECT format('column %s.%s %s %s null %s default %s identity %s: %s', relname, attnum, attname,
    format_type(atttypid, atttypmod), NOT attnotnull, pg_get_expr(adbin, adrelid), attidentity,
    col_description(attrelid, attnum)) AS line
  FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
  LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
  WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') AND attnum > 0
UNION ALL
SELECT format('%s %s: %s', relkind, relname, obj_description(oid, 'pg_class'))
  FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'S')
UNION ALL
SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
  FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
UNION ALL
SELECT format('index %s', indexdef) FROM pg_indexes
  WHERE schemaname = 'public' AND indexname NOT IN ('traces_hourly_idx', 'metrics_hourly_idx')
ORDER BY 1`;

const LOG_LINES = "SELECT count(*) FROM logs";
const COMPRESSED_CHUNKS =
  "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = 'logs' AND is_compressed";

const HOURLY = {
  traces: "SELECT * FROM traces_hourly ORDER BY bucket, model_id",
  metrics: "SELECT * FROM metrics_hourly ORDER BY bucket",
};

Deno.test("migrations on TimescaleDB", async (t) => {
  await using server = await startTimescale();
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  try {
    // This build does not preload its library, so that the first migration leaves it alone.
    await client.query("SET client_min_messages = error; CREATE EXTENSION timescaledb");
    const empty = await catalogue(client);

    await t.step("up, down and up again leaves the same schema", () => checkPairs(client));

    await t.step("programs see the same as without TimescaleDB", async () => {
      await using plain = await freshClient("");
      assert.deepEqual(await rows(client, VISIBLE), await rows(plain.client, VISIBLE));
    });

    await t.step(
      "the time series are hypertables, with their policies and aggregates",
      async () => {
        const lines = await catalogue(client);
        const found = lines.map((line) =>
          /^(hypertable|continuous aggregate|job \w+\.\w+ on) public\.(\w+)/.exec(line)
        ).filter((match) => match !== null);
        assert.deepEqual(found.map(([, what, name]) => `${what} ${name}`).sort(), [
          "continuous aggregate metrics_hourly",
          "continuous aggregate traces_hourly",
          "hypertable logs",
          "hypertable metrics",
          "hypertable traces",
          "job _timescaledb_functions.policy_compression on logs",
          "job _timescaledb_functions.policy_compression on metrics",
          "job _timescaledb_functions.policy_compression on traces",
          "job _timescaledb_functions.policy_refresh_continuous_aggregate on metrics_hourly",
          "job _timescaledb_functions.policy_refresh_continuous_aggregate on traces_hourly",
          "job _timescaledb_functions.policy_retention on logs",
          "job _timescaledb_functions.policy_retention on metrics",
          "job _timescaledb_functions.policy_retention on traces",
        ]);
      },
    );

    await client.query(ROWS);
    await t.step("the manual's queries work", () => checkManualQueries(client));

    await t.step("the hourly figures are those of the plain views, filled or not", async () => {
      await using plain = await freshClient(ROWS);
      for (const [table, query] of Object.entries(HOURLY)) {
        const expected = await rows(plain.client, query);
        assert.ok(expected.length > 24);
        assert.deepEqual(await rows(client, query), expected);
        await client.query(`CALL refresh_continuous_aggregate('${table}_hourly', NULL, NULL)`);
        await client.query(
          `ALTER MATERIALIZED VIEW ${table}_hourly SET (timescaledb.materialized_only)`,
        );
        assert.deepEqual(await rows(client, query), expected);
        await client.query(
          `ALTER MATERIALIZED VIEW ${table}_hourly SET (timescaledb.materialized_only = false)`,
        );
      }
    });

    await t.step("the policies compress and drop what they should", async () => {
      await client.query(
        `DELETE FROM logs;
         INSERT INTO logs (ts, project_id, severity, message)
         SELECT now() - age * interval '1 day', '${PROJECT}', 'info', 'line'
         FROM unnest(ARRAY[0, 5, 10, 88, 92, 100]) AS age`,
      );
      const jobs = await rows<{ job_id: number }>(
        client,
        `SELECT job_id FROM timescaledb_information.jobs
         WHERE hypertable_name = 'logs' ORDER BY proc_name DESC`,
      );
      for (const { job_id } of jobs) await client.query(`CALL run_job(${job_id})`);
      assert.deepEqual(await rows(client, LOG_LINES), [{ count: "4" }]);
      assert.deepEqual(await rows(client, COMPRESSED_CHUNKS), [{ count: "2" }]);
    });

    await t.step("rolling compression, retention and rollups back loses no row", async () => {
      const undone = migrations.slice(-2);
      for (const { down } of undone.toReversed()) await apply(client, down);
      assert.deepEqual(await rows(client, LOG_LINES), [{ count: "4" }]);
      assert.deepEqual(await rows(client, COMPRESSED_CHUNKS), [{ count: "0" }]);
      for (const { up } of undone) await apply(client, up);
    });

    await t.step(
      "all files down and up again leaves the same schema",
      () => checkRoundTrip(client, empty),
    );
  } finally {
    await client.end();
  }
});
