/** The set-up of the manual of the system that is replaced, for tests of its lines. */
import assert from "assert";
import { join } from "node:path";
import { PROJECT } from "../../tasks/build.ts";
import { openDatabase, sharedServer, type TestDatabase, uniqueName } from "../database.ts";
import {
  type Kind,
  type RunOptions,
  runProgram,
  type RunResult,
  startProgram,
} from "../program.ts";
import { freshBucket, type TestBucket } from "../s3.ts";
import { directoryWith } from "./project.ts";

/** The manual's set-up: its directories, its `.env`, and a database that does not exist yet. */
export interface Installation extends AsyncDisposable {
  readonly directory: string;
  readonly name: string;
  readonly database: TestDatabase;
  /** The bucket of the backups. */
  readonly bucket: TestBucket;
  /** What stands behind `docker compose --profile tools run --rm cli` in the manual. */
  cli(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** The same, which must end with 0. */
  works(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  start(args: readonly string[], options?: RunOptions): ReturnType<typeof startProgram>;
  /** One value from the database. */
  value(sql: string): Promise<unknown>;
}

/** Makes one, for one kind of program. */
export async function installation(kind: Kind): Promise<Installation> {
  const server = await sharedServer();
  const name = uniqueName("manual");
  const bucket = await freshBucket({ prefix: "production/backups/" });
  const directory = await directoryWith({
    ".env": [
      "# Database",
      `DB_HOST=${server.host}`,
      `DB_PORT=${server.port}`,
      `DB_NAME=${name}`,
      "DB_USER=postgres",
      "DB_PASSWORD=your_secure_password",
      "",
      "# Backups",
      "BACKUP_RETENTION_DAYS=30",
      "",
      "# AWS S3 (optional)",
      `AWS_ACCESS_KEY_ID=${bucket.server.accessKeyId}`,
      `AWS_SECRET_ACCESS_KEY=${bucket.server.secretAccessKey}`,
      "AWS_REGION=us-east-1",
      `AWS_ENDPOINT_URL_S3=${bucket.server.endpoint}`,
      `S3_BACKUP_BUCKET=${bucket.name}`,
      "S3_BACKUP_PREFIX=production/backups/",
      "",
    ].join("\n"),
    "data/custom-query.sql": "SELECT count(*) AS projects FROM projects;\n",
    "scripts/my-custom-script.sh": [
      "#!/usr/bin/env bash",
      "set -euo pipefail",
      "",
      "# Your custom operations",
      'psql "${DATABASE_URL}" -c "SELECT COUNT(*) FROM projects;"',
      "",
    ].join("\n"),
  });
  await Deno.chmod(join(directory.path, ".env"), 0o600);
  await Deno.mkdir(join(directory.path, "backups"));
  await copy(join(PROJECT, "migrations"), join(directory.path, "migrations"));
  await copy(join(PROJECT, "seeds"), join(directory.path, "seeds"));
  const database = openDatabase(server, name);
  const options = (given: RunOptions = {}): RunOptions => ({ kind, cwd: directory.path, ...given });
  const cli = (args: readonly string[], given?: RunOptions) => runProgram(args, options(given));
  return {
    directory: directory.path,
    name,
    database,
    bucket,
    cli,
    async works(args, given) {
      const result = await cli(args, given);
      assert.equal(result.code, 0, `${args.join(" ")}\n${result.stdout}${result.stderr}`);
      return result;
    },
    start: (args, given) => startProgram(args, options(given)),
    async value(sql) {
      const [row = {}] = await database.query(sql);
      return Object.values(row)[0];
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([
        database.drop(),
        directory[Symbol.asyncDispose](),
        bucket[Symbol.asyncDispose](),
      ]);
    },
  };
}

async function copy(from: string, to: string): Promise<void> {
  await Deno.mkdir(to);
  for await (const entry of Deno.readDir(from)) {
    const paths = [join(from, entry.name), join(to, entry.name)] as const;
    await (entry.isDirectory ? copy(...paths) : Deno.copyFile(...paths));
  }
}
