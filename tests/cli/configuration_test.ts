import assert from "assert";
import { startServer } from "../../tasks/server.ts";
import { forEachKind, runProgram } from "../program.ts";
import { directoryWith, project } from "./project.ts";

const FILES = { "migrations/1_first.sql": "CREATE TABLE first (n int);" };

/** Settings with their values and origins, as `config --json` tells them. */
async function settings(options: Parameters<typeof runProgram>[1], args: readonly string[] = []) {
  const { code, stdout } = await runProgram(["config", "--json", ...args], options);
  const { data } = JSON.parse(stdout);
  const entries: { name: string; value: string | null; origin: string }[] = data.settings;
  return {
    code,
    of: Object.fromEntries(entries.map(({ name, value, origin }) => [name, [value, origin]])),
  };
}

forEachKind(
  "configuration: in a directory without .env there are the environment and the defaults",
  async (kind) => {
    const { code, of } = await settings({ kind, env: { DB_NAME: "shop" } });
    assert.equal(code, 0);
    assert.deepEqual(of["DB_NAME"], ["shop", "environment"]);
    assert.deepEqual(of["DB_PORT"], ["5432", "default"]);
  },
);

forEachKind(
  "configuration: a .env beside is read, the environment wins, and a flag over both",
  async (kind) => {
    await using directory = await directoryWith({
      ".env": "# ours\nDB_NAME=shop\nDB_HOST=db1\nDB_USER=app\nDB_PASSWORD=pa$word#1\n",
    });
    const options = { kind, cwd: directory.path, env: { DB_HOST: "db2", DB_USER: "env" } };
    const { of } = await settings(options, ["--user", "flag"]);
    assert.deepEqual(of["DB_NAME"], ["shop", ".env:2"]);
    assert.deepEqual(of["DB_HOST"], ["db2", "environment"]);
    assert.deepEqual(of["DB_USER"], ["flag", "--user"]);
  },
);

forEachKind(
  "configuration: --env-file is read instead of .env, and must be there",
  async (kind) => {
    await using directory = await directoryWith({
      ".env": "DB_NAME=shop\nDB_HOST=db1\n",
      "other/prod.env": "DB_NAME=prod\n",
    });
    const options = { kind, cwd: directory.path };
    const { of } = await settings(options, ["--env-file", "other/prod.env"]);
    assert.deepEqual(of["DB_NAME"], ["prod", "other/prod.env:1"]);
    assert.deepEqual(of["DB_HOST"], ["localhost", "default"]);
    const { code, stderr } = await runProgram(["migrate", "--env-file", "missing.env"], options);
    assert.equal(code, 2);
    assert.match(stderr, /missing\.env/);
  },
);

forEachKind(
  "configuration: all that is wrong is told together with exit 2, before anything is done",
  async (kind) => {
    const env = {
      LOG_LEVEL: "loud",
      BACKUP_RETENTION_DAYS: "many",
      DB_PORT: "http",
      PGSSLMODE: "maybe",
    };
    const { code, stdout, stderr } = await runProgram(["migrate", "status"], { kind, env });
    assert.deepEqual([code, stdout], [2, ""]);
    for (const name of ["LOG_LEVEL", "BACKUP_RETENTION_DAYS", "DB_PORT", "PGSSLMODE|sslmode"]) {
      assert.match(stderr, new RegExp(`^\\[ERROR\\].*(${name})`, "m"));
    }
    assert.doesNotMatch(stderr, /Waiting/);
  },
);

forEachKind("configuration: help, version and config work whatever is wrong", async (kind) => {
  const env = { DATABASE_URL: "postgres://h:port/x", LOG_LEVEL: "loud" };
  for (const args of [["help"], ["migrate", "--help"], ["--version"]]) {
    assert.equal((await runProgram(args, { kind, env })).code, 0);
  }
  const { code, stdout } = await runProgram(["config"], { kind, env });
  assert.equal(code, 3);
  assert.match(stdout, /^DB_NAME /m);
});

forEachKind(
  "configuration: a URL that disagrees with variables of a higher source is exit 2 and names both",
  async (kind) => {
    await using directory = await directoryWith({ ".env": "DATABASE_URL=postgres://db1/shop\n" });
    const { code, stderr } = await runProgram(["migrate", "status"], {
      kind,
      cwd: directory.path,
      env: { DB_HOST: "db2" },
    });
    assert.equal(code, 2);
    assert.match(stderr, /DATABASE_URL \(\.env:1\)/);
    assert.match(stderr, /DB_HOST \(environment\)/);
  },
);

