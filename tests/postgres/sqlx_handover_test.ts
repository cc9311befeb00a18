import assert from "assert";
import { loadCases, recordedAlike, SQLX_VERSIONS } from "../fixtures/sqlx_cases.ts";
import type { SqlxCase, SqlxVersion } from "../fixtures/sqlx_cases.ts";
import { play } from "../fixtures/sqlx_play.ts";
import { replay } from "../fixtures/sqlx_replay.ts";
import { openSite, readCatalog, takeByHand } from "../fixtures/sqlx_site.ts";
import type { Site } from "../fixtures/sqlx_site.ts";

for (const recorded of loadCases()) {
  Deno.test(`migrate: takes over from sqlx at every point of the case ${recorded.name}`, async () => {
    await using site = await openSite();
    const alike = recordedAlike(recorded, recorded.steps.length);
    for (const version of alike ? ["0.9.0"] as const : SQLX_VERSIONS) {
      const catalogs = await playBySqlx(site, { recorded, version });
      for (let takeover = 1; takeover < catalogs.size; takeover++) {
        await site.clear();
        await play(site, recorded, {
          versions: alike ? SQLX_VERSIONS : [version],
          isOurs: (run) => run >= takeover,
          sqlx: (step) => replay(site, step, version),
          async afterRun({ index, asRecorded }) {
            if (asRecorded) assert.deepEqual(await readCatalog(site), catalogs.get(index));
          },
        });
      }
    }
  });
}

/** Plays the whole case as sqlx and tells what schema public holds after each run. */
async function playBySqlx(
  site: Site,
  { recorded, version }: { recorded: SqlxCase; version: SqlxVersion },
): Promise<ReadonlyMap<number, string[]>> {
  await site.clear();
  const catalogs = new Map<number, string[]>();
  for (const [index, step] of recorded.steps.entries()) {
    if ("run" in step) {
      await replay(site, step, version);
      catalogs.set(index, await readCatalog(site));
    } else {
      await takeByHand(site, step);
    }
  }
  return catalogs;
}
