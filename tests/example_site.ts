/**
 * Where the examples of the commands' help are run: a project as they take it for granted, with a
 * database `llm_observatory` on a server of its own, a bucket, backups here and there, scripts, seeds
 * and plugins. Each example finds it untouched.
 */
import assert from "assert";
import { dirname, join } from "node:path";
import { generateIdentity, identityToRecipient } from "age-encryption";
import { systemHost } from "../core/host.ts";
import { run as runInProcess } from "../core/run.ts";
import { PROJECT } from "../tasks/build.ts";
import { type Server, startServer } from "../tasks/server.ts";
import { openDatabase } from "./database.ts";
import { type Kind, type RunResult, startCommand } from "./program.ts";
import { freshBucket, type TestBucket } from "./s3.ts";
import { installed } from "./shells.ts";

/** The database that the examples name. */
export const DATABASE = "llm_observatory";

/** What it is made from for each example. */
const TEMPLATE = "untouched";

/** Where an example is run. */
export interface ExampleSite extends AsyncDisposable {
  readonly server: Server;
  readonly bucket: TestBucket;
  /** Whom a backup can be encrypted for: the key is in key.txt. */
  readonly recipient: string;
  /** Makes a fresh copy of the project and the database, and works there. */
  withCopy<T>(work: (copy: ExampleCopy) => Promise<T>): Promise<T>;
}

/** A copy of the project. */
export interface ExampleCopy {
  readonly directory: string;
  /** Runs SQL in the database, or in another one. */
  query(sql: string, database?: string): Promise<unknown>;
  /** Runs lines of a shell to their end. */
  run(lines: string, options?: ExampleRun): Promise<RunResult>;
}

/** How lines are run. */
export interface ExampleRun {
  /** By default bash. */
  readonly shell?: "bash" | "zsh" | "fish";
  /** What is typed on a terminal, once something is asked; without it there is none. */
  readonly typed?: string;
  /** What standard input gives. */
  readonly stdin?: string;
}

const FILES: Readonly<Record<string, string>> = {
  "migrations/42_create_notes.up.sql": "CREATE TABLE notes (id bigint PRIMARY KEY);\n",
  "migrations/42_create_notes.down.sql": "DROP TABLE notes;\n",
  "migrations/20240101000000_create_projects.up.sql":
    "CREATE TABLE projects (id bigint PRIMARY KEY, name text NOT NULL);\n",
  "migrations/20240101000000_create_projects.down.sql": "DROP TABLE projects;\n",
  "migrations/20240102000000_create_models.up.sql":
    "CREATE TABLE models (id bigint PRIMARY KEY, name text NOT NULL);\n",
  "migrations/20240102000000_create_models.down.sql": "DROP TABLE models;\n",
  "migrations/20240103000000_create_traces.up.sql":
    "CREATE TABLE traces (id bigint PRIMARY KEY, day date);\nCREATE TABLE logs (line text);\n",
  "migrations/20240103000000_create_traces.down.sql": "DROP TABLE traces, logs;\n",
  "seeds/base/010_models.csv": "id,name\n1,one\n2,two\n",
  "seeds/development/020_projects.csv": "id,name\n1,mine\n",
  "seeds/test/030_projects.csv": "id,name\n2,tried\n",
  "data/custom-query.sql": "SELECT count(*) FROM projects;\n",
  "data/schema.sql": "CREATE TABLE more (id int);\n",
  "data/data.sql": "INSERT INTO more VALUES (1);\n",
  "data/fix.sql": "DELETE FROM traces WHERE day = :'day';\n",
  "must-hold.sql": "SELECT count(*) > 0 AS some_models FROM models;\n",
  "scripts/report.sh": "#!/bin/sh\necho reported\n",
  "scripts/nightly-report.sh": "#!/bin/sh\necho reported\n",
  "scripts/prune.sh": '#!/bin/sh\necho "pruned $*"\n',
};

/** The plugins, by their paths in the project and in the examples. */
const PLUGINS: Readonly<Record<string, string>> = {
  "plugins/vacuum.ts": "vacuum.ts",
  "plugins/archive/mod.ts": "archive-traces.ts",
  "ops/plugins/table-sizes.ts": "table-sizes.ts",
};

/** Makes it. */
export async function exampleSite(kind: Kind): Promise<ExampleSite> {
  const directory = await Deno.makeTempDir({ prefix: "observatory-examples-" });
  const origin = join(directory, "origin");
  const [server, bucket, program] = await Promise.all([
    startServer(),
    freshBucket(),
    installed(kind),
  ]);
  const recipient = await writeProject(origin, { server, bucket });
  const site: ExampleSite = {
    server,
    bucket,
    recipient,
    async withCopy(work) {
      const copy = await Deno.makeTempDir({ dir: directory });
      await copyTree(origin, join(copy, "project"));
      await Deno.mkdir(join(copy, "home"));
      await makeDatabases(server, TEMPLATE);
      return await work({
        directory: join(copy, "project"),
        query: (sql, database = DATABASE) => openDatabase(server, database).query(sql),
        run: (lines, options) =>
          runLines(lines, {
            ...options,
            directory: join(copy, "project"),
            env: {
              PATH: `${program.directory}:${Deno.env.get("PATH") ?? ""}`,
              HOME: join(copy, "home"),
              LANG: "C.UTF-8",
              RECIPIENT: recipient,
            },
          }),
      });
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([server, bucket, program].map((each) => each[Symbol.asyncDispose]()));
      await Deno.remove(directory, { recursive: true });
    },
  };
  await fill(origin, { site, server });
  return site;
}

