import assert from "assert";
import { join } from "node:path";
import { startServer } from "../../tasks/server.ts";
import { clientTools, clientToolsMissing, openDatabase } from "../database.ts";
import {
  forEachKind as forEachProgram,
  type Kind,
  programOf,
  runProgram,
  startProgram,
  terminalMissing,
} from "../program.ts";
import { skipWhenMissing } from "../skip.ts";
import { directoryWith, type Project, project, until } from "./project.ts";
import { isRunning, psqlProcesses } from "./psql_processes.ts";

const missing = await clientToolsMissing();
const noTerminal = skipWhenMissing("sql on a terminal", missing ?? await terminalMissing());

/** These commands run psql: without it there is nothing to test. */
function forEachKind(name: string, test: (kind: Kind) => Promise<void>): void {
  forEachProgram(name, test, { missing });
}

async function names(given: Project, table: string): Promise<string[]> {
  const rows = await given.database.query<{ name: string }>(
    `SELECT name FROM ${table} ORDER BY 1`,
  );
  return rows.map(({ name }) => name);
}

async function exists(given: Project, table: string): Promise<boolean> {
  const [row] = await given.database.query("SELECT to_regclass($1) AS found", [table]);
  return row?.["found"] !== null;
}

/** How many sessions sleep in the database. */
async function sleepers(given: Project): Promise<number> {
  const rows = await given.database.query(
    `SELECT pid FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event = 'PgSleep'`,
  );
  return rows.length;
}

/** A stand-in for a psql of another version: says what is asked of it, then what the test wants. */
function pretendPsql(version: string, script = "exit 99"): string {
  return `#!/bin/sh
if [ "$1" = --version ]; then echo "psql (PostgreSQL) ${version}"; exit 0; fi
${script}
`;
}

async function withPrograms(given: Project, programs: Readonly<Record<string, string>>) {
  const directory = join(given.directory, "programs");
  await Deno.mkdir(directory);
  for (const [name, text] of Object.entries(programs)) {
    await Deno.writeTextFile(join(directory, name), text, { mode: 0o755 });
  }
  return { PG_BIN_DIR: directory };
}

forEachKind("sql: runs a file, what psql prints goes to stdout as it is", async (kind) => {
  await using given = await project(kind, {
    "app/data/custom-query.sql":
      "CREATE TABLE made (name text);\nINSERT INTO made VALUES ('a');\n" +
      "\\echo from psql\nSELECT name FROM made;\n",
  });
  const path = join(given.directory, "app/data/custom-query.sql");
  const { code, stdout, stderr } = await given.run(["sql", path]);
  assert.deepEqual([code, stdout], [
    0,
    "CREATE TABLE\nINSERT 0 1\nfrom psql\n name \n------\n a\n(1 row)\n\n",
  ]);
  assert.match(stderr, /^\[INFO\] Waiting for database to be ready\.\.\.$/m);
  assert(stderr.endsWith(`[SUCCESS] Ran "${path}"\n`), stderr);
  assert.deepEqual(await names(given, "made"), ["a"]);
});

forEachKind("sql: a bare name is looked for in DATA_DIR after the path as given", async (kind) => {
  await using given = await project(kind, {
    "here.sql": "\\echo here",
    "elsewhere/here.sql": "\\echo elsewhere",
    "elsewhere/there.sql": "\\echo there",
    "data/usual.sql": "\\echo usual",
    "elsewhere/below/deep.sql": "\\echo deep",
  });
  const env = { DATA_DIR: "elsewhere/" };
  const both = await given.run(["sql", "here.sql", "there.sql"], { env });
  assert.deepEqual([both.code, both.stdout], [0, "here\nthere\n"]);
  const usual = await given.run(["sql", "usual.sql"]);
  assert.deepEqual([usual.code, usual.stdout], [0, "usual\n"]);
  const missing = await given.run(["sql", "here.sql", "no.sql", "below/deep.sql", "data"], { env });
  assert.deepEqual([missing.code, missing.stdout], [1, ""]);
  assert.match(missing.stderr, /"no\.sql": .*looked for "no\.sql" and "elsewhere\/no\.sql"$/m);
  assert.match(missing.stderr, /"below\/deep\.sql": .*looked for "below\/deep\.sql"$/m);
  assert.match(missing.stderr, /looked for "data", which is a directory and "elsewhere\/data"$/m);
  assert.doesNotMatch(missing.stderr, /Waiting for database/);
});

