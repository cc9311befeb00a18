import assert from "assert";
import { join } from "node:path";
import { OperationError } from "../../core/plugin.ts";
import { openPluginCache } from "../../core/sandbox/cache.ts";
import { keepFailure, keptFailure } from "../../core/sandbox/failures.ts";
import { preparePlugin } from "../../core/sandbox/prepare.ts";
import { PROJECT } from "../../tasks/build.ts";
import { withPlugins } from "./plugin_bench.ts";
import { withFolder } from "./plugin_folder.ts";

const HASH = "0".repeat(64);

/** The names in a directory. */
function names(directory: string): string[] {
  return [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
}

/** The permission bits of what is at a path. */
function mode(path: string): number {
  return (Deno.statSync(path).mode ?? 0) & 0o7777;
}

Deno.test("cache: what is unchanged is not made again, and what is changed is", async () => {
  await withPlugins({
    "a.ts": 'export { b } from "./_b.ts"; export const a: number = 1;',
    "_b.ts": "export const b: number = 2;",
  }, async ({ caches, prepare, write, load }) => {
    const first = await prepare("a.ts");
    const root = join(caches, "observatory", "plugins");
    const note = names(root).find((name) => name.endsWith(".note.json")) ?? "";
    const made = (await Deno.stat(join(root, note))).ino;
    assert.deepEqual(await prepare("a.ts"), first);
    assert.equal((await Deno.stat(join(root, note))).ino, made);
    assert.deepEqual(names(root), [note, first.hash].sort());
    assert.deepEqual(names(first.directory), ["0.mjs", "1.mjs", "observatory.mjs"]);
    for (const directory of [join(caches, "observatory"), root, first.directory]) {
      assert.equal(mode(directory), 0o700);
    }
    write({ "_b.ts": "export const b: number = 3;" });
    const second = await prepare("a.ts");
    assert.notEqual(second.hash, first.hash);
    assert.equal((await load("a.ts")).b, 3);
    write({ "_b.ts": "export const b: number = 2;" });
    assert.deepEqual(await prepare("a.ts"), first);
  });
});

Deno.test("cache: the same files in another folder have the same copies, and sources of their own", async () => {
  const text = 'import "./_b.js"; export default 1;';
  await withPlugins(
    { "one/mod.js": text, "one/_b.js": "", "two/mod.js": text, "two/_b.js": "" },
    async (bench) => {
      const one = await bench.prepare("one/mod.js");
      const two = await bench.prepare("two/mod.js");
      assert.equal(one.entryUrl, two.entryUrl);
      assert.deepEqual(
        two.sources,
        ["two/mod.js", "two/_b.js"].map((name) => join(bench.path, name)),
      );
    },
  );
});

Deno.test("cache: a copy that was tampered with is never given out", async () => {
  await withPlugins({ "a.ts": "export default 'right' as string;" }, async (bench) => {
    const right = await bench.prepare("a.ts");
    const copy = join(right.directory, "0.mjs");
    const observatory = join(right.directory, "observatory.mjs");
    const text = await Deno.readTextFile(copy);
    const evil = join(bench.caches, "evil.mjs");
    await Deno.writeTextFile(evil, text);
    const tampered: (() => Promise<void>)[] = [
      () => Deno.writeTextFile(copy, "export default 'wrong';"),
      () => Deno.writeTextFile(observatory, "export const definePlugin = 1;"),
      () => Deno.writeTextFile(copy, ""),
      () => Deno.remove(copy),
      () => Deno.remove(right.directory, { recursive: true }),
      async () => {
        await Deno.remove(copy);
        await Deno.symlink(evil, copy);
      },
      async () => {
        await Deno.remove(copy);
        await Deno.mkdir(copy);
      },
      async () => {
        await Deno.rename(right.directory, join(bench.caches, "moved"));
        await Deno.symlink(join(bench.caches, "moved"), right.directory);
      },
    ];
    for (const [index, tamper] of tampered.entries()) {
      await tamper();
      assert.deepEqual(await bench.prepare("a.ts"), right, `${index}`);
      assert.equal(await Deno.readTextFile(copy), text, `${index}`);
      assert.ok((await Deno.lstat(copy)).isFile && (await Deno.lstat(right.directory)).isDirectory);
      await Deno.remove(join(bench.caches, "moved"), { recursive: true }).catch(() => {});
    }
  });
});

Deno.test("cache: a note that was tampered with leads to nothing but the plugin's own files", async () => {
  await withPlugins({
    "a.ts": 'import "./_b.ts"; export default "right";',
    "_b.ts": "",
    "other.ts": "export default 1;",
  }, async (bench) => {
    const right = await bench.prepare("a.ts");
    const other = await bench.prepare("other.ts");
    const root = join(bench.caches, "observatory", "plugins");
    const path = join(
      root,
      names(root).find((name) =>
        name.endsWith(".note.json") &&
        JSON.parse(Deno.readTextFileSync(join(root, name))).hash === right.hash
      ) ?? "",
    );
    const note = JSON.parse(await Deno.readTextFile(path));
    await Deno.writeTextFile(join(bench.caches, "evil.mjs"), "export default 'wrong';");
    for (
      const changed of [
        "not json",
        "null",
        "[]",
        { ...note, hash: other.hash },
        { ...note, hash: "../../evil" },
        { ...note, files: [] },
        { ...note, files: note.files.slice(0, 1) },
        { ...note, files: [{ ...note.files[0], realPath: "/etc/hostname" }, note.files[1]] },
        { ...note, files: [note.files[0], { ...note.files[1], path: "/etc/hostname" }] },
        { ...note, sources: [join(bench.path, "other.ts")] },
        { ...note, copies: {} },
        { ...note, copies: { ...note.copies, "../../evil.mjs": "" } },
        { ...note, copies: { "0.mjs": note.copies["0.mjs"] } },
        { ...note, copies: 1 },
      ]
    ) {
      const text = typeof changed === "string" ? changed : JSON.stringify(changed);
      await Deno.writeTextFile(path, text);
      assert.deepEqual(await bench.prepare("a.ts"), right, text);
      assert.deepEqual(JSON.parse(await Deno.readTextFile(path)), note);
    }
  });
});

Deno.test("cache: a directory that is not this user's alone is not used", async () => {
  await withPlugins({ "a.ts": "export default 1 as number;" }, async ({ path, caches }) => {
    const plugin = { path: join(path, "a.ts"), directory: path };
    const prepareWith = async (unusable: RegExp) => {
      const cache = openPluginCache({ XDG_CACHE_HOME: caches });
      try {
        const { directory, entryUrl } = await preparePlugin(plugin, { cache });
        assert.match(String(cache.unusable()), unusable);
        assert.ok(!directory.startsWith(caches), directory);
        assert.deepEqual(cache.directories(), [join(directory, "..")]);
        assert.equal(mode(join(directory, "..")), 0o700);
        assert.equal((await import(entryUrl)).default, 1);
        cache.close();
        cache.close();
        await assert.rejects(Deno.stat(directory), Deno.errors.NotFound);
      } finally {
        cache.close();
      }
    };
    const own = join(caches, "observatory");
    const elsewhere = join(caches, "elsewhere");
    await Deno.mkdir(elsewhere, { mode: 0o700 });
    await Deno.symlink(elsewhere, own);
    await prepareWith(/observatory" is a link$/);
    assert.deepEqual(names(elsewhere), []);
    await Deno.remove(own);
    await Deno.mkdir(own, { mode: 0o700 });
    await Deno.symlink(elsewhere, join(own, "plugins"));
    await prepareWith(/plugins" is a link$/);
    await Deno.remove(own, { recursive: true });
    await Deno.writeTextFile(own, "");
    await prepareWith(/observatory" is not a directory$/);
    await Deno.remove(own);
    await Deno.mkdir(own);
    for (const bits of [0o770, 0o707, 0o777, 0o1777]) {
      await Deno.chmod(own, bits);
      await prepareWith(/others than its owner may write to/);
    }
    if (Deno.uid() === 0) {
      await Deno.chmod(own, 0o700);
      await Deno.chown(own, 12345, null);
      await prepareWith(/observatory" belongs to user 12345$/);
    }
    await Deno.remove(own, { recursive: true });
    await Deno.chmod(caches, 0o777);
    await prepareWith(/everybody may write to/);
    assert.ok(!names(caches).includes("observatory"));
    await Deno.chmod(caches, 0o700);
  });
});

Deno.test("cache: others may no longer read a directory of this user's", async () => {
  await withPlugins({ "a.ts": "" }, async ({ caches, prepare }) => {
    await Deno.mkdir(join(caches, "observatory"), { mode: 0o755 });
    const { directory } = await prepare("a.ts");
    assert.ok(directory.startsWith(caches));
    assert.equal(mode(join(caches, "observatory")), 0o700);
  });
});

Deno.test("cache: it is at XDG_CACHE_HOME, else below HOME, else of this run alone", async () => {
  await withFolder({ "home/x": "" }, ({ path }) => {
    const home = join(path, "home");
    const at = (env: Record<string, string>) => {
      const cache = openPluginCache(env);
      cache.remember("declaration", HASH, {});
      const directories = cache.directories();
      const unusable = cache.unusable();
      cache.close();
      return [directories, unusable];
    };
    const below = (
      ...parts: string[]
    ) => [[join(path, ...parts, "observatory/plugins")], undefined];
    assert.deepEqual(at({ XDG_CACHE_HOME: join(path, "xdg"), HOME: home }), below("xdg"));
    assert.deepEqual(at({ HOME: home }), below("home/.cache"));
    assert.deepEqual(at({ XDG_CACHE_HOME: "relative", HOME: home }), below("home/.cache"));
    for (const env of [{}, { HOME: "" }, { HOME: "relative" }]) {
      const [[directory], unusable] = at(env) as [string[], string];
      assert.match(unusable, /^neither XDG_CACHE_HOME nor HOME is set$/);
      assert.throws(() => Deno.statSync(directory ?? ""), Deno.errors.NotFound);
    }
    const [, unusable] = at({ HOME: join(home, "x") });
    assert.match(String(unusable), /home\/x\/\.cache" cannot be used: not a directory/i);
  });
});

Deno.test("cache: where it cannot be written to, this run has a directory of its own", async () => {
  await withPlugins({ "a.ts": "export default 1;", "b.ts": "export default 2;" }, async (bench) => {
    const kept = await bench.prepare("a.ts");
    const root = join(bench.caches, "observatory", "plugins");
    // Nobody, root included, can make a directory or a file in what is no longer there.
    const notes = names(root);
    const blocked = openPluginCache({ XDG_CACHE_HOME: bench.caches });
    assert.deepEqual(blocked.noteOf("none"), undefined);
    await Deno.rename(root, `${root}.away`);
    try {
      const plugin = { path: join(bench.path, "b.ts"), directory: bench.path };
      const { directory } = await preparePlugin(plugin, { cache: blocked });
      assert.ok(!directory.startsWith(bench.caches));
      assert.match(String(blocked.unusable()), /plugins" cannot be written to: no such file/);
      assert.deepEqual((await preparePlugin(plugin, { cache: blocked })).directory, directory);
      blocked.remember("declaration", HASH, [1]);
      assert.deepEqual(blocked.recall("declaration", HASH), [1]);
    } finally {
      blocked.close();
      await Deno.rename(`${root}.away`, root);
    }
    assert.deepEqual(names(root), notes);
    assert.deepEqual(await bench.prepare("a.ts"), kept);
  });
});

Deno.test("cache: declarations are remembered as they were, or not at all", async () => {
  await withFolder({}, async ({ path }) => {
    const cache = openPluginCache({ XDG_CACHE_HOME: path });
    const other = "1".repeat(64);
    assert.equal(cache.recall("declaration", HASH), undefined);
    cache.remember("declaration", HASH, { name: "vacuum", commands: ["a"] });
    assert.deepEqual(cache.recall("declaration", HASH), { name: "vacuum", commands: ["a"] });
    assert.equal(cache.recall("declaration", other), undefined);
    const again = openPluginCache({ XDG_CACHE_HOME: path });
    assert.deepEqual(again.recall("declaration", HASH), { name: "vacuum", commands: ["a"] });
    const file = (hash: string) => join(path, "observatory/plugins", `${hash}.declaration.json`);
    const text = await Deno.readTextFile(file(HASH));
    for (
      const changed of [text.replace("vacuum", "vacuun"), text.slice(1), "", "{}", "null", "1"]
    ) {
      await Deno.writeTextFile(file(HASH), changed);
      assert.equal(cache.recall("declaration", HASH), undefined, changed);
    }
    // Another plugin's declaration is none of this one's.
    await Deno.writeTextFile(file(other), text);
    assert.equal(cache.recall("declaration", other), undefined);
  });
});

Deno.test("cache: what no plugin refers to any longer goes after a day", async () => {
  await withPlugins(
    { "a.ts": "export default 1;", "gone.ts": "export default 2;" },
    async (bench) => {
      const first = await bench.prepare("a.ts");
      const gone = await bench.prepare("gone.ts");
      bench.cache.remember("declaration", first.hash, 1);
      bench.cache.remember("declaration", gone.hash, 2);
      await Deno.remove(join(bench.path, "gone.ts"));
      const root = join(bench.caches, "observatory", "plugins");
      bench.write({ "a.ts": "export default 3;" });
      const second = await bench.prepare("a.ts");
      const before = names(root);
      assert.ok([first, gone, second].every(({ hash }) => before.includes(hash)));
      const old = new Date(Date.now() - 25 * 60 * 60 * 1000);
      for (const name of before) await Deno.utime(join(root, name), old, old);
      bench.write({ "b.ts": "" });
      const third = await bench.prepare("b.ts");
      const kept = names(root).filter((name) => !name.endsWith(".note.json"));
      assert.deepEqual(kept, [second.hash, third.hash].sort());
      assert.equal(names(root).length, 4);
    },
  );
});

Deno.test("cache: several processes prepare the same plugin at once", async () => {
  await withPlugins({
    "a.ts": 'import { b } from "./_b.ts"; export default b as number;',
    "_b.ts": "export const b: number = 7;",
  }, async ({ path, caches, prepare }) => {
    const script = `
      import { openPluginCache } from "./core/sandbox/cache.ts";
      import { preparePlugin } from "./core/sandbox/prepare.ts";
      const [directory, caches] = Deno.args;
      const cache = openPluginCache({ XDG_CACHE_HOME: caches });
      const { entryUrl } = await preparePlugin({ path: directory + "/a.ts", directory }, { cache });
      console.log((await import(entryUrl)).default, cache.unusable());
    `;
    const runs = Array.from({ length: 4 }, () =>
      new Deno.Command(Deno.execPath(), {
        args: ["eval", "--quiet", "--config", join(PROJECT, "deno.json"), script, path, caches],
        cwd: PROJECT,
      }).output());
    for (const { code, stdout, stderr } of await Promise.all(runs)) {
      assert.equal(code, 0, new TextDecoder().decode(stderr));
      assert.equal(new TextDecoder().decode(stdout), "7 undefined\n");
    }
    const { hash } = await prepare("a.ts");
    const root = join(caches, "observatory", "plugins");
    assert.equal(names(root).length, 2);
    assert.ok(names(root).includes(hash));
  });
});

Deno.test("cache: preparations that meet in one process leave one right copy", async () => {
  await withPlugins({ "a.ts": "export default 1 as number;" }, async ({ prepare, caches }) => {
    const all = await Promise.all(Array.from({ length: 8 }, () => prepare("a.ts")));
    for (const each of all) assert.deepEqual(each, all[0]);
    assert.equal(names(join(caches, "observatory", "plugins")).length, 2);
  });
});

Deno.test("cache: what is unchanged needs neither the parser nor the stripper", async () => {
  await withPlugins(
    { "a.ts": "export default 1 as number;" },
    async ({ path, caches, prepare }) => {
      const script = `
      import { openPluginCache } from "${join(PROJECT, "core/sandbox/cache.ts")}";
      import { preparePlugin } from "${join(PROJECT, "core/sandbox/prepare.ts")}";
      const [directory, caches] = Deno.args;
      const cache = openPluginCache({ XDG_CACHE_HOME: caches });
      try {
        const plugin = { path: directory + "/a.ts", directory };
        console.log((await preparePlugin(plugin, { cache })).hash);
      } catch (error) {
        console.log(error.message);
      }
    `;
      await withFolder({
        "script.js": script,
        "map.json": '{ "imports": { "amaro": "./missing.js", "acorn": "./missing.js" } }',
      }, async (folder) => {
        const run = async () => {
          const map = `--import-map=${join(folder.path, "map.json")}`;
          const { stdout } = await new Deno.Command(Deno.execPath(), {
            args: ["run", "-A", "--no-config", map, join(folder.path, "script.js"), path, caches],
            cwd: folder.path,
          }).output();
          return new TextDecoder().decode(stdout);
        };
        assert.match(await run(), /missing\.js/);
        const { hash } = await prepare("a.ts");
        assert.equal(await run(), `${hash}\n`);
      });
    },
  );
});

Deno.test("failures: what took time is kept for a while, anything else is not", async () => {
  await withPlugins({}, ({ cache }) => {
    const kept = (hash: string) => keptFailure(cache, { hash, path: "/p/vacuum.ts" });
    const hung = new OperationError("Plugin vacuum did not end", { code: "plugin_hung" });
    keepFailure(cache, { hash: HASH, error: new OperationError("no", { code: "plugin_failed" }) });
    keepFailure(cache, { hash: HASH, error: new TypeError("no") });
    assert.equal(kept(HASH), undefined);
    keepFailure(cache, { hash: HASH, error: hung });
    const failure = kept(HASH);
    assert.equal(failure?.code, "plugin_hung");
    assert.match(failure?.message ?? "", /^Plugin vacuum did not end, 1 s ago$/);
    assert.match(failure?.hint ?? "", /observatory plugin check \/p\/vacuum\.ts$/);
    assert.equal(kept("b".repeat(64)), undefined);
    const { code, message } = hung;
    for (
      const value of [
        null,
        "text",
        { code, message },
        { code, message, at: "now" },
        { code, message: 1, at: Date.now() },
        { code: "plugin_refused", message, at: Date.now() },
        { code, message, at: Date.now() - 11 * 60_000 },
        { code, message, at: Date.now() + 60_000 },
      ]
    ) {
      cache.remember("failure", HASH, value);
      assert.equal(kept(HASH), undefined, JSON.stringify(value));
    }
    cache.remember("failure", HASH, { code, message, at: Date.now() - 5 * 60_000 });
    assert.match(kept(HASH)?.message ?? "", /, 5 min ago$/);
    return Promise.resolve();
  });
});
