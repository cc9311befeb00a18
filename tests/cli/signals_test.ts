import assert from "assert";
import { forEachKind, type Kind } from "../program.ts";
import { type Project, project, until } from "./project.ts";

const SLOW = {
  "migrations/1_first.sql": "CREATE TABLE first (n int);",
  "migrations/2_slow.sql": "CREATE TABLE slow (n int); SELECT pg_sleep(60);",
  "migrations/3_third.sql": "CREATE TABLE third (n int);",
};

/** The server's process that sleeps in the project's database; undefined when none does. */
async function sleeper(given: Project): Promise<number | undefined> {
  const [row] = await given.database.query<{ pid: number }>(
    `SELECT pid FROM pg_stat_activity
      WHERE datname = current_database() AND wait_event = 'PgSleep'`,
  );
  return row?.pid;
}

/** Waits until nobody else is in the database, and nobody holds a lock in it. */
async function untilGone(given: Project): Promise<void> {
  await until("all sessions are gone", async () => {
    const rows = await given.database.query(
      `SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
       UNION ALL
       SELECT pid FROM pg_locks
        WHERE locktype = 'advisory'
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    );
    return rows.length === 0;
  });
}

async function startSlow(given: Project, args: readonly string[] = []) {
  const run = await given.start(["migrate", ...args]);
  await until("the slow migration runs", async () => await sleeper(given) !== undefined);
  return run;
}

async function requireOnlyFirst(given: Project): Promise<void> {
  assert.deepEqual(
    await given.database.query("SELECT version::int AS version, success FROM _sqlx_migrations"),
    [{ version: 1, success: true }],
  );
  const tables = await given.database.query<{ name: string }>(
    "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1",
  );
  assert.deepEqual(tables.map(({ name }) => name), ["_sqlx_migrations", "first"]);
}

for (const [signal, exit] of [["SIGINT", 130], ["SIGTERM", 143], ["SIGHUP", 129]] as const) {
  forEachKind(
    `${signal}: cancels the migration in the server, releases the lock, records nothing, exit ${exit}`,
    async (kind) => {
      await using given = await project(kind, SLOW);
      const run = await startSlow(given);
      run.kill(signal);
      const { code, stdout, stderr } = await run.result();
      assert.deepEqual([code, stdout], [exit, ""]);
      assert.match(stderr, new RegExp(`^\\[WARNING\\] ${signal} received: cancelling`, "m"));
      assert.doesNotMatch(stderr, /\[ERROR\]/);
      await untilGone(given);
      await requireOnlyFirst(given);
    },
  );
}

forEachKind("a signal: leaves exactly one object under --json", async (kind) => {
  await using given = await project(kind, SLOW);
  const run = await startSlow(given, ["--json"]);
  run.kill("SIGTERM");
  const { code, stdout } = await run.result();
  assert.match(stdout, /^\{[^\n]*\}\n$/);
  const { ok, error } = JSON.parse(stdout);
  assert.deepEqual([code, ok, error.kind, error.exit], [143, false, "signal", 143]);
  await untilGone(given);
});

forEachKind("a signal: after it, the same migration can be run at once", async (kind) => {
  await using given = await project(kind, SLOW);
  const run = await startSlow(given);
  run.kill("SIGINT");
  await run.result();
  await Deno.writeTextFile(`${given.directory}/migrations/2_slow.sql`, "SELECT 1;");
  assert.equal((await given.run(["migrate", "--lock-wait", "10"])).code, 0);
});

forEachKind("a signal: ends a run that waits for the server or for the lock", async (kind) => {
  await using given = await project(kind, SLOW);
  const waiting = await given.start(["migrate"], {
    env: { DATABASE_URL: "postgres://127.0.0.1:1/x" },
  });
  await waiting.until(/Waiting for database/);
  waiting.kill("SIGINT");
  assert.equal((await waiting.result()).code, 130);
  const first = await startSlow(given);
  const second = await given.start(["migrate", "--lock-wait", "60"]);
  await second.until(/Waiting for the migrations lock, held by process \d+ \("observatory"/);
  second.kill("SIGTERM");
  assert.equal((await second.result()).code, 143);
  assert.notEqual(await sleeper(given), undefined);
  first.kill("SIGINT");
  await first.result();
  await untilGone(given);
});

forEachKind(
  "a second signal: ends the run at once, though the server does not answer",
  async (kind) => {
    for (const args of [[], ["--json"]]) {
      await using given = await project(kind, SLOW);
      const run = await startSlow(given, args);
      const pid = await sleeper(given) ?? 0;
      // A process that is stopped cannot be cancelled.
      Deno.kill(pid, "SIGSTOP");
      try {
        run.kill("SIGINT");
        await run.until(/SIGINT received/);
        const started = Date.now();
        run.kill("SIGTERM");
        const { code, stdout } = await run.result();
        assert.equal(code, 143);
        assert(Date.now() - started < 5000, "it did not wait for the grace");
        if (args.length > 0) assert.equal(JSON.parse(stdout).error.exit, 143);
      } finally {
        Deno.kill(pid, "SIGCONT");
      }
      await given.database.query("SELECT pg_terminate_backend($1)", [pid]);
      await untilGone(given);
    }
  },
);

forEachKind("a killed run: leaves nothing half done behind", async (kind: Kind) => {
  await using given = await project(kind, SLOW);
  const run = await startSlow(given);
  const pid = await sleeper(given);
  run.kill("SIGKILL");
  assert.equal((await run.result()).signal, "SIGKILL");
  await given.database.query("SELECT pg_terminate_backend($1)", [pid]);
  await untilGone(given);
  await requireOnlyFirst(given);
});
