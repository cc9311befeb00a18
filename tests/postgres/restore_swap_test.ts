import assert from "assert";
// @ts-types="@types/pg"
import pg from "pg";
import type { Context } from "../../core/plugin.ts";
import { listBeside, listKept } from "../../plugins/database/beside.ts";
import { withServerLock } from "../../plugins/database/changes.ts";
import { inspectDatabase } from "../../plugins/database/inspection.ts";
import { createScratch } from "../../plugins/database/scratch.ts";
import { restoreLock, swapIn, type Swapped } from "../../plugins/database/swap.ts";
import { finish, planFinish } from "../../plugins/restore/finish.ts";
import { planUndo, undo } from "../../plugins/restore/undo.ts";
import { BACKUP_LOCK_KEY } from "../../plugins/sql/lock_keys.ts";
import { startServer } from "../../tasks/server.ts";
import type { ServerAddress } from "../../tasks/server.ts";
import { withContext } from "../context.ts";
import {
  forEachServerVersion,
  freshDatabase,
  openDatabase,
  sharedServer,
  type TestDatabase,
  uniqueName,
} from "../database.ts";
import { until } from "../migration_project.ts";

const WAIT = 5;

/** A database with a row that tells it from what is restored. */
function filled(): Promise<TestDatabase> {
  return freshDatabase({ sql: "CREATE TABLE t AS SELECT 'old' AS word" });
}

/** Which one has the name: `old`, `new`, or whatever else its row says. */
async function holds(database: TestDatabase): Promise<unknown> {
  return (await database.query("SELECT string_agg(word, '+') AS word FROM t"))[0]?.["word"];
}

async function maintenance(): Promise<TestDatabase> {
  return openDatabase(await sharedServer(), "postgres");
}

/** All databases whose names begin as the database's does. */
async function names(database: TestDatabase, server?: TestDatabase): Promise<unknown[]> {
  const rows = await (server ?? await maintenance()).query(
    "SELECT datname::text AS name FROM pg_database WHERE starts_with(datname, $1) ORDER BY 1",
    [database.name.slice(0, 30)],
  );
  return rows.map(({ name }) => name);
}

/** What a restore by a swap does, with a table in the place of a dump. */
async function swap(
  ctx: Context,
  { name, is = "new", wait }: { name: string; is?: string; wait?: number },
): Promise<Swapped> {
  const session = await ctx.db.maintenance();
  const like = await inspectDatabase(session, name);
  await session.close();
  await using scratch = await createScratch(ctx, { purpose: "restore", database: name, like });
  const inside = await ctx.db.session({ database: scratch.name });
  await inside.query(`CREATE TABLE t AS SELECT '${is}' AS word`);
  await inside.close();
  return await swapIn(ctx, {
    database: name,
    scratch,
    of: "shop_backup_1",
    ...wait === undefined ? {} : { wait },
  });
}

/** Drops what a test has left beside its database. */
async function dropAll(database: TestDatabase, server?: ServerAddress): Promise<void> {
  const on = server ?? await sharedServer();
  for (const name of await names(database, openDatabase(on, "postgres"))) {
    await openDatabase(on, String(name)).drop();
  }
}

Deno.test("swap: the new one takes the name, the old one is kept, comes back, and goes", async () => {
  await using database = await filled();
  await withContext({ database }, async (ctx) => {
    const { name } = database;
    const { kept, terminated } = await swap(ctx, { name });
    assert.match(kept ?? "", new RegExp(`^${name}_before_\\d{8}t\\d{4}_[0-9a-f]{4}$`));
    assert.equal(terminated, 0);
    assert.equal(await holds(database), "new");
    assert.deepEqual(await names(database), [name, kept]);

    const plan = await planUndo(ctx, { database: name });
    assert.equal(plan.destroys, false);
    assert.match(plan.text, /1\. Terminate[^]*2\. Keep what it is now[^]*3\. Give the name to "/);
    const back = await undo(ctx, { database: name, wait: WAIT });
    assert.equal(await holds(database), "old");
    assert.match(back.text ?? "", /^Brought back "[^"]+_before_[^]*is kept as "[^"]+_undone_/);

    // Nothing is left from before a restore; what was undone comes back by its name.
    await assert.rejects(undo(ctx, { database: name, wait: WAIT }), (error: Error) => {
      assert.match(error.message, /^Refused: nothing is kept of .* from before a restore/);
      return "kind" in error && error.kind === "refused";
    });
    const [undone] = (await names(database)).filter((each) => each !== name);
    await undo(ctx, { database: name, wait: WAIT, kept: String(undone) });
    assert.equal(await holds(database), "new");

    const toFinish = await planFinish(ctx, { database: name });
    assert.equal(toFinish.destroys, true);
    assert.match(toFinish.text, /1\. Drop "[^"]+_undone_[^"]+" \(.*; \d.* MiB\); ITS DATA IS LOST/);
    const finished = await finish(ctx, { database: name, wait: WAIT });
    assert.match(finished.text ?? "", /^Dropped "[^"]+_undone_/);
    assert.deepEqual(await names(database), [name]);
    assert.equal((await planFinish(ctx, { database: name })).destroys, false);
    const again = await finish(ctx, { database: name, wait: WAIT });
    assert.match(again.text ?? "", /^Nothing is kept of /);
    assert.deepEqual(again.problems ?? [], []);
  });
});

