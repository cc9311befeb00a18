/** Runs that are killed, or told to end, at any moment. */
import assert from "assert";
import { clientToolsMissing, type TestDatabase } from "../database.ts";
import { usersKind as kind } from "../program.ts";
import { skipWhenMissing } from "../skip.ts";
import { until } from "../cli/project.ts";
import { type Chance, withChance } from "./random.ts";
import { makeSite, type Site } from "./site.ts";

const ignore = skipWhenMissing("signals at any moment", await clientToolsMissing());

/** Old backups are pruned, so that some moments fall between the steps of that. */
const WAYS = [
  { args: ["--format=custom"], env: { BACKUP_KEEP_LAST: "1", BACKUP_MIN_KEEP: "1" } },
  {
    args: ["--format=directory", "--jobs=2", "--globals"],
    env: { BACKUP_KEEP_LAST: "1", BACKUP_MIN_KEEP: "1" },
  },
] as const;

type Way = (typeof WAYS)[number];

/** How long a run takes, in milliseconds. */
async function lengthOf(site: Site, { args, env }: Way): Promise<number> {
  const started = performance.now();
  const { code, stderr } = await site.outside(["backup", ...args], { kind, env });
  assert.equal(code, 0, stderr);
  await site.requireSound();
  return performance.now() - started;
}

/** How long runs take here and now, learnt as they go. */
interface Pace {
  readonly chance: Chance;
  /** Milliseconds. */
  length: number;
}

/** Starts a backup and lets it run for a while, to its end at most. */
async function startFor(site: Site, { args, env }: Way, pace: Pace) {
  const { chance, length } = pace;
  const started = performance.now();
  const run = await site.start(["backup", ...args], { kind, env });
  const result = run.result();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const moment = chance.below(Math.ceil(length * 1.1));
  const late = new Promise((resolve) => timer = setTimeout(resolve, moment));
  await Promise.race([result.then(() => pace.length = performance.now() - started), late]);
  clearTimeout(timer);
  return { run, result, moment: `after ${moment} of ${Math.round(length)} ms` };
}

/** Waits until neither a session nor a process of a backup is left. */
async function untilGone(database: TestDatabase): Promise<void> {
  await until("pg_dump is gone", async () => {
    const rows = await database.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database()
         AND application_name LIKE 'observatory%' AND application_name <> 'observatory-tests'`,
    );
    return rows.length === 0;
  });
}

function send(run: { kill(signal: Deno.Signal): void }, signal: Deno.Signal): void {
  try {
    run.kill(signal);
  } catch (error) {
    // It has just ended.
    if (!(error instanceof TypeError)) throw error;
  }
}

for (const [index, way] of WAYS.entries()) {
  Deno.test({
    name: `kill -9: at 24 random moments, ${way.args.join(" ")}`,
    ignore,
    fn: () =>
      withChance(11 + index, async (chance) => {
        await using site = await makeSite();
        const pace = { chance, length: await lengthOf(site, way) };
        let killed = 0;
        for (let time = 1; time <= 24; time++) {
          const { run, result, moment } = await startFor(site, way, pace);
          send(run, "SIGKILL");
          const { signal, code, stderr } = await result;
          const what = `${moment}: ${stderr}`;
          if (signal === null) assert.equal(code, 0, what);
          else killed++;
          await untilGone(site.database);
          await site.requireSound({ pruned: true });
          if (time % 8 !== 0) continue;
          // Nothing that a killed run has left is in the way.
          const next = await site.outside(["backup", ...way.args, "--if-locked=fail"], {
            kind,
            env: way.env,
          });
          assert.equal(next.code, 0, `${what}\n${next.stderr}`);
          await site.requireCollected({ pruned: true });
        }
        assert(killed >= 12, `only ${killed} were killed`);
      }),
  });

  Deno.test({
    name: `INT and TERM: at random moments, ${way.args.join(" ")}`,
    ignore,
    fn: () =>
      withChance(21 + index, async (chance) => {
        await using site = await makeSite();
        const pace = { chance, length: await lengthOf(site, way) };
        let ended = 0;
        for (let time = 0; time < 12; time++) {
          const before = await site.files();
          const { run, result, moment } = await startFor(site, way, pace);
          const [signal, exit] = time % 2 === 0
            ? ["SIGINT", 130] as const
            : ["SIGTERM", 143] as const;
          send(run, signal);
          const { code, signal: by, stderr } = await result;
          const what = `${signal} ${moment}: ${stderr}`;
          const ids = await site.requireSound({ pruned: true });
          const after = await site.files();
          if (code === 0) continue;
          ended++;
          // A signal that comes before the run listens ends it in the system's way.
          if (by !== signal) assert.equal(code, exit, what);
          // Nothing is left of a run that has not published anything.
          const fresh = after.filter((name) =>
            !before.includes(name) && !name.includes(".verify-")
          );
          if (!fresh.some((name) => name.startsWith(`${ids[0]}.`))) {
            assert.deepEqual(fresh, [], what);
          }
          assert.deepEqual(fresh.filter((name) => /partial|started/.test(name)), [], what);
        }
        await untilGone(site.database);
        await site.requireCollected({ pruned: true });
        assert(ended >= 5, `only ${ended} were ended`);
      }),
  });

  Deno.test({
    name: `INT and TERM: twice, at random moments, ${way.args.join(" ")}`,
    ignore,
    fn: () =>
      withChance(31 + index, async (chance) => {
        await using site = await makeSite();
        const pace = { chance, length: await lengthOf(site, way) };
        for (let time = 0; time < 8; time++) {
          const { run, result, moment } = await startFor(site, way, pace);
          send(run, "SIGINT");
          await new Promise((resolve) => setTimeout(resolve, chance.below(20)));
          send(run, "SIGTERM");
          const { code, stderr } = await result;
          assert([0, 130, 143].includes(code), `${moment}: ${code} ${stderr}`);
          await untilGone(site.database);
          await site.requireSound({ pruned: true });
        }
        const next = await site.outside(["backup", "--if-locked=fail"], { kind });
        assert.equal(next.code, 0, next.stderr);
        await site.requireCollected({ pruned: true });
      }),
  });
}
