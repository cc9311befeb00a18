/** Our process killed with -9 at every step: no step leaves a backup that is none, or a lock. */
import assert from "assert";
import { clientToolsMissing, type TestDatabase } from "../database.ts";
import { BACKUP_LOCK_KEY, sqlxLockKey } from "../../plugins/sql/lock_keys.ts";
import { forUsersKind, type Run } from "../program.ts";
import { type Hold, holdHere, makeShim, type Shim } from "./shim.ts";
import { makeSite, type Site } from "./site.ts";
import { until } from "../cli/project.ts";

const missing = await clientToolsMissing();

/** What a step is held with. */
interface Holding {
  readonly site: Site;
  readonly shim: Shim;
  /** Runs SQL in a transaction that stays open. */
  readonly hold: (sql: string) => Promise<Held>;
  readonly start: (
    args: readonly string[],
    fault?: Readonly<Record<string, string>>,
  ) => Promise<Run>;
}

interface Held {
  end(): Promise<void>;
}

/** A step: reached by a run that is held there, and what is in the directory of backups then. */
interface Step {
  readonly name: string;
  /** Names without the backup's id, sorted. */
  readonly files: readonly string[];
  /** Brings a run there; the returned function lets go what was held, after the kill. */
  reach(holding: Holding): Promise<{ run: Run; release(): Promise<void> }>;
}

const STEPS: readonly Step[] = [
  {
    name: "waiting for the lock",
    files: [],
    async reach({ hold, start }) {
      const lock = await hold(`SELECT pg_advisory_lock(${BACKUP_LOCK_KEY})`);
      const run = await start(["--lock-wait=60"]);
      await run.until(/Database is ready/);
      return { run, release: lock.end };
    },
  },
  {
    name: "with the lock",
    files: [],
    async reach({ site, hold, start }) {
      const key = sqlxLockKey(site.database.name);
      const lock = await hold(`SELECT pg_advisory_lock(${key})`);
      const run = await start([]);
      await run.until(/Waiting for migrations to end/);
      return { run, release: lock.end };
    },
  },
  {
    name: "with a snapshot",
    files: [],
    async reach({ site, hold, start }) {
      const lock = await hold("LOCK pg_largeobject_metadata IN ACCESS EXCLUSIVE MODE");
      const run = await start([]);
      await until("the inventory waits", () => waits(site.database));
      return { run, release: lock.end };
    },
  },
  {
    name: "with its name",
    files: [".started.json"],
    reach: ({ shim, start }) =>
      reachBy(
        shim.holdAt((flag) => shim.env(`${holdHere(flag)}; whole`)),
        (env) => start([], env),
      ),
  },
  {
    name: "while the dump is written",
    files: [".dump.partial", ".started.json"],
    reach: ({ shim, start }) => reachBy(shim.hold(), (env) => start([], env)),
  },
  {
    name: "when all of the dump is written",
    files: [".dump.partial", ".started.json"],
    reach: ({ shim, start }) =>
      reachBy(
        shim.holdAt((flag) => shim.env(`whole; ${holdHere(flag)}`)),
        (env) => start([], env),
      ),
  },
  {
    name: "when all of a directory is written",
    files: [".dir.partial/toc.dat", ".started.json"],
    reach: ({ shim, start }) =>
      reachBy(
        shim.holdAt((flag) => shim.env(`whole; ${holdHere(flag)}`)),
        (env) => start(["--format=directory"], env),
      ),
  },
  ...["custom", "directory"].map((format): Step => ({
    name: `while roles are written, ${format}`,
    files: [
      ...format === "custom" ? [".dump"] : [".dir/toc.dat"],
      ".globals.sql.partial",
      ".started.json",
    ],
    reach: ({ shim, start }) =>
      reachBy(
        shim.holdAt((flag) => ({ ...shim.env("whole"), FAULT_GLOBALS: `held 100 ${flag}` })),
        (env) => start([`--format=${format}`, "--globals"], env),
      ),
  })),
];

