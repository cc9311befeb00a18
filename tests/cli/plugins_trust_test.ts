/** Whose plugins are used, and whose are not: owners, modes, links and sums, from outside. */
import assert from "assert";
import { join } from "node:path";
import { configMap, withFolder } from "../core/plugin_folder.ts";
import { forEachKind, type Kind, runProgram } from "../program.ts";
import { saying } from "./plugin_sources.ts";

/** What `plugin list` says of each plugin, by name. */
async function statuses(
  kind: Kind,
  { cwd, env = {} }: { readonly cwd: string; readonly env?: Readonly<Record<string, string>> },
): Promise<Record<string, string>> {
  const { code, stdout, stderr } = await runProgram(["plugin", "list", "--json"], {
    kind,
    cwd,
    env: { PLUGINS_DIR: "plugins", DATABASE_URL: "postgres://127.0.0.1:1/x", ...env },
  });
  assert.equal(code, 0, stderr);
  const { plugins }: { plugins: Record<string, string>[] } = JSON.parse(stdout).data;
  return Object.fromEntries(
    plugins.filter(({ source }) => source !== "built-in")
      .map((
        { name, status, reason },
      ) => [name, reason === undefined ? status : `${status}: ${reason}`]),
  );
}

forEachKind("plugins: a file or directory that others may write to is refused", async (kind) => {
  await withFolder({
    "plugins/sound.ts": saying("sound"),
    "plugins/group.ts": saying("group"),
    "plugins/open/mod.ts": saying("open"),
    "plugins/shares/mod.ts": `import "./_a.ts";\n${saying("shares")}`,
    "plugins/shares/_a.ts": "export const a = 1;\n",
  }, async ({ path }) => {
    await Deno.chmod(join(path, "plugins/group.ts"), 0o664);
    await Deno.chmod(join(path, "plugins/open"), 0o777);
    await Deno.chmod(join(path, "plugins/shares/_a.ts"), 0o646);
    const { sound, group, open, shares } = await statuses(kind, { cwd: path });
    assert.equal(sound, "ok");
    assert.match(group ?? "", /^refused: .*group\.ts": its group may write to it \(mode 0664\)/);
    assert.match(open ?? "", /^refused: .*plugins\/open": everybody may write to it \(mode 0777\)/);
    assert.match(shares ?? "", /^refused: .*shares\/_a\.ts": everybody may write to it/);
    await Deno.chmod(join(path, "plugins"), 0o777);
    const all = await statuses(kind, { cwd: path });
    for (const status of Object.values(all)) {
      assert.match(status, /^refused: .*everybody may write/);
    }
  });
});

forEachKind(
  "plugins: those of a stranger are refused, unless PLUGINS_OWNER admits him",
  async (kind) => {
    await withFolder({ "plugins/his.ts": saying("his") }, async ({ path }) => {
      await Deno.chown(join(path, "plugins/his.ts"), 4321, 4321);
      const { his } = await statuses(kind, { cwd: path });
      assert.match(
        his ?? "",
        /^refused: .*belongs to user 4321, who is neither root nor the current/,
      );
      assert.deepEqual(await statuses(kind, { cwd: path, env: { PLUGINS_OWNER: "4321" } }), {
        his: "ok",
      });
      const run = await runProgram(["his"], {
        kind,
        cwd: path,
        env: { PLUGINS_DIR: "plugins", PLUGINS_OWNER: "4321" },
      });
      assert.deepEqual([run.code, run.stdout], [0, "I am his\n"], run.stderr);
      const wrong = await runProgram(["his"], {
        kind,
        cwd: path,
        env: { PLUGINS_DIR: "plugins", PLUGINS_OWNER: "him" },
      });
      assert.equal(wrong.code, 2);
      assert.match(wrong.stderr, /Cannot read PLUGINS_OWNER "him"/);
    });
  },
  { missing: Deno.uid() === 0 ? undefined : "only root can give files away" },
);

forEachKind(
  "plugins: links that leave the directory are refused, those of a ConfigMap are followed",
  async (kind) => {
    const mapped = configMap({ "hello.ts": saying("hello"), "_shared.ts": "" });
    await withFolder({
      ...Object.fromEntries(
        Object.entries(mapped).map(([name, entry]) => [`plugins/${name}`, entry]),
      ),
      "plugins/away.ts": { link: "../elsewhere.ts" },
      "plugins/gone.ts": { link: "nowhere.ts" },
      "elsewhere.ts": saying("away"),
    }, async ({ path }) => {
      const { hello, away, gone } = await statuses(kind, { cwd: path });
      assert.equal(hello, "ok");
      assert.match(away ?? "", /^refused: .*away\.ts": it leads out of the plugin directory/);
      assert.match(gone ?? "", /^(refused|invalid): .*gone\.ts"/);
    });
  },
);

forEachKind("plugins: none is looked for but where one was named", async (kind) => {
  await withFolder({
    "plugins/parent.ts": saying("parent"),
    "home/.config/observatory/plugins/home.ts": saying("home"),
    "home/plugins/homely.ts": saying("homely"),
    "project/plugins/beside.ts": saying("beside"),
    "project/deeper/.keep": "",
  }, async ({ path }) => {
    const env = {
      PLUGINS_DIR: "",
      HOME: join(path, "home"),
      OBSERVATORY_SYSTEM_PLUGINS: "/nowhere",
    };
    for (const cwd of ["project", "project/deeper", "home"]) {
      assert.deepEqual(await statuses(kind, { cwd: join(path, cwd), env }), {}, cwd);
    }
  });
});
