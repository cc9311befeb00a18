import assert from "assert";
import { join } from "node:path";
import { startServer } from "../../tasks/server.ts";
import { clientToolsMissing, openDatabase } from "../database.ts";
import {
  forEachKind as forEachProgram,
  type Kind,
  kinds,
  startProgram,
  terminalMissing,
} from "../program.ts";
import { skipWhenMissing } from "../skip.ts";
import { directoryWith, type FilesByPath, type Project, project, until } from "./project.ts";
import { isRunning, psqlProcesses } from "./psql_processes.ts";

const missing = await clientToolsMissing();
const noTerminal = skipWhenMissing("the shell on a terminal", missing ?? await terminalMissing());

/** These commands run psql: without it there is nothing to test. */
function forEachKind(name: string, test: (kind: Kind) => Promise<void>): void {
  forEachProgram(name, test, { missing });
}

const PROJECTS = "CREATE TABLE projects (id int PRIMARY KEY, name text NOT NULL);" +
  "INSERT INTO projects VALUES (1, 'alpha'), (2, 'beta');";

/** The custom script of the replaced system's manual, as it stands there. */
const MANUAL_SCRIPT = `# my-custom-script.sh
#!/usr/bin/env bash
set -euo pipefail

# Your custom operations
psql "\${DATABASE_URL}" -c "SELECT COUNT(*) FROM projects;"
`;

const COUNTED = " count \n-------\n     2\n(1 row)\n\n";

async function withProjects(kind: Kind, files: FilesByPath = {}): Promise<Project> {
  const given = await project(kind, files);
  await given.database.query(PROJECTS);
  return given;
}

async function executable(given: Project, ...paths: readonly string[]): Promise<void> {
  for (const path of paths) await Deno.chmod(join(given.directory, path), 0o755);
}

