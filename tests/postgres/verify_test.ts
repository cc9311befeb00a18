/** `verify` against real servers. */
import assert from "assert";
// @ts-types="@types/pg"
import pg from "pg";
import { join } from "node:path";
import { CHECK_NAMES, type CheckName } from "../../plugins/verify/names.ts";
import type { Host } from "../../core/host.ts";
import { startServer } from "../../tasks/server.ts";
import { forEachServerVersion, freshDatabase, serverVersions, uniqueName } from "../database.ts";
import {
  type MigrationProject,
  migrationProject,
  type ProjectRunOptions,
  until,
} from "../migration_project.ts";
import { skipWhenMissing } from "../skip.ts";
import { startTimescale } from "../timescale.ts";
import { makeAuthority, skipWithoutOpenssl } from "./tls_certificates.ts";

interface Found {
  readonly name: CheckName;
  readonly status: string;
  readonly message: string;
  readonly remedy?: string;
  // deno-lint-ignore no-explicit-any -- each check has facts of its own
  readonly details: any;
}

/** Runs `verify --json` and gives the checks by name, with the exit code. */
async function verify(
  project: MigrationProject,
  names: readonly CheckName[],
  { args = [], ...options }: ProjectRunOptions & { readonly args?: readonly string[] } = {},
) {
  const only = names.flatMap((name) => ["--only", name]);
  const { exit, stdout, stderr } = await project.run(
    ["verify", "--json", ...only, ...args],
    options,
  );
  const { data, error, problems = [] } = JSON.parse(stdout);
  const checks: readonly Found[] = data?.checks ?? [];
  function of(name: CheckName): Found {
    const found = checks.find((check) => check.name === name);
    assert.ok(found, `${name} is not among ${stdout} ${stderr}`);
    return found;
  }
  return { exit, stderr, checks, error, problems: problems as string[], of };
}

/** A role that may log in and no more, dropped at the end. */
async function limitedRole(project: MigrationProject, attributes = "") {
  const { database } = project;
  const name = uniqueName("limited");
  await database.query(`CREATE ROLE ${name} LOGIN ${attributes}`);
  const url = new URL(database.url);
  url.username = name;
  return {
    name,
    env: { DATABASE_URL: url.href },
    async [Symbol.asyncDispose]() {
      await database.query(
        `REASSIGN OWNED BY ${name} TO postgres; DROP OWNED BY ${name}; DROP ROLE ${name}`,
      );
    },
  };
}

/** A host whose files are looked at only after `work`. */
function beforeInspecting(work: () => Promise<unknown>): (host: Host) => Host {
  return (host) => ({
    ...host,
    files: {
      ...host.files,
      async inspect(path) {
        await work();
        return await host.files.inspect(path);
      },
    },
  });
}

// ---------------------------------------------------------------------------
// The whole
// ---------------------------------------------------------------------------

await forEachServerVersion(
  "verify: all is well with a database that is migrated",
  async (server) => {
    await using database = await freshDatabase({ server });
    await using project = await migrationProject({
      files: { "migrations/1_a.sql": "CREATE TABLE a (n int);" },
    });
    const env = { DATABASE_URL: database.url, BACKUPS_DIR: project.directory };
    assert.equal((await project.run(["migrate"], { env })).exit, 0);
    // As if in time: a major's support ends some day.
    const now = Date.parse("2026-01-01") - Date.now();
    const host = (host: Host): Host => ({ ...host, now: () => host.now() + now });
    const { exit, checks, of } = await verify(project, [], {
      env,
      host,
      args: ["--skip", "clock", "--skip", "client-tools", "--skip", "s3"],
    });
    assert.equal(exit, 0);
    assert.deepEqual(
      checks.filter(({ status }) => status !== "ok"),
      [],
    );
    assert.deepEqual(
      checks.map(({ name }) => name),
      CHECK_NAMES.filter((name) => !["clock", "client-tools", "s3"].includes(name)),
    );
    assert.equal(of("version").details.major, server.version);
    assert.match(of("migrations").message, /^1 applied, 0 pending$/);
    assert.deepEqual(of("connection").details, {
      host: database.host,
      port: database.port,
      database: database.name,
      user: "postgres",
      tls: null,
      cipher: null,
      pooled: false,
    });
  },
);

