/** Loading of users' plugins from inside: what changes under a run, and names within one plugin. */
import assert from "assert";
import { join } from "node:path";
import { loadPlugins, type UserPlugins } from "../../core/loader.ts";
import type { Context } from "../../core/plugin.ts";
import { fakeContext } from "../../core/plugin_testing.ts";
import { openPluginCache } from "../../core/sandbox/cache.ts";
import { GUEST_LIMITS } from "../../core/sandbox/limits.ts";
import { type PluginFolder, withFolder } from "./plugin_folder.ts";

const SAY = { summary: '"Say it"', commands: '"say": say' };

/** A plugin whose parts are given as source. */
function source({ summary, commands }: typeof SAY): string {
  return `import { command, definePlugin } from "observatory";
const say = command({
  summary: "Say it",
  examples: [{ line: "observatory say", note: "say it" }],
  effect: "read",
  database: "none",
  run: () => Promise.resolve({ data: 1, text: "said" }),
});
export default definePlugin({ name: "say", api: 1, summary: ${summary}, commands: { ${commands} } });
`;
}

async function withPlugins(
  text: string,
  work: (user: UserPlugins, folder: PluginFolder) => Promise<void>,
): Promise<void> {
  await withFolder({ "plugins/say.ts": text, "cache/.keep": "" }, async (folder) => {
    await Deno.chmod(join(folder.path, "cache"), 0o700);
    const user = await loadPlugins({ project: join(folder.path, "plugins") }, [], {
      cache: openPluginCache({ XDG_CACHE_HOME: join(folder.path, "cache") }),
      owner: undefined,
      limits: GUEST_LIMITS,
      hidden: [],
      debug: () => {},
      runaway: (error) => assert.fail(error),
    });
    try {
      await work(user, folder);
    } finally {
      await user.close();
    }
  });
}

async function run(user: UserPlugins, context: Context = fakeContext()) {
  return await user.tree.byName.get("say")?.command.run(context, { flags: {}, args: {} });
}

Deno.test("loadPlugins: a plugin runs what was looked at when it was loaded", async () => {
  await withPlugins(source(SAY), async (user) => {
    assert.equal((await run(user))?.text, "said");
  });
  await withPlugins(source(SAY), async (user, folder) => {
    folder.write({ "plugins/say.ts": source(SAY).replace('"said"', '"other"') });
    await assert.rejects(run(user), {
      code: "plugin_invalid",
      message: 'Plugin "say" has been changed since this run began',
    });
  });
});

Deno.test("loadPlugins: one that declares something else each time is not run", async () => {
  await withPlugins(source({ ...SAY, summary: "String(Math.random())" }), async (user) => {
    assert.equal(user.statuses[0]?.status, "ok");
    await assert.rejects(run(user), /"say" declares something else each time it is loaded/);
  });
});

Deno.test("loadPlugins: names that one plugin gives twice clash with its own", async () => {
  const commands = '"say": say, "tell": { ...say, aliases: ["say"] }, ' +
    '"twice": { ...say, aliases: ["twice"] }';
  await withPlugins(source({ ...SAY, commands }), async (user) => {
    const [status] = user.statuses;
    assert.equal(status?.status, "clash");
    assert.deepEqual(status?.clashes, { tell: "plugin say", twice: "itself" });
    assert.equal((await run(user))?.text, "said");
  });
});
