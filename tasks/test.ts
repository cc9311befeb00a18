/**
 * Runs the tests: `deno task test [PATH…] [--filter NAME]`, with any further
 * flag of `deno test`. It starts one server of PostgreSQL and one of S3 for all of
 * them, compiles the program once, and tells on the last line how many passed and failed.
 */

import {
  BINARY_MISSING_VARIABLE,
  BINARY_VARIABLE,
  compiledProgram,
} from "../tests/compiled_program.ts";
import { openDatabase, TEST_SERVER_VARIABLE } from "../tests/database.ts";
import { addressText, bucketsIn, TEST_S3_VARIABLE } from "../tests/s3.ts";
import { PROJECT } from "./build.ts";
import { startServer } from "./server.ts";
import type { Server } from "./server.ts";
import { type S3Server, startS3Server } from "./s3_server.ts";

/** How many tests ended in which way. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** What a developer's shell may hold that would lead the tests to another database or bucket. */
const FOREIGN_VARIABLES = /^(PG[A-Z]|DB_|DATABASE_URL$|AWS_|S3_BACKUP_)/;

async function main(args: readonly string[]): Promise<number> {
  // Ctrl-C reaches `deno test` as well; what is left here is to stop the server.
  let interrupted = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => interrupted = true);
  }
  const program = await compiledProgram();
  await using server = await startServer();
  await using s3 = await startS3Server();
  if (s3.kind === "fauxqs") {
    say("The tests of S3 run against fauxqs alone, which checks no signatures: no versitygw here");
  }
  const env = {
    // Most tests wait for a server or a program, so more of them run than there are processors.
    DENO_JOBS: String(2 * navigator.hardwareConcurrency),
    ...ownEnvironment(),
    [TEST_SERVER_VARIABLE]: server.url(),
    [TEST_S3_VARIABLE]: addressText(s3),
    [BINARY_VARIABLE]: program.path ?? "",
    [BINARY_MISSING_VARIABLE]: program.missing ?? "",
  };
  const { output, code } = await runTests(args, env);
  const left = interrupted ? [] : [...await whatIsLeft(server), ...await whatIsKept(s3)];
  if (left.length > 0) say(`The tests have left behind: ${left.join(", ")}`);
  const counts = countsOf(output, code);
  const skippedInCi = Deno.env.get("CI") === "true" && counts.skipped > 0;
  if (skippedInCi) say("In CI no test may be skipped; it is told above which ones are ignored");
  const failed = counts.failed + (left.length > 0 ? 1 : 0) + (skippedInCi ? 1 : 0);
  say(countsLine({ ...counts, failed }));
  return failed === 0 ? 0 : interrupted ? 130 : 1;
}

/** Runs `deno test`, passing its output on as it comes. */
async function runTests(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<{ output: string; code: number }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["test", "--allow-all", "--parallel", ...args],
    cwd: PROJECT,
    clearEnv: true,
    env,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let output = "";
  const decoder = new TextDecoder();
  for await (const bytes of child.stdout) {
    writeAll(bytes);
    output += decoder.decode(bytes, { stream: true });
  }
  return { output, code: (await child.status).code };
}

/** This process's environment without what belongs to another database. */
function ownEnvironment(): Record<string, string> {
  const env = Object.entries(Deno.env.toObject())
    .filter(([name]) => !FOREIGN_VARIABLES.test(name));
  const colored = Deno.stdout.isTerminal() && Deno.env.get("NO_COLOR") === undefined;
  return { ...Object.fromEntries(env), ...(colored ? { FORCE_COLOR: "1" } : {}) };
}

/**
 * Reads the counts from the summary that `deno test` ends with. Tests that a
 * filter leaves out count nowhere. Without a summary, or with one that the exit
 * code contradicts, or when nothing ran, one failure is counted.
 */
export function countsOf(output: string, code: number): Counts {
  // deno-lint-ignore no-control-regex -- the colours of the terminal
  const plain = output.replaceAll(/\x1b\[[0-9;]*m/g, "");
  const summary = plain.match(/^(ok|FAILED) \| \d+ passed.*\)$/gm)?.at(-1) ?? "";
  function count(what: string): number {
    return Number(new RegExp(`\\| (\\d+) ${what}\\b`).exec(summary)?.[1] ?? 0);
  }
  const counts = { passed: count("passed"), failed: count("failed"), skipped: count("ignored") };
  const sound = code === 0
    ? summary.startsWith("ok") && counts.failed === 0 && counts.passed > 0
    : counts.failed > 0;
  return sound ? counts : { ...counts, failed: Math.max(counts.failed, 1) };
}

/** The last line of a run. */
export function countsLine({ passed, failed, skipped }: Counts): string {
  const line = `${passed} passed, ${failed} failed`;
  return skipped === 0 ? line : `${line}, ${skipped} skipped`;
}

/** The databases and roles that the tests have made and not dropped. */
async function whatIsLeft(server: Server): Promise<string[]> {
  const rows = await openDatabase(server, "postgres").query<{ what: string }>(
    `SELECT 'database ' || datname AS what FROM pg_database
       WHERE NOT datistemplate AND datname <> 'postgres'
     UNION ALL
     SELECT 'role ' || rolname FROM pg_roles
       WHERE rolname !~ '^pg_' AND rolname <> 'postgres'
     ORDER BY 1`,
  );
  return rows.map((row) => row.what);
}

/** The buckets that the tests have made and not removed. */
async function whatIsKept(s3: S3Server): Promise<string[]> {
  return (await bucketsIn(s3)).map((name) => `bucket ${name}`);
}

function say(line: string): void {
  writeAll(new TextEncoder().encode(`${line}\n`));
}

function writeAll(bytes: Uint8Array): void {
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray(Deno.stdout.writeSync(rest));
}

if (import.meta.main) {
  try {
    Deno.exit(await main(Deno.args));
  } catch (error) {
    say(`Cannot run the tests: ${error instanceof Error ? error.message : String(error)}`);
    say(countsLine({ passed: 0, failed: 1, skipped: 0 }));
    Deno.exit(1);
  }
}
