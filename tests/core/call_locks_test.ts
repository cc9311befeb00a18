import assert from "assert";
import { command, type Context, type Plugin } from "../../core/plugin.ts";
import { systemHost } from "../../core/host.ts";
import { run } from "../../core/run.ts";
import { fakeHost } from "../../core/testing.ts";
import { freshDatabase } from "../database.ts";

const LOCK = { key: "test of locks", purpose: "test", wait: 0 };

function locking(work: (ctx: Context) => Promise<unknown>): Plugin {
  const write = { summary: "Lock", examples: [{ line: "observatory x", note: "lock" }] };
  return {
    name: "locking",
    api: 1,
    summary: "Locks",
    commands: {
      "outer": command({
        ...write,
        effect: "write",
        run: (ctx) => ctx.db.withLock(LOCK, async () => ({ data: await work(ctx) })),
      }),
      "inner": command({
        ...write,
        effect: "write",
        run: (ctx) => ctx.db.withLock(LOCK, () => Promise.resolve({ data: "inner" })),
      }),
    },
  };
}

async function outcome(work: (ctx: Context) => Promise<unknown>): Promise<[number, unknown]> {
  const database = await freshDatabase();
  try {
    const host = fakeHost({ env: { DATABASE_URL: database.url }, dialer: systemHost().dialer });
    const code = await run(["outer", "--json"], host, { plugins: [locking(work)] });
    const { data, error } = JSON.parse(host.written.stdout);
    return [code, data ?? error.code];
  } finally {
    await database.drop();
  }
}

Deno.test("withLock: a command that is run under a lock need not wait for it", async () => {
  const inner = await outcome(async (ctx) => (await ctx.run("inner")).data);
  assert.deepEqual(inner, [0, "inner"]);
});

Deno.test("withLock: the same command's other work is excluded all the same", async () => {
  const again = await outcome((ctx) => ctx.db.withLock(LOCK, () => Promise.resolve("twice")));
  assert.deepEqual(again, [6, "locked"]);
});
