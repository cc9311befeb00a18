/** Backups side by side with the shell line that people use, into the same S3 server. */
import { join } from "node:path";
import { measure, type Measurement, ratioOf, report, type Subject } from "./measure.ts";
import { type Bench, findOnPath } from "./subjects.ts";

/** Pairs of which the first is not counted. */
const ROUNDS = Number(Deno.env.get("BACKUP_ROUNDS") ?? 9);
const BUCKET = "bench-backups";
const KEYS = { AWS_ACCESS_KEY_ID: "benchaccess", AWS_SECRET_ACCESS_KEY: "benchsecret123456" };

/** 600 MB and more of rows: noise, which no method makes smaller, and text as logs hold it. */
const DATA: Readonly<Record<string, string>> = {
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
  for (const [name, sql] of Object.entries(DATA)) {
    const database = `bench_backup_${name}`;
    await bench.freshDatabase(database);
    await bench.value(database, sql);
    const size = await bench.value(database, "SELECT pg_database_size(current_database())");
    const url = bench.server.url(database);
    const dump = join(bench.psql, "..", "pg_dump");
    const shell = (title: string, flags: string): Subject => ({
      name: title,
      command: [
        "bash",
        "-c",
        `set -o pipefail; ${dump} -Fc ${flags} -d '${url}' | ` +
        `${aws} s3 cp - s3://${BUCKET}/line.dump --endpoint-url ${s3.url} --only-show-errors`,
      ],
      env,
    });
    const ours = (title: string, flags: readonly string[]): Subject => ({
      name: title,
      command: [bench.observatory, "backup", "--s3-only", "--no-prune", ...flags],
      env: {
        ...env,
        DATABASE_URL: `${url}?sslmode=disable`,
        S3_BACKUP_BUCKET: BUCKET,
        AWS_ENDPOINT_URL_S3: s3.url,
      },
    });
    const measured = await measure([
      shell("pg_dump -Fc | aws s3 cp -", ""),
      ours("observatory backup --s3-only", []),
      shell("pg_dump -Fc -Z1 | aws s3 cp -", "-Z1"),
      ours("observatory backup, gzip:1", ["--compression", "gzip:1"]),
      shell("pg_dump -Fc -Z0 | aws s3 cp -", "-Z0"),
      ours("observatory backup, not compressed", ["--compression", "none"]),
      {
        name: "pg_dump -Fc -Z1 > /dev/null",
        command: ["bash", "-c", `${dump} -Fc -Z1 -d '${url}' > /dev/null`],
        env,
      },
    ], ROUNDS);
    report(
      `A backup of ${
        (Number(size) / 1e6).toFixed(0)
      } MB of ${name} to S3 (limits: 1.00 × the line ` +
        "by default, 1.05 × at equal settings, 128 MiB)",
      measured,
      notes(measured),
    );
    await bench.freshDatabase(database);
  }
}

function notes(measured: readonly Measurement[]): string[] {
  const pair = (title: string, at: number) => {
    const [line, ours] = measured.slice(at, at + 2);
    if (line === undefined || ours === undefined) return "";
    const { median, low, high } = ratioOf(ours, line);
    return `${title}: ${median.toFixed(3)} (95 %: ${low.toFixed(3)} to ${high.toFixed(3)})`;
  };
  return [
    pair("By default", 0),
    pair("At gzip 1", 2),
    pair("Not compressed", 4),
  ];
}

async function startGateway(
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
