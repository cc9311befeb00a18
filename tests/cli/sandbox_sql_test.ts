/** SQL of a plugin's command that only reads, in the real program. */

import assert from "assert";
import { freshDatabase } from "../database.ts";
import { forEachKind } from "../program.ts";
import { pluginOf, withPlugin } from "./sandbox_tries.ts";

forEachKind("sandbox: SQL cannot do what the command's effect forbids", async (kind) => {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (n int)" });
  const attempts = [
    `ctx.db.query("INSERT INTO t VALUES (1)")`,
    `ctx.db.query("SET default_transaction_read_only = off").then(() =>
       ctx.db.query("INSERT INTO t VALUES (1)"))`,
    `ctx.db.query("SELECT 1; INSERT INTO t VALUES (1)")`,
    `ctx.db.query("COMMIT; INSERT INTO t VALUES (1)")`,
    `ctx.db.query("SET TRANSACTION READ WRITE")`,
    `ctx.db.query("DO $$ BEGIN SET default_transaction_read_only = off; COMMIT;" +
       " INSERT INTO t VALUES (1); COMMIT; END $$")`,
    `ctx.db.transaction(async (s) => {
       await s.query("COMMIT");
       await s.query("INSERT INTO t VALUES (1)");
     })`,
    // Bytes that change once they have been handed over.
    `ctx.db.session().then(async (s) => {
       const shared = new SharedArrayBuffer(8, { maxByteLength: 100 });
       const sql = new Uint8Array(shared);
       const put = (text) => sql.set(new TextEncoder().encode(text));
       put("SELECT 1");
       const rows = s.execute(sql);
       shared.grow(40);
       put("COMMIT; INSERT INTO t VALUES (1); BEGIN ");
       await Array.fromAsync(await rows);
       await s.query("INSERT INTO t VALUES (1)");
     })`,
    `ctx.db.session({ readOnly: false, settings: { default_transaction_read_only: "off" } })
       .then((s) => s.query("INSERT INTO t VALUES (1)"))`,
    `ctx.db.transaction((s) => s.query("INSERT INTO t VALUES (1)"))`,
    `ctx.db.session().then((s) => s.pipeline([{ sql: "INSERT INTO t VALUES (1)" }]))`,
    `ctx.db.session().then((s) => s.copyIn("COPY t FROM STDIN",
       ReadableStream.from([new TextEncoder().encode("1\\n")])))`,
    `ctx.db.session().then((s) => s.execute("INSERT INTO t VALUES (1)"))
       .then((rows) => Array.fromAsync(rows))`,
    `ctx.db.stream("INSERT INTO t VALUES (1) RETURNING n").then((rows) => Array.fromAsync(rows))`,
    `ctx.db.copyIn("COPY t FROM STDIN", ReadableStream.from([new TextEncoder().encode("1\\n")]))`,
    `ctx.db.maintenance().then((s) => s.query("CREATE DATABASE escaped"))`,
    `ctx.run("exec", { args: { sql: "INSERT INTO t VALUES (1)" } })`,
  ];
  const source = pluginOf({
    try: `async (ctx) => {
      const attempts = [${attempts.map((code) => `() => ${code}`).join(",\n")}];
      const data = [];
      for (const attempt of attempts) {
        data.push(await attempt().then(() => "done", (error) => error instanceof OperationError));
      }
      return { data };
    }`,
  }, { database: "database" });
  const { code, json, stderr } = await withPlugin(kind, {
    source,
    args: ["try", "--database-url", database.url],
  });
  assert.equal(code, 0, stderr + JSON.stringify(json));
  assert.deepEqual(json.data, attempts.map(() => true));
  assert.deepEqual(await database.query("SELECT * FROM t"), []);
});
