/** Restores that are told to end, at every step and at any moment. */
import assert from "assert";
import { clientToolsMissing } from "../database.ts";
import { forUsersKind, usersKind } from "../program.ts";
import { skipWhenMissing } from "../skip.ts";
import { withChance } from "./random.ts";
import { makeRestoreFaults, type Mode } from "./restore_site.ts";
import { type Form, FORMS, prepareSteps, STEPS } from "./restore_steps.ts";

const missing = await clientToolsMissing();
const ignore = skipWhenMissing("restores that are told to end", missing);

const EXITS = { SIGINT: 130, SIGTERM: 143 } as const;

forUsersKind("restore, INT and TERM: at every step", async (kind) => {
  await using faults = await makeRestoreFaults();
  const { shim: made, ids } = await prepareSteps(faults);
  await using shim = made;
  for (const [index, { name, mode, form, args = [], half, hold }] of STEPS.entries()) {
    const signal = index % 2 === 0 ? "SIGINT" : "SIGTERM";
    const what = `${signal}, ${name}, ${mode}`;
    await faults.reset(mode);
    const step = await hold({ faults, shim });
    const run = await faults.start(mode, [ids[form], ...args], { kind, env: step.env });
    await step.reached().catch((error) => {
      throw new Error(`${what}: ${run.stderr}`, { cause: error });
    });
    run.kill(signal);
    // It ends by itself, while whatever holds it goes on.
    const { code, stdout, stderr } = await run.result();
    assert.equal(code, EXITS[signal], `${what}: ${stderr}`);
    assert.equal(stdout, "", what);
    assert.doesNotMatch(stderr, /SUCCESS\] Database restored|bug/, what);
    await step.release();
    await faults.untilGone();
    // What was made beside it is gone at once, unless nobody could drop it for as long as a run has for
    // its end: then the next one does.
    if (!stderr.includes("Still busy")) {
      assert.deepEqual(await faults.beside(), [], `${what}: ${stderr}`);
    }
    const found = await faults.requireOldOrNew(mode, {
      code,
      what,
      ...half === undefined ? {} : { half },
    });
    if (half === true || mode === "empty" && found === "new") await faults.reset(mode);
    await faults.requireRecovered(mode, [ids.custom], what);
  }
}, { missing });

/** Ways of a restore, and how often each is ended. */
const WAYS: readonly (readonly [Mode, Form, ...string[]])[] = [
  ["clean", "custom"],
  ["empty", "plain"],
  ["swap", "custom"],
  ["swap", "directory", "--jobs=2"],
  ["create", "plain"],
];

for (const [index, [mode, form, ...args]] of WAYS.entries()) {
  Deno.test({
    name: `restore, KILL, INT and TERM: at 18 random moments, ${mode}, ${form} ${args.join(" ")}`,
    ignore,
    fn: () =>
      withChance(61 + index, async (chance) => {
        await using faults = await makeRestoreFaults();
        const id = await faults.site.good(FORMS[form]);
        await faults.learn(mode, [id, ...args]);
        let started = performance.now();
        await faults.outside(mode, [id, ...args], { kind: usersKind });
        let length = performance.now() - started;
        let ended = 0;
        for (let time = 0; time < 18; time++) {
          const signal = (["SIGKILL", "SIGINT", "SIGTERM"] as const)[time % 3] ?? "SIGKILL";
          await faults.reset(mode);
          const moment = chance.below(Math.ceil(length * 1.1));
          started = performance.now();
          const run = await faults.start(mode, [id, ...args], { kind: usersKind });
          const result = run.result().finally(() => length = performance.now() - started);
          await Promise.race([result, new Promise((resolve) => setTimeout(resolve, moment))]);
          try {
            run.kill(signal);
          } catch (error) {
            // It has just ended.
            if (!(error instanceof TypeError)) throw error;
          }
          const { code, stderr, signal: by } = await result;
          const what = `${signal} after ${moment} of ${Math.round(length)} ms: ${stderr}`;
          if (by !== null || code !== 0) ended++;
          await faults.untilGone();
          await faults.requireOldOrNew(mode, { code: by === null ? code : null, what });
          if (time % 6 !== 5) continue;
          await faults.reset(mode);
          await faults.requireRecovered(mode, [id, ...args], what);
        }
        assert(ended >= 6, `only ${ended} were ended`);
      }),
  });
}
