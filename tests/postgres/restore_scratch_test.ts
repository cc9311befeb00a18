import assert from "assert";
import { listBeside } from "../../plugins/database/beside.ts";
import { collectScratch, createScratch } from "../../plugins/database/scratch.ts";
import { withContext } from "../context.ts";
import { freshDatabase } from "../database.ts";

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