forEachKind("sql: several files, variables, and psql's commands in them", async (kind) => {
  await using given = await project(kind, {
    "1.sql": "CREATE TABLE things (name text);\n\\copy things FROM 'things.csv'\n",
    "2.sql": "SELECT count(*) AS n FROM things \\gset\n\\echo :n :'day'\n\\i below/3.sql\n",
    "below/3.sql": "INSERT INTO things VALUES (:'day'), (:'word');\n\\ir 4.sql\n",
    "below/4.sql": "\\copy things FROM pstdin\n",
    "things.csv": "one\ntwo\n",
  });
  const { code, stdout, stderr } = await given.run([
    ...["sql", "-v", "day=2024-01-31", "--var=word=a=b 'c'", "1.sql", "2.sql"],
  ], { stdin: "three\nfour\n" });
  assert.equal(code, 0, stderr);
  assert.equal(stdout, "CREATE TABLE\nCOPY 2\n2 '2024-01-31'\nINSERT 0 2\nCOPY 2\n");
  assert.deepEqual(await names(given, "things"), [
    ...["2024-01-31", "a=b 'c'", "four", "one", "three", "two"],
  ]);
});

forEachKind("sql: variables and files are checked before anything is done", async (kind) => {
  await using given = await project(kind, { "a.sql": "CREATE TABLE made ();" });
  const { code, stdout, stderr } = await given.run([
    ...["sql", "-v", "day", "-v", "a b=1", "-v", "ON_ERROR_STOP=0", "-v", "ok=", "a.sql", "-", "-"],
  ]);
  assert.deepEqual([code, stdout], [2, ""]);
  assert.match(stderr, /"day" of --var is not of the form name=value/);
  assert.match(stderr, /"a b=1" of --var is not of the form name=value/);
  assert.match(stderr, /ON_ERROR_STOP cannot be set/);
  assert.match(stderr, /Standard input can be read only once/);
  assert.equal((await given.run(["sql"])).code, 2);
  assert.equal(await exists(given, "made"), false);
});

forEachKind("sql -: runs what standard input gives, also among files", async (kind) => {
  await using given = await project(kind, { "first.sql": "\\echo first" });
  const { code, stdout } = await given.run(["sql", "first.sql", "-"], {
    stdin: "\\echo second\nCOPY (SELECT 'third') TO STDOUT;\n",
  });
  assert.deepEqual([code, stdout], [0, "first\nsecond\nthird\n"]);
  const failed = await given.run(["sql", "-"], { stdin: "SELECT 1;\n\nSELECT nope;\nSELECT 3;\n" });
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /^\[ERROR\] Cannot run standard input: line 3: column "nope"/m);
});

