/** Backups that are made at the same time, in one directory. */
import assert from "assert";
import {
  clientToolsMissing,
  freshDatabase,
  openDatabase,
  sharedServer,
  uniqueName,
} from "../database.ts";
import { usersKind as kind } from "../program.ts";
import { skipWhenMissing } from "../skip.ts";
import { makeShim } from "./shim.ts";
import { makeSite, type Site } from "./site.ts";

const ignore = skipWhenMissing("backups at the same time", await clientToolsMissing());

const SMALL = "CREATE TABLE item (id int); INSERT INTO item SELECT generate_series(1, 1000)";

/** Requires that every one of several runs made a backup, of a name of its own. */
async function requireAll(
  site: Site,
  runs: readonly { readonly code: number; readonly stdout: string; readonly stderr: string }[],
): Promise<void> {
  const ids = runs.map(({ code, stdout, stderr }) => {
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stderr, /WARNING/);
    const told: { data: { manifest: { id: string } } } = JSON.parse(stdout);
    return told.data.manifest.id;
  });
  assert.equal(new Set(ids).size, runs.length, ids.join("\n"));
  const listed = await site.requireCollected();
  assert.deepEqual([...listed].sort(), [...ids].sort());
}

Deno.test({
  name: "together: ten backups of one database wait for each other",
  ignore,
  async fn() {
    await using site = await makeSite({ sql: SMALL });
    const ways = [["--format=custom"], ["--format=directory", "--jobs=2"], ["--format=plain"]];
    const runs = await Promise.all(
      Array.from(
        { length: 10 },
        (_, index) =>
          site.outside(["backup", "--json", ...ways[index % ways.length] ?? []], { kind }),
      ),
    );
    await requireAll(site, runs);
  },
});

Deno.test({
  name: "together: backups of databases whose names come to the same have names of their own",
  ignore,
  async fn() {
    const server = await sharedServer();
    const name = uniqueName();
    const names = [`${name}-x`, `${name}~x`, `${name}!x`, `${name}*x`];
    const first = openDatabase(server, names[0] ?? "");
    const databases = names.map((each) => openDatabase(server, each));
    const admin = openDatabase(server, "postgres");
    for (const each of names) {
      await admin.query(
        `CREATE DATABASE "${each}" TEMPLATE template0 STRATEGY file_copy`,
      );
    }
    try {
      for (const each of databases) await each.query(SMALL);
      await using site = await makeSite({ database: first });
      const runs = await Promise.all(
        databases.map(({ url }) =>
          site.inside(["backup", "--json"], { env: { DATABASE_URL: url } })
        ),
      );
      await requireAll(site, runs);
    } finally {
      for (const each of names) {
        await admin.query(`DROP DATABASE "${each}" WITH (FORCE)`);
      }
    }
  },
});

Deno.test({
  name: "together: ten databases in one directory, pruned by each",
  ignore,
  async fn() {
    await using site = await makeSite({ sql: SMALL });
    const databases = await Promise.all(
      Array.from({ length: 9 }, () => freshDatabase({ sql: SMALL })),
    );
    const env = { BACKUP_KEEP_LAST: "1", BACKUP_MIN_KEEP: "1" };
    try {
      for (let round = 0; round < 3; round++) {
        const runs = await Promise.all(
          [site.database, ...databases].map(({ url }) =>
            site.inside(["backup", "--json"], { env: { ...env, DATABASE_URL: url } })
          ),
        );
        for (const { code, stderr } of runs) assert.equal(code, 0, stderr);
      }
      const ids = await site.requireCollected();
      assert.equal(ids.length, 10, ids.join("\n"));
    } finally {
      await Promise.all(databases.map((each) => each.drop()));
    }
  },
});

Deno.test({
  name: "together: one that does not wait ends with 6, or makes none and ends with 0",
  ignore,
  async fn() {
    await using shim = await makeShim();
    await using site = await makeSite();
    const hold = shim.hold();
    const first = site.inside(["backup", "--json"], { env: hold.env });
    await hold.reached();
    const failed = await site.inside(["backup", "--if-locked=fail"]);
    assert.equal(failed.code, 6, failed.stderr);
    assert.match(
      failed.stderr,
      /^\[ERROR\] Cannot lock the backup within 0 s: the lock is held by process \d+/m,
    );
    const skipped = await site.inside(["backup", "--if-locked=skip", "--json"]);
    assert.equal(skipped.code, 0, skipped.stderr);
    assert.equal(JSON.parse(skipped.stdout).data.skipped, true);
    assert.deepEqual(await site.listed(), []);
    await hold.release();
    await requireAll(site, [await first]);
  },
});

Deno.test({
  name: "together: the list is true at every moment while backups are made and removed",
  ignore,
  async fn() {
    await using site = await makeSite({ sql: SMALL });
    const env = { BACKUP_KEEP_LAST: "1", BACKUP_MIN_KEEP: "1" };
    let going = true;
    const making = (async () => {
      for (
        const args of [[], ["--format=directory"], [], ["--format=plain"], ["--format=directory"]]
      ) {
        const { code, stderr } = await site.inside(["backup", ...args], { env });
        assert.equal(code, 0, stderr);
      }
    })().finally(() => going = false);
    let lists = 0;
    let most = 0;
    while (going) {
      const { code, stdout, stderr } = await site.inside(["backup", "list", "--json"]);
      assert.equal(code, 0, `${stderr}${stdout}`);
      most = Math.max(most, JSON.parse(stdout).data.backups.length);
      lists++;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await making;
    assert(lists > 20, String(lists));
    assert(most >= 1);
    assert.equal((await site.requireCollected({ pruned: true })).length, 1);
  },
});
