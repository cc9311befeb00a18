/** Runs that upload at the same time. */
import assert from "assert";
import { clientToolsMissing, openDatabase, sharedServer, uniqueName } from "../database.ts";
import type { Rule } from "../fault_s3.ts";
import { skipWhenMissing } from "../skip.ts";
import { makeBucketSite } from "./bucket_site.ts";
import { makeSite } from "./site.ts";

const ignore = skipWhenMissing("uploads at the same time", await clientToolsMissing());

const SMALL = "CREATE TABLE item (id int); INSERT INTO item SELECT generate_series(1, 1000)";
/** A service that knows no conditions: it would overwrite. */
const NO_CONDITIONS: Rule = {
  on: ["PutObject", "CompleteMultipartUpload"],
  fault: {
    answer: ({ headers }) =>
      headers["if-none-match"] === undefined ? undefined : { status: 501, code: "NotImplemented" },
  },
};

for (const conditions of [true, false]) {
  Deno.test({
    name: `S3: databases whose names come to the same, at once, ${
      conditions ? "with" : "without"
    } conditions`,
    ignore,
    async fn() {
      const server = await sharedServer();
      const admin = openDatabase(server, "postgres");
      const name = uniqueName();
      const names = [`${name}-x`, `${name}~x`, `${name}!x`];
      for (const each of names) {
        await admin.query(`CREATE DATABASE "${each}" TEMPLATE template0 STRATEGY file_copy`);
      }
      try {
        for (const [index, each] of names.entries()) {
          await openDatabase(server, each).query(`${SMALL}; INSERT INTO item VALUES (${index})`);
        }
        for (const args of [["--s3-only", "--format=directory"], ["--s3-upload"]]) {
          const database = openDatabase(server, names[0] ?? "");
          await using given = await makeBucketSite({ database });
          if (!conditions) given.s3.add(NO_CONDITIONS);
          const runs = await Promise.all(names.map(async (each, index) => {
            // Each on a machine of its own, as it were.
            await using machine = await makeSite({ database: openDatabase(server, each) });
            return await machine.inside(["backup", "--json", ...args], {
              env: { ...given.env, BACKUPS_DIR: `${machine.directory}/${index}` },
            });
          }));
          const ids = runs.map(({ code, stdout, stderr }) => {
            assert.equal(code, 0, `${args.join(" ")}: ${stderr}`);
            return JSON.parse(stdout).data.manifest.id;
          });
          assert.equal(new Set(ids).size, names.length, ids.join("\n"));
          const listed = await given.requireCollected();
          assert.deepEqual([...listed].sort(), ids.sort());
        }
      } finally {
        for (const each of names) await admin.query(`DROP DATABASE "${each}" WITH (FORCE)`);
      }
    },
  });
}
