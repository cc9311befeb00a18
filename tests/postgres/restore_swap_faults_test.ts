import assert from "assert";
import { listBeside } from "../../plugins/database/beside.ts";
import { exchange } from "../../plugins/database/exchange.ts";
import { collectScratch, createScratch } from "../../plugins/database/scratch.ts";
import { swapIn } from "../../plugins/database/swap.ts";
import { startServer } from "../../tasks/server.ts";
import { withContext } from "../context.ts";
import { freshDatabase, openDatabase, sharedServer, type TestDatabase } from "../database.ts";
import { until } from "../migration_project.ts";

const PROGRAM = new URL("swap_program.ts", import.meta.url).pathname;

/** Starts the program that swaps, and waits until it begins. */
async function startProgram(url: string, how: "once" | "again") {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", PROGRAM, url, how],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const output = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await output.read();
  assert.equal(value, "ready\n");
  return {
    async kill() {
      child.kill("SIGKILL");
      await output.cancel();
      await child.status;
    },
  };
}

async function maintenance(): Promise<TestDatabase> {
  return openDatabase(await sharedServer(), "postgres");
}

async function filled(): Promise<TestDatabase> {
  return await freshDatabase({ sql: "CREATE TABLE t AS SELECT 'old' AS word" });
}

async function word(database: TestDatabase): Promise<unknown> {
  return (await database.query("SELECT word FROM t"))[0]?.["word"];
}

/** The names of all databases that begin as the database's does, but for itself. */
async function others({ name }: TestDatabase): Promise<string[]> {
  const rows = await (await maintenance()).query<{ name: string }>(
    "SELECT datname::text AS name FROM pg_database WHERE starts_with(datname, $1) AND datname <> $2",
    [name, name],
  );
  return rows.map((row) => row.name);
}

async function dropOthers(database: TestDatabase): Promise<void> {
  for (const name of await others(database)) {
    await openDatabase(await sharedServer(), name).drop();
  }
}

/** Holds a lock that a renaming waits for, while there are no sessions in the database. */
async function holdLock({ name }: TestDatabase) {
  const client = await (await maintenance()).connect();
  await client.query(`BEGIN; COMMENT ON DATABASE "${name}" IS 'held'`);
  return {
    /** Waits until somebody waits for the lock; gives the process. */
    async waiting(): Promise<number> {
      return await until(async () => {
        const { rows } = await client.query(
          `SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.objid
           WHERE NOT l.granted AND l.locktype = 'object' AND d.datname = $1`,
          [name],
        );
        return rows[0]?.pid;
      });
    },
    async release(): Promise<void> {
      await client.query("ROLLBACK");
      await client.end();
    },
  };
}

Deno.test("swap: killed while it waits in the server, the one or the other has the name", async () => {
  await using database = await filled();
  const held = await holdLock(database);
  const program = await startProgram(database.url, "once");
  const pid = await held.waiting();
  await program.kill();
  assert.equal((await others(database)).length, 1);
  await held.release();
  const server = await maintenance();
  await until(async () =>
    (await server.query("SELECT 1 FROM pg_stat_activity WHERE pid = $1", [pid])).length === 0
  );
  const [left = "", ...more] = await others(database);
  assert.deepEqual(more, []);
  // Whether the server works off what it was sent depends on when it sees that nobody is there.
  const outcome = [await word(database), /_(restore|before)_/.exec(left)?.[1]];
  assert.ok(["old,restore", "new,before"].includes(outcome.join()), outcome.join());
  await dropOthers(database);
});

Deno.test("swap: killed at any moment, there is never nobody who has the name", async () => {
  await using database = await filled();
  const { name } = database;
  await withContext({ database }, async (ctx) => {
    const scratch = await createScratch(ctx, { purpose: "restore", database: name });
    const inside = await ctx.db.session({ database: scratch.name });
    await inside.query("CREATE TABLE t AS SELECT 'new' AS word");
    await inside.close();
    await swapIn(ctx, { database: name, scratch });
  });
  const server = await (await maintenance()).connect();
  const look = async () => {
    const { rows } = await server.query("SELECT oid::text FROM pg_database WHERE datname = $1", [
      name,
    ]);
    assert.equal(rows.length, 1, "nobody has the name");
    return rows[0].oid;
  };
  for (const milliseconds of [0, 60, 120, 180, 240, 300]) {
    const program = await startProgram(database.url, "again");
    const before = await look();
    while (before === await look());
    // In the middle of the next one.
    const end = Date.now() + milliseconds;
    while (Date.now() < end) await look();
    await program.kill();
    for (let time = 0; time < 20; time++) await look();
    await until(async () => {
      const { rows } = await server.query(
        "SELECT 1 FROM pg_stat_activity WHERE application_name ~ '^observatory' AND query ~ $1",
        [name],
      );
      return rows.length === 0;
    });
    assert.ok(["old", "new"].includes(String(await word(database))));
    assert.equal((await others(database)).length, 1);
  }
  await server.end();
  await dropOthers(database);
});

