/** Who changed what, as the database and `--audit-log` keep it, from outside. */
import assert from "assert";
import { hostname, userInfo } from "node:os";
import { join } from "node:path";
import { VERSION } from "../../core/version.ts";
import { openDatabase, sharedServer, type TestDatabase, uniqueName } from "../database.ts";
import { forEachKind, type RunResult } from "../program.ts";
import { problemsOfAuditLine } from "../schemas.ts";
import { directoryWith, type Project, project, until } from "./project.ts";

const FILES = {
  "migrations/1_first.up.sql": "CREATE TABLE first (n int PRIMARY KEY);",
  "migrations/1_first.down.sql": "DROP TABLE first;",
  "seeds/base/1_first.csv": "n\n1\n",
};

/** The audit's rows in the order of their beginnings. */
async function rowsOf(database: Pick<TestDatabase, "query">) {
  const [{ there } = { there: false }] = await database.query<{ there: boolean }>(
    "SELECT to_regclass('observatory.audit') IS NOT NULL AS there",
  );
  if (!there) return [];
  return await database.query<Record<string, unknown>>(
    "SELECT * FROM observatory.audit ORDER BY started_at, parent NULLS FIRST, command",
  );
}

async function toldOf(database: Pick<TestDatabase, "query">): Promise<string[]> {
  return (await rowsOf(database)).map(({ command, result, exit_code, parent }) =>
    [`${command}: ${result} ${exit_code}`, ...(parent === null ? [] : [`by ${parent}`])].join(" ")
  );
}

function okay({ code, stdout, stderr }: RunResult): void {
  assert.equal(code, 0, stderr + stdout);
}

/** The lines of an audit log, each as its schema has it. */
async function linesOf(path: string) {
  const text = await Deno.readTextFile(path);
  assert.match(text, /\n$/);
  return text.trimEnd().split("\n").map((line) => {
    const told = JSON.parse(line);
    assert.deepEqual(problemsOfAuditLine(told), [], line);
    return told;
  });
}

forEachKind("audit: who ran what, where, when and with what result is a row", async (kind) => {
  await using given = await project(kind, FILES);
  const begun = Date.now();
  okay(await given.run(["migrate", "--lock-wait", "7"], { env: { SUDO_USER: "ada" } }));
  const [row, ...more] = await rowsOf(given.database);
  assert.deepEqual(more, []);
  const { id, started_at: at, duration_ms: duration, pid, run_id: runId, ...facts } = row ?? {};
  const url = new URL(given.database.url);
  assert.deepEqual(facts, {
    command: "migrate",
    parent: null,
    arguments: ["--lock-wait=7"],
    effect: "write",
    result: "succeeded",
    exit_code: 0,
    error_code: null,
    os_user: userInfo().username,
    sudo_user: "ada",
    host: hostname(),
    db_host: url.hostname,
    db_port: Number(url.port),
    db_name: given.database.name,
    db_user: "postgres",
    tool_version: VERSION,
  });
  assert.ok(at instanceof Date && at.getTime() >= begun && at.getTime() <= Date.now());
  assert.ok(Number(duration) > 0 && Number(pid) > 1);
  for (const uuid of [id, runId]) assert.match(String(uuid), /^[0-9a-f-]{36}$/);
});

forEachKind("audit: the log, the result and the row have one name of the run", async (kind) => {
  await using given = await project(kind, FILES);
  const told = await given.run(["migrate", "--json", "--log-format", "json"]);
  okay(told);
  const { run_id: id } = JSON.parse(told.stdout);
  const lines = told.stderr.trimEnd().split("\n").map((line) => JSON.parse(line).run_id);
  const [row] = await rowsOf(given.database);
  assert.deepEqual(new Set([...lines, row?.["run_id"]]), new Set([id]));
  const text = await given.run(["migrate", "status", "--verbose"]);
  assert.match(text.stderr, /^\[DEBUG\] Run [0-9a-f-]{36}$/m);
  assert.match(text.stderr, /^\[INFO\] Waiting for database to be ready\.\.\.$/m);
  assert.doesNotMatch((await given.run(["migrate", "status"])).stderr, /[0-9a-f-]{36}/);
});

