/** Backups of hypertables, by real client programs, from a TimescaleDB and into another one. */
import assert from "assert";
// @ts-types="@types/pg"
import pg from "pg";
import { backupProject, type MadeBackup, restoreByHand } from "../backup_project.ts";
import { clientMajors } from "../client_majors.ts";
import { skipWhenMissing } from "../skip.ts";
import { startTimescale, type Timescale } from "../timescale.ts";

const programs = (await clientMajors()).find(({ version }) => version === 18);
const ignore = skipWhenMissing("backups of hypertables", programs?.missing);
const bin = programs?.directory ?? "";

const SOURCE = [
  "SET client_min_messages = error",
  "CREATE EXTENSION timescaledb",
  "CREATE TABLE logs (ts timestamptz NOT NULL, n int, text text)",
  "SELECT create_hypertable('logs', 'ts', chunk_time_interval => interval '1 day')",
  `INSERT INTO logs SELECT timestamptz '2024-01-01' + i * interval '1 hour', i, 'line ' || i
     FROM generate_series(0, 99) i`,
  "CREATE TABLE metrics (ts timestamptz NOT NULL, v float8)",
  "SELECT create_hypertable('metrics', 'ts', chunk_time_interval => interval '1 day')",
  `INSERT INTO metrics SELECT timestamptz '2024-01-01' + i * interval '1 hour', i / 3.0
     FROM generate_series(0, 99) i`,
  "ALTER TABLE metrics SET (timescaledb.compress)",
  "SELECT compress_chunk(c) FROM show_chunks('metrics') c LIMIT 2",
  "CREATE TABLE plain (n int PRIMARY KEY)",
  "INSERT INTO plain VALUES (1), (2)",
  `CREATE MATERIALIZED VIEW daily WITH (timescaledb.continuous) AS
     SELECT time_bucket('1 day', ts) AS day, count(*) FROM logs GROUP BY 1 WITH NO DATA`,
  "CALL refresh_continuous_aggregate('daily', NULL, NULL)",
  "SELECT add_retention_policy('logs', interval '10000 days')",
];

/** What a database holds: how many rows of each, and what TimescaleDB knows of them. */
const FACTS: Readonly<Record<string, string>> = {
  logs: "SELECT concat(count(*), ' ', md5(string_agg(l::text, '' ORDER BY ts))) FROM logs l",
  metrics: "SELECT concat(count(*), ' ', md5(string_agg(m::text, '' ORDER BY ts))) FROM metrics m",
  plain: "SELECT count(*) FROM plain",
  daily: "SELECT concat(count(*), ' ', sum(count)) FROM daily",
  hypertables: `SELECT string_agg(concat(hypertable_name, ' ', num_chunks), ', ' ORDER BY 1)
    FROM timescaledb_information.hypertables`,
  chunks:
    `SELECT string_agg(concat(hypertable_name, ' ', chunk_name, ' ', is_compressed), ', ' ORDER BY 1)
    FROM timescaledb_information.chunks`,
  jobs: `SELECT string_agg(concat(job_id, ' ', proc_name), ', ' ORDER BY 1)
    FROM timescaledb_information.jobs`,
};

async function sessionOf({ url }: Timescale) {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  return {
    value: async (sql: string): Promise<unknown> =>
      Object.values((await client.query(sql)).rows.at(-1) ?? {})[0],
    [Symbol.asyncDispose]: () => client.end(),
  };
}

async function factsOf(server: Timescale): Promise<Record<string, unknown>> {
  await using session = await sessionOf(server);
  const facts: Record<string, unknown> = {};
  for (const [name, sql] of Object.entries(FACTS)) facts[name] = await session.value(sql);
  return facts;
}

/** A backup restored into a TimescaleDB of its own, by the lines of its manifest. */
async function restoredFacts(
  { manifest }: MadeBackup,
  directory: string,
): Promise<Record<string, unknown>> {
  await using target = await startTimescale();
  const { code, stderr } = await restoreByHand(manifest, {
    directory,
    bin,
    server: { host: target.host, port: target.port },
    // There is one database, and it is known by another name than its own.
    replace: { "createdb ": "true ", "--dbname template1": "--dbname postgres" },
  });
  assert.equal(code, 0, stderr);
  const facts = await factsOf(target);
  await using session = await sessionOf(target);
  await session.value("INSERT INTO logs VALUES ('2024-01-02', 1000)");
  assert.equal(await session.value("SELECT count(*) FROM logs WHERE n = 1000"), "1");
  return facts;
}

