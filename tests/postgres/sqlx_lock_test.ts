import assert from "assert";
// @ts-types="@types/pg"
import type pg from "pg";
import { crc32 } from "node:zlib";
import { startServer } from "../../tasks/server.ts";
import { openDatabase } from "../database.ts";
import { runObservatory } from "../fixtures/sqlx_observatory.ts";
import type { Outcome } from "../fixtures/sqlx_observatory.ts";
import { openSite, readState, takeByHand } from "../fixtures/sqlx_site.ts";
import type { Site } from "../fixtures/sqlx_site.ts";

/** The lock on which the migration of these tests waits until it is told to go on. */
const GATE = 4711n;

Deno.test("migrate: holds the lock of sqlx's library for the databases whose keys are known", async () => {
  await using server = await startServer();
  const keys = {
    postgres: 368907709894077238n,
    app: 3469795979745788610n,
    mydb: 293176876009260204n,
  };
  for (const [name, key] of Object.entries(keys)) {
    const database = openDatabase(server, name);
    if (name !== "postgres") {
      await openDatabase(server, "postgres").query(`CREATE DATABASE ${name}`);
    }
    await using site = await openSite({ ...database, drop: () => Promise.resolve() });
    assert.equal(keyOf(site), key);
    await usingSlowMigration(site, async () => {
      assert.equal(await holdersOf(site, key), 1);
    });
    assert.equal(await holdersOf(site, key), 0);
  }
});

Deno.test("migrate: keeps an app that embeds sqlx waiting until everything is applied", async () => {
  await using site = await openSite();
  const app = await site.database.connect();
  try {
    let locked: Promise<unknown> = Promise.resolve();
    await usingSlowMigration(site, async () => {
      locked = app.query("SELECT pg_advisory_lock($1)", [keyOf(site)]);
      await until("the app waits", async () => (await waitersFor(site, keyOf(site))) === 1);
    });
    await locked;
    const { rows } = await app.query("SELECT version::int, success FROM _sqlx_migrations");
    assert.deepEqual(rows, [{ version: 1, success: true }, { version: 2, success: true }]);
  } finally {
    await app.end();
  }
});

Deno.test("migrate: exits 6 and changes nothing while an app that embeds sqlx holds the lock", async () => {
  await using site = await openSite();
  await writeMigrations(site);
  const app = await site.database.connect();
  try {
    const { rows: [held] } = await app.query<{ pid: number }>(
      "SELECT pg_backend_pid() AS pid, pg_advisory_lock($1)",
      [keyOf(site)],
    );
    const outcome = await runObservatory(site, ["migrate", "--lock-wait", "0"]);
    assert.equal(outcome.exit, 6);
    assert.equal(outcome.answer.error?.code, "locked");
    assert.match(outcome.answer.error?.message ?? "", new RegExp(`process ${held?.pid}\\b`));
    assert.deepEqual(await readState(site), { rows: null, objects: [] });
    // Looking takes no lock.
    assert.equal((await runObservatory(site, ["migrate", "status"])).exit, 0);
  } finally {
    await app.end();
  }
});

Deno.test("migrate: goes on as soon as an app that embeds sqlx releases the lock", async () => {
  await using site = await openSite();
  await writeMigrations(site);
  const app = await site.database.connect();
  try {
    await app.query("SELECT pg_advisory_lock($1)", [keyOf(site)]);
    const run = runObservatory(site, ["migrate", "--lock-wait", "60"]);
    await until("the run tries the lock", async () => {
      const { rows: [count] } = await site.observer.query<{ count: number }>(
        `SELECT count(*)::int FROM pg_stat_activity
         WHERE datname = current_database() AND query LIKE '%pg_try_advisory_lock%'
           AND pid <> pg_backend_pid()`,
      );
      return (count?.count ?? 0) > 0;
    }, run);
    assert.deepEqual(await readState(site), { rows: null, objects: [] });
    // A waiter inside the server would stall CREATE INDEX CONCURRENTLY of the holder.
    assert.equal(await waitersFor(site, keyOf(site)), 0);
    await app.query("SELECT pg_advisory_unlock($1)", [keyOf(site)]);
    assert.equal((await run).exit, 0);
    assert.equal((await readState(site)).rows?.length, 2);
  } finally {
    await app.end();
  }
});

/** The key as sqlx's library makes it: a constant times the CRC-32 of the database's name. */
function keyOf({ database }: Site): bigint {
  return 0x3d32ad9en * BigInt(crc32(database.name));
}

/** How many sessions hold a lock, as `pg_locks` tells. */
function holdersOf(site: Site, key: bigint): Promise<number> {
  return countLocks(site, { key, granted: true });
}

/** How many sessions wait for a lock inside the server. */
function waitersFor(site: Site, key: bigint): Promise<number> {
  return countLocks(site, { key, granted: false });
}

async function countLocks(
  { observer }: Site,
  { key, granted }: { key: bigint; granted: boolean },
): Promise<number> {
  const { rows: [row] } = await observer.query<{ count: number }>(
    `SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND granted = $1
       AND classid::text = $2 AND objid::text = $3 AND objsubid = 1
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    // A 64-bit key is shown as two unsigned halves.
    [granted, String(key >> 32n), String(key & 0xffffffffn)],
  );
  return row?.count ?? 0;
}

async function writeMigrations(site: Site): Promise<void> {
  await takeByHand(site, {
    write: {
      "migrations/1_first.sql": "CREATE TABLE first (id bigint PRIMARY KEY);\n",
      "migrations/2_slow.sql": `SELECT pg_advisory_xact_lock(${GATE});\n`,
    },
  });
}

/** Runs `migrate` with a migration that does not end before `work` has. */
async function usingSlowMigration(site: Site, work: () => Promise<void>): Promise<void> {
  await writeMigrations(site);
  const gate: pg.Client = await site.database.connect();
  let run: Promise<Outcome> | undefined;
  try {
    await gate.query("SELECT pg_advisory_lock($1)", [GATE]);
    run = runObservatory(site, ["migrate"]);
    await until(
      "the migration waits",
      async () => (await waitersFor(site, GATE)) === 1,
      run,
    );
    await work();
  } finally {
    await gate.end();
  }
  const { exit, stderr } = await run;
  assert.equal(exit, 0, stderr);
}

/** Looks again and again until something holds; a run that ends before is a failure. */
async function until(
  what: string,
  holds: () => Promise<boolean>,
  run?: Promise<Outcome>,
): Promise<void> {
  let ended: Outcome | undefined;
  run?.then((outcome) => void (ended = outcome), () => {});
  const deadline = Date.now() + 20_000;
  while (!await holds()) {
    assert.ok(ended === undefined, `the run ended before ${what}: ${ended?.stderr}`);
    assert.ok(Date.now() < deadline, `waited too long until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