/** Opens the shell on a terminal, without a pager, its history in a file of its own. */
async function openShell(given: Project, args: readonly string[] = []) {
  const history = join(given.directory, "history");
  const run = await given.start(["shell", ...args], {
    terminal: true,
    env: { PAGER: "cat", PSQL_HISTORY: history },
  });
  await run.until(/=# $/);
  return { ...run, run, history };
}

/** How many sessions sleep in the database. */
async function sleepers(given: Project): Promise<number> {
  const rows = await given.database.query(
    `SELECT pid FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event = 'PgSleep'`,
  );
  return rows.length;
}

for (const kind of kinds) {
  Deno.test({
    name: `shell: psql on the terminal, with its commands, prompts and history (${kind})`,
    ignore: noTerminal,
    async fn() {
      await using given = await withProjects(kind);
      const { run, history } = await openShell(given);
      assert(run.stdout.includes(`${given.database.name}=# `));
      await run.write("\\dt\n");
      await run.until(/public \| projects \| table \| postgres/);
      await run.write("\\d+ projects\n");
      await run.until(/"projects_pkey" PRIMARY KEY/);
      await run.write("SELECT name FROM projects\n");
      await run.until(/-# $/);
      await run.write("ORDER BY 1;\n");
      await run.until(/alpha\s+beta/);
      await run.write("SELECT nope;\n");
      await run.until(/column "nope" does not exist/);
      await run.write("\\q\n");
      assert.equal((await run.result()).code, 0);
      // The line end within it is kept in a form of its own.
      const kept = await Deno.readTextFile(history);
      assert.match(kept, /SELECT name FROM projects/);
    },
  });

  Deno.test({
    name: `shell: Ctrl-C cancels the statement and leaves the shell open (${kind})`,
    ignore: noTerminal,
    async fn() {
      await using given = await withProjects(kind);
      const { run } = await openShell(given);
      await run.write("SELECT pg_sleep(60);\n");
      await until("the statement runs", async () => await sleepers(given) > 0);
      await run.write("\x03");
      await run.until(/canceling statement due to user request[^]*=# $/);
      await run.write("\x03");
      // The terminal throws away what is typed before it.
      await run.until(/user request[^]*=# [^]*\^C[^]*=# $/);
      await run.write("SELECT 'still ' || 'here';\n");
      await run.until(/still here/);
      await run.write("\\q\n");
      const { code, stdout } = await run.result();
      assert.equal(code, 0);
      assert.doesNotMatch(stdout, /SIGINT received/);
    },
  });

  Deno.test({
    name: `shell: HUP and TERM end psql with the run (${kind})`,
    ignore: noTerminal,
    async fn() {
      for (const signal of ["SIGHUP", "SIGTERM"] as const) {
        await using given = await withProjects(kind);
        const { run } = await openShell(given);
        const [psql] = await psqlProcesses(given.database.name);
        assert(psql !== undefined);
        // The child of `script` is the program itself, psql's parent.
        const status = await Deno.readTextFile(`/proc/${psql.pid}/status`);
        Deno.kill(Number(/^PPid:\s+(\d+)$/m.exec(status)?.[1]), signal);
        const { code, stdout } = await run.result();
        assert.equal(code, signal === "SIGHUP" ? 129 : 143, stdout);
        assert.equal(await isRunning(psql.pid), false);
      }
    },
  });
}

forEachKind("shell: where stdin is no terminal, psql reads it without prompts", async (kind) => {
  await using given = await withProjects(kind);
  const { code, stdout } = await given.run(["shell"], {
    stdin: "\\a\n\\t\nSELECT nope;\nSELECT count(*) FROM projects;\n",
  });
  assert.deepEqual([code, stdout], [0, "Output format is unaligned.\nTuples only is on.\n2\n"]);
});

forEachKind("shell: psql's exit codes are translated", async (kind) => {
  await using given = await withProjects(kind);
  const failed = await given.run(["shell"], { stdin: "\\set ON_ERROR_STOP on\nSELECT nope;\n" });
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /Cannot run the shell: psql ended with its exit code 3$/m);
  const lost = await given.run(["shell"], {
    stdin: "SELECT pg_terminate_backend(pg_backend_pid());\n",
  });
  assert.equal(lost.code, 5);
  assert.match(lost.stderr, /psql lost the connection to the server \(its exit code 2\)$/m);
});

forEachKind("shell: reads psqlrc, shell -c does not", async (kind) => {
  await using given = await withProjects(kind, { "psqlrc": "\\echo from psqlrc\n" });
  const env = { PSQLRC: join(given.directory, "psqlrc") };
  assert.equal(
    (await given.run(["shell"], { env, stdin: "\\echo in\n" })).stdout,
    "from psqlrc\nin\n",
  );
  assert.equal((await given.run(["shell", "-c", "\\echo in"], { env })).stdout, "in\n");
});

forEachKind("shell -c: runs SQL and psql's commands", async (kind) => {
  await using given = await withProjects(kind);
  const count = await given.run(["shell", "-c", "SELECT COUNT(*) FROM projects;"]);
  assert.deepEqual([count.code, count.stdout], [0, COUNTED]);
  for (
    const sql of [
      "/* a comment */ SELECT 4/2 AS two",
      "-- a comment\nSELECT 4/2 AS two",
      "(SELECT 4 / 2 AS two)",
      "SELECT/**/2 AS two",
    ]
  ) {
    const { code, stdout, stderr } = await given.run(["shell", "-c", sql]);
    assert.deepEqual([code, stdout], [0, " two \n-----\n   2\n(1 row)\n\n"], stderr);
  }
  const copied = await given.run(["shell", "--command=\\copy projects FROM pstdin CSV"], {
    stdin: "3,gamma\n",
  });
  assert.deepEqual([copied.code, copied.stdout], [0, "COPY 1\n"]);
});

forEachKind("shell -c: an error is told as ours, with psql's code in the details", async (kind) => {
  await using given = await withProjects(kind);
  const { code, stdout, stderr } = await given.run(["shell", "-c", "SELECT nope"]);
  assert.deepEqual([code, stdout], [1, ""]);
  assert(
    stderr.endsWith(
      '[ERROR] Cannot run the command: column "nope" does not exist\n' +
        "LINE 1: SELECT nope\n               ^\n",
    ),
    stderr,
  );
  const command = await given.run(["shell", "-c", "\\foo"]);
  assert.equal(command.code, 1);
  assert.match(command.stderr, /^\[ERROR\] Cannot run the command: invalid command \\foo$/m);
  const notice = await given.run(["shell", "-c", "DO $$ BEGIN RAISE NOTICE 'so'; END $$"]);
  assert.equal(notice.code, 0);
  assert.match(notice.stderr, /^\[INFO\] NOTICE: {2}so$/m);
});

forEachKind("shell -c PATH: runs the script of the manual, unchanged", async (kind) => {
  await using given = await withProjects(kind, {
    "app/scripts/my-custom-script.sh": MANUAL_SCRIPT,
    "app/scripts/first-line.sh": MANUAL_SCRIPT.replace(/^.*\n/, ""),
  });
  await executable(given, "app/scripts/my-custom-script.sh", "app/scripts/first-line.sh");
  const scripts = join(given.directory, "app/scripts");
  const env = { SCRIPTS_DIR: scripts };
  const paths = [
    `${scripts}/my-custom-script.sh`,
    "app/scripts/my-custom-script.sh",
    "./app/scripts/first-line.sh",
  ];
  for (const path of paths) {
    const { code, stdout, stderr } = await given.run(["shell", "-c", path], { env });
    assert.deepEqual([code, stdout], [0, COUNTED], stderr);
  }
});

const SHOW = `#!/bin/sh
printf '<%s>' "$0" "$@"; echo
echo "$PGHOST $PGPORT $PGDATABASE $PGUSER"
cat
echo on stderr >&2
`;

forEachKind(
  "shell -c PATH: the script has its arguments, the connection and our streams",
  async (kind) => {
    await using given = await withProjects(kind, {
      "scripts/show.sh": SHOW,
      "scripts/with space.sh": SHOW,
    });
    await executable(given, "scripts/show.sh", "scripts/with space.sh");
    const scripts = await Deno.realPath(join(given.directory, "scripts"));
    const { host, port, name } = given.database;
    const { code, stdout, stderr } = await given.run(
      ["shell", "-c", ` scripts/show.sh a 'b c' "d\\"e" '$HOME *' `],
      { stdin: "typed\n" },
    );
    assert.equal(code, 0, stderr);
    assert.equal(
      stdout,
      `<${scripts}/show.sh><a><b c><d"e><$HOME *>\n${host} ${port} ${name} postgres\ntyped\n`,
    );
    assert.match(stderr, /^on stderr$/m);
    const quoted = await given.run(["shell", "-c", `"./scripts/with space.sh" 1`]);
    assert.match(quoted.stdout, /with space\.sh><1>$/m);
  },
);

forEachKind("shell -c PATH: a script that fails is 1, with its own code told", async (kind) => {
  await using given = await withProjects(kind, {
    "scripts/seven.sh": "#!/bin/sh\nexit 7\n",
    "scripts/killed.sh": "#!/bin/sh\nkill -KILL $$\n",
  });
  await executable(given, "scripts/seven.sh", "scripts/killed.sh");
  const seven = await given.run(["shell", "-c", "./scripts/seven.sh"]);
  assert.equal(seven.code, 1);
  assert.match(seven.stderr, /^\[ERROR\] The script ".*\/seven\.sh" ended with exit code 7$/m);
  const killed = await given.run(["shell", "-c", "./scripts/killed.sh"]);
  assert.equal(killed.code, 1);
  assert.match(killed.stderr, /killed\.sh" was ended by SIGKILL$/m);
});

forEachKind("shell -c PATH: only executable files within SCRIPTS_DIR are run", async (kind) => {
  await using given = await withProjects(kind, {
    "scripts/plain.sh": "#!/bin/sh\ntouch ran\n",
    "scripts/below/it.sh": "#!/bin/sh\necho below\n",
    "elsewhere/it.sh": "#!/bin/sh\ntouch ran\n",
    "scripts-too/it.sh": "#!/bin/sh\ntouch ran\n",
  });
  await executable(given, "scripts/below/it.sh", "elsewhere/it.sh", "scripts-too/it.sh");
  await Deno.symlink("../elsewhere/it.sh", join(given.directory, "scripts/link.sh"));
  const cases: [text: string, code: number, told: RegExp][] = [
    ["scripts/plain.sh", 4, /is not executable\nHint: Run: chmod \+x scripts\/plain\.sh$/m],
    ["./elsewhere/it.sh", 4, /does not lie in the .* scripts\nHint: .* which is "\.\/scripts"$/m],
    ["elsewhere/it.sh", 4, /does not lie in the directory of the scripts$/m],
    ["./scripts-too/it.sh", 4, /does not lie in/],
    ["./scripts/link.sh", 4, /does not lie in/],
    ["./scripts/../elsewhere/it.sh", 4, /does not lie in/],
    ["/bin/sh -c 'touch ran'", 4, /does not lie in/],
    ["./scripts/below", 4, /it is not a file$/m],
    ["./scripts/none.sh", 1, /there is no such file\nHint: .*"\.\/scripts"$/m],
    ["./scripts/below/it.sh > ran", 2, /Cannot pass > to the script/],
    ["./scripts/below/it.sh; touch ran", 2, /Cannot pass ; to the script/],
    ["./scripts/below/it.sh 'open", 2, /a quote is left open/],
  ];
  for (const [text, expected, told] of cases) {
    const { code, stdout, stderr } = await given.run(["shell", "-c", text]);
    assert.deepEqual([code, stdout], [expected, ""], `${text}: ${stderr}`);
    assert.match(stderr, told, text);
  }
  await assert.rejects(Deno.stat(join(given.directory, "ran")), Deno.errors.NotFound);
  const { stdout } = await given.run(["shell", "-c", "scripts/below/it.sh"]);
  assert.equal(stdout, "below\n");
});

forEachKind("shell: has no --json, and holds no script to --read-only", async (kind) => {
  await using given = await withProjects(kind, { "scripts/it.sh": "#!/bin/sh\ntouch ran\n" });
  await executable(given, "scripts/it.sh");
  for (const args of [["--json"], ["--json", "-c", "SELECT 1"]]) {
    const { code, stdout } = await given.run(["shell", ...args]);
    assert.equal(code, 2);
    assert.match(stdout, /^\{[^\n]*"The shell has no --json[^\n]*\}\n$/);
  }
  const script = await given.run(["shell", "--read-only", "-c", "./scripts/it.sh"]);
  assert.equal(script.code, 2);
  assert.match(script.stderr, /Cannot hold the script ".*it\.sh" to --read-only$/m);
  await assert.rejects(Deno.stat(join(given.directory, "ran")), Deno.errors.NotFound);
});

forEachKind("shell --read-only: nothing is written by accident", async (kind) => {
  await using given = await withProjects(kind);
  const one = await given.run(["shell", "--read-only", "-c", "DELETE FROM projects"]);
  assert.equal(one.code, 1);
  assert.match(one.stderr, /cannot execute DELETE in a read-only transaction/);
  const typed = await given.run(["shell", "--read-only"], {
    stdin: "\\c\nDELETE FROM projects;\n\\a\n\\t\nSELECT count(*) FROM projects;\n",
  });
  assert.match(typed.stderr, /cannot execute DELETE in a read-only transaction/);
  assert.match(typed.stdout, /^2$/m);
});

forEachKind("shell: no server, or no psql, is told our way", async (kind) => {
  await using given = await withProjects(kind);
  const env = { DATABASE_URL: "postgres://127.0.0.1:1/x" };
  assert.equal((await given.run(["shell", "--wait=0"], { env })).code, 5);
  assert.equal((await given.run(["shell", "--wait=0", "-c", "SELECT 1"], { env })).code, 5);
  const missing = await given.run(["shell"], { env: { PG_BIN_DIR: given.directory } });
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /Cannot find psql .*\nHint: Install the package postgresql-client/);
});

forEachKind(
  "shell: the password is on no command line, not even on a script's psql's",
  async (kind) => {
    await using server = await startServer({
      hba: ["local all all trust", "host all all 127.0.0.1/32 scram-sha-256"],
    });
    const url = (database = "postgres") =>
      `postgres://postgres@/${database}?host=${encodeURIComponent(server.socketDirectory)}` +
      `&port=${server.port}`;
    await openDatabase({ ...server, url }, "postgres").query(
      "ALTER ROLE postgres PASSWORD 's3cr3t-pw'",
    );
    await openDatabase({ ...server, url }, "postgres").query("CREATE DATABASE secret");
    await using directory = await directoryWith({
      "scripts/slow.sh":
        '#!/bin/sh\npsql "$DATABASE_URL" -c "\\echo begun" -c "SELECT pg_sleep(60)"\n',
    });
    await Deno.chmod(join(directory.path, "scripts/slow.sh"), 0o755);
    for (const args of [["-c", "./scripts/slow.sh"], ["-c", "SELECT pg_sleep(60)"], []]) {
      const run = await startProgram(["shell", ...args], {
        kind,
        cwd: directory.path,
        env: { DATABASE_URL: `postgres://postgres:s3cr3t-pw@127.0.0.1:${server.port}/secret` },
      });
      let found = await psqlProcesses("secret");
      await until("psql runs", async () => (found = await psqlProcesses("secret")).length > 0);
      assert.doesNotMatch(JSON.stringify(found), /s3cr3t/);
      run.kill("SIGTERM");
      await run.until(/SIGTERM received/);
      assert.equal((await run.result()).code, 143);
      // What a script has started ends with it.
      for (const { pid } of found) await until("psql ends", async () => !await isRunning(pid));
    }
  },
);
