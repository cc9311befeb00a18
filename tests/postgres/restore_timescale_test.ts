/** What restores do about TimescaleDB, with real client programs from one TimescaleDB to another. */
import assert from "assert";
import { join } from "node:path";
// @ts-types="@types/pg"
import pg from "pg";
import { type Context, OperationError } from "../../core/plugin.ts";
import type { Manifest } from "../../plugins/repository/manifest.ts";
import { passesFor } from "../../plugins/restore/passes.ts";
import type { Source } from "../../plugins/restore/source.ts";
import { withSource } from "../../plugins/restore/source.ts";
import {
  beginTimescale,
  endTimescale,
  requireFreeOfTimescale,
  requireJobOwners,
  requireTimescale,
  usesTimescale,
} from "../../plugins/restore/timescale.ts";
import { refuseHypertables } from "../../plugins/restore/timescale_tables.ts";
import { findTimescale } from "../../plugins/restore/timescale_unknown.ts";
import { backupProject } from "../backup_project.ts";
import { clientMajors, runClient } from "../client_majors.ts";
import { withContext } from "../context.ts";
import { skipWhenMissing } from "../skip.ts";
import { startTimescale, type Timescale } from "../timescale.ts";

const programs = (await clientMajors()).find(({ version }) => version === 18);
const ignore = skipWhenMissing("restores of hypertables", programs?.missing);
const bin = programs?.directory ?? "";

const SOURCE = [
  "SET client_min_messages = error",
  "CREATE EXTENSION timescaledb",
  "CREATE TABLE devices (id int PRIMARY KEY)",
  "INSERT INTO devices SELECT generate_series(1, 4)",
  `CREATE TABLE logs (ts timestamptz NOT NULL, device int NOT NULL REFERENCES devices, n int,
     PRIMARY KEY (ts, device))`,
  "SELECT create_hypertable('logs', 'ts', chunk_time_interval => interval '1 day')",
  "SELECT add_dimension('logs', 'device', number_partitions => 2)",
  `INSERT INTO logs SELECT timestamptz '2024-01-01' + i * interval '1 hour', 1 + i % 4, i
     FROM generate_series(0, 99) i`,
  "ALTER TABLE logs SET (timescaledb.compress, timescaledb.compress_segmentby = 'device')",
  "SELECT compress_chunk(c) FROM show_chunks('logs') c ORDER BY 1 LIMIT 3",
  `CREATE MATERIALIZED VIEW hourly WITH (timescaledb.continuous) AS
     SELECT time_bucket('1 hour', ts) AS hour, count(*) FROM logs GROUP BY 1 WITH NO DATA`,
  "CALL refresh_continuous_aggregate('hourly', NULL, NULL)",
  `CREATE MATERIALIZED VIEW daily WITH (timescaledb.continuous) AS
     SELECT time_bucket('1 day', hour) AS day, sum(count) FROM hourly GROUP BY 1 WITH NO DATA`,
  "CALL refresh_continuous_aggregate('daily', NULL, NULL)",
  "SELECT add_retention_policy('logs', interval '10000 days')",
  "CREATE TABLE plain (n int PRIMARY KEY)",
  "INSERT INTO plain VALUES (1), (2)",
];

const FACTS: Readonly<Record<string, string>> = {
  logs: "SELECT concat(count(*), ' ', md5(string_agg(l::text, '' ORDER BY ts))) FROM logs l",
  hourly: "SELECT concat(count(*), ' ', sum(count)) FROM hourly",
  daily: "SELECT concat(count(*), ' ', sum(sum)) FROM daily",
  plain: "SELECT count(*)::text FROM plain",
  hypertables:
    `SELECT string_agg(concat(hypertable_name, ' ', num_dimensions, ' ', num_chunks), ', '
      ORDER BY 1) FROM timescaledb_information.hypertables`,
  chunks: `SELECT string_agg(concat(chunk_name, ' ', is_compressed), ', ' ORDER BY chunk_name)
    FROM timescaledb_information.chunks`,
  jobs: `SELECT string_agg(concat(job_id, ' ', proc_name, ' ', owner), ', ' ORDER BY job_id)
    FROM timescaledb_information.jobs`,
  keys: `SELECT count(*)::text FROM pg_constraint WHERE contype IN ('f', 'p')
    AND connamespace::regnamespace::text IN ('public', '_timescaledb_internal')`,
  restoring: "SELECT concat(current_setting('timescaledb.restoring'), ' ', count(*)) " +
    "FROM pg_db_role_setting WHERE setconfig::text ~ 'restoring'",
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

/** Calls pg_restore for entries of a dump, in their order. */
async function pgRestore(
  { url }: Timescale,
  { dump, ids, args = [] }: {
    readonly dump: string;
    readonly ids: readonly number[];
    readonly args?: readonly string[];
  },
): Promise<void> {
  const list = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(list, ids.map((id) => `${id};\n`).join(""));
    const { code, stderr } = await runClient(join(bin, "pg_restore"), {
      args: ["--exit-on-error", `--dbname=${url}`, `--use-list=${list}`, ...args, dump],
    });
    assert.equal(code, 0, stderr);
  } finally {
    await Deno.remove(list);
  }
}