forEachKind("audit: what changes nothing leaves no row", async (kind) => {
  await using given = await project(kind, FILES);
  for (const args of [["migrate", "--dry-run"], ["migrate", "status"], ["reset", "--dry-run"]]) {
    okay(await given.run(args));
    assert.deepEqual(await rowsOf(given.database), [], args.join(" "));
  }
  okay(await given.run(["migrate"]));
  okay(await given.run(["seed"]));
  const before = ["migrate: succeeded 0", "seed: succeeded 0"];
  assert.deepEqual(await toldOf(given.database), before);
  const idle = [
    ["migrate"],
    ["seed"],
    ["seed", "--rerun", "--dry-run"],
    ["migrate", "repair"],
    ["migrate", "resolve", "1", "--applied"],
    ["migrate", "baseline", "1"],
    ["migrate", "rollback", "--dry-run"],
    ["restore", "--finish", "--dry-run"],
    ["restore", "--finish", "--plan"],
    ["restore", "--finish"],
    ["exec", "--read-only", "SELECT 1"],
    ["script"],
  ];
  await Deno.mkdir(join(given.directory, "scripts"));
  for (const args of idle) okay(await given.run(args));
  assert.deepEqual(await toldOf(given.database), before);
});

forEachKind("audit: what is done by several commands is told of each of them", async (kind) => {
  await using given = await project(kind, FILES);
  okay(await given.run(["migrate"]));
  const reset = await given.run(["reset", "--force", "--backup-first"]);
  okay(reset);
  const rows = await rowsOf(given.database);
  assert.deepEqual(await toldOf(given.database), [
    "reset: succeeded 0",
    "backup: succeeded 0 by reset",
    "migrate: succeeded 0 by reset",
    "seed: succeeded 0 by reset",
  ]);
  assert.equal(new Set(rows.map(({ run_id }) => run_id)).size, 1);
  assert.deepEqual(rows[0]?.["arguments"], ["--backup-first", "--force"]);
  // What destroys tells on stderr, too, for logs of containers.
  assert.match(
    reset.stderr,
    /^\[INFO\] Audit: reset of ".*" on .* as role "postgres" by .*: succeeded \(exit code 0, /m,
  );
});

forEachKind("audit: failures and refusals are told where the table is", async (kind) => {
  await using given = await project(kind, FILES);
  const wrong = await given.run(["exec", "SELECT broken"]);
  assert.equal(wrong.code, 1);
  // An empty database stays one.
  assert.deepEqual(await rowsOf(given.database), []);
  okay(await given.run(["migrate"]));
  const refused = await given.run(["reset"]);
  assert.equal(refused.code, 4, refused.stderr);
  assert.doesNotMatch(refused.stderr, /Audit:/);
  await Deno.writeTextFile(join(given.directory, "migrations/2_wrong.sql"), "SELECT broken;");
  const failed = await given.run(["migrate"]);
  assert.deepEqual([failed.code, failed.stderr.match(/audit/i)], [1, null]);
  assert.deepEqual(await toldOf(given.database), [
    "migrate: succeeded 0",
    "reset: refused 4",
    "migrate: failed 1",
  ]);
  const codes = (await rowsOf(given.database)).map(({ error_code }) => error_code);
  assert.deepEqual(codes.slice(0, 2), [null, "not_confirmed"]);
});

forEachKind(
  "audit: SQL is told without its literals, and no secret is told at all",
  async (kind) => {
    await using given = await project(kind, FILES);
    const role = uniqueName("role");
    const secrets = { SECRET: "hunter2-of-the-role", PING: "https://hc.example/hunter2-ping" };
    const log = join(given.directory, "audit.log");
    try {
      okay(
        await given.run([
          "exec",
          `CREATE ROLE ${role} PASSWORD '${secrets.SECRET}' -- ${secrets.SECRET}`,
          "--audit-log",
          log,
        ]),
      );
      okay(
        await given.run([
          "shell",
          "-c",
          `ALTER ROLE ${role} PASSWORD $$${secrets.SECRET}$$`,
          "--audit-log",
          log,
        ]),
      );
      await Deno.writeTextFile(join(given.directory, "x.sql"), "SELECT 1;");
      okay(
        await given.run(["sql", "x.sql", "-v", `password=${secrets.SECRET}`, "--audit-log", log]),
      );
      await given.run(["backup", "--ping", secrets.PING, "--dry-run", "--audit-log", log]);
      await given.run([
        "backup",
        "--exclude-table",
        "nothing",
        "--ping",
        "http://127.0.0.1:1/hunter2-ping",
        "--audit-log",
        log,
      ]);
      const rows = await rowsOf(given.database);
      assert.deepEqual(rows.map(({ arguments: words }) => words), [
        [`CREATE ROLE ${role} PASSWORD '…'`],
        [`--command=ALTER ROLE ${role} PASSWORD $…$`],
        ["x.sql", "--var=password=********"],
        ["--exclude-table=nothing", "--ping=********"],
      ]);
      assert.doesNotMatch(JSON.stringify(rows) + await Deno.readTextFile(log), /hunter2/);
    } finally {
      await given.database.query(`DROP ROLE IF EXISTS ${role}`);
    }
  },
);

forEachKind(
  "audit: a role that may not keep it is told once, and its work is done",
  async (kind) => {
    await using given = await project(kind, FILES);
    const role = uniqueName("role");
    await given.database.query(
      `CREATE ROLE ${role} LOGIN; GRANT CREATE ON SCHEMA public TO ${role}`,
    );
    const url = new URL(given.database.url);
    url.username = role;
    const env = { DATABASE_URL: url.href };
    const warnings = (stderr: string) => stderr.match(/^\[WARNING\] .*/gm) ?? [];
    try {
      const migrated = await given.run(["migrate"], { env });
      okay(migrated);
      const [warning, ...more] = warnings(migrated.stderr);
      assert.match(
        warning ?? "",
        /Cannot write the audit into observatory\.audit of ".*": the role may not create the schema "observatory" \(GRANT CREATE ON DATABASE\); going on without it$/,
      );
      assert.deepEqual(more, []);
      // What the seeds' own memory has told is not told again.
      const seeded = await given.run(["seed"], { env });
      okay(seeded);
      assert.equal(warnings(seeded.stderr).length, 1, seeded.stderr);
      for (const args of [["backup"], ["exec", "SELECT 1"], ["shell", "-c", "SELECT 1"]]) {
        const quiet = await given.run(args, { env });
        okay(quiet);
        assert.deepEqual(warnings(quiet.stderr), [], args.join(" "));
      }
      const verbose = await given.run(["exec", "SELECT 1", "--verbose"], { env });
      assert.match(verbose.stderr, /^\[DEBUG\] Cannot write the audit into observatory\.audit/m);
      await given.database.query(
        `ALTER TABLE first OWNER TO postgres; GRANT ALL ON first TO ${role}`,
      );
      okay(await given.run(["exec", "SELECT 1"]));
      const ungranted = await given.run(["migrate", "rollback", "--verbose"], { env });
      assert.match(
        ungranted.stderr,
        /GRANT USAGE ON SCHEMA observatory, INSERT ON observatory\.audit/,
      );
      await given.database.query(
        `GRANT USAGE ON SCHEMA observatory TO ${role}; GRANT INSERT ON observatory.audit TO ${role}`,
      );
      const granted = await given.run(["exec", "INSERT INTO first VALUES (3)"], { env });
      okay(granted);
      assert.deepEqual(warnings(granted.stderr), []);
      const last = (await rowsOf(given.database)).at(-1);
      assert.deepEqual([last?.["command"], last?.["db_user"]], ["exec", role]);
      // Who may not read it can back up the rest.
      const backedUp = await given.run(["backup", "--json"], { env });
      okay(backedUp);
      const names = JSON.parse(backedUp.stdout).data.manifest.tables
        .map(({ schema, name }: { schema: string; name: string }) => `${schema}.${name}`);
      assert.ok(names.includes("public.first") && !names.includes("observatory.audit"), `${names}`);
    } finally {
      await given.database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  },
);

forEachKind("audit: AUDIT_TABLE=off keeps no row, and no other value is taken", async (kind) => {
  await using given = await project(kind, FILES);
  okay(await given.run(["migrate"], { env: { AUDIT_TABLE: "off" } }));
  assert.deepEqual(await rowsOf(given.database), []);
  const schemas = await given.database.query(
    "SELECT FROM pg_namespace WHERE nspname = 'observatory'",
  );
  assert.deepEqual(schemas, []);
  const shown = await given.run(["config", "--audit-log", "given.log"]);
  assert.match(shown.stdout, /^AUDIT_LOG +given\.log +--audit-log$/m);
  assert.doesNotMatch((await given.run(["help", "environment"])).stdout, /undefined/);
  const { code, stderr } = await given.run(["migrate"], { env: { AUDIT_TABLE: "maybe" } });
  assert.equal(code, 2);
  assert.match(stderr, /AUDIT_TABLE .*is none of on, off: "maybe"/);
});

forEachKind("--audit-log: a line before and one after, in a file for its owner", async (kind) => {
  await using given = await project(kind, { ...FILES, ".env": "AUDIT_LOG=by-env.log\n" });
  const log = join(given.directory, "audit.log");
  okay(await given.run(["migrate", "--audit-log", "audit.log"]));
  okay(await given.run(["migrate", "--audit-log=audit.log"]));
  assert.equal((await given.run(["reset", "--audit-log", "audit.log"])).code, 4);
  for (
    const args of [["migrate", "status"], ["migrate", "--dry-run"], ["restore", "x", "--plan"]]
  ) {
    await given.run([...args, "--audit-log", "audit.log"]);
  }
  const lines = await linesOf(log);
  assert.deepEqual(
    lines.map(({ event, command, result, changed }) => [event, command, result, changed]),
    [
      ["started", "migrate", undefined, undefined],
      ["ended", "migrate", "succeeded", true],
      ["started", "migrate", undefined, undefined],
      ["ended", "migrate", "succeeded", false],
      ["ended", "reset", "refused", true],
    ],
  );
  assert.equal(lines[0].run_id, lines[1].run_id);
  assert.notEqual(lines[1].run_id, lines[2].run_id);
  assert.equal(((await Deno.stat(log)).mode ?? 0) & 0o777, 0o600);
  const url = new URL(given.database.url);
  assert.deepEqual(
    [lines[0].db_name, lines[0].db_host, lines[0].db_user],
    [given.database.name, url.hostname, "postgres"],
  );
  okay(await given.run(["migrate", "add", "x"]));
  const [, byEnv] = await linesOf(join(given.directory, "by-env.log"));
  assert.deepEqual([byEnv.command, byEnv.arguments, byEnv.db_name], ["migrate add", ["x"], null]);
});

forEachKind("--audit-log: what cannot be told there is not done", async (kind) => {
  await using given = await project(kind, FILES);
  const closed = join(given.directory, "closed");
  await Deno.mkdir(closed);
  const refusals: [string, RegExp][] = [
    ["missing/audit.log", /no such file or directory/],
    ["closed", /it is a directory/],
    ["/dev/full", /no space is left on the disk/],
  ];
  for (const [path, reason] of refusals) {
    const told = await given.run(["migrate", "--audit-log", path, "--json"]);
    assert.equal(told.code, 4, told.stderr);
    const { error } = JSON.parse(told.stdout);
    assert.deepEqual([error.kind, error.code], ["refused", "audit_log_failed"]);
    assert.match(error.message, reason);
    assert.match(error.message, /nothing was changed$/);
  }
  const tables = await given.database.query("SELECT FROM pg_tables WHERE schemaname = 'public'");
  assert.deepEqual(tables, []);
  // Nobody is asked to confirm what is refused anyway.
  const reset = await given.run(["reset", "--force", "--audit-log", "closed"]);
  assert.equal(reset.code, 4);
  assert.doesNotMatch(reset.stderr, /Drop the database/);
  okay(await given.run(["migrate", "status", "--audit-log", "/dev/full"]));
});

const SLOW = { "migrations/1_slow.sql": "SELECT pg_sleep(60);" };

async function startSlow(given: Project) {
  const run = await given.start(["migrate", "--audit-log", "audit.log"]);
  await until("the migration runs", async () => {
    const rows = await given.database.query(
      "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'",
    );
    return rows.length > 0;
  });
  return run;
}

forEachKind("--audit-log: a run that is killed leaves its beginning", async (kind) => {
  await using given = await project(kind, SLOW);
  const run = await startSlow(given);
  run.kill("SIGKILL");
  await run.result();
  const lines = await linesOf(join(given.directory, "audit.log"));
  assert.deepEqual(lines.map(({ event, command }) => [event, command]), [["started", "migrate"]]);
});

forEachKind("audit: a run that a signal ends is told of, and ends soon", async (kind) => {
  await using given = await project(kind, SLOW);
  okay(await given.run(["exec", "SELECT 1"]));
  const run = await startSlow(given);
  const begun = performance.now();
  run.kill("SIGTERM");
  const { code } = await run.result();
  assert.equal(code, 143);
  assert.ok(performance.now() - begun < 5000);
  assert.deepEqual((await toldOf(given.database)).at(-1), "migrate: interrupted 143");
  const lines = await linesOf(join(given.directory, "audit.log"));
  assert.deepEqual(
    lines.map(({ event, exit_code: exit, error_code: error }) => [event, exit, error]),
    [
      ["started", undefined, undefined],
      ["ended", 143, "sigterm"],
    ],
  );
});

forEachKind("audit: two signals end the run at once, and the file tells so", async (kind) => {
  await using given = await project(kind, SLOW);
  const run = await startSlow(given);
  // What the server does not hear of cannot be cancelled, so that the first signal takes its time.
  run.kill("SIGTERM");
  run.kill("SIGINT");
  await run.result();
  const lines = await linesOf(join(given.directory, "audit.log"));
  assert.deepEqual(lines.map(({ event, result }) => [event, result]), [
    ["started", undefined],
    ["ended", "interrupted"],
  ]);
});

Deno.test("audit: a table that is locked holds nobody up for long", async () => {
  await using given = await project("sources", FILES);
  okay(await given.run(["migrate"]));
  const holder = await given.database.connect();
  try {
    await holder.query("BEGIN; LOCK TABLE observatory.audit IN ACCESS EXCLUSIVE MODE");
    const begun = performance.now();
    const failed = await given.run(["exec", "SELECT broken"]);
    assert.equal(failed.code, 1);
    assert.ok(performance.now() - begun < 4000);
    const rolledBack = await given.run(["migrate", "rollback"]);
    okay(rolledBack);
    assert.match(rolledBack.stderr, /^\[WARNING\] Cannot write the audit .*took too long/m);
    assert.ok(performance.now() - begun < 15_000);
  } finally {
    await holder.end();
  }
});

forEachKind("audit: commands of plugins count, and what they run", async (kind) => {
  await using given = await project(kind, {
    ...FILES,
    "plugins/tidy.ts": `import { command, definePlugin } from "observatory";
export default definePlugin({
  name: "tidy",
  api: 1,
  summary: "Tidy up",
  commands: {
    "tidy": command({
      summary: "Tidy up",
      examples: [{ line: "observatory tidy", note: "tidy up" }],
      effect: "write",
      flags: {
        "key": { type: "string", secret: true, help: "A key" },
        "idle": { type: "boolean", help: "Do nothing" },
      },
      async run(ctx, { flags }) {
        if (flags.idle) return { data: null, changed: false };
        await ctx.db.query("SELECT 1");
        await ctx.run("migrate");
        await ctx.run("migrate");
        return { data: null };
      },
    }),
  },
});
`,
  });
  const env = { PLUGINS_DIR: "plugins" };
  okay(await given.run(["tidy", "--idle"], { env }));
  assert.deepEqual(await rowsOf(given.database), []);
  okay(await given.run(["tidy", "--key", "k"], { env }));
  // The second migrate has had nothing to do.
  assert.deepEqual(await toldOf(given.database), [
    "tidy: succeeded 0",
    "migrate: succeeded 0 by tidy",
  ]);
  const [row] = await rowsOf(given.database);
  assert.deepEqual(row?.["arguments"], ["--key=********"]);
});

forEachKind("audit: goes on after a restore in place, and comes with one beside", async (kind) => {
  await using given = await project(kind, FILES);
  okay(await given.run(["migrate"]));
  okay(await given.run(["backup"]));
  okay(await given.run(["exec", "INSERT INTO first VALUES (2)"]));
  okay(await given.run(["restore", "latest", "--clean", "--force"]));
  const before = [
    "migrate: succeeded 0",
    "backup: succeeded 0",
    "exec: succeeded 0",
    "restore: succeeded 0",
  ];
  assert.deepEqual(await toldOf(given.database), before);
  assert.deepEqual(await given.database.query("SELECT n FROM first"), []);
  const copy = openDatabase(await sharedServer(), uniqueName("copy"));
  try {
    okay(await given.run(["restore", "latest", "--into", copy.name, "--force"]));
    // The dump was made before its own row.
    assert.deepEqual(await toldOf(copy), ["migrate: succeeded 0", "restore: succeeded 0"]);
    assert.equal((await rowsOf(copy)).at(-1)?.["db_name"], copy.name);
    assert.deepEqual(await toldOf(given.database), before);
  } finally {
    await copy.drop();
  }
  okay(await given.run(["restore", "latest", "--swap", "--force"]));
  assert.deepEqual(await toldOf(given.database), ["migrate: succeeded 0", "restore: succeeded 0"]);
  okay(await given.run(["restore", "--undo", "--force"]));
  assert.deepEqual(await toldOf(given.database), [...before, "restore: succeeded 0"]);
  okay(await given.run(["restore", "--finish", "--force"]));
});

forEachKind(
  "audit: stands in the way of no restore into a database that is else empty",
  async (kind) => {
    await using given = await project(kind, FILES);
    okay(await given.run(["migrate"]));
    okay(await given.run(["seed"]));
    okay(await given.run(["backup"]));
    okay(await given.run(["exec", "DROP TABLE first, _sqlx_migrations, observatory.seeds"]));
    const restored = await given.run(["restore", "latest"]);
    okay(restored);
    assert.deepEqual(await given.database.query("SELECT n FROM first"), [{ n: 1 }]);
    assert.equal((await toldOf(given.database)).at(-1), "restore: succeeded 0");
  },
);

forEachKind("audit: is no difference between databases", async (kind) => {
  await using given = await project(kind, FILES);
  okay(await given.run(["migrate"]));
  okay(await given.run(["backup", "--fingerprint", "full"]));
  okay(await given.run(["exec", "SELECT 1"]));
  const verified = await given.run(["restore", "latest", "--swap", "--force", "--json"]);
  okay(verified);
  const { data } = JSON.parse(verified.stdout);
  assert.deepEqual([data.compared, data.differences], [true, []]);
  okay(await given.run(["restore", "--finish", "--force"]));
});

forEachKind("--audit-log: several runs at once leave whole lines", async (kind) => {
  await using directory = await directoryWith({});
  const log = join(directory.path, "audit.log");
  // What a full disk has left is no part of the next line.
  await Deno.writeTextFile(log, '{"time":"broken');
  await Deno.chmod(log, 0o640);
  await using given = await project(kind, FILES);
  const names = ["a", "b", "c", "d"];
  await Promise.all(
    names.map(async (name) =>
      okay(await given.run(["migrate", "add", "--simple", name, "--dir", name, "--audit-log", log]))
    ),
  );
  const [broken, ...lines] = (await Deno.readTextFile(log)).split("\n").filter((line) =>
    line !== ""
  );
  assert.equal(broken, '{"time":"broken');
  assert.equal(lines.length, 8);
  for (const line of lines) assert.deepEqual(problemsOfAuditLine(JSON.parse(line)), []);
  assert.equal(((await Deno.stat(log)).mode ?? 0) & 0o777, 0o640);
});
