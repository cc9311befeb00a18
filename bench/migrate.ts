/** Migrations side by side with dbmate, sqlx-cli and psql. */
import { join } from "node:path";
import { measure, report, type Subject } from "./measure.ts";
import type { Bench } from "./subjects.ts";

const COUNT = 1000;

interface Directories {
  /** Files as sqlx and observatory read them. */
  readonly plain: string;
  /** The same with dbmate's marker line. */
  readonly dbmate: string;
}

async function writeMigrations(
  bench: Bench,
  name: string,
  files: Iterable<readonly [name: string, sql: string]>,
): Promise<Directories> {
  const directories = {
    plain: join(bench.directory, name),
    dbmate: join(bench.directory, `${name}-dbmate`),
  };
  await Deno.mkdir(directories.plain, { recursive: true });
  await Deno.mkdir(directories.dbmate, { recursive: true });
  for (const [file, sql] of files) {
    await Deno.writeTextFile(join(directories.plain, file), sql);
    await Deno.writeTextFile(
      join(directories.dbmate, file),
      `-- migrate:up\n${sql}-- migrate:down\n`,
    );
  }
  return directories;
}

function* trivial(): Iterable<[string, string]> {
  for (let index = 1; index <= COUNT; index++) {
    yield [`${20240101000000 + index}_step_${index}.sql`, `SELECT ${index};\n`];
  }
}

/** The three tools that apply a directory to a database. */
function tools(bench: Bench, directories: Directories, database: string): Subject[] {
  const url = `${bench.server.url(database)}?sslmode=disable`;
  const subjects: Subject[] = [{
    name: "observatory migrate",
    command: [bench.observatory, "migrate", "--dir", directories.plain],
    env: { DATABASE_URL: url },
  }];
  if (bench.sqlx !== undefined) {
    subjects.push({
      name: "sqlx migrate run",
      command: [bench.sqlx, "migrate", "run", "--source", directories.plain],
      env: { DATABASE_URL: url },
    });
  }
  if (bench.dbmate !== undefined) {
    subjects.push({
      name: "dbmate up",
      command: [bench.dbmate, "--no-dump-schema", "-d", directories.dbmate, "up"],
      env: { DATABASE_URL: url },
    });
  }
  return subjects;
}

/** Each tool with a database of its own, fresh before each run. */
function onFreshDatabases(
  bench: Bench,
  directories: Directories,
  check: (database: string, tool: string) => Promise<void>,
): Subject[] {
  return tools(bench, directories, "unused").map((tool, index) => {
    const database = `bench_${index}`;
    const subject = tools(bench, directories, database)[index] ?? tool;
    return {
      ...subject,
      prepare: () => bench.freshDatabase(database),
      check: () => check(database, tool.name),
    };
  });
}

async function requireRows(bench: Bench, database: string, expected: number): Promise<void> {
  const table = await bench.value(
    database,
    "SELECT coalesce(to_regclass('public._sqlx_migrations'), to_regclass('public.schema_migrations'))::text",
  );
  const rows = Number(await bench.value(database, `SELECT count(*) FROM ${table}`));
  if (rows !== expected) {
    throw new Error(`${database} has ${rows} migrations recorded instead of ${expected}`);
  }
}

/** 1,000 trivial migrations applied; the aim is to be ahead of every peer. */
export async function manyPendingSuite(bench: Bench): Promise<void> {
  const directories = await writeMigrations(bench, "many", trivial());
  const subjects = onFreshDatabases(
    bench,
    directories,
    (database) => requireRows(bench, database, COUNT),
  );
  const script = join(bench.directory, "many.sql");
  await Deno.writeTextFile(
    script,
    [...trivial()].map(([, sql]) => `BEGIN;\n${sql}INSERT INTO floor VALUES (now());\nCOMMIT;\n`)
      .join(""),
  );
  subjects.push({
    name: "psql, one transaction each",
    command: [bench.psql, "-Xqf", script, bench.server.url("bench_floor")],
    prepare: async () => {
      await bench.freshDatabase("bench_floor");
      await bench.value("bench_floor", "CREATE TABLE floor (at timestamptz)");
    },
  });
  report(`${COUNT} pending migrations`, await measure(subjects, 7));
}

/** Nothing to do with 1,000 applied; the aim is 1.5 times (bare program + psql -c 'select 1'). */
export async function nothingPendingSuite(bench: Bench): Promise<void> {
  const directories = await writeMigrations(bench, "none", trivial());
  const subjects = tools(bench, directories, "unused").map((tool, index): Subject => {
    return tools(bench, directories, `none_${index}`)[index] ?? tool;
  });
  for (const [index, subject] of subjects.entries()) {
    await bench.freshDatabase(`none_${index}`);
    await measure([subject], 1);
    await requireRows(bench, `none_${index}`, COUNT);
  }
  const measured = await measure([
    ...subjects,
    { name: "bare compiled Deno program", command: [bench.bare] },
    { name: "psql -c 'select 1'", command: [bench.psql, "-Xqc", "select 1", bench.server.url()] },
  ], 15);
  const of = (name: string) => measured.find((each) => each.name.startsWith(name))?.median ?? NaN;
  const floor = of("bare") + of("psql");
  report(`Nothing pending, ${COUNT} applied`, measured, [
    `observatory is ${(of("observatory") / floor).toFixed(2)} × the floor of ${
      floor.toFixed(1)
    } ms ` +
    "(bare program + psql select 1; limit: 1.5)",
  ]);
}

/** One file of 100 MB: within sqlx's time, in at most 128 MiB. */
export async function hugeFileSuite(bench: Bench): Promise<void> {
  const directories = await writeMigrations(bench, "huge", [["1_huge.sql", hugeSql()]]);
  const rows = 94_090 * 10;
  const subjects = onFreshDatabases(bench, directories, async (database) => {
    const count = Number(await bench.value(database, "SELECT count(*) FROM huge"));
    if (count !== rows) throw new Error(`${database} has ${count} rows instead of ${rows}`);
  });
  report("One file of 100 MB (limit: sqlx's time, 128 MiB)", await measure(subjects, 3));
}

/** 94,090 INSERTs of ten rows and about 1 KB each. */
function hugeSql(): string {
  const parts = ["CREATE TABLE huge (id bigint, word text);\n"];
  const word = "x".repeat(90);
  for (let insert = 0; insert < 94_090; insert++) {
    const values: string[] = [];
    for (let row = 0; row < 10; row++) values.push(`(${insert * 10 + row}, '${word}')`);
    parts.push(`INSERT INTO huge VALUES ${values.join(", ")};\n`);
  }
  return parts.join("");
}
