/** Backups side by side with the shell line that people use, into the same S3 server. */
import { join } from "node:path";
import { measure, type Measurement, ratioOf, report, type Subject } from "./measure.ts";
import { type Bench, findOnPath } from "./subjects.ts";

/** Pairs that are counted; one before them is not. */
const ROUNDS = Number(Deno.env.get("BACKUP_ROUNDS") ?? 9);
/** What of the below is measured, by commas; by default all that every pg_dump knows. */
const CASES_ASKED = Deno.env.get("BACKUP_CASES")?.split(",") ?? ["default", "gzip:1", "none"];
const DATA_ASKED = Deno.env.get("BACKUP_DATA")?.split(",");
const BUCKET = "bench-backups";
/** What the throw-away S3 server is reached with. */
export const KEYS = {
  AWS_ACCESS_KEY_ID: "benchaccess",
  AWS_SECRET_ACCESS_KEY: "benchsecret123456",
};

/** 600 MB and more of rows: noise, which no method makes smaller, and text as logs hold it. */
export const DATA: Readonly<Record<string, string>> = {
  noise: `CREATE TABLE r AS SELECT g::int AS id, sha512((random()::text || g)::bytea) AS a,
      sha512((g || random()::text)::bytea) AS b, sha512((random()::text || g || 'x')::bytea) AS c,
      sha512((random()::text || g || 'y')::bytea) AS d FROM generate_series(1, 2000000) g;
    ALTER TABLE r ADD PRIMARY KEY (id)`,
  text: `CREATE TABLE t AS SELECT g::bigint AS id, now() - g * interval '1 second' AS at,
      'project-' || g % 97 AS project, 'The request ' || g || ' took ' || (random() * 5000)::int ||
      ' ms and used ' || (random() * 4000)::int || ' tokens of model gpt-' || g % 5 AS message,
      md5(g::text) AS trace FROM generate_series(1, 4200000) g;
    ALTER TABLE t ADD PRIMARY KEY (id)`,
};

/** The line's flags, and ours, one run for each list. */
interface Case {
  readonly line: string;
  readonly ours: readonly (readonly string[])[];
}

const CASES: Readonly<Record<string, Case>> = {
  "default": { line: "", ours: [[]] },
  "gzip:1": {
    line: "-Z1",
    ours: [["--compression", "gzip:1"], [
      "--compression",
      "gzip:1",
      "--fingerprint",
      "none",
    ]],
  },
  "zstd:3": { line: "-Zzstd:3", ours: [["--compression", "zstd:3"]] },
  "none": { line: "-Z0", ours: [["--compression", "none"]] },
};

/**
 * At most 1.00 × the shell line at default settings, at most 1.05 × at equal ones, in at most
 * 128 MiB. The line does less: it counts no rows, hashes nothing, and publishes a dump that broke
 * off.
 */
export async function backupSuite(bench: Bench): Promise<void> {
  const aws = await findOnPath("aws", Deno.env.get("AWS"));
  const gateway = await findOnPath("versitygw", Deno.env.get("VERSITYGW"));
  if (aws === undefined || gateway === undefined) return;
  await using s3 = await startGateway(gateway, bench.directory);
  const env = { ...KEYS, AWS_REGION: "us-east-1", PATH: Deno.env.get("PATH") ?? "" };
  const made = await new Deno.Command(aws, {
    args: ["s3", "mb", `s3://${BUCKET}`, "--endpoint-url", s3.url],
    env,
  }).output();
  if (!made.success) throw new Error(new TextDecoder().decode(made.stderr));
  for (const [name, sql] of chosen(DATA, DATA_ASKED)) {
    const database = `bench_backup_${name}`;
    await bench.freshDatabase(database);
    await bench.value(database, sql);
    const size = await bench.value(database, "SELECT pg_database_size(current_database())");
    const url = bench.server.url(database);
    const dump = join(bench.psql, "..", "pg_dump");
    const line = (flags: string): Subject => ({
      name: `pg_dump -Fc ${flags} | aws s3 cp -`.replace("  ", " "),
      command: [
        "bash",
        "-c",
        `set -o pipefail; ${dump} -Fc ${flags} -d '${url}' | ` +
        `${aws} s3 cp - s3://${BUCKET}/line.dump --endpoint-url ${s3.url} --only-show-errors`,
      ],
      env,
    });
    const ours = (flags: readonly string[]): Subject => ({
      name: ["observatory backup --s3-only", ...flags].join(" "),
      command: [bench.observatory, "backup", "--s3-only", "--no-prune", ...flags],
      env: {
        ...env,
        DATABASE_URL: `${url}?sslmode=disable`,
        S3_BACKUP_BUCKET: BUCKET,
        AWS_ENDPOINT_URL_S3: s3.url,
      },
    });
    for (const [title, each] of chosen(CASES, CASES_ASKED)) {
      const floor: Subject = {
        name: `pg_dump -Fc ${each.line} > /dev/null`.replace("  ", " "),
        command: ["bash", "-c", `${dump} -Fc ${each.line} -d '${url}' > /dev/null`],
        env,
      };
      const measured = await measure([line(each.line), ...each.ours.map(ours), floor], ROUNDS);
      report(
        `A backup of ${(Number(size) / 1e6).toFixed(0)} MB of ${name} to S3, ${title} (limits: ` +
          "1.00 × the line by default, 1.05 × at equal settings, 128 MiB)",
        measured,
        notes(measured),
      );
    }
    await bench.freshDatabase(database);
  }
}

function chosen<T>(
  all: Readonly<Record<string, T>>,
  asked: readonly string[] = Object.keys(all),
): [name: string, value: T][] {
  return asked.map((name) => {
    const value = all[name];
    if (value === undefined) {
      throw new Error(`There is no "${name}" in it, but ${Object.keys(all).join(", ")}`);
    }
    return [name, value];
  });
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

/** Starts an S3 server, whose objects are files below a directory. */
export async function startGateway(
  program: string,
  directory: string,
): Promise<AsyncDisposable & { readonly url: string }> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const data = await Deno.makeTempDir({ dir: directory, prefix: "s3-" });
  const child = new Deno.Command(program, {
    args: ["--port", `127.0.0.1:${port}`, "--quiet", "posix", data],
    env: {
      ROOT_ACCESS_KEY: KEYS.AWS_ACCESS_KEY_ID,
      ROOT_SECRET_KEY: KEYS.AWS_SECRET_ACCESS_KEY,
    },
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0;; tries++) {
    const answer = await fetch(url).catch(() => undefined);
    await answer?.body?.cancel();
    if (answer !== undefined) break;
    if (tries > 200) throw new Error("versitygw does not start");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    url,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
    },
  };
}
