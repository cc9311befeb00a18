/** Clocks that are wrong, or change while a backup is made, and retention beside them. */
import assert from "assert";
import { clientToolsMissing } from "../database.ts";
import { DAY, HOUR } from "../../plugins/repository/times.ts";
import { skipWhenMissing } from "../skip.ts";
import { makeSite, type Site } from "./site.ts";

const ignore = skipWhenMissing("wrong clocks", await clientToolsMissing());

const SMALL = "CREATE TABLE item (id int); INSERT INTO item SELECT generate_series(1, 10)";
const ONE = { BACKUP_KEEP_LAST: "1", BACKUP_MIN_KEEP: "1" };
const YEAR = 366 * DAY;

function test(name: string, work: (site: Site) => Promise<void>): void {
  Deno.test({
    name: `clock: ${name}`,
    ignore,
    async fn() {
      await using site = await makeSite({ sql: SMALL });
      await work(site);
    },
  });
}

/** Makes a backup while the clock is wrong by so many milliseconds; its id. */
async function backupAt(
  site: Site,
  offset: number,
  env: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { code, stdout, stderr } = await site.inside(["backup", "--json"], {
    env,
    now: () => Date.now() + offset,
  });
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout).data.manifest.id;
}

/** What a monitor is told. */
async function statusOf(site: Site): Promise<{ code: number; newest: string | undefined }> {
  const { code, stdout } = await site.inside(["backup", "status", "--max-age=26h", "--json"], {
    env: { DB_NAME: site.database.name },
  });
  return { code, newest: JSON.parse(stdout).data.newest?.id };
}

for (
  const [what, offset] of [["half an hour", -HOUR / 2], ["two days", -2 * DAY], [
    "a year",
    -YEAR,
  ]] as const
) {
  test(`set back by ${what}: a backup that has just been made is not the one that goes`, async (site) => {
    const before = await site.good();
    const id = await backupAt(site, offset, ONE);
    const ids = await site.requireCollected();
    assert.deepEqual([...ids].sort(), [before, id].sort());
  });
}

test("was ahead for once: what it has left neither counts nor goes", async (site) => {
  const old = await site.good();
  const future = await backupAt(site, YEAR, ONE);
  assert((await site.listed()).includes(old));
  assert.equal((await statusOf(site)).newest, old);
  // The others are pruned as ever.
  const ids = [];
  for (let time = 0; time < 3; time++) ids.push(await backupAt(site, 0, ONE));
  const listed = await site.requireCollected();
  // The oldest is the newest that is verified.
  assert.deepEqual(listed, [future, ids[2], old]);
  const { code, newest } = await statusOf(site);
  assert.deepEqual([code, newest], [0, ids[2]]);
});

test("changes while a backup is made", async (site) => {
  for (const jump of [-YEAR, -500, 10 * YEAR]) {
    for (const after of [3, 12, 24]) {
      let calls = 0;
      const { code, stderr } = await site.inside(["backup"], {
        now: () => Date.now() + (++calls > after ? jump : 0),
      });
      const what = `by ${jump} ms after ${after} looks: ${stderr}`;
      assert.equal(code, 0, what);
      const list = await site.inside(["backup", "list"]);
      assert.equal(list.code, 0, `${what}${list.stderr}`);
    }
  }
  await site.requireCollected();
});

test("was behind for once: what it has left is whole to a clock that is right", async (site) => {
  const id = await backupAt(site, -2 * DAY);
  assert.deepEqual(await site.requireCollected(), [id]);
});
