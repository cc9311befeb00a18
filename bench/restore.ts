/** Restores side by side with the lines that people use: from S3, and from a directory by several jobs. */
import { join } from "node:path";
import { DATA, KEYS, startGateway } from "./backup.ts";
import { measure, type Measurement, ratioOf, report, type Subject } from "./measure.ts";
import { type Bench, findOnPath } from "./subjects.ts";

/** Rounds that are counted; one before them is not. */
const ROUNDS = Number(Deno.env.get("RESTORE_ROUNDS") ?? 5);
/** Which data, by commas; by default all. */
const DATA_ASKED = (Deno.env.get("RESTORE_DATA") ?? Object.keys(DATA).join(",")).split(",");
const BUCKET = "bench-restores";
const JOBS = 2;

/**
 * In at most 128 MiB. The lines do less: they hash nothing, count no rows, and gather no statistics,
 * which `--no-analyze` and `--no-compare` leave out for the comparison.
 */
export async function restoreSuite(bench: Bench): Promise<void> {
  const aws = await findOnPath("aws", Deno.env.get("AWS"));
  const gateway = await findOnPath("versitygw", Deno.env.get("VERSITYGW"));
  if (aws === undefined || gateway === undefined) return;
  await using s3 = await startGateway(gateway, bench.directory);
  const env = { ...KEYS, AWS_REGION: "us-east-1", PATH: Deno.env.get("PATH") ?? "" };
  await run([aws, "s3", "mb", `s3://${BUCKET}`, "--endpoint-url", s3.url], env);
  const pgRestore = join(bench.psql, "..", "pg_restore");
  const source = "bench_restore_source";
  const target = "bench_restore_target";
  for (const name of DATA_ASKED) {
    await bench.freshDatabase(source);
    await bench.value(source, DATA[name] ?? "");
    const size = Number(await bench.value(source, "SELECT pg_database_size(current_database())"));
    const table = String(
      await bench.value(
        source,
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace",
      ),
    );
    const rows = await bench.value(source, `SELECT count(*) FROM ${table}`);
    const directory = await Deno.makeTempDir({ dir: bench.directory, prefix: "backups-" });
    const ownEnv = {
      ...env,
      S3_BACKUP_BUCKET: BUCKET,
      AWS_ENDPOINT_URL_S3: s3.url,
      BACKUPS_DIR: directory,
    };
    const backUp = async (args: readonly string[]): Promise<string> => {
      const told = await run([bench.observatory, "backup", "--no-prune", "--json", ...args], {
        ...ownEnv,
        DATABASE_URL: `${bench.server.url(source)}?sslmode=disable`,
      });
      return JSON.parse(told).data.manifest.id;
    };
    const inBucket = await backUp(["--s3-only"]);
    const local = await backUp(["--format", "directory"]);
    const url = bench.server.url(target);
    const around = {
      prepare: () => bench.freshDatabase(target),
      async check() {
        const found = await bench.value(target, `SELECT count(*) FROM ${table}`);
        if (found !== rows) throw new Error(`${found} rows were restored of ${rows}`);
      },
    };
    const line = (title: string, command: string): Subject => ({
      name: title,
      command: ["bash", "-c", `set -o pipefail; ${command}`],
      env,
      ...around,
    });
    const ours = (args: readonly string[]): Subject => ({
      name: ["observatory restore", ...args.slice(1)].join(" "),
      command: [bench.observatory, "restore", ...args, "--force"],
      env: { ...ownEnv, DATABASE_URL: `${url}?sslmode=disable` },
      ...around,
    });
    const bare = ["--no-analyze", "--no-compare"];
    const key = `s3://${BUCKET}/backups/${inBucket}.dump`;
    const keys = await run([
      aws,
      "s3",
      "ls",
      "--recursive",
      `s3://${BUCKET}`,
      "--endpoint-url",
      s3.url,
    ], env);
    const found = keys.split("\n").map((each) => each.split(/\s+/).at(-1) ?? "").find((each) =>
      each.endsWith(`${inBucket}.dump`)
    );
    const cases: readonly (readonly [string, readonly Subject[]])[] = [
      ["from S3", [
        line(
          "aws s3 cp - | pg_restore -1 -d",
          `${aws} s3 cp ${found === undefined ? key : `s3://${BUCKET}/${found}`} - ` +
            `--endpoint-url ${s3.url} --only-show-errors | ${pgRestore} -e -1 -d '${url}'`,
        ),
        ours([inBucket, "--s3-download", ...bare]),
        ours([inBucket, "--s3-download"]),
      ]],
      [`from a directory by ${JOBS} jobs`, [
        line(
          `pg_restore -j${JOBS} -d`,
          `${pgRestore} -e -j${JOBS} -d '${url}' ${join(directory, `${local}.dir`)}`,
        ),
        ours([local, "--jobs", String(JOBS), ...bare]),
      ]],
    ];
    for (const [title, subjects] of cases) {
      const measured = await measure(subjects, ROUNDS);
      report(
        `A restore of ${(size / 1e6).toFixed(0)} MB of ${name} ${title} (limit: 128 MiB)`,
        measured,
        notes(measured),
      );
    }
    await Deno.remove(directory, { recursive: true });
  }
  await bench.freshDatabase(source);
  await bench.freshDatabase(target);
}

function notes([line, ...others]: readonly Measurement[]): string[] {
  if (line === undefined) return [];
  return others.map((each) => {
    const { median, low, high } = ratioOf(each, line);
    return `${each.name}: ${median.toFixed(3)} × the line (95 %: ${low.toFixed(3)} to ${
      high.toFixed(3)
    })`;
  });
}

async function run(
  [program = "", ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args, env }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}