forEachKind("sql: reads the pipes of a shell", async (kind) => {
  await using given = await project(kind, {});
  const { command, env } = await programOf(kind);
  const line = '"$@" sql --quiet <(echo "\\echo first") <(echo "\\echo second") /dev/stdin';
  const shell = new Deno.Command("bash", {
    args: ["-c", line, "bash", ...command],
    cwd: given.directory,
    env: { ...env, DATABASE_URL: given.database.url },
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const writer = shell.stdin.getWriter();
  await writer.write(new TextEncoder().encode("\\echo third\n"));
  await writer.close();
  const { code, stdout } = await shell.output();
  assert.deepEqual([code, new TextDecoder().decode(stdout)], [0, "first\nsecond\nthird\n"]);
});

const FAILING = "CREATE TABLE kept (name text);\nINSERT INTO kept VALUES ('before');\n" +
  "DO $$ BEGIN RAISE NOTICE 'half-way'; RAISE WARNING 'soon'; END $$;\n" +
  "INSERT INTO kept\nVALUES (nope);\nINSERT INTO kept VALUES ('after');\n";

forEachKind(
  "sql: stops at the first error and tells its place; what was done stays",
  async (kind) => {
    await using given = await project(kind, { "outer.sql": "\\i inner.sql", "inner.sql": FAILING });
    const { code, stdout, stderr } = await given.run(["sql", "outer.sql"]);
    assert.deepEqual([code, stdout], [1, "CREATE TABLE\nINSERT 0 1\nDO\n"]);
    assert.match(stderr, /^\[INFO\] psql:inner\.sql:3: NOTICE: {2}half-way$/m);
    assert.match(stderr, /^\[WARNING\] psql:inner\.sql:3: WARNING: {2}soon$/m);
    assert(
      stderr.endsWith(
        '[ERROR] Cannot run "inner.sql": line 5: column "nope" does not exist\n' +
          "LINE 2: VALUES (nope);\n                ^\n" +
          'HINT:  Perhaps you meant to reference the column "kept.name".\n' +
          "Hint: The statements before it stay done; with --single-transaction nothing would\n",
      ),
      stderr,
    );
    assert.deepEqual(await names(given, "kept"), ["before"]);
    const quiet = await given.run(["sql", "--quiet", "-"], { stdin: "\\warn raw\nSELECT nope;" });
    assert.match(quiet.stderr, /^\[WARNING\] raw\n\[ERROR\] Cannot run standard input: line 2/);
  },
);

forEachKind(
  "sql --single-transaction: keeps nothing after an error, psql's own included",
  async (kind) => {
    await using given = await project(kind, {
      "good.sql": "CREATE TABLE good (name text);",
      "failing.sql": FAILING,
      "copy.sql": "CREATE TABLE copied (name text);\n\\copy copied FROM 'nothing.csv'\n",
    });
    for (
      const [file, flag] of [["failing.sql", "-1"], ["copy.sql", "--single-transaction"]] as const
    ) {
      const { code, stderr } = await given.run(["sql", flag, "good.sql", file]);
      assert.equal(code, 1);
      assert.match(stderr, new RegExp(`^\\[ERROR\\] Cannot run "${file}": line`, "m"));
      assert.match(stderr, /^Hint: Nothing was kept/m);
    }
    assert.deepEqual(
      await Promise.all(["good", "kept", "copied"].map((table) => exists(given, table))),
      [false, false, false],
    );
    assert.equal((await given.run(["sql", "-1", "good.sql"])).code, 0);
    assert.equal(await exists(given, "good"), true);
  },
);

forEachKind("sql: errors that a file goes on after are warnings", async (kind) => {
  await using given = await project(kind, {
    "on.sql": "\\set ON_ERROR_STOP off\nSELECT one;\nSELECT two;\n\\echo end\n",
  });
  const { code, stdout, stderr } = await given.run(["sql", "on.sql"]);
  assert.deepEqual([code, stdout], [0, "end\n"]);
  assert.match(stderr, /^\[WARNING\] psql:on\.sql:2: ERROR: {2}column "one"/m);
  assert.match(stderr, /^\[WARNING\] psql:on\.sql:3: ERROR: {2}column "two"/m);
});

forEachKind("sql --json: exactly one object, with psql's output", async (kind) => {
  await using given = await project(kind, {
    "good.sql": "\\a\n\\t\nSELECT 'é', 1;\n",
    "large.sql": "\\a\n\\t\nSELECT repeat('0123456789', 10) FROM generate_series(1, 20000);\n",
    "failing.sql": FAILING,
  });
  const good = await given.run(["sql", "--json", "-1", "good.sql"]);
  assert.equal(good.code, 0);
  assert.match(good.stdout, /^\{[^\n]*\}\n$/);
  const { ok, command, data: { psql, ...data } } = JSON.parse(good.stdout);
  assert.deepEqual([ok, command], [true, "sql"]);
  assert.match(psql, /^\d+/);
  assert.deepEqual(data, {
    files: ["good.sql"],
    single_transaction: true,
    read_only: false,
    output: "Output format is unaligned.\nTuples only is on.\né|1\n",
    truncated: false,
  });
  const large = JSON.parse((await given.run(["sql", "--json", "large.sql"])).stdout);
  assert.deepEqual([large.ok, large.data.truncated, large.data.output.length], [
    true,
    true,
    1024 * 1024,
  ]);
  const failing = await given.run(["sql", "--json", "failing.sql"]);
  assert.equal(failing.code, 1);
  assert.match(failing.stdout, /^\{[^\n]*\}\n$/);
  const { error } = JSON.parse(failing.stdout);
  assert.deepEqual([error.kind, error.code, error.exit, error.details], [
    "failed",
    "psql_failed",
    1,
    {
      psql_exit: 3,
      file: "failing.sql",
      line: 5,
      single_transaction: false,
      output: "CREATE TABLE\nINSERT 0 1\nDO\n",
      truncated: false,
    },
  ]);
});

forEachKind("sql: a lost connection is 5, with psql's own code in the JSON", async (kind) => {
  await using given = await project(kind, {
    "lost.sql": "SELECT pg_terminate_backend(pg_backend_pid());",
  });
  const { code, stdout, stderr } = await given.run(["sql", "--json", "lost.sql"]);
  assert.equal(code, 5);
  assert.match(stderr, /Cannot run "lost\.sql": line 1: terminating connection due to admin/);
  assert.match(stderr, /^Hint: Whether the last statement or COMMIT was done is not known/m);
  const { error } = JSON.parse(stdout);
  assert.deepEqual([error.code, error.details.psql_exit], ["connection_lost", 2]);
});

forEachKind(
  "sql: no server, and no such database, are told before psql is started",
  async (kind) => {
    await using given = await project(kind, { "a.sql": "SELECT 1;" });
    const ran = join(given.directory, "ran");
    const env = await withPrograms(given, { psql: pretendPsql("17.9", `touch '${ran}'`) });
    const gone = { ...env, DATABASE_URL: "postgres://127.0.0.1:1/x" };
    assert.equal((await given.run(["sql", "--wait", "0", "a.sql"], { env: gone })).code, 5);
    const missing = await given.run(["sql", "--dbname", "nobody_made_this", "a.sql"], {
      env: {
        ...env,
        DATABASE_URL: "",
        DB_HOST: given.database.host,
        DB_PORT: `${given.database.port}`,
      },
    });
    assert.equal(missing.code, 5, missing.stderr);
    assert.match(missing.stderr, /nobody_made_this/);
    await assert.rejects(Deno.stat(ran), Deno.errors.NotFound);
  },
);

forEachKind("sql --read-only: nothing is written by accident", async (kind) => {
  await using given = await project(kind, {
    "read.sql":
      "\\a\n\\t\nSHOW transaction_read_only;\nSET default_transaction_read_only = on;\nSHOW work_mem;\n",
    "write.sql": "CREATE TABLE made ();",
    "again.sql": "\\c\nCREATE TABLE made ();",
    "around.sql": `${"-- filler\n".repeat(30_000)}SET default_transaction_read_only = off;\n` +
      "CREATE TABLE made ();",
    "begin.sql": "begin read\n  write; CREATE TABLE made (); commit;",
  });
  const env = { PGOPTIONS: "-c work_mem=3MB" };
  const read = await given.run(["sql", "--read-only", "read.sql"], { env });
  assert.match(read.stdout, /^on\nSET\n3MB$/m);
  for (const file of ["write.sql", "again.sql"]) {
    const { code, stderr } = await given.run(["sql", "--read-only", file]);
    assert.equal(code, 1);
    assert.match(stderr, /cannot execute CREATE TABLE in a read-only transaction/);
  }
  for (const file of ["around.sql", "begin.sql"]) {
    const { code, stderr } = await given.run(["sql", "--read-only", file]);
    assert.equal(code, 4, stderr);
    assert.match(
      stderr,
      /with --read-only: it holds (default_transaction_read_only =|read write)$/m,
    );
    assert.doesNotMatch(stderr, /Waiting for database/);
  }
  assert.equal(await exists(given, "made"), false);
});

const DUMP = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abcDEF123\n\n" +
  "CREATE TABLE dumped ();\n\n\\unrestrict abcDEF123\n";

forEachKind("sql: a dump with \\restrict is refused where psql does not know it", async (kind) => {
  await using given = await project(kind, { "dump.sql": DUMP, "other.sql": "SELECT 1;" });
  const ran = join(given.directory, "ran");
  const env = await withPrograms(given, { psql: pretendPsql("15.13", `touch '${ran}'; exit 0`) });
  const { code, stdout, stderr } = await given.run(["sql", "--json", "other.sql", "dump.sql"], {
    env,
  });
  assert.equal(code, 4);
  assert.match(stderr, /"dump\.sql": it is a dump that begins with \\restrict, which psql 15\.13/);
  assert.match(stderr, /postgresql-client-15 to 15\.14 or newer/);
  const { error } = JSON.parse(stdout);
  assert.deepEqual([error.kind, error.code, error.details.found], [
    "refused",
    "psql_outdated",
    "15.13",
  ]);
  await assert.rejects(Deno.stat(ran), Deno.errors.NotFound);
  assert.equal((await given.run(["sql", "other.sql"], { env })).code, 0);
  await Deno.stat(ran);
});

forEachKind("sql -: a dump that an old psql stops at is told likewise", async (kind) => {
  await using given = await project(kind, {});
  const env = await withPrograms(given, {
    psql: pretendPsql(
      "14.1",
      `printf '%s\\n' 'psql:<stdin>:5: error: invalid command \\restrict' >&2; exit 3`,
    ),
  });
  const { code, stderr } = await given.run(["sql", "-"], { env, stdin: DUMP });
  assert.equal(code, 4);
  assert.match(stderr, /Cannot run standard input: it is a dump .* psql 14\.1 does not know/);
});

forEachKind("sql: a plain dump of pg_dump runs; dumps of other forms are refused", async (kind) => {
  const tools = await clientTools();
  assert(tools !== undefined);
  await using given = await project(kind, { "dump.sql.gz": "\x1f\x8b" });
  await given.database.query("CREATE TABLE dumped (name text); INSERT INTO dumped VALUES ('a')");
  for (const [format, file] of [["plain", "dump.sql"], ["custom", "dump.pgc"]] as const) {
    const { success } = await new Deno.Command(tools.pgDump, {
      args: ["--format", format, "--file", join(given.directory, file), given.database.url],
    }).output();
    assert(success);
  }
  await given.database.query("DROP TABLE dumped");
  const plain = await given.run(["sql", "-1", "dump.sql"]);
  assert.equal(plain.code, 0, plain.stderr);
  assert.deepEqual(await names(given, "public.dumped"), ["a"]);
  const custom = await given.run(["sql", "dump.pgc"]);
  assert.equal(custom.code, 4);
  assert.match(custom.stderr, /"dump\.pgc": it is a dump of pg_dump's custom format, not SQL$/m);
  assert.match(custom.stderr, /observatory restore/);
});

forEachKind(
  "sql: without psql, or with one too old for the flag, the package is named",
  async (kind) => {
    await using given = await project(kind, { "a.sql": "CREATE TABLE made ();" });
    const empty = { PG_BIN_DIR: given.directory };
    const missing = await given.run(["sql", "a.sql"], { env: empty });
    assert.equal(missing.code, 1);
    assert.match(
      missing.stderr,
      /Cannot find psql .*\nHint: Install the package postgresql-client/,
    );
    const env = await withPrograms(given, { psql: pretendPsql("14.19") });
    const old = await given.run(["sql", "-1", "a.sql"], { env });
    assert.equal(old.code, 1);
    assert.match(
      old.stderr,
      /psql of version 15 or newer.* is 14\.19\nHint: .*postgresql-client-15/,
    );
  },
);

forEachKind("sql: the password is on no command line", async (kind) => {
  await using server = await startServer({
    hba: ["local all all trust", "host all all 127.0.0.1/32 scram-sha-256"],
  });
  await using directory = await directoryWith({ "slow.sql": "\\echo begun\nSELECT pg_sleep(60);" });
  const local = openDatabase({ ...server, url: socketUrl(server) }, "postgres");
  await local.query("ALTER ROLE postgres PASSWORD 's3cr3t-pw'");
  await local.query("CREATE DATABASE secret");
  const url = `postgres://postgres:s3cr3t-pw@127.0.0.1:${server.port}/secret`;
  const run = await startProgram(["sql", "slow.sql", "--verbose"], {
    kind,
    cwd: directory.path,
    env: { DATABASE_URL: url },
  });
  await run.until(/begun/);
  const found = (await psqlProcesses("secret"))
    .filter(({ words }) => words.includes("--file=slow.sql"));
  assert.equal(found.length, 1);
  assert.doesNotMatch(JSON.stringify(found), /s3cr3t/);
  run.kill("SIGTERM");
  const { code, stdout, stderr } = await run.result();
  assert.equal(code, 143);
  assert.doesNotMatch(stdout + stderr, /s3cr3t/);
});

function socketUrl({ socketDirectory, port }: { socketDirectory: string; port: number }) {
  return (database = "postgres") =>
    `postgres://postgres@/${database}?host=${encodeURIComponent(socketDirectory)}&port=${port}`;
}

for (const [signal, exit] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
  forEachKind(`sql: ${signal} ends psql with the run`, async (kind: Kind) => {
    await using given = await project(kind, {
      "slow.sql": "CREATE TABLE made ();\nSELECT pg_sleep(60);\n",
    });
    const run = await given.start(["sql", "--json", "-1", "slow.sql"]);
    await until("the statement runs", async () => await sleepers(given) > 0);
    const [psql] = await psqlProcesses(given.database.name);
    assert(psql !== undefined);
    run.kill(signal);
    const { code, stdout } = await run.result();
    assert.deepEqual([code, JSON.parse(stdout).error.kind], [exit, "signal"]);
    assert.equal(await isRunning(psql.pid), false);
    // psql has cancelled the statement: the server does not go on with it.
    await until("the statement ends", async () => await sleepers(given) === 0);
    assert.equal(await exists(given, "made"), false);
  });
}

Deno.test({
  name: "sql: Ctrl-C on the terminal cancels the statement in the server",
  ignore: noTerminal,
  async fn() {
    await using given = await project("sources", {
      "slow.sql": "SELECT pg_sleep(60);\nCREATE TABLE made ();\n",
    });
    const run = await given.start(["sql", "slow.sql"], { terminal: true });
    await until("the statement runs", async () => await sleepers(given) > 0);
    await run.write("\x03");
    const { code, stdout } = await run.result();
    assert.equal(code, 130);
    assert.match(stdout, /SIGINT received: cancelling/);
    assert.equal(await sleepers(given), 0);
    assert.equal(await exists(given, "made"), false);
  },
});

forEachKind("sql: its help tells its forms", async (kind) => {
  const { code, stdout } = await runProgram(["sql", "--help"], { kind });
  assert.equal(code, 0);
  for (const word of ["--single-transaction", "-1", "--var", "--read-only", "observatory sql -"]) {
    assert(stdout.includes(word), word);
  }
});
