/** A server that stops, and sessions that are ended, while a backup runs. */
import assert from "assert";
import { BACKUP_LOCK_KEY } from "../../plugins/sql/lock_keys.ts";
import { startServer } from "../../tasks/server.ts";
import { until } from "../cli/project.ts";
import { clientToolsMissing, freshDatabase, type TestDatabase } from "../database.ts";
import { forUsersKind } from "../program.ts";
import { skipWhenMissing } from "../skip.ts";
import { holdHere, makeShim, type Shim } from "./shim.ts";
import { type Left, makeSite, ROWS, type Site } from "./site.ts";

const missing = await clientToolsMissing();
const ignore = skipWhenMissing("faults of the server", missing);

/** What is done to the sessions of a backup that is in its middle. */
interface Blow {
  readonly name: string;
  /** Of which sessions; `dump` are pg_dump's, `snapshot` is the one that counts. */
  readonly whom: "dump" | "snapshot" | "lock" | "all";
  readonly how?: "pg_cancel_backend" | "pg_terminate_backend";
  /** What the run ends with, and tells. */
  readonly code: number | readonly number[];
  readonly told: RegExp;
}

const LOST =
  /^\[ERROR\] The connection that held the backup lock was lost; another run may have started$/m;

const BLOWS: readonly Blow[] = [
  {
    name: "pg_dump's session is ended",
    whom: "dump",
    code: 1,
    // A session that is sending has no way to say why it ends.
    told:
      /^\[ERROR\] Cannot back up: pg_dump failed: .*\n?.*(terminating connection due to administrator command|server closed the connection unexpectedly)/m,
  },
  { name: "the session with the lock is ended", whom: "lock", code: 5, told: LOST },
  {
    name: "the session that counts is ended",
    whom: "snapshot",
    // The snapshot goes with its session; pg_dump may be the first to notice.
    code: [1, 5],
    told: /^\[ERROR\] .*(terminating connection due to administrator command|invalid snapshot)/m,
  },
  {
    name: "the count is cancelled",
    whom: "snapshot",
    how: "pg_cancel_backend",
    code: 1,
    told: /^\[ERROR\] .*canceling statement due to user request/m,
  },
  {
    name: "all sessions are ended",
    whom: "all",
    code: 5,
    told: /^\[ERROR\] The connection (that held the backup lock|to \S+) was lost/m,
  },
];

const SESSIONS = `SELECT pid FROM pg_stat_activity a
  WHERE datname = current_database() AND application_name LIKE 'observatory%'
    AND application_name <> 'observatory-tests' AND CASE $1
    WHEN 'dump' THEN application_name LIKE '% backup %' AND query NOT LIKE 'SELECT count(*)%'
    WHEN 'snapshot' THEN query LIKE 'SELECT count(*)%' AND state = 'active'
    WHEN 'lock' THEN pid IN (SELECT l.pid FROM pg_locks l WHERE locktype = 'advisory'
      AND (classid::bigint << 32) | objid::bigint = ${BACKUP_LOCK_KEY}::bigint)
    ELSE true END`;

async function strike(database: TestDatabase, { whom, how = "pg_terminate_backend" }: Blow) {
  await until(`there is a session: ${whom}`, async () => {
    const rows = await database.query(`SELECT ${how}(pid) FROM (${SESSIONS}) s`, [whom]);
    return rows.length > 0;
  });
}

async function untilGone(database: TestDatabase): Promise<void> {
  await until("no session is left", async () => {
    const rows = await database.query(SESSIONS, ["all"]);
    return rows.length === 0;
  });
}

/** Runs SQL in a transaction that stays open. */
async function holdLock(database: TestDatabase, sql: string) {
  const client = await database.connect();
  client.on("error", () => {});
  await client.query(`BEGIN; ${sql}`);
  return { end: () => client.end() };
}

