/** Restores killed with -9 at every step: the old data are there or the new ones, and nothing is in the way. */
import assert from "assert";
import { clientToolsMissing } from "../database.ts";
import { forUsersKind } from "../program.ts";
import { makeRestoreFaults } from "./restore_site.ts";
import { prepareSteps, STEPS } from "./restore_steps.ts";

const missing = await clientToolsMissing();

forUsersKind("restore, kill -9: at every step", async (kind) => {
  await using faults = await makeRestoreFaults();
  const { shim: made, ids } = await prepareSteps(faults);
  await using shim = made;
  for (const { name, mode, form, args = [], leaves, half, hold } of STEPS) {
    const what = `${name}, ${mode}`;
    await faults.reset(mode);
    const step = await hold({ faults, shim });
    const run = await faults.start(mode, [ids[form], ...args], { kind, env: step.env });
    await step.reached().catch((error) => {
      throw new Error(`${what}: ${run.stderr}`, { cause: error });
    });
    run.kill("SIGKILL");
    assert.equal((await run.result()).signal, "SIGKILL", what);
    await step.release();
    await faults.untilGone();
    const found = await faults.requireOldOrNew(mode, {
      code: null,
      what,
      ...half === undefined ? {} : { half },
    });
    if (leaves !== undefined) assert.equal(found, leaves, what);
    // Nobody has to clear anything away.
    if (half === true || mode === "empty" && found === "new") await faults.reset(mode);
    await faults.requireRecovered(mode, [ids.custom], what);
  }
}, { missing });

/** Rows that look whole wherever they are cut, many more of them than a pipe holds. */
const WORDS = `CREATE TABLE item AS SELECT md5(n::text) AS word FROM generate_series(1, 60000) n;
  CREATE TABLE last (n int)`;

forUsersKind("restore, kill -9: in the middle of a script that looks whole", async (kind) => {
  await using faults = await makeRestoreFaults({ sql: WORDS });
  const { shim: made, ids } = await prepareSteps(faults, ["empty"]);
  await using shim = made;
  for (const { name, mode, form, hold } of STEPS) {
    if (mode !== "empty" || form !== "plain") continue;
    await faults.reset(mode);
    const step = await hold({ faults, shim });
    const run = await faults.start(mode, [ids[form]], { kind, env: step.env });
    await step.reached();
    run.kill("SIGKILL");
    await run.result();
    await step.release();
    await faults.untilGone();
    const found = await faults.requireOldOrNew(mode, { code: null, what: name });
    assert.equal(found, "old", name);
    await faults.requireRecovered(mode, [ids[form]], name);
  }
}, { missing });
