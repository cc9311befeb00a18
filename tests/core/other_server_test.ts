/** `Context.at`: the same context with the database of another server. */
import assert from "assert";
import { join } from "node:path";
import { type Context, OperationError } from "../../core/plugin.ts";
import { startServer } from "../../tasks/server.ts";
import { withContext } from "../context.ts";
import { freshDatabase, openDatabase } from "../database.ts";

async function at(context: Context, url: string): Promise<Context> {
  const other = await context.at?.(url, { named: "--on" });
  assert.ok(other !== undefined);
  return other;
}

async function shell(
  context: Context,
  script: string,
  connect: boolean | { database: string } = true,
): Promise<string> {
  const program = await context.exec("sh", { args: ["-c", script], connect });
  const [text, , exit] = await Promise.all([
    new Response(program.stdout).text(),
    new Response(program.stderr).text(),
    program.exit,
  ]);
  assert.deepEqual(exit, { code: 0 });
  return text.trim();
}

const TARGET = 'echo "$PGUSER@$PGHOST:$PGPORT/$PGDATABASE"';

Deno.test("at: statements and client programs go to the other server, and those of the run to its own", async () => {
  await using own = await freshDatabase();
  await using server = await startServer();
  await withContext({ database: own, effect: "read" }, async (context) => {
    const other = await at(context, server.url("template1"));
    const ask = "SELECT current_database() AS name, current_setting('port')::int AS port";
    assert.deepEqual((await other.db.query(ask)).rows, [{ name: "template1", port: server.port }]);
    assert.deepEqual((await context.db.query(ask)).rows, [{ name: own.name, port: own.port }]);
    assert.deepEqual(other.db.target, {
      host: server.host,
      port: server.port,
      database: "template1",
      user: "postgres",
    });
    const there = `postgres@${server.host}:${server.port}`;
    assert.equal(await shell(other, TARGET), `${there}/template1`);
    assert.equal(await shell(other, TARGET, { database: "postgres" }), `${there}/postgres`);
    assert.equal(await shell(context, TARGET), `postgres@${own.host}:${own.port}/${own.name}`);
    // The command reads in its own database; elsewhere it may write.
    await other.db.query("CREATE TABLE public.elsewhere (n int)");
    await assert.rejects(context.db.query("CREATE TABLE here (n int)"), /read-only transaction/);
    await assert.rejects(other.run("migrate"), /Cannot run "migrate" in the database of --on/);
    const again = await at(other, own.url);
    assert.deepEqual((await again.db.query(ask)).rows, [{ name: own.name, port: own.port }]);
  });
  // Nothing of the run is left there.
  const [row] = await openDatabase(server, "postgres").query(
    "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'observatory'",
  );
  assert.deepEqual(row, { n: 0 });
});

Deno.test("at: works for commands that declare no database, whose own they still do not have", async () => {
  await using there = await freshDatabase();
  await withContext({}, async (context) => {
    const other = await at(context, there.url);
    assert.deepEqual((await other.db.query("SELECT 1 AS one")).rows, [{ one: 1 }]);
    assert.throws(() => context.db, /needs no database/);
  });
});

Deno.test("at: nothing that leads to the run's own database counts", async () => {
  const env = {
    ...{ DB_HOST: "own", DB_PORT: "1111", DB_NAME: "own", DB_USER: "own", DB_PASSWORD: "own-pw" },
    ...{ PGSSLMODE: "require", PGOPTIONS: "-c a.b=c", PGSERVICE: "own", PGHOSTADDR: "10.0.0.1" },
    ...{ PGTARGETSESSIONATTRS: "primary", PGSSLROOTCERT: "/nowhere", PGPASSWORD: "own-pw" },
    PATH: Deno.env.get("PATH") ?? "",
  };
  await withContext({ env }, async (context) => {
    const all = 'env | grep -E "^(PG|DB_|DATABASE_URL)" | sort';
    const given = async (url: string) => await shell(await at(context, url), all);
    assert.deepEqual((await given("postgres://me@host/db")).split("\n"), [
      "DATABASE_URL=postgresql://me@host:5432/db",
      ...["DB_HOST=host", "DB_NAME=db", "DB_PORT=5432", "DB_USER=me"],
      ...["PGAPPNAME=observatory", "PGCONNECT_TIMEOUT=10", "PGDATABASE=db"],
      ...["PGGSSENCMODE=disable", "PGHOST=host", "PGPORT=5432", "PGSSLMODE=prefer", "PGUSER=me"],
    ]);
    // Every form that libpq knows.
    for (
      const [url, target] of [
        ["postgresql://me:pw@a:1,b:2/db", "me@a,b:1,2/db"],
        ["host=h port=7 dbname=d user=u", "u@h:7/d"],
        ["postgres://u@/d?host=/tmp/socket&port=9", "u@/tmp/socket:9/d"],
        ["postgres://only@h", "only@h:5432/only"],
        ["postgres://h", "postgres@h:5432/postgres"],
      ] as const
    ) assert.equal(await shell(await at(context, url), TARGET), target);
  });
});