forEachKind(
  "connection: DB_*, PG*, a URL, a socket and flags all lead to the database",
  async (kind) => {
    await using given = await project(kind, FILES);
    const { hostname, port, pathname } = new URL(given.database.url);
    const name = pathname.slice(1);
    const [{ directory } = { directory: "" }] = await given.database.query<{ directory: string }>(
      "SELECT split_part(current_setting('unix_socket_directories'), ',', 1) AS directory",
    );
    const ways: [string[], Record<string, string>][] = [
      [[], { DB_HOST: hostname, DB_PORT: port, DB_NAME: name }],
      [[], { PGHOST: hostname, PGPORT: port, PGDATABASE: name }],
      [[], { DB_HOST: directory, DB_PORT: port, DB_NAME: name }],
      [[], {
        DATABASE_URL: `postgres:///${name}?host=${encodeURIComponent(directory)}&port=${port}`,
      }],
      [["--host", hostname, "--port", port, "--dbname", name], {}],
      [["--database-url", given.database.url], {}],
      [[], { DATABASE_URL: `postgresql://127.0.0.1:1,${hostname}:${port}/${name}` }],
    ];
    await Promise.all(ways.map(async ([args, env]) => {
      const { code, stdout, stderr } = await runProgram(
        ["migrate", "status", "--wait", "0", "--json", ...args],
        { kind, cwd: given.directory, env },
      );
      assert.equal(code, 0, `${JSON.stringify([args, env])}: ${stderr}`);
      assert.equal(JSON.parse(stdout).data.database, name);
    }));
  },
);

forEachKind("connection: a server that is started later is waited for", async (kind) => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  await using given = await project(kind, FILES);
  const run = await given.start(["migrate", "--wait", "30", "--verbose"], {
    env: { DATABASE_URL: `postgres://postgres@127.0.0.1:${port}/later` },
  });
  await run.until(/trying again/);
  await using server = await startServer({ port });
  const { code, stderr } = await run.result();
  assert.equal(code, 0, stderr);
  const told = stderr.split("\n").filter((line) =>
    /Waiting for database|Database is ready/.test(line)
  );
  assert.deepEqual(told, [
    "[INFO] Waiting for database to be ready...",
    "[SUCCESS] Database is ready",
  ]);
  assert.equal(server.port, port);
});

forEachKind(
  "connection: nobody there is exit 5, at once with --wait 0 and after the time otherwise",
  async (kind) => {
    await using given = await project(kind, FILES);
    const env = { DATABASE_URL: "postgres://127.0.0.1:1/x" };
    const once = await given.run(["migrate", "--wait", "0"], { env });
    assert.equal(once.code, 5);
    assert.match(
      once.stderr,
      /^\[ERROR\] Cannot connect to 127\.0\.0\.1:1: connection refused$/m,
    );
    assert.match(once.stderr, /^Hint: /m);
    const later = await given.run(["migrate"], { env: { ...env, OBSERVATORY_WAIT: "0.3" } });
    assert.equal(later.code, 5);
    assert.match(later.stderr, /connection refused \(waited 0\.3 s for it\)$/m);
  },
);

forEachKind(
  "connection: a missing database is exit 5 with a hint for status, and made by migrate",
  async (kind) => {
    await using given = await project(kind, FILES);
    await given.database.drop();
    const status = await given.run(["migrate", "status"]);
    assert.equal(status.code, 5, status.stderr);
    assert.match(status.stderr, new RegExp(`\\[ERROR\\] .*${given.database.name}`));
    assert.match(status.stderr, /^Hint: /m);
    const migrate = await given.run(["migrate"]);
    assert.equal(migrate.code, 0, migrate.stderr);
    assert.deepEqual(await given.database.query("SELECT * FROM first"), []);
  },
);

forEachKind("--dry-run: changes nothing in the database, and makes no database", async (kind) => {
  await using given = await project(kind, FILES);
  const dry = await given.run(["migrate", "--dry-run"]);
  assert.equal(dry.code, 0, dry.stderr);
  assert.match(dry.stderr, /^\[INFO\] Dry run: nothing was changed$/m);
  assert.deepEqual(
    await given.database.query(
      "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace",
    ),
    [],
  );
  await given.database.drop();
  const { code, stderr } = await given.run(["migrate", "--dry-run"]);
  assert([0, 5].includes(code), stderr);
  await assert.rejects(given.database.query("SELECT 1"), /does not exist/);
});

forEachKind("status: writes nothing, whatever the session's defaults are", async (kind) => {
  await using given = await project(kind, FILES);
  const logged = await given.run(["migrate", "status"], {
    env: { PGOPTIONS: "-c default_transaction_read_only=off" },
  });
  assert.equal(logged.code, 0, logged.stderr);
  assert.deepEqual(
    await given.database.query("SELECT 1 FROM pg_class WHERE relname = '_sqlx_migrations'"),
    [],
  );
});