Deno.test("swap: several restores are undone one after the other, and finished together", async () => {
  await using database = await filled();
  const { name } = database;
  await withContext({ database }, async (ctx) => {
    await swap(ctx, { name, is: "second" });
    await swap(ctx, { name, is: "third" });
    await undo(ctx, { database: name, wait: WAIT });
    assert.equal(await holds(database), "second");
    await undo(ctx, { database: name, wait: WAIT });
    assert.equal(await holds(database), "old");
    const { data } = await finish(ctx, { database: name, wait: WAIT });
    assert.equal((data as { dropped: unknown[] }).dropped.length, 2);
    assert.deepEqual(await names(database), [name]);
  });
});

Deno.test("swap: where there was no database, there is one, and nothing is kept", async () => {
  await using database = openDatabase(await sharedServer(), uniqueName());
  await withContext({ database }, async (ctx) => {
    const { kept } = await swap(ctx, { name: database.name });
    assert.equal(kept, null);
    assert.equal(await holds(database), "new");
    assert.deepEqual(await names(database), [database.name]);
    const session = await ctx.db.session();
    assert.equal((await inspectDatabase(session, database.name))?.comment, undefined);
  });
});

const IDENTITY =
  `SELECT (to_jsonb(d) - 'oid' - 'datfrozenxid' - 'datminmxid' - 'datacl')::text AS row,
  (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(d.datacl) a) AS acl,
  shobj_description(d.oid, 'pg_database') AS comment,
  (SELECT array_agg(s.setrole::text || s.setconfig::text ORDER BY s.setrole)
    FROM pg_db_role_setting s WHERE s.setdatabase = d.oid) AS settings
  FROM pg_database d WHERE datname = $1`;

// The longest name that there is, with quotes and characters of several bytes at the cut.
const LONG = `s"h'op é${"ü".repeat(13)}🛒${"x".repeat(24)}`;

await forEachServerVersion(
  "swap: every property is as before, after an undo too, whatever the name is",
  async (started) => {
    assert.equal(new TextEncoder().encode(LONG).length, 63);
    const server = openDatabase(started, "postgres");
    const locale = started.version >= 17
      ? "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
      : "LC_COLLATE 'C' LC_CTYPE 'C'";
    const quoted = `"${LONG.replaceAll('"', '""')}"`;
    for (
      const sql of [
        `CREATE ROLE app; CREATE ROLE reader; CREATE ROLE "odd ""role"`,
        `CREATE DATABASE ${quoted} OWNER app TEMPLATE template0 ENCODING 'UTF8' ${locale} CONNECTION LIMIT 50`,
        `REVOKE ALL ON DATABASE ${quoted} FROM PUBLIC;
         GRANT CONNECT, TEMPORARY ON DATABASE ${quoted} TO reader WITH GRANT OPTION;
         SET ROLE reader; GRANT CONNECT ON DATABASE ${quoted} TO "odd ""role"; RESET ROLE`,
        `ALTER DATABASE ${quoted} SET search_path = "$user", public, "we ird"`,
        `ALTER DATABASE ${quoted} SET app.tenant = 'a, ''b'' \\ c'`,
        `ALTER DATABASE ${quoted} SET default_transaction_read_only = on`,
        `ALTER ROLE reader IN DATABASE ${quoted} SET statement_timeout = '5min'`,
        `COMMENT ON DATABASE ${quoted} IS 'It''s the shöp {"kind": "before"} \\'`,
      ]
    ) await server.query(sql);
    const identity = async () => (await server.query(IDENTITY, [LONG]))[0];
    const before = await identity();
    assert.equal(before?.["comment"], `It's the shöp {"kind": "before"} \\`);
    const database = openDatabase(started, LONG);
    await withContext({ database: { url: database.url } }, async (ctx) => {
      const session = await ctx.db.maintenance();
      const like = await inspectDatabase(session, LONG);
      const scratch = await createScratch(ctx, { purpose: "restore", database: LONG, like });
      assert.ok(new TextEncoder().encode(scratch.name).length <= 63);
      // Whom the old one does not let in, the new one does not either.
      const [may] = await server.query(
        "SELECT has_database_privilege('odd \"role', $1, 'CONNECT') AS may",
        [scratch.name],
      );
      assert.equal(may?.["may"], false);
      const { kept } = await swapIn(ctx, { database: LONG, scratch, of: "b" });
      assert.deepEqual(await identity(), before);
      assert.ok(kept?.startsWith(`s"h'op é`), kept ?? "");
      const [row] = await listKept(session, LONG);
      assert.deepEqual([row?.name, row?.mark.database, row?.mark.of], [kept, LONG, "b"]);
      await undo(ctx, { database: LONG, wait: WAIT });
      assert.deepEqual(await identity(), before);
      await finish(ctx, { database: LONG, wait: WAIT });
      assert.deepEqual(await listBeside(session), []);
    });
  },
);

