/** Seed files side by side with psql's \copy. */
import { join } from "node:path";
import { measure, type Measurement, report, type Subject } from "./measure.ts";
import type { Bench } from "./subjects.ts";

const ROWS = 1_000_000;
const TABLE = `CREATE TABLE traces (
  id bigint PRIMARY KEY,
  project text NOT NULL,
  model text NOT NULL,
  started_at timestamptz NOT NULL,
  input_tokens integer NOT NULL CHECK (input_tokens >= 0),
  output_tokens integer,
  cost numeric(14, 6),
  note text
)`;
const COLUMNS = "id,project,model,started_at,input_tokens,output_tokens,cost,note";

/**
 * A CSV file of a million rows: the first load into an empty table within 1.3 times of `\copy` into
 * the same table, in at most 128 MiB. The other loads are told for information: `\copy` cannot leave
 * rows alone or update them.
 */
export async function seedCsvSuite(bench: Bench): Promise<void> {
  const seeds = join(bench.directory, "seeds");
  const file = join(seeds, "base", "010_traces.csv");
  const changed = join(bench.directory, "seeds-changed");
  await writeRows(file, 0);
  await writeRows(join(changed, "base", "010_traces.csv"), 100);
  const copy = `\\copy traces (${COLUMNS}) FROM '${file}' WITH (FORMAT csv, HEADER true)`;
  const load = (name: string, directory: string, database: string): Subject => ({
    name,
    command: [bench.observatory, "seed", "--env", "production", "--dir", directory],
    env: { DATABASE_URL: `${bench.server.url(database)}?sslmode=disable` },
    check: () => requireRows(bench, database),
  });
  const filled = async (database: string, sql: string) => {
    await fresh(bench, database);
    await bench.value(database, sql);
  };
  const measured = await measure([
    {
      name: "psql \\copy",
      command: [bench.psql, "-Xqc", copy, bench.server.url("bench_copy")],
      prepare: () => fresh(bench, "bench_copy"),
      check: () => requireRows(bench, "bench_copy"),
    },
    {
      ...load("observatory seed, empty table", seeds, "bench_empty"),
      prepare: () => fresh(bench, "bench_empty"),
    },
    {
      ...load("observatory seed, table with a row of the file", seeds, "bench_filled"),
      prepare: () =>
        filled("bench_filled", "INSERT INTO traces VALUES (7, 'p', 'm', now(), 1, 1, 1, NULL)"),
    },
    {
      ...load("observatory seed, file with 1 % changed rows", changed, "bench_changed"),
      prepare: async () => {
        await fresh(bench, "bench_changed");
        await measure([load("", seeds, "bench_changed")], 0);
      },
    },
  ], 5);
  report(`A CSV file of ${ROWS} rows (limit: 1.3 into an empty table, 128 MiB)`, measured, [
    limitNote(measured),
  ]);
}

function limitNote(measured: readonly Measurement[]): string {
  const most = Math.max(...measured.slice(1).map(({ memory }) => memory));
  const [copy, empty] = measured;
  const ratio = (empty?.median ?? NaN) / (copy?.median ?? NaN);
  return `observatory is ${ratio.toFixed(2)} × \\copy (limit: 1.3), at most ${
    most.toFixed(0)
  } MiB (limit: 128)`;
}

async function fresh(bench: Bench, database: string): Promise<void> {
  await bench.freshDatabase(database);
  await bench.value(database, TABLE);
}

async function requireRows(bench: Bench, database: string): Promise<void> {
  const rows = Number(await bench.value(database, "SELECT count(*) FROM traces"));
  if (rows !== ROWS) throw new Error(`${database} has ${rows} rows instead of ${ROWS}`);
}

/** Writes the rows, about 90 bytes each; of `changed`, every so manyth has another note. */
async function writeRows(path: string, changed: number): Promise<void> {
  await Deno.mkdir(join(path, ".."), { recursive: true });
  using file = await Deno.open(path, { create: true, write: true, truncate: true });
  const writer = file.writable.getWriter();
  const encoder = new TextEncoder();
  let lines = [`${COLUMNS}\n`];
  for (let row = 1; row <= ROWS; row++) {
    const at = new Date(Date.UTC(2026, 0, 1) + row * 1000).toISOString();
    const note = changed > 0 && row % changed === 0 ? "changed" : `"call ""${row}"", as made"`;
    lines.push(
      `${row},project-${row % 50},gpt-4o,${at},${row % 4000},${row % 900},0.${
        String(row % 1_000_000).padStart(6, "0")
      },${note}\n`,
    );
    if (row % 10_000 === 0) {
      await writer.write(encoder.encode(lines.join("")));
      lines = [];
    }
  }
  writer.releaseLock();
}
