/** Restores of partitioned tables by several processes at once. */
import assert from "assert";
import { clientToolsMissing, freshDatabase, type TestDatabase } from "../database.ts";
import { makeShim } from "../faults/shim.ts";
import { type RestoreSite, restoreSite } from "../restore_site.ts";
import { skipWhenMissing } from "../skip.ts";

const ignore = skipWhenMissing("restores of partitioned tables", await clientToolsMissing());

const PARTITIONED = `
  CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
  CREATE TABLE event (day int, what text, PRIMARY KEY (day, what)) PARTITION BY RANGE (day);
  CREATE INDEX event_what ON event (what);
  ${
  [0, 1, 2, 3].map((n) =>
    `CREATE TABLE event_${n} PARTITION OF event FOR VALUES FROM (${n * 10}) TO (${n * 10 + 10});`
  ).join("\n")
}
  INSERT INTO event SELECT n, 'what ' || n FROM generate_series(0, 39) n;
  CREATE TRIGGER everywhere AFTER INSERT ON event FOR EACH ROW EXECUTE FUNCTION touched();
  CREATE TABLE plain (n int PRIMARY KEY);
  ${
  [0, 1, 2].map((n) =>
    `CREATE TABLE seen_${n} (day int, what text, n int REFERENCES plain, FOREIGN KEY (day, what) REFERENCES event);
     INSERT INTO seen_${n} SELECT day, what FROM event`
  ).join(";\n")
};
  COMMENT ON INDEX event_what IS 'the whole';
  CREATE MATERIALIZED VIEW days AS SELECT day, count(*) FROM event GROUP BY day;
  CREATE UNIQUE INDEX days_day ON days (day);
`;

/** Notes from when to when each statement of a definition holds its locks, and has it take a while. */
const WATCH = `
  CREATE SCHEMA watch;
  CREATE TABLE watch.statement (tag text, begun timestamptz, ended timestamptz);
  CREATE FUNCTION watch.note() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM pg_catalog.pg_sleep(0.02);
    INSERT INTO watch.statement VALUES (tg_tag, pg_catalog.statement_timestamp(), pg_catalog.clock_timestamp());
  END $$;
  CREATE EVENT TRIGGER watch ON ddl_command_end EXECUTE FUNCTION watch.note();
`;

const FACTS = `SELECT
    (SELECT count(*) FROM event)::int AS rows,
    (SELECT count(*) FROM seen_2)::int AS seen,
    (SELECT count(*) FROM days)::int AS days,
    (SELECT count(*) FROM pg_index WHERE NOT indisvalid)::int AS invalid,
    (SELECT count(*) FROM pg_inherits JOIN pg_index ON indexrelid = inhrelid)::int AS attached,
    (SELECT count(*) FROM pg_trigger WHERE tgname = 'everywhere')::int AS triggers,
    (SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated)::int AS keys,
    obj_description('event_what'::regclass) AS comment`;

async function withSite(work: (site: RestoreSite) => Promise<void>): Promise<void> {
  await using site = await restoreSite(await freshDatabase({ sql: PARTITIONED }));
  await work(site);
}

async function facts(database: TestDatabase): Promise<unknown> {
  const [row] = await database.query(FACTS);
  return row;
}

Deno.test({
  name: "restore, partitions: no other process is at work while indexes are attached",
  ignore,
  fn: () =>
    withSite(async (site) => {
      const expected = await facts(site.source);
      for (const format of ["custom", "directory"]) {
        const { id } = await site.backup([`--format=${format}`]);
        await using target = await freshDatabase({ sql: WATCH });
        await site.restore(target, [id, "--jobs=4"]);
        assert.deepEqual(await facts(target), expected);
        const met = await target.query(
          `SELECT a.tag, b.tag AS other FROM watch.statement a JOIN watch.statement b
             ON a.ctid <> b.ctid AND a.begun < b.ended AND b.begun < a.ended
           WHERE a.tag = 'ALTER INDEX'`,
        );
        assert.deepEqual(met, []);
        // Index and key, for each of four partitions.
        const attached = await target.query(
          "SELECT count(*)::int AS n FROM watch.statement WHERE tag = 'ALTER INDEX'",
        );
        assert.deepEqual(attached, [{ n: 8 }]);
        // Else it is no proof.
        const atOnce = await target.query(
          `SELECT count(*)::int AS n FROM watch.statement a JOIN watch.statement b
             ON a.ctid < b.ctid AND a.begun < b.ended AND b.begun < a.ended`,
        );
        assert.ok(Number(atOnce[0]?.["n"]) > 0, "nothing was done at once");
      }
    }),
});

Deno.test({
  name: "restore --clean, partitions: over themselves, in one transaction and by several processes",
  ignore,
  fn: () =>
    withSite(async (site) => {
      const expected = await facts(site.source);
      for (
        const [format, ...more] of [["custom"], ["custom", "--jobs=4"], ["directory"]]
      ) {
        const { id } = await site.backup([`--format=${format}`]);
        await site.source.query("DELETE FROM seen_2; DROP INDEX event_what");
        await site.restore(site.source, [id, "--clean", ...more]);
        assert.deepEqual(await facts(site.source), expected);
      }
    }),
});

/** The first call by several processes ends as those do that waited for each other. */
const DEADLOCK = String.raw`if [[ "$*" == *--jobs=4* ]]; then
  whole >/dev/null 2>&1
  printf '%s\n' \
    'pg_restore: while PROCESSING TOC:' \
    'pg_restore: from TOC entry 3210; 0 0 INDEX ATTACH event_0_pkey postgres' \
    'pg_restore: error: could not execute query: ERROR:  deadlock detected' >&2; exit 1
else whole; fi`;

Deno.test({
  name: "restore --clean, partitions: after a deadlock one process alone does it again",
  ignore,
  fn: () =>
    withSite(async (site) => {
      await using shim = await makeShim();
      const expected = await facts(site.source);
      const { id } = await site.backup();
      await using target = await freshDatabase({ sql: PARTITIONED });
      const { stderr } = await site.restore(target, [id, "--jobs=4", "--clean"], {
        env: { PG_BIN_DIR: shim.directory, FAULT_RESTORE: DEADLOCK },
      });
      assert.match(
        stderr,
        /^\[WARNING\] INDEX ATTACH event_0_pkey postgres: deadlock detected: restoring again, by one process/m,
      );
      assert.deepEqual(await facts(target), expected);
    }),
});