Deno.test("at: files that tell of many servers count, and what they name is asked for", async () => {
  const directory = await Deno.makeTempDir({ prefix: "observatory-at-" });
  try {
    const [passwords, services] = [join(directory, "passwords"), join(directory, "services")];
    await Deno.writeTextFile(passwords, "host:5432:db:me:from-the-file\n", { mode: 0o600 });
    await Deno.writeTextFile(services, "[there]\nhost=served\nport=77\n", { mode: 0o600 });
    const env = {
      PGPASSFILE: passwords,
      PGSERVICEFILE: services,
      PATH: Deno.env.get("PATH") ?? "",
    };
    await withContext({ env: { ...env, PGPASSWORD: "own" } }, async (context) => {
      const password = 'echo "$PGPASSWORD"';
      assert.equal(
        await shell(await at(context, "postgres://me@host/db"), password),
        "from-the-file",
      );
      assert.equal(await shell(await at(context, "postgres://me@other/db"), password), "");
      const served = await at(context, "postgres:///db?service=there&user=me");
      assert.equal(await shell(served, TARGET), "me@served:77/db");
    });
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("at: a password is masked from the start, of a text that cannot be read too", async () => {
  const lines: string[] = [];
  await withContext({ lines }, async (context) => {
    const log = (text: string) => context.log.warn(text);
    await at(context, "postgres://me:p%40ss-one@host/db");
    log("p@ss-one and p%40ss-one");
    const broken = "postgres://me:pass-two@host:port/db";
    const error = await at(context, broken).then(() => undefined, (error) => error);
    assert.ok(error instanceof OperationError);
    assert.deepEqual([error.kind, error.code], ["usage", "bad_connection_string"]);
    assert.match(error.message, /^Cannot use --on: /);
    assert.doesNotMatch(JSON.stringify([error.message, error.details, error.hint]), /pass-two/);
    log("pass-two");
  });
  assert.doesNotMatch(lines.join("\n"), /p@ss-one|p%40ss-one|pass-two/);
  assert.equal(lines.length, 2, lines.join("\n"));
});

Deno.test("at: every problem of a connection string is told at once", async () => {
  await withContext({}, async (context) => {
    await assert.rejects(at(context, "host=h port=x sslmode=odd"), (error) => {
      assert.ok(error instanceof OperationError);
      assert.match(error.message, /port.*; .*sslmode|sslmode.*; .*port/);
      assert.doesNotMatch(error.message, /DATABASE_URL/);
      return true;
    });
  });
});

Deno.test({
  name: "exec: a program of root's may run as another user, without root's groups",
  ignore: Deno.uid() !== 0,
  async fn() {
    await withContext({ env: { PATH: Deno.env.get("PATH") ?? "" } }, async (context) => {
      const program = await context.exec("id", { user: { uid: 65534, gid: 65534 } });
      const text = await new Response(program.stdout).text();
      assert.match(text, /^uid=65534\S* gid=65534\S* groups=65534\S*\n$/);
      await program.exit;
      // The working directory may be closed to that user.
      const there = await context.exec("pwd", { user: { uid: 65534, gid: 65534 } });
      assert.equal(await new Response(there.stdout).text(), "/\n");
      await there.exit;
    });
  },
});