Deno.test("swap: a connection that is lost before the end leaves everything as it was", async () => {
  await using database = await filled();
  const { name } = database;
  const server = await maintenance();
  const lines: string[] = [];
  await withContext({ database, lines }, async (ctx) => {
    await using scratch = await createScratch(ctx, { purpose: "restore", database: name });
    const held = await holdLock(database);
    const swapping = swapIn(ctx, { database: name, scratch });
    const failed = assert.rejects(swapping, (error: Error) => {
      assert.match(error.message, /^Cannot put .*everything is as it was$/);
      return "code" in error && error.code === "not_swapped";
    });
    await server.query("SELECT pg_terminate_backend($1)", [await held.waiting()]);
    await failed;
    await held.release();
    assert.equal(await word(database), "old");
  });
  assert.deepEqual(await others(database), []);
  assert.ok(lines.some((line) => line.includes("asking what has become of")), lines.join("\n"));
});

/** Hands everything on but for the answers from the moment at which a renaming is sent. */
function losingProxy(server: { readonly host: string; readonly port: number }) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let lost = 0;
  async function serve(client: Deno.TcpConn): Promise<void> {
    const upstream = await Deno.connect({ hostname: server.host, port: server.port });
    let losing = false;
    const answers = (async () => {
      for await (const chunk of upstream.readable) {
        if (losing) continue;
        await client.write(chunk);
      }
      // Who has said goodbye waits for this.
      if (!losing) await client.closeWrite();
    })();
    try {
      for await (const chunk of client.readable) {
        if (new TextDecoder().decode(chunk).includes("RENAME TO")) {
          losing = true;
          lost++;
        }
        await upstream.write(chunk);
        if (losing) {
          await new Promise((resolve) => setTimeout(resolve, 300));
          break;
        }
      }
    } finally {
      upstream.close();
      await answers.catch(() => {});
      try {
        client.close();
      } catch (error) {
        assert.ok(error instanceof Deno.errors.BadResource);
      }
    }
  }
  const serving: Promise<void>[] = [];
  const accepting = (async () => {
    for await (const client of listener) serving.push(serve(client).catch(() => {}));
  })();
  return {
    port: listener.addr.port,
    get lost() {
      return lost;
    },
    async [Symbol.asyncDispose]() {
      listener.close();
      await accepting.catch(() => {});
      await Promise.all(serving);
    },
  };
}

Deno.test("swap: an answer that is lost after the end is asked for again", async () => {
  await using database = await filled();
  const { name } = database;
  const server = await sharedServer();
  await using proxy = losingProxy(server);
  const url = new URL(database.url);
  url.hostname = "127.0.0.1";
  url.port = String(proxy.port);
  await withContext({ database: { url: url.href } }, async (ctx) => {
    await using scratch = await createScratch(ctx, { purpose: "restore", database: name });
    const inside = await ctx.db.session({ database: scratch.name });
    await inside.query("CREATE TABLE t AS SELECT 'new' AS word");
    await inside.close();
    const { kept } = await swapIn(ctx, { database: name, scratch });
    assert.deepEqual(await others(database), [kept]);
  });
  assert.equal(proxy.lost, 1);
  assert.equal(await word(database), "new");
  await dropOthers(database);
});

