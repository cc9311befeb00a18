/**
 * Swaps databases in a process of its own, for tests that kill it: `URL once` restores into a scratch
 * database and swaps it in, `URL again` puts back what was kept, again and again. It tells by `ready`
 * that it begins.
 */
import type { Context } from "../../core/plugin.ts";
import { listKept } from "../../plugins/database/beside.ts";
import { inspectDatabase } from "../../plugins/database/inspection.ts";
import { createScratch } from "../../plugins/database/scratch.ts";
import { swapIn } from "../../plugins/database/swap.ts";
import { undo } from "../../plugins/restore/undo.ts";
import { withContext } from "../context.ts";

const [url = "", how = ""] = Deno.args;

await withContext({ database: { url } }, async (ctx) => {
  const { database } = ctx.db.target;
  if (how === "once") await once(ctx, database);
  else await again(ctx, database);
});

async function once(ctx: Context, database: string): Promise<void> {
  const session = await ctx.db.maintenance();
  const like = await inspectDatabase(session, database);
  const scratch = await createScratch(ctx, { purpose: "restore", database, like });
  const inside = await ctx.db.session({ database: scratch.name });
  await inside.query("CREATE TABLE t AS SELECT 'new' AS word");
  await inside.close();
  console.log("ready");
  await swapIn(ctx, { database, scratch });
  console.log("done");
}

async function again(ctx: Context, database: string): Promise<void> {
  const session = await ctx.db.maintenance();
  console.log("ready");
  for (;;) {
    const kept = (await listKept(session, database))[0]?.name;
    await undo(ctx, { database, wait: 1, kept });
  }
}
