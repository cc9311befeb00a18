/** Rows on stdout side by side with psql's. */
import { measure, type Measurement, report, type Subject } from "./measure.ts";
import type { Bench } from "./subjects.ts";

const ROWS = 1_000_000;
const DATABASE = "bench_rows";
const TABLE = `CREATE TABLE traces AS
  SELECT i::bigint AS id, 'project-' || i % 50 AS project, md5(i::text) AS hash,
    timestamptz '2026-01-01' + i * interval '1 second' AS started_at, i % 4000 AS tokens,
    (i * 0.000001)::numeric(14, 6) AS cost, nullif(i % 3, 0) AS rating, 'größer ' || i AS note
  FROM generate_series(1, ${ROWS}) i`;
const SELECT = "SELECT * FROM traces";

/**
 * A million rows of eight columns: as a table and as CSV within 1.5 times of psql, and in at most
 * 256 MiB, whatever the format.
 */
export async function rowsSuite(bench: Bench): Promise<void> {
  await bench.freshDatabase(DATABASE);
  await bench.value(DATABASE, TABLE);
  const url = bench.server.url(DATABASE);
  const psql = (format: string, ...flags: readonly string[]): Subject => ({
    name: `psql, ${format}`,
    command: [bench.psql, "-X", ...flags, "-c", SELECT, url],
  });
  const exec = (format: string, ...flags: readonly string[]): Subject => ({
    name: `observatory exec, ${format}`,
    command: [bench.observatory, "exec", "--quiet", SELECT, ...flags],
    env: { DATABASE_URL: `${url}?sslmode=disable` },
  });
  const measured = await measure([
    psql("table"),
    exec("table"),
    psql("csv", "--csv"),
    exec("csv", "--format", "csv"),
    exec("ndjson", "--format", "ndjson"),
    exec("json envelope", "--json"),
  ], 5);
  report(`${ROWS} rows to stdout (limit: 1.5 of psql in the same format, 256 MiB)`, measured, [
    limitNote(measured),
  ]);
}

function limitNote(measured: readonly Measurement[]): string {
  const median = (name: string) => measured.find((each) => each.name === name)?.median ?? NaN;
  const ratios = ["table", "csv"].map((format) => {
    const ratio = median(`observatory exec, ${format}`) / median(`psql, ${format}`);
    return `${format} ${ratio.toFixed(2)}`;
  });
  const ours = measured.filter(({ name }) => name.startsWith("observatory"));
  const most = Math.max(...ours.map(({ memory }) => memory));
  return `observatory / psql: ${ratios.join(", ")} (limit: 1.5); at most ${
    most.toFixed(0)
  } MiB (limit: 256)`;
}