Deno.test("swap: settings changed while it was restored are those that count", async () => {
  await using database = await filled();
  const { name } = database;
  await withContext({ database }, async (ctx) => {
    const session = await ctx.db.maintenance();
    const like = await inspectDatabase(session, name);
    const scratch = await createScratch(ctx, { purpose: "restore", database: name, like });
    const server = await maintenance();
    await server.query(
      `ALTER DATABASE ${name} SET work_mem = '5MB'; REVOKE ALL ON DATABASE ${name} FROM PUBLIC`,
    );
    await server.query(`ALTER DATABASE "${scratch.name}" SET timescaledb.restoring = 'on'`);
    const [before] = await server.query(IDENTITY, [name]);
    await swapIn(ctx, { database: name, scratch });
    assert.deepEqual((await server.query(IDENTITY, [name]))[0], before);
    await dropAll(database);
  });
});

Deno.test("swap: sessions are ended, and those that connect again and again do not hinder it", async () => {
  await using database = await filled();
  const { name } = database;
  const over = new AbortController();
  const lost = { count: 0 };
  const clients = Array.from({ length: 4 }, async () => {
    while (!over.signal.aborted) {
      try {
        const client = new pg.Client({ connectionString: database.url });
        client.on("error", () => {});
        try {
          await client.connect();
          for (;;) await client.query("SELECT pg_sleep(0.001)");
        } finally {
          await client.end().catch(() => {});
        }
      } catch {
        lost.count++;
      }
    }
  });
  try {
    await withContext({ database }, async (ctx) => {
      for (const is of ["second", "third", "fourth"]) {
        const { terminated } = await swap(ctx, { name, is });
        assert.ok(terminated > 0);
        assert.equal(await holds(database), is);
      }
    });
  } finally {
    over.abort();
    const server = await maintenance();
    const end = setInterval(
      () =>
        server.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", [
          name,
        ]),
      50,
    );
    await Promise.all(clients);
    clearInterval(end);
    await dropAll(database);
  }
  assert.ok(lost.count >= 12);
});

Deno.test("swap: who cannot be ended is told, and everything is as it was", async () => {
  const server = await maintenance();
  const role = uniqueName("role");
  await server.query(`CREATE ROLE ${role} LOGIN CREATEDB`);
  await using database = await filled();
  const { name } = database;
  await server.query(`ALTER DATABASE ${name} OWNER TO ${role}`);
  const url = new URL(database.url);
  url.username = role;
  const client = await database.connect();
  client.on("error", () => {});
  try {
    await withContext({ database: { url: url.href } }, async (ctx) => {
      await assert.rejects(swap(ctx, { name }), (error: Error) => {
        assert.match(
          error.message,
          /^Cannot put another database in the place of .*: the role may not end the sessions in .*: "observatory-tests" of "postgres" \(process \d+\); everything is as it was$/,
        );
        return "code" in error && error.code === "not_swapped";
      });
      assert.deepEqual((await client.query("SELECT word FROM t")).rows, [{ word: "old" }]);
      assert.deepEqual(await names(database), [name]);
      // The owner's own sessions are no hindrance, nor is that the owner is no superuser.
      await client.end();
      await until(async () => (await swap(ctx, { name }).catch(() => undefined))?.kept);
      assert.equal(
        await holds({ ...database, query: openDatabase(await sharedServer(), name).query }),
        "new",
      );
      await undo(ctx, { database: name, wait: WAIT });
      await finish(ctx, { database: name, wait: WAIT });
      assert.deepEqual(await names(database), [name]);
    });
  } finally {
    await dropAll(database);
    await server.query(`DROP ROLE ${role}`);
  }
});