Deno.test("swap: a server that dies meanwhile has the old one when it is back", async () => {
  await using started = await startServer();
  await openDatabase(started, "postgres").query("CREATE DATABASE shop");
  const shop = openDatabase(started, "shop");
  await shop.query("CREATE TABLE t AS SELECT 'old' AS word");
  await withContext({ database: { url: shop.url } }, async (ctx) => {
    const scratch = await createScratch(ctx, { purpose: "restore", database: "shop" });
    const swapping = exchange(ctx, {
      database: "shop",
      incoming: scratch,
      outgoing: "shop_before",
      statements: ["SELECT pg_sleep(60)"],
    });
    const failed = assert.rejects(swapping, { code: "not_swapped", kind: "connection" });
    const server = openDatabase(started, "postgres");
    const pid = await until(async () => {
      const [row] = await server.query<{ pid: number }>(
        "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'",
      );
      return row?.pid;
    });
    // All processes of the server end, and it starts anew.
    Deno.kill(pid, "SIGKILL");
    await failed;
    assert.equal(await word(shop), "old");
    // Its mark is on the disk, though the server need not wait for that; nobody holds its lock any more.
    await until(async () => (await collectScratch(ctx)).includes(scratch.name));
    await scratch.drop();
  });
});

Deno.test("scratch: what a killed run has left is collected, what is alive or none of ours is not", async () => {
  await using database = await filled();
  const { name } = database;
  const server = await maintenance();
  const held = await holdLock(database);
  const program = await startProgram(database.url, "once");
  await held.waiting();
  await withContext({ database }, async (ctx) => {
    const [alive = ""] = await others(database);
    assert.ok(!(await collectScratch(ctx)).includes(alive));
    await program.kill();
    // Its transaction is rolled back, so that the scratch database stays.
    await server.query("SELECT pg_terminate_backend($1)", [await held.waiting()]);
    await held.release();
    const session = await ctx.db.maintenance();
    await until(async () =>
      (await listBeside(session)).some((each) => each.name === alive && !each.alive)
    );
    const foreign = [
      // The name alone, and a copy of the comment under another name.
      `${name}_restore_20261126t2201_ab12`,
      `${name}_copy`,
    ];
    const [row] = await server.query(
      "SELECT shobj_description(oid, 'pg_database') AS comment FROM pg_database WHERE datname = $1",
      [alive],
    );
    for (const each of foreign) await server.query(`CREATE DATABASE "${each}" TEMPLATE template0`);
    const comment = String(row?.["comment"]).replaceAll("'", "''");
    await server.query(
      `COMMENT ON DATABASE "${name}_copy" IS E'${comment.replaceAll("\\", "\\\\")}'`,
    );
    const inside = await openDatabase(await sharedServer(), alive).connect();
    assert.ok(!(await collectScratch(ctx)).includes(alive));
    await inside.end();
    await until(async () => (await collectScratch(ctx)).includes(alive));
    assert.deepEqual((await others(database)).sort(), foreign.sort());
    await dropOthers(database);
  });
});

Deno.test("scratch: a signal leaves none", async () => {
  await using database = await filled();
  const ending = new AbortController();
  await assert.rejects(
    withContext({ database, signal: ending.signal }, async (ctx) => {
      await using scratch = await createScratch(ctx, {
        purpose: "verify",
        database: database.name,
      });
      const inside = await ctx.db.session({ database: scratch.name });
      assert.equal((await others(database)).length, 1);
      setTimeout(() => ending.abort(), 100);
      await inside.query("SELECT pg_sleep(60)");
    }),
    /SIGTERM/,
  );
  assert.deepEqual(await others(database), []);
});

Deno.test("scratch: a locale that the server lacks is refused, with ways out", async () => {
  await using database = await filled();
  await withContext({ database }, async (ctx) => {
    const source = { encoding: "UTF8", collate: "xx_XX.UTF-8", ctype: "xx_XX.UTF-8" };
    for (const purpose of ["restore", "verify"] as const) {
      await assert.rejects(
        createScratch(ctx, { purpose, database: database.name, source }),
        { kind: "refused", code: "locale_missing" },
      );
    }
    const latin = { encoding: "LATIN1", collate: "C", ctype: "C" };
    await using scratch = await createScratch(ctx, {
      purpose: "verify",
      database: database.name,
      source: latin,
    });
    const inside = await ctx.db.session({ database: scratch.name });
    const { rows } = await inside.query("SHOW server_encoding");
    assert.deepEqual(rows, [{ server_encoding: "LATIN1" }]);
    await inside.close();
  });
  assert.deepEqual(await others(database), []);
});