/** Waits until a session of a backup waits for a lock. */
async function untilWaiting(database: TestDatabase, query: string): Promise<void> {
  await until("a session waits for a lock", async () => {
    const rows = await database.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database()
         AND application_name LIKE 'observatory backup %' AND wait_event_type = 'Lock'
         AND query LIKE $1`,
      [query],
    );
    return rows.length > 0;
  });
}

/** A backup in its middle: it goes on when it is released. */
interface Held {
  readonly running: Promise<Left>;
  release(): Promise<void>;
}

/** Starts a backup that is held in the middle of its dump. */
async function startDumping(
  { site, shim }: { readonly site: Site; readonly shim: Shim },
  args: readonly string[],
): Promise<Held> {
  if (!args.includes("--format=directory")) {
    const hold = shim.hold();
    const running = site.inside(["backup", ...args], { env: hold.env });
    await hold.reached();
    return { running, release: hold.release };
  }
  // A directory is written by pg_dump itself, which comes to the large objects after tables.
  const lock = await holdLock(site.database, "LOCK pg_largeobject IN ACCESS EXCLUSIVE MODE");
  const running = site.inside(["backup", ...args]);
  await untilWaiting(site.database, "%");
  return { running, release: lock.end };
}

/** Starts a backup that is held while it counts. */
async function startCounting(
  { site, shim }: { readonly site: Site; readonly shim: Shim },
  args: readonly string[],
): Promise<Held> {
  const hold = shim.holdAt((flag) => ({ ...shim.env("whole"), FAULT_VERSION: holdHere(flag) }));
  const running = site.inside(["backup", ...args], { env: hold.env });
  await hold.reached();
  const lock = await holdLock(site.database, "LOCK item IN ACCESS EXCLUSIVE MODE");
  await hold.release();
  await untilWaiting(site.database, "SELECT count(*)%");
  return { running, release: lock.end };
}

Deno.test({
  name: "server: a session is ended in the middle of a dump",
  ignore,
  async fn() {
    await using shim = await makeShim();
    await using site = await makeSite();
    const good = await site.good();
    for (const blow of BLOWS) {
      for (const format of ["custom", "directory"]) {
        const before = await site.files();
        const start = blow.whom === "snapshot" ? startCounting : startDumping;
        const held = await start({ site, shim }, [`--format=${format}`]);
        await strike(site.database, blow);
        await held.release();
        const { code, stdout, stderr } = await held.running;
        const what = `${blow.name}, ${format}: ${stderr}`;
        assert([blow.code].flat().includes(code), `${code}, ${what}`);
        assert.equal(stdout, "", what);
        assert.match(stderr, blow.told, what);
        assert.doesNotMatch(stderr, /SUCCESS\] Backup/, what);
        assert.deepEqual(await site.files(), before, what);
        await untilGone(site.database);
        assert.deepEqual(await site.requireCollected(), [good]);
      }
    }
  },
});

forUsersKind("server: stops in the middle of a dump", async (kind) => {
  await using shim = await makeShim();
  await using server = await startServer();
  await using site = await makeSite({ database: await freshDatabase({ server, sql: ROWS }) });
  const good = await site.good(["--schema-only"]);
  const hold = shim.hold();
  const run = await site.start(["backup"], { kind, env: hold.env });
  await hold.reached();
  server.kill("SIGQUIT");
  await hold.release();
  await requireStopped(site, { left: await run.result(), good });
}, { missing });

Deno.test({
  name: "server: stops in the middle of a dump, in every format",
  ignore,
  async fn() {
    await using shim = await makeShim();
    for (const args of [["--format=plain", "--compress"], ["--format=directory", "--jobs=2"]]) {
      await using server = await startServer();
      await using site = await makeSite({ database: await freshDatabase({ server, sql: ROWS }) });
      const good = await site.good(["--schema-only"]);
      const held = await startDumping({ site, shim }, args);
      server.kill("SIGQUIT");
      await held.release();
      await requireStopped(site, { left: await held.running, good });
    }
  },
});

/** Requires that a run has told of the server's end, and left nothing. */
async function requireStopped(
  site: Site,
  { left: { code, stdout, stderr }, good }: { readonly left: Left; readonly good: string },
): Promise<void> {
  assert.equal(stdout, "");
  assert([1, 5].includes(code), `${code}: ${stderr}`);
  assert.match(
    stderr,
    /^\[ERROR\] .*(server closed the connection|connection|shut down|shutting down)/m,
  );
  assert.doesNotMatch(stderr, /bug|SUCCESS\] Backup/);
  assert.deepEqual((await site.files()).filter((name) => !name.startsWith(good)), []);
  assert.deepEqual(await site.listed(), [good]);
}

forUsersKind("server: the lock is lost, and a migration may begin at once", async (kind) => {
  await using shim = await makeShim();
  await using site = await makeSite();
  await Deno.mkdir(`${site.directory}/migrations`);
  await Deno.writeTextFile(
    `${site.directory}/migrations/1_first.sql`,
    "ALTER TABLE item ADD more int;",
  );
  const hold = shim.hold();
  const run = await site.start(["backup"], { kind, env: hold.env });
  await hold.reached();
  await strike(site.database, { name: "", whom: "lock", code: 5, told: LOST });
  // The dump is still held: nothing but the loss of its lock ends it.
  const migrated = await site.outside(["migrate", "--lock-wait", "10"], { kind });
  assert.equal(migrated.code, 0, migrated.stderr);
  const { code, stderr } = await run.result();
  assert.equal(code, 5, stderr);
  assert.match(stderr, LOST);
  assert.deepEqual(await site.files(), []);
  await hold.release();
}, { missing });

Deno.test({
  name: "server: the database is dropped, or closed to others, in the middle of a dump",
  ignore,
  async fn() {
    await using shim = await makeShim();
    const other = await freshDatabase();
    await using site = await makeSite();
    const good = await site.good();
    const hold = shim.hold();
    const running = site.inside(["backup"], { env: hold.env });
    await hold.reached();
    // Its own sessions go on, and it gets no more of them: it makes do.
    await other.query(`ALTER DATABASE "${site.database.name}" ALLOW_CONNECTIONS false`);
    await hold.release();
    const { code, stderr } = await running;
    await other.query(`ALTER DATABASE "${site.database.name}" ALLOW_CONNECTIONS true`);
    assert.equal(code, 0, stderr);
    assert.match(
      stderr,
      /^\[WARNING\] Whether migrations were applied while the dump ran is not known: /m,
    );
    assert.equal((await site.requireCollected()).length, 2);

    const dropped = shim.hold();
    const before = await site.files();
    const failing = site.inside(["backup"], { env: dropped.env });
    await dropped.reached();
    await other.query(`DROP DATABASE "${site.database.name}" WITH (FORCE)`);
    await dropped.release();
    const left = await failing;
    assert([1, 5].includes(left.code), left.stderr);
    assert.match(left.stderr, /^\[ERROR\] .*(terminating connection|lost)/m);
    assert.deepEqual(await site.files(), before);
    assert((await site.listed()).includes(good));
    await other.drop();
  },
});

Deno.test({
  name: "server: a table is locked before the dump begins",
  ignore,
  async fn() {
    await using site = await makeSite();
    const good = await site.good();
    const client = await site.database.connect();
    await client.query("BEGIN; LOCK item IN ACCESS EXCLUSIVE MODE");
    const before = await site.files();
    for (const format of ["custom", "directory"]) {
      const { code, stderr } = await site.inside([
        "backup",
        `--format=${format}`,
        "--stall-timeout=0.2",
      ]);
      assert.equal(code, 6, stderr);
      assert.match(
        stderr,
        /^\[ERROR\] Cannot back up: a lock that somebody else holds was waited for in vain for 0\.2 s$/m,
      );
      assert.deepEqual(await site.files(), before);
    }
    await client.end();
    assert.deepEqual(await site.requireCollected(), [good]);
  },
});