Deno.test({
  name: "backups of hypertables",
  ignore,
  async fn(t) {
    await using server = await startTimescale({ share: true });
    await using session = await sessionOf(server);
    for (const sql of SOURCE) await session.value(sql);
    const source = await factsOf(server);
    await using project = await backupProject();
    const env = { DATABASE_URL: server.url, PG_BIN_DIR: bin };
    const backup = (...args: string[]) => project.backup(args, { env });
    const countsOf = ({ manifest }: MadeBackup) =>
      manifest.tables.map(({ name, kind, rows }) => `${kind} ${name} ${rows}`).sort();

    await t.step(
      "a full one: its manifest tells of them, and counts what is in their chunks",
      async () => {
        const made = await backup();
        const { timescaledb, warnings, extensions } = made.manifest;
        assert.deepEqual(warnings, []);
        assert.deepEqual(timescaledb?.hypertables, [
          { schema: "public", name: "logs", chunks: 5, compressed_chunks: 0 },
          { schema: "public", name: "metrics", chunks: 5, compressed_chunks: 2 },
        ]);
        assert.deepEqual(timescaledb?.continuous_aggregates, [{ schema: "public", name: "daily" }]);
        assert.ok(timescaledb?.jobs.some((job) => /policy_retention$/.test(job.procedure)));
        assert.ok(
          extensions.some(({ name, version }) =>
            name === "timescaledb" && version === timescaledb?.version
          ),
        );
        assert.deepEqual(countsOf(made), [
          ...["hypertable _materialized_hypertable_4 5", "hypertable logs 100"],
          ...["hypertable metrics 100", "table plain 2"],
        ]);
        assert.deepEqual(await restoredFacts(made, project.backups), source);
      },
    );
    await t.step("a script, and a directory: they can be read to their end", async () => {
      for (const format of ["plain", "directory"]) {
        const made = await backup("--format", format, "--fingerprint", "full");
        assert.deepEqual(made.manifest.warnings, []);
        for (const { fingerprint } of made.manifest.tables) {
          assert.match(fingerprint ?? "", /^-?\d+$/);
        }
        const verified = await project.run(["backup", "verify", made.manifest.id], { env });
        assert.equal(verified.exit, 0, verified.stderr);
      }
    });
    await t.step(
      "--exclude-table: hypertables and aggregates stay, without their rows",
      async () => {
        const without = ["--exclude-table", "metrics", "--exclude-table", "daily"];
        const made = await backup(...without, "--exclude-table", "plain");
        assert.deepEqual(made.manifest.warnings, [
          'The hypertable "public"."metrics" is kept without its rows: TimescaleDB\'s catalogue tells of it',
          'The continuous aggregate "public"."daily" is kept without its rows: TimescaleDB\'s ' +
          "catalogue tells of it",
        ]);
        assert.deepEqual(countsOf(made), ["hypertable logs 100"]);
        const { selection } = made.manifest;
        assert.deepEqual(selection.resolved_exclude, ['"public"."plain"']);
        // Five chunks each, the two twins of compressed ones, and the hypertables themselves.
        assert.equal(selection.resolved_exclude_rows.length, 5 + 2 + 1 + 1 + 1);
      },
    );
    await t.step("--exclude-table of hypertables alone: all else is as it was", async () => {
      const made = await backup("--exclude-table", "metrics", "--exclude-table", "daily");
      const facts = await restoredFacts(made, project.backups);
      assert.deepEqual(facts, { ...source, metrics: "0 ", daily: "0 " });
    });
    await t.step(
      "--tables: compressed rows are refused, exit 4; others have a warning",
      async () => {
        const refused = await project.run(["backup", "--tables", "plain,metrics"], { env });
        assert.equal(refused.exit, 4);
        assert.match(
          refused.stderr,
          /Cannot back up "public"\."metrics" alone: 2 of its chunks are compressed.*\nHint: .*decompress/,
        );
        const made = await backup("--tables", "logs,plain");
        assert.match(
          made.manifest.warnings[0] ?? "",
          /hypertable "public"\."logs" is restored as a plain/,
        );
        assert.deepEqual(countsOf(made), ["hypertable logs 100", "table plain 2"]);
        assert.equal(made.manifest.selection.resolved_tables.length, 7);
        await session.value("SELECT decompress_chunk(c, true) FROM show_chunks('metrics') c");
        assert.deepEqual(countsOf(await backup("--tables", "metrics")), ["hypertable metrics 100"]);
        const view = await backup("--tables", "daily");
        assert.match(
          view.manifest.warnings[0] ?? "",
          /aggregate "public"\."daily" has its rows in/,
        );
      },
    );
    await t.step("definitions and rows apart: each is warned of", async () => {
      const schema = await backup("--schema-only");
      assert.deepEqual(schema.manifest.tables, []);
      assert.match(schema.manifest.warnings.join(), /^Definitions alone are without TimescaleDB's/);
      const data = await backup("--data-only");
      assert.match(data.manifest.warnings.join(), /^Rows alone hold TimescaleDB's catalogue/);
      assert.equal(countsOf(data).length, 4);
      const dry = await project.run(["backup", "--schema-only", "--dry-run"], { env });
      assert.match(dry.stderr, /\[WARNING\] Definitions alone/);
    });
  },
});