Deno.test("verify: a missing database fails, and what the server tells is checked all the same", async () => {
  await using project = await migrationProject({ withoutDatabase: true });
  const { exit, checks, of, problems } = await verify(project, []);
  assert.equal(exit, 3);
  const { status, message, remedy } = of("connection");
  assert.equal(status, "failed");
  assert.match(message, new RegExp(`^Database "${project.database.name}" does not exist on `));
  assert.match(remedy ?? "", /`observatory migrate`/);
  assert.equal(problems.length, 1);
  assert.deepEqual(
    checks.filter(({ status }) => status === "skipped").map(({ name }) => name),
    ["timescaledb", "migrations", "disk-space", "s3", "indexes", "encoding", "collation"],
  );
  assert.equal(of("version").status, "ok");
  assert.equal(of("query").status, "ok");
  assert.match(of("rights").message, /may create database/);
  const { name } = project.database;
  await using other = await freshDatabase();
  const found = await other.query("SELECT FROM pg_database WHERE datname = $1", [name]);
  assert.deepEqual(found, []);
});

Deno.test("verify: a connection that is lost on the way is exit 5", async () => {
  await using project = await migrationProject();
  const host = beforeInspecting(() =>
    project.database.query(
      `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
       WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    )
  );
  const { exit, error } = await verify(project, ["query", "backups-dir", "clock"], { host });
  assert.equal(exit, 5);
  assert.equal(error.kind, "connection");
});

Deno.test("verify: a signal ends it between two checks", async () => {
  await using project = await migrationProject();
  let send = () => {};
  const started = project.start(["verify", "--json"], {
    host: beforeInspecting(() => Promise.resolve(send())),
  });
  send = () => started.send("SIGTERM");
  const { exit, stdout } = await started.ended;
  assert.equal(exit, 143);
  assert.equal(JSON.parse(stdout).error.code, "sigterm");
});

// ---------------------------------------------------------------------------
// Server and connection
// ---------------------------------------------------------------------------

Deno.test({
  name: "verify connection: tells of TLS",
  ignore: await skipWithoutOpenssl("verify connection: tells of TLS"),
  async fn() {
    await using authority = await makeAuthority();
    const ssl = await authority.issue({ alternativeNames: ["IP:127.0.0.1"] });
    await using server = await startServer({ ssl });
    await using project = await migrationProject();
    const env = { DATABASE_URL: server.url(), PGSSLROOTCERT: authority.certFile };
    const { of } = await verify(project, ["connection"], {
      env: { ...env, PGSSLMODE: "verify-ca" },
    });
    assert.equal(of("connection").status, "ok");
    assert.match(of("connection").message, /, TLSv1\.[23]$/);
    assert.match(of("connection").details.cipher, /\w/);
    const plain = await verify(project, ["connection"], { env: { ...env, PGSSLMODE: "disable" } });
    assert.match(plain.of("connection").message, /, without TLS$/);
  },
});

Deno.test("verify connection: a pooler in between is warned of", async () => {
  await using project = await migrationProject();
  const host = (host: Host): Host => ({
    ...host,
    dialer: {
      ...host.dialer,
      async tcp(hostname, port) {
        const duplex = await host.dialer.tcp(hostname, port);
        return {
          ...duplex,
          async read(into) {
            const count = await duplex.read(into);
            // The process that the client is told of (BackendKeyData) is another than the one that serves it.
            const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
            for (let at = 0; at + 9 <= (count ?? 0); at++) {
              if (into[at] === 0x4b && view.getUint32(at + 1) === 12) {
                view.setUint32(at + 5, view.getUint32(at + 5) ^ 1);
                break;
              }
            }
            return count;
          },
          write: (bytes) => duplex.write(bytes),
          close: () => duplex.close(),
        };
      },
    },
  });
  const { exit, of } = await verify(project, ["connection"], { host });
  assert.equal(exit, 0);
  assert.equal(of("connection").status, "warning");
  assert.match(of("connection").message, /through a connection pooler/);
  assert.equal(of("connection").details.pooled, true);
});

Deno.test("verify clock: a clock that is wrong is warned of, whichever it is", async () => {
  await using project = await migrationProject();
  const wrongBy = async (milliseconds: number) => {
    const { of } = await verify(project, ["clock"], {
      host: (host) => ({ ...host, now: () => host.now() + milliseconds }),
    });
    return of("clock");
  };
  const behind = await wrongBy(60_000);
  assert.equal(behind.status, "warning");
  assert.match(behind.message, /^The server's clock is (59|60)\.\d s behind this machine's$/);
  const ahead = await wrongBy(-86_400_000);
  assert.equal(ahead.message, "The server's clock is 24 h ahead of this machine's");
});

Deno.test("verify writes: a database that is set to read-only is warned of, with the line that mends it", async () => {
  await using project = await migrationProject();
  const { database } = project;
  assert.equal((await verify(project, ["writes"])).of("writes").status, "ok");
  await database.query(`ALTER DATABASE ${database.name} SET default_transaction_read_only = on`);
  const { exit, of } = await verify(project, ["writes"]);
  const { status, remedy } = of("writes");
  assert.deepEqual([exit, status], [0, "warning"]);
  const client = await database.connect();
  try {
    for (const line of remedy?.split("\n") ?? []) await client.query(line);
  } finally {
    await client.end();
  }
  assert.equal((await verify(project, ["writes"])).of("writes").status, "ok");
  const asked = await verify(project, ["writes"], {
    env: { PGOPTIONS: "-c default_transaction_read_only=on" },
  });
  assert.match(asked.of("writes").remedy ?? "", /PGOPTIONS/);
});

Deno.test("verify timescaledb: tells the version that is installed", async () => {
  await using server = await startTimescale();
  await using project = await migrationProject();
  const env = { DATABASE_URL: server.url };
  const offered = await verify(project, ["timescaledb"], { env });
  assert.match(
    offered.of("timescaledb").message,
    /^TimescaleDB is not installed in this database; the server offers \d+\.\d+/,
  );
  assert.equal(
    (await project.run(["migrate", "--no-lock", "--dir", await extension(project)], { env })).exit,
    0,
  );
  const { of } = await verify(project, ["timescaledb"], { env });
  assert.equal(of("timescaledb").details.installed, offered.of("timescaledb").details.available);
  assert.match(of("timescaledb").message, /^TimescaleDB \d+\.\d+/);
  // What a restore leaves that was killed.
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  try {
    await client.query("SELECT timescaledb_pre_restore()");
    const left = await verify(project, ["timescaledb"], { env });
    assert.equal(left.of("timescaledb").status, "failed");
    assert.match(
      left.of("timescaledb").message,
      /^The database is in TimescaleDB's restoring mode/,
    );
    const [, line = ""] = /: (SELECT .*)$/.exec(left.of("timescaledb").remedy ?? "") ?? [];
    await client.query(line);
    const ended = await verify(project, ["timescaledb"], { env });
    assert.match(ended.of("timescaledb").message, /^TimescaleDB \d+\.\d+/);
  } finally {
    await client.end();
  }
});

/** A directory with a migration that creates the extension. */
async function extension(project: MigrationProject): Promise<string> {
  await project.write({
    "extension/1_timescale.sql": "SET client_min_messages = error; CREATE EXTENSION timescaledb;",
  });
  return join(project.directory, "extension");
}

// ---------------------------------------------------------------------------
// Database
// ---------------------------------------------------------------------------

Deno.test("verify migrations: pending ones are a warning, broken ones a failure, none a warning", async () => {
  await using project = await migrationProject({
    files: { "migrations/1_a.sql": "SELECT 1;", "migrations/2_b.sql": "SELECT 2;" },
  });
  await project.run(["migrate", "--to", "1"]);
  const pending = await verify(project, ["migrations"]);
  assert.equal(pending.exit, 0);
  assert.deepEqual(
    [pending.of("migrations").status, pending.of("migrations").remedy],
    ["warning", "Run `observatory migrate`"],
  );
  await project.run(["migrate"]);
  assert.equal((await verify(project, ["migrations"])).of("migrations").status, "ok");

  await project.write({ "migrations/1_a.sql": "SELECT 'changed';" });
  const changed = await verify(project, ["migrations"]);
  assert.equal(changed.exit, 3);
  assert.match(changed.of("migrations").message, /"[^"]*1_a\.sql" was changed after/);
  assert.match(changed.of("migrations").remedy ?? "", /Bring its former contents back/);
  // It is told once: as the check's, not as the status command's own warning too.
  assert.equal(changed.stderr.match(/was changed after/g)?.length, 1);

  await project.database.query("UPDATE _sqlx_migrations SET success = false WHERE version = 2");
  const dirty = await verify(project, ["migrations"]);
  assert.match(dirty.of("migrations").remedy ?? "", /`observatory migrate resolve 2 --unapplied`/);
  await project.remove("migrations/1_a.sql");
  const missing = await verify(project, ["migrations"]);
  assert.match(missing.of("migrations").message, /Migration 1 \(a\) is applied, but its file is/);
  assert.equal(missing.of("migrations").details.problems.length, 2);

  const none = await verify(project, ["migrations"], { env: { MIGRATIONS_DIR: "nowhere" } });
  assert.deepEqual([none.exit, none.of("migrations").status], [0, "warning"]);
  assert.match(none.of("migrations").message, /"nowhere": there is no such directory/);
});

Deno.test("verify rights: the lines that are told give the role what it lacks", async () => {
  await using project = await migrationProject({ files: { "migrations/1_a.sql": "SELECT 1;" } });
  const { database } = project;
  await database.query(`
    CREATE TABLE secret (n int);
    CREATE TABLE hidden (n int);
    CREATE POLICY none ON hidden USING (false);
    ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
    GRANT SELECT ON hidden TO public`);
  await project.run(["migrate"]);
  assert.match((await verify(project, ["rights"])).of("rights").message, /is a superuser$/);

  await using role = await limitedRole(project);
  const { exit, of } = await verify(project, ["rights"], role);
  const { status, message, remedy = "", details } = of("rights");
  assert.deepEqual([exit, status], [0, "warning"]);
  assert.match(
    message,
    new RegExp(`"${role.name}" lacks rights that migrate, seed, backup, reset`),
  );
  assert.match(remedy, /-- backup: cannot read public\._sqlx_migrations, public\.secret$/m);
  assert.match(remedy, /-- backup: row security hides rows of public\.hidden$/m);
  assert.equal(details.lacks.length, 8);
  const [heading = "", ...grants] = remedy.split("\n");
  assert.match(heading, /^As a superuser/);
  for (const grant of grants) await database.query(grant);
  const granted = await verify(project, ["rights"], role);
  assert.equal(granted.of("rights").status, "ok");
});

Deno.test("verify: what the role may not see is skipped with the reason", async () => {
  await using project = await migrationProject({ files: { "migrations/1_a.sql": "SELECT 1;" } });
  await project.run(["migrate"]);
  await project.database.query("REVOKE EXECUTE ON FUNCTION pg_database_size(name) FROM public");
  await using role = await limitedRole(project);
  const { exit, checks, of } = await verify(project, [], role);
  assert.equal(exit, 0);
  assert.deepEqual(
    checks.filter(({ status }) => status === "skipped" || status === "failed")
      .map(({ name, status }) => `${status} ${name}`),
    ["skipped migrations", "skipped disk-space", "skipped s3"],
  );
  assert.match(of("disk-space").message, /^The role may not look: permission denied for function/);
});

Deno.test("verify connections: the role's limit counts, and a second connection refused is a finding", async () => {
  await using project = await migrationProject({ files: { "migrations/1_a.sql": "SELECT 1;" } });
  await using role = await limitedRole(project, "CONNECTION LIMIT 1");
  const { exit, of } = await verify(project, ["connections", "migrations"], role);
  assert.equal(exit, 3);
  assert.equal(of("connections").message, "1 of 1 connections of the role are used");
  assert.equal(of("migrations").status, "failed");
  assert.match(of("migrations").message, /too many connections for role/);
});

Deno.test("verify indexes: those that were left half-built are named, those in the making are not", async () => {
  await using project = await migrationProject();
  const { database } = project;
  await database.query("CREATE TABLE t (n int); INSERT INTO t VALUES (1), (1)");
  await assert.rejects(database.query("CREATE UNIQUE INDEX CONCURRENTLY t_n ON t (n)"));
  const { exit, of } = await verify(project, ["indexes"]);
  assert.equal(exit, 0);
  assert.equal(of("indexes").status, "warning");
  assert.equal(of("indexes").remedy, "REINDEX INDEX CONCURRENTLY public.t_n;");
  await database.query("DROP INDEX t_n");

  // It waits for a transaction that is open, and is invalid until then.
  const open = await database.connect();
  const building = await database.connect();
  try {
    await open.query("BEGIN; INSERT INTO t VALUES (2)");
    const built = building.query("CREATE INDEX CONCURRENTLY t_n ON t (n)");
    await until(async () => {
      const found = await database.query("SELECT FROM pg_index WHERE NOT indisvalid");
      return found.length > 0;
    });
    assert.equal((await verify(project, ["indexes"])).of("indexes").status, "ok");
    await open.query("ROLLBACK");
    await built;
  } finally {
    await open.end();
    await building.end();
  }
});

const fifteen = (await serverVersions()).find(({ version }) => version === 15);
Deno.test({
  name: "verify encoding and collation: what may lose characters or rows is warned of",
  ignore: skipWhenMissing("verify encoding and collation", fifteen?.missing),
  async fn() {
    assert.ok(fifteen);
    await using server = await fifteen.start();
    await using any = await freshDatabase({ server });
    await any.query("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'");
    await any.query(
      "CREATE DATABASE moved TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en'",
    );
    await any.query("UPDATE pg_database SET datcollversion = '1.0' WHERE datname = 'moved'");
    await using project = await migrationProject();
    const of = async (database: string) =>
      (await verify(project, ["encoding", "collation"], {
        env: { DATABASE_URL: server.url(database) },
      })).checks.map(({ status }) => status);
    assert.deepEqual(await of(any.name), ["ok", "ok"]);
    assert.deepEqual(await of("latin"), ["warning", "ok"]);
    assert.deepEqual(await of("moved"), ["ok", "warning"]);
  },
});

// ---------------------------------------------------------------------------
// This machine
// ---------------------------------------------------------------------------

Deno.test("verify disk-space: too little for the database is warned of", async () => {
  await using project = await migrationProject();
  const withFree = (free: number) => (host: Host): Host => ({
    ...host,
    files: {
      ...host.files,
      async inspect(path) {
        const facts = await host.files.inspect(path);
        return facts && { ...facts, disk: { total: 1e12, free } };
      },
    },
  });
  const little = await verify(project, ["disk-space"], { host: withFree(1000) });
  assert.equal(little.exit, 0);
  assert.equal(little.of("disk-space").status, "warning");
  assert.ok(little.of("disk-space").details.database_bytes > 1e6);
  const much = await verify(project, ["disk-space"], { host: withFree(1e12) });
  assert.equal(much.of("disk-space").status, "ok");
});

Deno.test("verify client-tools: those found are told with path and version, others with their package", async () => {
  await using project = await migrationProject();
  const { database } = project;
  const [{ major } = { major: 0 }] = await database.query<{ major: number }>(
    "SELECT current_setting('server_version_num')::int / 10000 AS major",
  );
  const directory = join(project.directory, "tools");
  const says = async (name: string, version: string) => {
    await project.write({
      [`tools/${name}`]: `#!/bin/sh\necho "${name} (PostgreSQL) ${version}"\n`,
    });
    await Deno.chmod(join(directory, name), 0o755);
  };
  await says("psql", "12.1");
  await says("pg_dump", `${major}.3`);
  await says("pg_restore", `${major}.4`);
  const look = async () =>
    (await verify(project, ["client-tools"], { env: { PG_BIN_DIR: directory } })).of(
      "client-tools",
    );
  const found = await look();
  assert.equal(found.status, "ok");
  assert.equal(
    found.message,
    `psql 12.1, pg_dump ${major}.3, pg_restore ${major}.4 in ${await Deno.realPath(directory)}`,
  );
  assert.equal(found.details.tools[1].path, join(await Deno.realPath(directory), "pg_dump"));

  await says("pg_dump", `${major - 1}.9`);
  const old = await look();
  assert.equal(old.status, "warning");
  assert.match(old.message, /pg_dump.*\(backup will be refused\)$/);
  assert.match(old.remedy ?? "", /\S/);

  await project.remove("tools/psql", "tools/pg_dump", "tools/pg_restore");
  const none = await look();
  assert.equal(none.status, "warning");
  for (const what of ["sql and shell", "backup", "restore"]) {
    assert.match(none.message, new RegExp(`\\(${what} will be refused\\)`));
  }
  assert.match(none.remedy ?? "", /PG_BIN_DIR/);
});
