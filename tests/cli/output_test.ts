import assert from "assert";
import { forEachKind, type Kind, programOf, runProgram, terminalMissing } from "../program.ts";
import { skipWhenMissing } from "../skip.ts";
import { sqlxLockKey } from "../../plugins/sql/lock_keys.ts";
import { project } from "./project.ts";

const ESCAPE = "\x1b[";
const FILES = {
  "migrations/1_first.sql": "CREATE TABLE first (n int);",
  "migrations/2_second.sql": "CREATE TABLE second (n int);",
};
const noTerminal = skipWhenMissing("output on a terminal", await terminalMissing());

/** Whether a text is exactly one JSON object on one line; gives it. */
function oneObject(text: string) {
  assert.match(text, /^\{[^\n]*\}\n$/);
  return JSON.parse(text);
}

/** Runs the program under a shell, which redirects and closes streams as wanted. */
async function inShell(kind: Kind, script: string, cwd?: string) {
  const { command, env } = await programOf(kind);
  const { code, stdout, stderr } = await new Deno.Command("/bin/bash", {
    args: ["-c", script, "bash", ...command],
    ...(cwd === undefined ? {} : { cwd }),
    env: { ...env, DB_HOST: "127.0.0.1", DB_PORT: "1" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

forEachKind(
  "--json: is exactly one object on stdout for a success, problems and help",
  async (kind) => {
    await using given = await project(kind, FILES);
    const applied = await given.run(["migrate", "--json"]);
    assert.equal(applied.code, 0);
    const migrate = oneObject(applied.stdout);
    assert.deepEqual([migrate.ok, migrate.command], [true, "migrate"]);
    await Deno.writeTextFile(`${given.directory}/migrations/3_third.sql`, "SELECT 1;");
    const pending = await given.run(["migrate", "status", "--exit-code", "--json"]);
    assert.equal(pending.code, 3);
    const status = oneObject(pending.stdout);
    assert.deepEqual([status.ok, status.command, status.data.pending], [true, "migrate status", 1]);
    assert(status.problems.length > 0);
    for (const args of [["help"], ["migrate", "--help"], ["--version"], ["config"]]) {
      const { code, stdout } = await given.run([...args, "--json"]);
      assert.deepEqual([code, oneObject(stdout).ok], [0, true], args.join(" "));
    }
  },
);

forEachKind("--json: is exactly one object on stdout for each kind of failure", async (kind) => {
  await using given = await project(kind, { "migrations/1_wrong.sql": "SELECT broken;" });
  const { database } = given;
  const failures: [string[], Readonly<Record<string, string>>, number, string][] = [
    [["migrate"], {}, 1, "failed"],
    [["migrate", "--nothing"], {}, 2, "usage"],
    [["nothing"], {}, 2, "usage"],
    [["--nothing"], {}, 2, "usage"],
    [["help", "nothing"], {}, 2, "usage"],
    [["migrate"], { DATABASE_URL: "postgres://u:p@h:port/x" }, 2, "usage"],
    [["migrate", "status"], { DATABASE_URL: "postgres://127.0.0.1:1/x" }, 5, "connection"],
    [["migrate", "status"], { DATABASE_URL: `${database.url}_missing` }, 5, "connection"],
  ];
  await Promise.all(failures.map(async ([args, env, exit, errorKind]) => {
    const { code, stdout } = await given.run([...args, "--json"], {
      env: { ...env, OBSERVATORY_WAIT: "0" },
    });
    const { ok, error } = oneObject(stdout);
    assert.deepEqual([code, ok, error.kind, error.exit], [exit, false, errorKind, exit]);
    assert.equal(typeof error.message, "string");
  }));
});

forEachKind("--json: a lock held by another is one object of kind locked, exit 6", async (kind) => {
  await using given = await project(kind, FILES);
  const holder = await given.database.connect();
  try {
    await holder.query("SELECT pg_advisory_lock($1::bigint)", [
      String(sqlxLockKey(given.database.name)),
    ]);
    const locked = await given.run(["migrate", "--json", "--lock-wait", "0"]);
    const { error } = oneObject(locked.stdout);
    assert.deepEqual([locked.code, error.kind, error.exit], [6, "locked", 6]);
    const { rows } = await holder.query("SELECT pg_backend_pid() AS pid");
    assert.equal(error.details.pid, rows[0].pid);
    assert.match(error.message, /observatory-tests/);
  } finally {
    await holder.end();
  }
});

forEachKind(
  "streams: the result is on stdout, the rest on stderr with the manual's tags",
  async (kind) => {
    await using given = await project(kind, FILES);
    const applied = await given.run(["migrate"]);
    assert.equal(applied.code, 0);
    assert.deepEqual(
      applied.stderr.trimEnd().split("\n").filter((line) => !line.includes("Appl")),
      [
        "[INFO] Waiting for database to be ready...",
        "[SUCCESS] Database is ready",
        "[INFO] Running database migrations...",
        "[SUCCESS] Migrations completed successfully",
      ],
    );
    const status = await given.run(["migrate-status"]);
    assert.match(status.stdout, /first/);
    assert.doesNotMatch(status.stdout, /\[INFO\]/);
  },
);

forEachKind("--quiet: a success is silent on stderr, a failure is not", async (kind) => {
  await using given = await project(kind, FILES);
  for (const flag of ["--quiet", "-q"]) {
    const { code, stderr } = await given.run(["migrate", flag]);
    assert.deepEqual([code, stderr], [0, ""]);
  }
  await Deno.writeTextFile(`${given.directory}/migrations/3_wrong.sql`, "SELECT broken;");
  const { code, stderr } = await given.run(["migrate", "--quiet"]);
  assert.equal(code, 1);
  assert.match(stderr, /^\[ERROR\] /);
});

forEachKind(
  "--log-format json: every line on stderr is an object, of a success and of failures",
  async (kind) => {
    await using given = await project(kind, FILES);
    const runs = [
      await given.run(["migrate", "--log-format", "json", "--verbose"]),
      await given.run(["migrate"], { env: { LOG_FORMAT: "json" } }),
      await given.run(["nothing", "--log-format=json"]),
      await given.run(["migrate", "--log-format=json", "--nothing", "x"]),
    ];
    await Deno.writeTextFile(`${given.directory}/migrations/3_wrong.sql`, "SELECT\n  broken;");
    runs.push(await given.run(["migrate", "--log-format=json"]));
    assert.deepEqual(runs.map(({ code }) => code), [0, 0, 2, 2, 1]);
    for (const { stderr } of runs) {
      assert.notEqual(stderr, "");
      for (const line of stderr.trimEnd().split("\n")) {
        const { time, level, message, run_id } = JSON.parse(line);
        assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
        assert(["debug", "info", "warn", "error"].includes(level));
        assert.deepEqual([typeof message, typeof run_id], ["string", "string"]);
      }
    }
  },
);

forEachKind("colours: none where there is no terminal, unless they are asked for", async (kind) => {
  const stderrOf = async (args: string[], env: Record<string, string> = {}) =>
    (await runProgram(["nothing", ...args], { kind, env })).stderr;
  assert(!(await stderrOf([])).includes(ESCAPE));
  assert((await stderrOf(["--color", "always"])).includes(ESCAPE));
  assert((await stderrOf([], { FORCE_COLOR: "1" })).includes(ESCAPE));
  assert(!(await stderrOf([], { FORCE_COLOR: "1", NO_COLOR: "1" })).includes(ESCAPE));
  assert(!(await stderrOf(["--color=never"], { FORCE_COLOR: "1" })).includes(ESCAPE));
});

Deno.test({
  name: "colours: on a terminal they are shown, unless NO_COLOR or --color says otherwise",
  ignore: noTerminal,
  async fn() {
    const outputOf = async (args: string[], env: Record<string, string> = {}) =>
      (await runProgram(["nothing", ...args], { terminal: true, env })).stdout;
    assert((await outputOf([])).includes(`${ESCAPE}31m[ERROR]`));
    assert(!(await outputOf([], { NO_COLOR: "1" })).includes(ESCAPE));
    assert(!(await outputOf([], { TERM: "dumb" })).includes(ESCAPE));
    assert(!(await outputOf(["--color", "never"])).includes(ESCAPE));
  },
});

Deno.test({
  name: "progress: is shown on a terminal only, and cleared at the end",
  ignore: noTerminal,
  async fn() {
    await using given = await project("sources", {
      "migrations/1_first.sql": "SELECT pg_sleep(0.15);",
      "migrations/2_second.sql": "SELECT pg_sleep(0.15);",
      "migrations/3_third.sql": "SELECT 1;",
    });
    const terminal = await given.run(["migrate"], { terminal: true });
    assert.equal(terminal.code, 0);
    assert(terminal.stdout.includes("\r\x1b[K"), terminal.stdout);
    const last = terminal.stdout.lastIndexOf("\x1b[K");
    const drawn = terminal.stdout.slice(0, last).lastIndexOf("\x1b[K");
    assert(last > drawn && /^[^\n]*$/.test(terminal.stdout.slice(drawn, last)));
    await Deno.writeTextFile(
      `${given.directory}/migrations/4_fourth.sql`,
      "SELECT pg_sleep(0.15);",
    );
    const piped = await given.run(["migrate"]);
    assert(!(piped.stdout + piped.stderr).includes("\x1b"));
    assert(!(piped.stdout + piped.stderr).includes("\r"));
  },
});

forEachKind("a reader that goes away: ends the program quietly", async (kind) => {
  const { code, stdout, stderr } = await inShell(
    kind,
    `"$@" config | head -1; "$@" help | head -1; echo "\${PIPESTATUS[0]}"`,
  );
  assert.deepEqual([code, stderr], [0, ""]);
  const lines = stdout.trimEnd().split("\n");
  assert.match(lines[0] ?? "", /^DATABASE_URL/);
  assert.match(lines[1] ?? "", /^Runs a Postgres/);
  // Either all was written before the reader left, or the run ends as by SIGPIPE.
  assert(["0", "141"].includes(lines[2] ?? ""), stdout);
  const gone = await inShell(kind, `"$@" help | true; echo "\${PIPESTATUS[0]}"`);
  assert.equal(gone.stderr, "");
  const closed = await inShell(
    kind,
    `set -o pipefail; { sleep 0.5; "$@" config; } | true; echo $?`,
  );
  assert.deepEqual([closed.stdout, closed.stderr], ["141\n", ""]);
});

forEachKind("a stdout that is full: is exit 1 with one line, as text and as JSON", async (kind) => {
  for (const args of ["config", "config --json", "help", "--version"]) {
    const { code, stdout, stderr } = await inShell(kind, `"$@" ${args} >/dev/full`);
    assert.deepEqual([code, stdout], [1, ""], args);
    assert.match(stderr, /^\[ERROR\] Cannot write to stdout: .*No space left on device.*\n$/, args);
  }
});

forEachKind(
  "a stderr that is full or closed: does not keep a command from its work",
  async (kind) => {
    for (const stderr of ["2>/dev/full", "2>&-"]) {
      const { code, stdout } = await inShell(kind, `"$@" config --verbose ${stderr}`);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /Target: /);
      assert.equal((await inShell(kind, `"$@" nothing ${stderr}`)).code, 2);
    }
  },
);

forEachKind("a stdin that is closed: disturbs nobody", async (kind) => {
  const { code, stdout, stderr } = await inShell(kind, `"$@" config <&-`);
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /Target: /);
  assert.equal((await inShell(kind, `"$@" config >&-`)).code, 0);
});
