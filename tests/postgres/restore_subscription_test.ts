/** Databases that subscribe to another server: theirs is a copy that no server lets go of by itself. */
import assert from "assert";
import { clientToolsMissing, freshDatabase, sharedServer } from "../database.ts";
import { databasesBeside, restoreSite } from "../restore_site.ts";
import { skipWhenMissing } from "../skip.ts";

const ignore = skipWhenMissing(
  "restores of databases that subscribe to another server",
  await clientToolsMissing(),
);

/** The publisher does not exist: whoever asked it would fail. */
const SUBSCRIBE = `CREATE TABLE item (id int PRIMARY KEY);
  INSERT INTO item SELECT generate_series(1, 10)`;
const SUBSCRIPTION = `CREATE SUBSCRIPTION "it's one" CONNECTION 'host=127.0.0.1 port=1 dbname=none'
  PUBLICATION all_of_it WITH (connect = false, slot_name = 'observatory_none')`;
const LET_GO = [
  `ALTER SUBSCRIPTION "it's one" SET (slot_name = NONE)`,
  `DROP SUBSCRIPTION "it's one"`,
];

Deno.test({
  name: "restore: what was made for a database with a subscription is dropped again",
  ignore,
  async fn() {
    await using site = await restoreSite(await freshDatabase());
    const { source } = site;
    await source.query(SUBSCRIBE);
    await source.query(SUBSCRIPTION);
    try {
      const { id } = await site.backup();
      const server = await sharedServer();
      const before = await databasesBeside(server, source);
      const args = ["backup", "verify", id, "--level=restore", `--on=${source.url}`];
      const { exit, stderr } = await site.run(source, args);
      assert.equal(exit, 0, stderr);
      assert.doesNotMatch(stderr, /WARNING/);
      assert.deepEqual(await databasesBeside(server, source), before);

      const target = await site.absent();
      await site.restore(target, [id, "--create"]);
      const rows = await target.query(
        `SELECT FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid
          WHERE d.datname = current_database()`,
      );
      for (const sql of LET_GO) await target.query(sql);
      assert.equal(rows.length, 1, "it is restored as it was");
    } finally {
      for (const sql of LET_GO) await source.query(sql);
    }
  },
});
