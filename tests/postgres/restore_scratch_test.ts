import assert from "assert";
import { listBeside } from "../../plugins/database/beside.ts";
import { collectScratch, createScratch } from "../../plugins/database/scratch.ts";
import { withContext } from "../context.ts";
import { startServer } from "../../tasks/server.ts";
import { freshDatabase, openDatabase } from "../database.ts";

Deno.test("scratch: an empty database beside the target is marked while it is worked on, and dropped", async () => {
  await using database = await freshDatabase();
  const there = async (name: string) =>
    (await database.query("SELECT 1 FROM pg_database WHERE datname = $1", [name])).length === 1;
  const name = await withContext({ database }, async (ctx) => {
    await using scratch = await createScratch(ctx, { purpose: "restore", database: database.name });
    assert.match(
      scratch.name,
      new RegExp(`^${database.name.slice(0, 36)}_restore_\\d{8}t\\d{4}_[0-9a-f]{4}$`),
    );
    assert.ok(await there(scratch.name));
    await collectScratch(ctx);
    assert.ok(await there(scratch.name));
    const session = await ctx.db.session();
    const beside = (await listBeside(session)).find(({ name }) => name === scratch.name);
    assert.ok(beside?.alive);
    assert.equal(beside.mark.database, database.name);
    return scratch.name;
  });
  assert.ok(!await there(name));
});

Deno.test("scratch: a try that is held up half-way leaves nothing in the way of the next one", async () => {
  // A server of its own, since nobody else could comment on a database meanwhile.
  await using server = await startServer();
  await using database = await freshDatabase({ server });
  const holder = await openDatabase(server, "postgres").connect();
  await holder.query("BEGIN; LOCK pg_catalog.pg_shdescription IN SHARE MODE");
  await withContext({ database }, async (ctx) => {
    const made = createScratch(ctx, { purpose: "restore", database: database.name });
    // Longer than the server waits for a lock here, after which the database is there and not marked.
    const late = setTimeout(() => holder.end(), 5500);
    await using scratch = await made.finally(() => clearTimeout(late));
    const session = await ctx.db.session();
    const names = (await listBeside(session)).map(({ name }) => name);
    assert.deepEqual(names, [scratch.name]);
  });
  await holder.end().catch(() => {});
});