/** Holds a run by its pg_dump. */
async function reachBy(
  hold: Hold,
  start: (env: Readonly<Record<string, string>>) => Promise<Run>,
): Promise<{ run: Run; release(): Promise<void> }> {
  const run = await start(hold.env);
  await hold.reached();
  return { run, release: hold.release };
}

/** Whether a session of a backup waits for a lock. */
async function waits(database: TestDatabase): Promise<boolean> {
  const rows = await database.query(
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
       AND application_name LIKE 'observatory backup %'`,
  );
  return rows.length > 0;
}

/** Waits until no session of a backup is in the database. */
async function untilGone(database: TestDatabase): Promise<void> {
  await until("no session is left", async () => {
    const rows = await database.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database()
         AND application_name LIKE 'observatory%' AND application_name <> 'observatory-tests'`,
    );
    return rows.length === 0;
  });
}

forUsersKind("kill -9: at every step", async (kind) => {
  await using shim = await makeShim();
  await using site = await makeSite();
  const good = await site.good();
  for (const step of STEPS) {
    const known = await site.files();
    const before = await site.listed();
    const holding: Holding = {
      site,
      shim,
      async hold(sql) {
        const client = await site.database.connect();
        client.on("error", () => {});
        await client.query("BEGIN");
        await client.query(sql);
        return { end: () => client.end() };
      },
      start: (args, env = {}) => site.start(["backup", "--no-prune", ...args], { kind, env }),
    };
    const { run, release } = await step.reach(holding);
    run.kill("SIGKILL");
    assert.equal((await run.result()).signal, "SIGKILL", step.name);
    const left = (await site.files()).filter((name) => !known.includes(name));
    const expected = step.files;
    const seen = left.map((name) => name.replace(/^.*_\d{6}(?=\.)/, ""));
    for (const name of expected) assert(seen.includes(name), `${step.name}: ${seen}`);
    assert(seen.every((name) => !name.endsWith(".manifest.json")), step.name);
    assert.deepEqual(await site.listed(), before, step.name);
    await release();
    // Nobody has to wait, or to clear anything away.
    const started = Date.now();
    const next = await site.outside(["backup", "--no-prune", "--if-locked=fail"], { kind });
    assert.equal(next.code, 0, `${step.name}: ${next.stderr}`);
    assert(Date.now() - started < 10_000, step.name);
    assert.equal((await site.listed()).length, before.length + 1);
    await untilGone(site.database);
    // A run that goes on writes within a day, and this one may be one.
    assert.equal((await site.inside(["backup", "gc"])).code, 0);
    assert.deepEqual((await site.files()).filter((name) => left.includes(name)), left, step.name);
  }
  const ids = await site.requireCollected();
  assert.equal(ids.length, STEPS.length + 1);
  assert.equal(ids.at(-1), good);
}, { missing });

forUsersKind("kill -9: what it has left on the server is ended by the next run", async (kind) => {
  await using shim = await makeShim();
  await using site = await makeSite();
  await using other = await makeSite();
  const elsewhere = shim.hold();
  const going = other.inside(["backup"], { env: elsewhere.env });
  await elsewhere.reached();
  const hold = shim.hold();
  const run = await site.start(["backup"], { kind, env: hold.env });
  await hold.reached();
  run.kill("SIGKILL");
  await run.result();
  // pg_dump waits for its pipe, which nobody closes before the hold is released.
  const sessions = () =>
    site.database.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE datname = current_database()
         AND application_name LIKE 'observatory backup %' AND query LIKE 'COPY %'`,
    );
  const [dump] = await sessions();
  assert(dump);
  const next = await site.outside(["backup"], { kind });
  assert.equal(next.code, 0, next.stderr);
  assert.match(
    next.stderr,
    new RegExp(`^\\[WARNING\\] Ended what a backup had left .*: process .*${dump.pid}`, "m"),
  );
  assert.deepEqual(await sessions(), []);
  await hold.release();
  // Backups of other databases have nothing to do with it.
  await elsewhere.release();
  const { code, stderr } = await going;
  assert.equal(code, 0, stderr);
  assert.equal((await site.requireCollected()).length, 1);
  const again = await site.outside(["backup"], { kind });
  assert.doesNotMatch(again.stderr, /WARNING/);
}, { missing });
