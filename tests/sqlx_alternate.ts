/**
 * Alternates real sqlx binaries with `observatory`; for hand use, since they must be built first:
 *
 *     deno run -A tests/sqlx_alternate.ts DIRECTORY [CASE...]
 *
 * DIRECTORY holds `sqlx-0.7.3` and `sqlx-0.9.0`. For each version and each
 * recorded case it proves that the recording still holds, that the replay which
 * the tests use leaves what the binary leaves, and that the case comes to the
 * expected end when sqlx takes its first runs and `observatory` the rest, the
 * other way round, and when they take turns: at every point.
 */

import assert from "assert";
import { loadCases, SQLX_VERSIONS } from "./fixtures/sqlx_cases.ts";
import type { RunStep, SqlxCase, SqlxVersion } from "./fixtures/sqlx_cases.ts";
import { runSqlx } from "./fixtures/sqlx_binary.ts";
import { play } from "./fixtures/sqlx_play.ts";
import { replay } from "./fixtures/sqlx_replay.ts";
import { listFiles, openSite, readCatalog, readState, takeByHand } from "./fixtures/sqlx_site.ts";
import type { Site } from "./fixtures/sqlx_site.ts";

/** One version's binary. */
interface Binary {
  readonly directory: string;
  readonly version: SqlxVersion;
}

/** Proves that recording, replay and binary agree. */
async function checkReplay(recorded: SqlxCase, binary: Binary): Promise<void> {
  await using real = await openSite();
  await using played = await openSite();
  for (const step of recorded.steps) {
    if (!("run" in step)) {
      await takeByHand(real, step);
      await takeByHand(played, step);
      continue;
    }
    await runRecorded(real, { step, binary });
    await replay(played, step, binary.version);
    assert.deepEqual(await readCatalog(played), await readCatalog(real));
    assert.deepEqual(listFiles(played), listFiles(real));
  }
}

/** Runs sqlx where everything is as recorded: so must be what it does. */
async function runRecorded(
  site: Site,
  { step, binary }: { step: RunStep; binary: Binary },
): Promise<void> {
  const { exit, stdout, stderr, rows, objects, files } = step.expect[binary.version];
  assert.deepEqual(await runSqlx(site, step.run, binary), { exit, stdout, stderr });
  assert.deepEqual(await readState(site), { rows, objects });
  if (files !== undefined) assert.deepEqual(listFiles(site), files);
}

/** Where a deliberate difference came before, sqlx must still understand what it finds. */
async function runUnderstood(site: Site, binary: Binary): Promise<void> {
  const { rows } = await readState(site);
  const ask = async (verb: string) => (await runSqlx(site, ["migrate", verb], binary)).stdout;
  const info = await ask("info");
  if (info.startsWith("error: while resolving migrations")) return;
  for (const { version } of rows ?? []) {
    assert.match(info, new RegExp(`^${version}/installed`, "m"));
  }
  const dirty = rows?.find(({ success }) => !success);
  if (dirty !== undefined) {
    assert.match(await ask("run"), new RegExp(`migration ${dirty.version} is partially applied`));
  }
}

/** Plays a case by both tools. */
async function alternate(
  recorded: SqlxCase,
  { binary, isOurs }: { binary: Binary; isOurs: (run: number) => boolean },
): Promise<void> {
  await using site = await openSite();
  await play(site, recorded, {
    versions: [binary.version],
    isOurs,
    sqlx: (step, asRecorded) =>
      asRecorded ? runRecorded(site, { step, binary }) : runUnderstood(site, binary),
  });
}

/** All ways in which two tools take a case: sqlx first, we first, in turns; at every point. */
function* ways(runs: number): Generator<[name: string, isOurs: (run: number) => boolean]> {
  for (let point = 1; point < runs; point++) {
    yield [`sqlx takes ${point} of ${runs}, then observatory`, (run) => run >= point];
    yield [`observatory takes ${point} of ${runs}, then sqlx`, (run) => run < point];
  }
  if (runs < 3) return;
  yield ["in turns, sqlx first", (run) => run % 2 === 1];
  yield ["in turns, observatory first", (run) => run % 2 === 0];
}

async function main([directory, ...names]: string[]): Promise<number> {
  if (directory === undefined) throw new Error("Name the directory that holds the sqlx binaries");
  let failures = 0;
  let passed = 0;
  async function attempt(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
      passed++;
    } catch (error) {
      failures++;
      console.log(`FAILED ${what}\n${error instanceof Error ? error.message : error}\n`);
    }
  }
  for (const version of SQLX_VERSIONS) {
    const binary = { directory, version };
    for (const recorded of loadCases()) {
      if (names.length > 0 && !names.includes(recorded.name)) continue;
      const what = `${version} ${recorded.name}`;
      await attempt(`${what}: recording, replay and binary`, () => checkReplay(recorded, binary));
      const runs = recorded.steps.filter((step) => "run" in step).length;
      for (const [way, isOurs] of ways(runs)) {
        await attempt(`${what}: ${way}`, () => alternate(recorded, { binary, isOurs }));
      }
    }
  }
  console.log(`${passed} passed, ${failures} failed`);
  return failures === 0 ? 0 : 1;
}

Deno.exit(await main(Deno.args));
