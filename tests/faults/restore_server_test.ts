/** Sessions that are ended, and servers that break down, while a restore runs. */
import assert from "assert";
import { startServer } from "../../tasks/server.ts";
import { until } from "../cli/project.ts";
import { clientToolsMissing, openDatabase } from "../database.ts";
import { skipWhenMissing } from "../skip.ts";
import { makeRestoreFaults, type Mode, type RestoreFaults } from "./restore_site.ts";
import { makeShim } from "./shim.ts";
import { FORMS, prepareSteps, type Step, STEPS } from "./restore_steps.ts";

const missing = await clientToolsMissing();
const ignore = skipWhenMissing("faults of the server in a restore", missing);

/** What is done to the sessions of a restore. */
interface Blow {
  readonly name: string;
  /** `work` are those of pg_restore and psql, `own` all others. */
  readonly whom: "work" | "own" | "all";
  readonly codes: readonly number[];
}

const BLOWS: readonly Blow[] = [
  { name: "the session that restores is ended", whom: "work", codes: [1, 5] },
  { name: "the sessions with the locks are ended", whom: "own", codes: [1, 5] },
  { name: "all sessions are ended", whom: "all", codes: [1, 5] },
];

/** Where a run has sessions of both kinds: not before pg_restore, and not after it. */
const AT_WORK = STEPS.filter(({ name }) => /middle|locked|about to|names/.test(name));

async function strike(
  { server, target }: RestoreFaults,
  { whom, signal }: { readonly whom: Blow["whom"]; readonly signal?: Deno.Signal },
): Promise<void> {
  const admin = openDatabase(server, "postgres");
  await until(`there is a session: ${whom}`, async () => {
    const rows = await admin.query<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity
        WHERE application_name LIKE 'observatory%' AND application_name <> 'observatory-tests'
          AND (starts_with(datname, $1) OR EXISTS (SELECT FROM pg_locks l
            WHERE l.pid = pg_stat_activity.pid AND l.locktype = 'advisory') AND datname = 'postgres')
          AND CASE $2 WHEN 'work' THEN application_name LIKE 'observatory restore %'
                WHEN 'own' THEN application_name NOT LIKE 'observatory restore %' ELSE true END`,
      [target.name, whom],
    );
    for (const { pid } of rows) {
      if (signal !== undefined) Deno.kill(pid, signal);
      else await admin.query("SELECT pg_terminate_backend($1)", [pid]);
    }
    return rows.length > 0;
  });
}

/** Brings a run to a step, strikes there, and requires what must hold. */
async function struck(
  faults: RestoreFaults,
  { step, what, ids, shim, codes, blow }: {
    readonly step: Step;
    readonly what: string;
    readonly codes: readonly number[];
    readonly blow: () => Promise<void>;
  } & Awaited<ReturnType<typeof prepareSteps>>,
): Promise<void> {
  const { mode, form, args = [], half } = step;
  await faults.reset(mode);
  const held = await step.hold({ faults, shim });
  const running = faults.inside(mode, [ids[form], ...args], { env: held.env });
  await held.reached();
  await blow();
  await held.release();
  const { code, stdout, stderr } = await running;
  const told = `${what}: ${code} ${stderr}`;
  assert(codes.includes(code), told);
  assert.equal(stdout, "", told);
  assert.match(stderr, /^\[ERROR\] /m, told);
  assert.doesNotMatch(stderr, /bug|SUCCESS\] Database restored/, told);
  await faults.untilGone();
  const found = await faults.requireOldOrNew(mode, {
    code,
    what: told,
    ...half === undefined ? {} : { half },
  });
  if (half === true || mode === "empty" && found === "new") await faults.reset(mode);
  await faults.requireRecovered(mode, [ids.custom], what);
}

Deno.test({
  name: "restore, server: sessions are ended at every step",
  ignore,
  async fn() {
    // Of its own, since locks are held in databases that others share.
    await using server = await startServer();
    await using faults = await makeRestoreFaults({ server });
    const prepared = await prepareSteps(faults);
    await using _ = prepared.shim;
    for (const [index, step] of AT_WORK.entries()) {
      // One of them at each step: all of them take minutes.
      for (const { name, whom, codes } of BLOWS.filter((_, each) => each === index % 3)) {
        // Nothing restores there any more.
        if (whom === "work" && /names/.test(step.name)) continue;
        const what = `${name}, ${step.name}, ${step.mode}`;
        await struck(faults, {
          ...prepared,
          step,
          what,
          codes,
          blow: () => strike(faults, { whom }),
        });
      }
    }
  },
});

Deno.test({
  name: "restore, server: it breaks down at every step, and recovers",
  ignore,
  async fn() {
    await using server = await startServer({ settings: { synchronous_commit: "on" } });
    await using faults = await makeRestoreFaults({ server });
    const prepared = await prepareSteps(faults);
    await using _ = prepared.shim;
    for (const step of AT_WORK) {
      const what = `it breaks down, ${step.name}, ${step.mode}`;
      await struck(faults, {
        ...prepared,
        step,
        what,
        codes: [1, 5],
        async blow() {
          const starts = async () =>
            (await server.log()).match(/ready to accept connections/g)?.length ?? 0;
          const before = await starts();
          const whom = /names/.test(step.name) ? "own" : "work";
          // The server ends the session that is asked for others as well.
          await strike(faults, { whom, signal: "SIGKILL" }).catch(() => {});
          await until("the server has recovered", async () => await starts() > before);
        },
      });
    }
  },
});

Deno.test({
  name: "restore, server: stops for good in the middle",
  ignore,
  async fn() {
    for (const mode of ["clean", "swap"] satisfies Mode[]) {
      await using server = await startServer();
      const faults = await makeRestoreFaults({ server });
      // Its databases cannot be dropped any more.
      await using _ = {
        [Symbol.asyncDispose]: () => faults[Symbol.asyncDispose]().then(undefined, () => {}),
      };
      const id = await faults.site.good(FORMS.custom);
      await faults.reset(mode);
      await using shim = await makeShim();
      const hold = shim.holdAt((flag) => ({
        PG_BIN_DIR: shim.directory,
        FAULT_RESTORE: `fed 20000 ${flag}`,
      }));
      const running = faults.inside(mode, [id], {
        env: { ...hold.env, OBSERVATORY_WAIT: "1" },
      });
      await hold.reached();
      server.kill("SIGQUIT");
      await hold.release();
      const { code, stdout, stderr } = await running;
      assert([1, 5].includes(code), stderr);
      assert.equal(stdout, "");
      assert.match(stderr, /^\[ERROR\] .*(connection|shut down|shutting down|lost)/m);
      assert.doesNotMatch(stderr, /bug|SUCCESS\] Database restored/);
    }
  },
});

Deno.test({
  name: "restore, server: what it restores into is dropped by somebody else",
  ignore,
  async fn() {
    await using faults = await makeRestoreFaults();
    const prepared = await prepareSteps(faults, ["swap", "create"]);
    await using _ = prepared.shim;
    for (const step of STEPS.filter(({ mode }) => mode === "swap" || mode === "create")) {
      if (/names/.test(step.name)) continue;
      await struck(faults, {
        ...prepared,
        step,
        what: `dropped, ${step.name}, ${step.mode}`,
        codes: [1, 4, 5],
        async blow() {
          for (const name of await faults.beside()) await openDatabase(faults.server, name).drop();
        },
      });
    }
  },
});
