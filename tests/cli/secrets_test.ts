import assert from "assert";
import { uniqueName } from "../database.ts";
import { forEachKind, runProgram } from "../program.ts";
import { directoryWith, project, until } from "./project.ts";

/** Which part of a secret, however it is cut or encoded, must be seen nowhere. */
const TELLTALE = /s3cr3t/i;

forEachKind(
  "a password: is not shown when connecting, reading the URL or the command line fails",
  async (kind) => {
    await using directory = await directoryWith({ "migrations/1_a.sql": "SELECT 1;" });
    const url = "postgres://u:s3cr3t-pw@127.0.0.1:1/x";
    const runs: [string[], string, number][] = [
      [[], url, 5],
      [["--json", "--log-format=json"], `${url}?sslmode=maybe`, 2],
      [["--databse-url", url], url, 2],
    ];
    await Promise.all(runs.map(async ([args, DATABASE_URL, exit]) => {
      const { code, stdout, stderr } = await runProgram(
        ["migrate", "status", "--wait", "0", "--verbose", ...args],
        { kind, cwd: directory.path, env: { DATABASE_URL } },
      );
      assert.equal(code, exit, stdout + stderr);
      assert.doesNotMatch(stdout + stderr, TELLTALE);
    }));
  },
);

forEachKind("config: masks secrets and shows where each comes from", async (kind) => {
  const { code, stdout } = await runProgram(["config"], {
    kind,
    env: {
      DATABASE_URL: "postgres://app:s3cr3t-pw@db1:6000/shop",
      AWS_SECRET_ACCESS_KEY: "s3cr3t-key",
    },
  });
  assert.equal(code, 0);
  assert.doesNotMatch(stdout, TELLTALE);
  assert.match(stdout, /^DATABASE_URL +postgres:\/\/app:\*+@db1:6000\/shop +environment$/m);
  assert.match(stdout, /^AWS_SECRET_ACCESS_KEY +\*+ +environment$/m);
  assert.match(stdout, /^DB_HOST +db1 +DATABASE_URL \(environment\)$/m);
  assert.match(stdout, /^DB_PASSWORD +\*+ +DATABASE_URL \(environment\)$/m);
  assert.match(stdout, /^Target: app@db1:6000\/shop$/m);
});

forEachKind(
  "a secret in a migration's error: is masked where it is the password in use",
  async (kind) => {
    await using given = await project(kind, {
      "migrations/1_role.sql": "SELECT 'it is s3cr3t-pw-9'::int;",
    });
    const { username, hostname, port, pathname } = new URL(given.database.url);
    const url = `postgres://${username}:s3cr3t-pw-9@${hostname}:${port}${pathname}`;
    for (const form of [[], ["--json"], ["--log-format=json"]]) {
      const { code, stdout, stderr } = await given.run(["migrate", ...form], {
        env: { DATABASE_URL: url },
      });
      assert.equal(code, 1);
      assert.match(stdout + stderr, /invalid input syntax for type integer/);
      assert.doesNotMatch(stdout + stderr, TELLTALE);
    }
  },
);

forEachKind(
  "processes: no command line holds the password, while the program runs",
  async (kind) => {
    await using given = await project(kind, { "migrations/1_slow.sql": "SELECT pg_sleep(60);" });
    const application = uniqueName("app");
    const { username, hostname, port, pathname } = new URL(given.database.url);
    const run = await given.start(["migrate"], {
      env: {
        DATABASE_URL:
          `postgres://${username}:s3cr3t-pw-${application}@${hostname}:${port}${pathname}`,
        PGAPPNAME: application,
      },
    });
    await until("the migration runs", async () =>
      (await given.database.query(
        "SELECT 1 FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'PgSleep'",
        [application],
      )).length === 1);
    for (const line of await commandLines()) {
      assert(
        !line.includes(`s3cr3t-pw-${application}`),
        line,
      );
    }
    run.kill("SIGTERM");
    assert.equal((await run.result()).code, 143);
  },
);

/** The command lines of all processes. */
async function commandLines(): Promise<string[]> {
  const lines: string[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      lines.push(await Deno.readTextFile(`/proc/${name}/cmdline`));
    } catch (error) {
      // The process has ended meanwhile, or is another user's.
      if (
        !(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied)
      ) {
        assert.match(String(error), /No such process/);
      }
    }
  }
  return lines;
}
