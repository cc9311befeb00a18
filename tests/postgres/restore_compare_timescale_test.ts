/** What differs between a database with hypertables and the manifest of its backup. */
import assert from "assert";
// @ts-types="@types/pg"
import pg from "pg";
import type { Manifest } from "../../plugins/repository/manifest.ts";
import { compareDatabase } from "../../plugins/restore/compare.ts";
import { backupProject } from "../backup_project.ts";
import { clientMajors } from "../client_majors.ts";
import { withContext } from "../context.ts";
import { skipWhenMissing } from "../skip.ts";
import { startTimescale } from "../timescale.ts";

const programs = (await clientMajors()).find(({ version }) => version === 18);
const ignore = skipWhenMissing("comparisons of hypertables", programs?.missing);

const SOURCE = [
  "SET client_min_messages = error",
  "CREATE EXTENSION timescaledb",
  "CREATE TABLE logs (ts timestamptz NOT NULL, n int)",
  "SELECT create_hypertable('logs', 'ts', chunk_time_interval => interval '1 day')",
  "INSERT INTO logs SELECT timestamptz '2024-01-01' + i * interval '1 hour', i FROM generate_series(0, 99) i",
  "ALTER TABLE logs SET (timescaledb.compress)",
  "SELECT compress_chunk(c) FROM show_chunks('logs') c LIMIT 2",
  "CREATE TABLE metrics (ts timestamptz NOT NULL, v int)",
  "SELECT create_hypertable('metrics', 'ts', chunk_time_interval => interval '1 day')",
  "INSERT INTO metrics SELECT timestamptz '2024-01-01' + i * interval '1 hour', i FROM generate_series(0, 99) i",
  `CREATE MATERIALIZED VIEW daily WITH (timescaledb.continuous) AS
     SELECT time_bucket('1 day', ts) AS day, count(*) FROM metrics GROUP BY 1 WITH NO DATA`,
  "CALL refresh_continuous_aggregate('daily', NULL, NULL)",
  "SELECT add_retention_policy('logs', interval '10000 days')",
];

/** One after the other, each on top of the ones before. */
const CHANGES: readonly (readonly [sql: string, told: RegExp])[] = [
  [
    "SELECT decompress_chunk(c) FROM show_chunks('logs') c LIMIT 1",
    /^The hypertable "public"\."logs" has 1 compressed chunks, and had 2 in the dump$/,
  ],
  [
    "DELETE FROM metrics WHERE v = 99",
    /^"public"\."metrics" has 99 rows, and had 100 in the dump$/,
  ],
  [
    "SELECT remove_retention_policy('logs')",
    /^The job \d+, which runs _timescaledb_functions\.policy_retention, is missing$/,
  ],
  [
    "SELECT drop_chunks('logs', timestamptz '2024-01-02')",
    /^The hypertable "public"\."logs" has 4 chunks, and had 5 in the dump$/,
  ],
  [
    "DROP MATERIALIZED VIEW daily",
    /^The continuous aggregate "public"\."daily" is missing$/,
  ],
  ["DROP TABLE logs", /^"public"\."logs" is no hypertable$/],
];

Deno.test({
  name: "compare: hypertables, chunks, compressed ones, continuous aggregates and jobs",
  ignore,
  async fn() {
    await using server = await startTimescale({ share: true });
    const run = async (...statements: readonly string[]) => {
      const client = new pg.Client({ connectionString: server.url });
      await client.connect();
      try {
        for (const sql of statements) await client.query(sql);
      } finally {
        await client.end();
      }
    };
    await run(...SOURCE);
    await using project = await backupProject();
    const env = { DATABASE_URL: server.url, PG_BIN_DIR: programs?.directory ?? "" };
    const { manifest } = await project.backup(["--fingerprint", "full"], { env });
    const compare = (expected: Manifest) =>
      withContext(
        { database: server },
        (context) => compareDatabase(context, { database: "postgres", manifest: expected }),
      );
    assert.deepEqual(await compare(manifest), { differences: [], notes: [] });
    const extensions = manifest.extensions.map((each) => ({ ...each, version: "2.0.0" }));
    const { differences, notes } = await compare({ ...manifest, extensions });
    assert.equal(differences.length, 1);
    assert.match(differences[0] ?? "", /^The extension "timescaledb" is of version \S+, and was/);
    assert.equal(notes.length, extensions.length - 1);
    for (const [sql, told] of CHANGES) {
      await run(sql);
      const { differences } = await compare(manifest);
      assert.ok(differences.some((each) => told.test(each)), `${sql}: ${differences.join("; ")}`);
    }
  },
});