const isRefused = (error: unknown) =>
  error instanceof OperationError && error.kind === "refused"
    ? `${error.message}\n${error.hint}`
    : "";

/** What a refusal says, with its hint. */
async function refusal(work: () => Promise<unknown> | void): Promise<string> {
  try {
    await work();
  } catch (error) {
    return isRefused(error);
  }
  return "";
}

Deno.test({
  name: "restores of hypertables: the steps, from one server to another",
  ignore,
  async fn(t) {
    await using server = await startTimescale({ share: true });
    await using session = await sessionOf(server);
    for (const sql of SOURCE) await session.value(sql);
    const facts = await factsOf(server);
    assert.equal(facts["restoring"], "off 0");
    await using project = await backupProject();
    const env = { DATABASE_URL: server.url, PG_BIN_DIR: bin };
    const { manifest, dump } = await project.backup([], { env });
    const version = manifest.timescaledb?.version ?? "";
    const loose = join(project.directory, "loose.dump");
    await Deno.copyFile(dump, loose);
    const script = join(project.directory, "loose.sql");
    const plain = await project.backup(["--format", "plain"], { env });
    await Deno.copyFile(plain.dump, script);

    /** Work with a source, beside a server. */
    function withDump<T>(
      { url }: Timescale,
      { name, work }: {
        readonly name: string;
        readonly work: (ctx: Context, source: Source) => Promise<T>;
      },
    ): Promise<T> {
      return withContext(
        { database: { url }, env: { PG_BIN_DIR: bin } },
        (ctx) =>
          withSource(
            ctx,
            { name, directory: project.backups, database: "postgres" },
            (source) => work(ctx, source),
          ),
      );
    }

    await t.step("a dump without a manifest tells the version by a row of it", async () => {
      const told = (name: string) =>
        withDump(server, {
          name,
          work: async (ctx, source) =>
            await findTimescale(ctx, {
              source,
              tool: await ctx.clientTool("pg_restore", { major: 18 }),
            }),
        });
      const expected = { version, schema: "public", schemaOwner: null };
      assert.deepEqual(await told(loose), expected);
      assert.deepEqual(await told(script), expected);
      assert.deepEqual(await told(manifest.id), expected);
    });

    await t.step("what is in the way is refused, with the way out", async () => {
      await withDump(server, {
        name: manifest.id,
        async work(ctx, source) {
          const own = await ctx.db.session();
          assert.doesNotMatch((await requireTimescale(own, version)).warnings.join(), /not tell/);
          assert.match((await requireTimescale(own, null)).warnings.join(), /does not tell which/);
          const asks = [
            [() => requireTimescale(own, "2.0.1"), /needs TimescaleDB 2\.0\.1.*\nInstall.*2\.0\.1/],
            [
              () => requireFreeOfTimescale(own, { database: "postgres", version }),
              /TimescaleDB keeps hypertables \(1\) and jobs \(1\) there.*\nRestore with --swap/,
            ],
            [
              () => requireFreeOfTimescale(own, { database: "postgres", version: "2.0.1" }),
              /has TimescaleDB .* and the backup is of 2\.0\.1/,
            ],
            [
              () => requireJobOwners(own, withOwner(manifest, "no one")),
              /roles that the server lacks: no one\nMake them first: CREATE ROLE "no one" LOGIN;/,
            ],
            [
              () => beginTimescale(ctx, { database: "postgres", version: "2.0.1" }),
              /the backup is of 2\.0\.1/,
            ],
          ] as const;
          for (const [ask, said] of asks) assert.match(await refusal(ask), said);
          await requireJobOwners(own, manifest);
          const entries = source.archive?.entries ?? [];
          const chosen = (tag: string) => entries.filter((entry) => entry.tag === tag);
          for (const manifestOrNot of [manifest, null]) {
            for (const tag of ["logs", "hourly", "daily"]) {
              const refuse = () =>
                refuseHypertables({ entries }, { manifest: manifestOrNot, chosen: chosen(tag) });
              assert.match(
                await refusal(refuse),
                new RegExp(`public\\.${tag} cannot be restored alone.*\n.*--into`),
              );
            }
            refuseHypertables({ entries }, { manifest: manifestOrNot, chosen: chosen("plain") });
          }
        },
      });
      assert.deepEqual(await factsOf(server), facts);
    });

    await t.step("in the passes of several processes: all is as it was", async () => {
      await using target = await startTimescale();
      await withDump(target, {
        name: manifest.id,
        async work(ctx, { archive }) {
          const use = usesTimescale(archive, manifest);
          assert.ok(use !== undefined && archive !== null);
          const begin = () => beginTimescale(ctx, { database: "postgres", ...use });
          assert.deepEqual(await begin(), { created: true });
          assert.deepEqual(await begin(), { created: false });
          for (const pass of passesFor(archive)) {
            const ids = archive.entries.filter((each) => pass.keep(each)).map(({ id }) => id);
            await pgRestore(target, { dump, ids });
          }
          await endTimescale(ctx, { database: "postgres" });
        },
      });
      await assertSame(target, facts);
      // As after a restore that was rolled back: neither the mode nor the extension is left.
      await using own = await sessionOf(target);
      for (const what of ["MATERIALIZED VIEW daily", "MATERIALIZED VIEW hourly", "TABLE logs"]) {
        await own.value(`DROP ${what}`);
      }
      await withDump(target, {
        name: manifest.id,
        async work(ctx) {
          await beginTimescale(ctx, { database: "postgres", version });
          await endTimescale(ctx, { database: "postgres", remove: true });
        },
      });
      const left = `SELECT concat((SELECT count(*) FROM pg_extension WHERE extname = 'timescaledb'),
        (SELECT count(*) FROM pg_db_role_setting))`;
      assert.equal(await own.value(left), "00");
    });

    await t.step("restore: definitions, then their rows; then no more in place", async () => {
      await using target = await startTimescale();
      const on = { env: { DATABASE_URL: target.url, PG_BIN_DIR: bin } };
      const restore = (...args: string[]) => project.run(["restore", ...args], on);
      const schema = await restore(loose, "--schema-only", "--force");
      assert.equal(schema.exit, 0, schema.stderr);
      assert.match(schema.stderr, /Definitions alone make no hypertables/);
      await using session = await sessionOf(target);
      await session.value("SELECT 1 / (1 - count(*)) FROM timescaledb_information.hypertables");
      const data = await restore(loose, "--data-only", "--force");
      assert.equal(data.exit, 0, data.stderr);
      const again = await restore(loose, "--clean", "--force");
      assert.equal(again.exit, 4, again.stderr);
      assert.match(again.stderr, /TimescaleDB keeps hypertables.*\nHint: Restore with --swap/);
      await assertSame(target, facts);
    });
    await t.step(
      "restore: all of it in place, and compared; tables alone are refused",
      async () => {
        await using target = await startTimescale();
        const on = { env: { DATABASE_URL: target.url, PG_BIN_DIR: bin } };
        const refused = await project.run(
          ["restore", manifest.id, "--tables", "logs", "--force"],
          on,
        );
        assert.equal(refused.exit, 4, refused.stderr);
        assert.match(refused.stderr, /public\.logs cannot be restored alone/);
        const { exit, stdout, stderr } = await project.run(["restore", manifest.id, "--force"], on);
        assert.equal(exit, 0, stderr);
        assert.match(stdout, /It is what was backed up/);
        await assertSame(target, facts);
      },
    );
  },
});

function withOwner(manifest: Manifest, owner: string): Manifest {
  const { timescaledb } = manifest;
  if (timescaledb === null) throw new Error("The manifest tells nothing of TimescaleDB");
  const jobs = timescaledb.jobs.map((job) => ({ ...job, owner }));
  return { ...manifest, timescaledb: { ...timescaledb, jobs } };
}

/** Its facts are those, and its hypertables take rows in chunks old and new, compressed ones too. */
async function assertSame(target: Timescale, facts: Record<string, unknown>): Promise<void> {
  assert.deepEqual(await factsOf(target), facts);
  await using session = await sessionOf(target);
  await session.value("INSERT INTO logs VALUES ('2024-01-01 00:30', 1, 0), ('2025-01-01', 2, 0)");
  assert.equal(await session.value("SELECT count(*)::int FROM logs WHERE n = 0"), 3);
  await assert.rejects(session.value("INSERT INTO logs VALUES ('2025-01-01', 99, 0)"), {
    code: "23503",
  });
  await session.value("CALL refresh_continuous_aggregate('hourly', NULL, NULL)");
  assert.equal(await session.value("SELECT sum(count)::int FROM hourly"), 102);
}