/** Writes the files, and gives the recipient of the key among them. */
async function writeProject(
  origin: string,
  { server, bucket }: { readonly server: Server; readonly bucket: TestBucket },
): Promise<string> {
  const identity = await generateIdentity();
  const recipient = await identityToRecipient(identity);
  const plugins = await Promise.all(
    Object.entries(PLUGINS).map(async ([path, name]) =>
      [path, await Deno.readTextFile(join(PROJECT, "examples", "plugins", name))] as const
    ),
  );
  const settings = {
    DB_HOST: server.host,
    DB_PORT: String(server.port),
    DB_NAME: DATABASE,
    DB_USER: "postgres",
    PLUGINS_DIR: "plugins",
    ...bucket.env,
  };
  const files = {
    ...FILES,
    ...Object.fromEntries(plugins),
    "key.txt": `${identity}\n`,
    ".env": Object.entries(settings).map(([name, value]) => `${name}=${value}\n`).join(""),
  };
  for (const [path, text] of Object.entries(files)) {
    const file = join(origin, path);
    await Deno.mkdir(dirname(file), { recursive: true, mode: 0o755 });
    const mode = path.startsWith("scripts/") ? 0o755 : path === ".env" ? 0o600 : 0o644;
    await Deno.writeTextFile(file, text);
    await Deno.chmod(file, mode);
  }
  for (const path of ["plugins", "plugins/archive", "ops/plugins"]) {
    await Deno.chmod(join(origin, path), 0o755);
  }
  return recipient;
}

/** Migrates, seeds and backs up: once long ago, and once just now, here and in the bucket. */
async function fill(
  origin: string,
  { site, server }: { readonly site: ExampleSite; readonly server: Server },
): Promise<void> {
  const maintenance = openDatabase(server, "postgres");
  await maintenance.query(`CREATE DATABASE ${TEMPLATE} TEMPLATE template0`);
  await site.withCopy(async ({ directory, run }) => {
    const made = await run("observatory migrate --quiet && observatory seed --quiet --env test");
    assert.equal(made.code, 0, made.stderr);
    const long = await inThePast(directory, Date.parse("2024-01-01T12:00:00Z"));
    assert.equal(long.code, 0, long.stderr);
    const now = await run("observatory backup --quiet --s3-upload");
    assert.equal(now.code, 0, now.stderr);
    await copyTree(join(directory, "backups"), join(origin, "backups"));
    await maintenance.query(`DROP DATABASE ${TEMPLATE}`);
    await maintenance.query(`CREATE DATABASE ${TEMPLATE} TEMPLATE ${DATABASE}`);
  });
}

/** Backs up, in this process, whose clock can be turned back. */
async function inThePast(
  directory: string,
  now: number,
): Promise<{ code: number; stderr: string }> {
  const host = systemHost();
  let stderr = "";
  const silent = { isTerminal: false, columns: () => 80 };
  const code = await runInProcess(["backup", "--quiet", "--no-prune"], {
    ...host,
    env: { PATH: Deno.env.get("PATH") ?? "", BACKUPS_DIR: join(directory, "backups") },
    cwd: directory,
    now: () => now,
    stdout: { ...silent, write: () => {} },
    stderr: { ...silent, write: (text) => void (stderr += text) },
    interactive: false,
    onSignal: () => () => {},
    onUnhandled: () => () => {},
  });
  return { code, stderr };
}

/** Leaves one database of the examples, as the template is. */
async function makeDatabases(server: Server, template: string): Promise<void> {
  const maintenance = openDatabase(server, "postgres");
  const left = await maintenance.query<{ name: string }>(
    `SELECT datname::text AS name FROM pg_database
      WHERE NOT datistemplate AND datname NOT IN ('postgres', '${template}')`,
  );
  for (const { name } of left) {
    await maintenance.query(`DROP DATABASE "${name}" WITH (FORCE)`);
  }
  await maintenance.query(
    `CREATE DATABASE ${DATABASE} TEMPLATE ${template} STRATEGY file_copy`,
  );
}

async function runLines(
  lines: string,
  { shell = "bash", typed, stdin, directory, env }: ExampleRun & {
    readonly directory: string;
    readonly env: Readonly<Record<string, string>>;
  },
): Promise<RunResult> {
  const bare = { bash: ["--noprofile", "--norc"], zsh: ["-f"], fish: ["--no-config"] }[shell];
  const run = await startCommand([shell, ...bare, "-c", lines], {
    cwd: directory,
    env,
    terminal: typed !== undefined,
    ...(stdin === undefined ? {} : { stdin }),
  });
  if (typed !== undefined) {
    await run.until(/go on: $|[#=>] $/);
    await run.write(typed);
  } else if (stdin === undefined) await run.endInput();
  return await run.result();
}

async function copyTree(from: string, to: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("cp", { args: ["-a", from, to] }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}