Deno.test("swap: what cannot be given to the new one is refused before anything is restored", async () => {
  const server = await maintenance();
  const [role, other] = [uniqueName("role"), uniqueName("role")];
  await server.query(`CREATE ROLE ${role} LOGIN CREATEDB; CREATE ROLE ${other}`);
  await using database = await filled();
  const { name } = database;
  await server.query(`ALTER DATABASE ${name} OWNER TO ${role}`);
  await server.query(`ALTER ROLE ${other} IN DATABASE ${name} SET work_mem = '5MB'`);
  const url = new URL(database.url);
  url.username = role;
  try {
    await withContext({ database: { url: url.href } }, async (ctx) => {
      await assert.rejects(swap(ctx, { name }), { code: "not_created" });
      assert.deepEqual(await names(database), [name]);
    });
  } finally {
    await database.drop();
    await server.query(`DROP ROLE ${role}; DROP ROLE ${other}`);
  }
});

Deno.test("swap: slots, subscriptions and prepared transactions are refused by name", async () => {
  await using started = await startServer({
    settings: { wal_level: "logical", max_prepared_transactions: "2" },
  });
  await openDatabase(started, "postgres").query("CREATE DATABASE shop");
  const shop = openDatabase(started, "shop");
  await shop.query("CREATE TABLE t AS SELECT 'old' AS word");
  await shop.query("SELECT pg_create_logical_replication_slot('the_slot', 'pgoutput')");
  await shop.query("BEGIN; INSERT INTO t VALUES ('x'); PREPARE TRANSACTION 'the_transaction'");
  await shop.query(
    "CREATE SUBSCRIPTION the_subscription CONNECTION 'dbname=other' PUBLICATION p WITH (connect = false)",
  );
  await withContext({ database: { url: shop.url } }, async (ctx) => {
    await assert.rejects(swap(ctx, { name: "shop" }), (error: Error) => {
      for (const name of ["the_slot", "the_transaction", "the_subscription"]) {
        assert.ok(error.message.includes(`"${name}"`), error.message);
      }
      return "kind" in error && error.kind === "refused";
    });
  });
  assert.equal(await holds(shop), "old");
});

Deno.test("swap: who backs it up or migrates it is waited for, and not interrupted", async () => {
  await using database = await filled();
  const { name } = database;
  const holder = await database.connect();
  await holder.query("SELECT pg_advisory_lock($1)", [String(BACKUP_LOCK_KEY)]);
  const lines: string[] = [];
  await withContext({ database, lines }, async (ctx) => {
    await assert.rejects(swap(ctx, { name }), { kind: "locked" });
    assert.deepEqual(await names(database), [name]);
    const swapping = swap(ctx, { name, wait: 30 });
    await until(() => Promise.resolve(lines.some((line) => line.includes("Waiting for process"))));
    await holder.end();
    assert.ok((await swapping).kept);
    await finish(ctx, { database: name, wait: WAIT });
  });
});

Deno.test("swap: while a database is being restored, nobody else undoes or finishes", async () => {
  await using database = await filled();
  const { name } = database;
  const held = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const restoring = withContext(
    { database },
    (ctx) =>
      withServerLock(ctx, restoreLock(name, 0), () => {
        held.resolve();
        return release.promise;
      }),
  );
  await held.promise;
  await withContext({ database }, async (ctx) => {
    await assert.rejects(undo(ctx, { database: name, wait: 0 }), { kind: "locked" });
    await assert.rejects(finish(ctx, { database: name, wait: 0 }), { kind: "locked" });
  });
  release.resolve();
  await restoring;
});

Deno.test("swap: a closed database stays closed, and what is kept lets nobody in until it is back", async () => {
  await using database = await filled();
  const { name } = database;
  const server = await maintenance();
  const open = async (which: string) =>
    (await server.query("SELECT datallowconn AS open FROM pg_database WHERE datname = $1", [
      which,
    ]))[0]?.["open"];
  await withContext({ database }, async (ctx) => {
    const { kept } = await swap(ctx, { name });
    assert.deepEqual([await open(name), await open(kept ?? "")], [true, false]);
    await undo(ctx, { database: name, wait: WAIT });
    assert.equal(await open(name), true);
    await server.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS false`);
    await swap(ctx, { name });
    assert.equal(await open(name), false);
    await undo(ctx, { database: name, wait: WAIT });
    assert.equal(await open(name), false);
    await finish(ctx, { database: name, wait: WAIT });
    assert.deepEqual(await names(database), [name]);
  });
});
