/** Plugins that take time, memory or the processor, in the real program: denial of service. */

import assert from "assert";
import { join } from "node:path";
import { forEachKind } from "../program.ts";
import { hooking, saying } from "./plugin_sources.ts";
import { project } from "./project.ts";
import { pluginOf, withPlugin } from "./sandbox_tries.ts";

/** Ways to keep the worker's thread. */
const LOOPS: Readonly<Record<string, string>> = {
  loop: "for (;;);",
  promises: "for (;;) await null;",
  expression: '/^(a+)+$/.exec("a".repeat(60) + "b");',
  wait: "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);",
  never: "await new Promise(() => {});",
};

forEachKind(
  "sandbox: a command that loops for ever is ended by a signal, and blamed",
  async (kind) => {
    const commands = Object.fromEntries(
      Object.entries(LOOPS).map((
        [name, code],
      ) => [
        name,
        `async (ctx) => { ctx.log.info("begun"); await ctx.config.problems(); ${code} }`,
      ]),
    );
    const source = pluginOf(commands);
    // Few at once: each keeps a processor.
    for (const names of [["loop", "promises"], ["expression", "wait", "never"]]) {
      await Promise.all(names.map(async (name) => {
        const { code, stderr } = await withPlugin(kind, {
          source,
          args: [name],
          async during(run) {
            await run.until(/begun/);
            run.kill("SIGINT");
          },
        });
        assert.equal(code, 130, `${name}: ${stderr}`);
        assert.match(stderr, /Plugin tries did not stop within 3 s when the run was to end/, name);
      }));
    }
  },
);

const SECONDS = { OBSERVATORY_PLUGIN_SECONDS: "2" };

forEachKind(
  "sandbox: a command that loops for ever is ended in its time, and blamed",
  async (kind) => {
    const { never: _, ...loops } = LOOPS;
    const source = pluginOf(
      Object.fromEntries(
        Object.entries({
          ...loops,
          sort: "[...Array(1e7).keys()].sort(() => Math.random() - 0.5);",
        })
          .map(([name, code]) => [name, `async () => { ${code} return { data: 1 }; }`]),
      ),
    );
    for (const name of [...Object.keys(loops), "sort"]) {
      const { code, json } = await withPlugin(kind, {
        source,
        args: [name],
        env: SECONDS,
        timeoutMs: 20_000,
      });
      assert.equal(code, 1, name);
      assert.equal(json.error.code, "plugin_hung", name);
      assert.match(json.error.message, /^Plugin tries did not pause within 2 s: it loops/, name);
    }
  },
);

forEachKind(
  "sandbox: a hook that loops for ever is ended in its time, at every moment",
  async (kind) => {
    const loop = "for (;;);";
    await using given = await project(kind, {
      "migrations/1_first.sql": "CREATE TABLE first (n int);",
      "plugins/before.ts": hooking("one", {
        "before:exec": loop,
        "failed:exec": "",
        "always:*": "",
      }),
      "plugins/after.ts": hooking("two", { "after:migrate": loop }),
      "plugins/failed.ts": hooking("three", {
        "failed:sql": loop,
        "failed:verify": "await null; for (;;);",
      }),
      "plugins/always.ts": hooking("four", {
        "always:config": "await new Promise(() => {});",
        "always:*": 'ctx.log.info("still told of " + event.command);',
      }),
    });
    const run = async (...args: string[]) =>
      await given.run(args, { env: { PLUGINS_DIR: "plugins", ...SECONDS }, timeoutMs: 20_000 });
    const limit = "did not come to an end within 2 s, and was ended";
    const lines = ({ stderr }: { stderr: string }) =>
      stderr.split("\n").filter((line) => line.startsWith("[ERROR]"));
    const before = await run("exec", "CREATE TABLE second (n int)");
    assert.deepEqual([before.code, lines(before)], [1, [
      `[ERROR] The hook "before:exec" of plugin one failed: Plugin one ${limit}; exec was not started`,
    ]]);
    const after = await run("migrate");
    assert.deepEqual([after.code, lines(after)], [1, [
      `[ERROR] The hook "after:migrate" of plugin two failed: Plugin two ${limit}; migrate itself succeeded`,
    ]]);
    const tables = "SELECT tablename FROM pg_tables WHERE tablename IN ('first', 'second')";
    assert.deepEqual(await given.database.query(tables), [{ tablename: "first" }]);
    const failed = await run("sql", "nowhere.sql");
    assert.deepEqual([failed.code, lines(failed).length], [1, 2], failed.stderr);
    assert.match(
      lines(failed)[0] ?? "",
      new RegExp(`plugin three failed: .*${limit}; sql had failed`),
    );
    assert.match(lines(failed)[1] ?? "", /nowhere\.sql/);
    const always = await run("config");
    assert.deepEqual([always.code, lines(always)], [1, [
      `[ERROR] The hook "always:config" of plugin four failed: Plugin four ${limit}; config itself succeeded`,
    ]]);
    for (const { stderr } of [before, after, failed]) assert.match(stderr, /still told of/);
    const list = await run("plugin", "list", "--check");
    assert.equal(list.code, 0, list.stderr);
  },
);

forEachKind(
  "sandbox: a hook or a command that goes on after a signal is ended, and blamed",
  async (kind) => {
    const begun = 'ctx.log.info("begun"); await ctx.config.problems();';
    await using given = await project(kind, {
      "plugins/hook.ts": hooking("stubborn", { "before:config": `${begun} for (;;);` }),
    });
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      const run = await given.start(["config"], {
        env: { PLUGINS_DIR: "plugins" },
        timeoutMs: 20_000,
      });
      await run.endInput();
      await run.until(/begun/);
      run.kill(signal);
      const { code, stderr } = await run.result();
      assert.equal(code, signal === "SIGINT" ? 130 : 143, stderr);
      assert.match(stderr, /Plugin stubborn did not stop within 3 s when the run was to end/);
    }
  },
);

forEachKind(
  "sandbox: a plan and a seed that loop for ever are ended in their time",
  async (kind) => {
    await using given = await project(kind, {
      "plugins/wipe.ts": saying("wipe").replace('effect: "read"', 'effect: "destroy"')
        .replace('database: "none",', "plan: () => { for (;;); },"),
      "seeds/base/1_t.sql": "CREATE TABLE t (n int);",
      "seeds/base/2_t.js": `import { defineSeed } from "observatory";
export default defineSeed({ *rows() { yield { n: 1 }; for (;;); } });
`,
    });
    const run = (...args: string[]) =>
      given.run(args, { env: { PLUGINS_DIR: "plugins", ...SECONDS }, timeoutMs: 20_000 });
    const wipe = await run("wipe", "--force");
    assert.equal(wipe.code, 1, wipe.stderr);
    assert.match(wipe.stderr, /\[ERROR\] Plugin wipe did not come to an end within 2 s/);
    assert.equal(wipe.stdout, "");
    const seed = await run("seed");
    assert.equal(seed.code, 1, seed.stderr);
    assert.match(seed.stderr, /2_t\.js.* did not pause within 2 s/s);
    assert.deepEqual(await given.database.query("SELECT n FROM t"), []);
  },
);

forEachKind(
  "sandbox: a plugin that loops while it is loaded takes nothing else down",
  async (kind) => {
    await using given = await project(kind, {
      "migrations/1_first.sql": "CREATE TABLE first (n int);",
      "plugins/loops.ts": "for (;;);\nexport default 1;\n",
      "plugins/sound.ts": saying("sound"),
    });
    const env = { PLUGINS_DIR: "plugins", XDG_CACHE_HOME: join(given.directory, "caches") };
    const run = (...args: string[]) => given.run(args, { env, timeoutMs: 30_000 });
    const reason = /Plugin loops did not come to an end within 5 s, and was ended/;
    const list = await run("plugin", "list", "--json");
    assert.equal(list.code, 0);
    const { plugins }: { plugins: { name: string; status: string; reason?: string }[] } =
      JSON.parse(list.stdout).data;
    const broken = plugins.find(({ name }) => name === "loops");
    assert.equal(broken?.status, "failed");
    assert.match(broken?.reason ?? "", reason);
    for (
      const [expected, ...args] of [[0, "help"], [0, "sound"], [0, "migrate"], [
        4,
        "reset",
        "--force",
      ]] as const
    ) {
      const { code, stderr } = await run(...args);
      assert.equal(code, expected, stderr);
      assert.match(stderr, reason);
      assert.match(
        stderr,
        expected === 0
          ? /^\[WARNING\] A plugin cannot be used: "loops" \(/m
          : /Refused: reset destroys/,
      );
    }
    const alone = await run("help", "--no-plugins");
    assert.deepEqual([alone.code, alone.stderr], [0, ""]);
    // Each of them would have taken 5 s, but for the first.
    const told = await run("plugin", "list");
    assert.match(told.stdout, /within 5 s, and was ended, \d+ s ago$/m);
    assert.match(told.stdout, /observatory plugin check .*\/plugins\/loops\.ts$/m);
    const anew = await run("plugin", "check", "plugins/loops.ts");
    assert.equal(anew.code, 3);
    assert.doesNotMatch(anew.stderr, / ago/);
  },
);

const MEGABYTES = { OBSERVATORY_PLUGIN_MEMORY_MB: "150" };

forEachKind("sandbox: a command that takes too much memory is ended, and blamed", async (kind) => {
  const hogs = {
    objects: "const all = []; for (;;) all.push({ n: all.length });",
    buffers: "const all = []; for (;;) all.push(new Uint8Array(1e6).fill(1));",
    strings: "const all = []; for (;;) all.push(String(Math.random()).repeat(50_000));",
    "one-buffer": "const all = new Uint8Array(600e6).fill(1); for (;;) all[0] = 1;",
    pausing: "const all = []; for (;;) { all.push(new Uint8Array(1e6).fill(1)); await null; }",
    result: "return { data: new Uint8Array(250e6).fill(1) };",
    logs: "for (;;) ctx.log.info('x'.repeat(100_000));",
  };
  const source = pluginOf(
    Object.fromEntries(
      Object.entries(hogs).map(([name, code]) => [name, `async (ctx) => { ${code} }`]),
    ),
  );
  for (const name of Object.keys(hogs)) {
    const { code, json } = await withPlugin(kind, {
      source,
      args: ["--quiet", name],
      env: MEGABYTES,
    });
    assert.equal(code, 1, name);
    // What is large and still crosses is too large to be written.
    assert.match(json.error.code, /^plugin_(memory|failed)$/, name);
    assert.match(
      json.error.message,
      /^Plugin tries (took more than 150 MiB of memory|failed: its result is larger than 64 MiB)$/,
      name,
    );
  }
});

forEachKind("sandbox: of plugins that run each other, the one at fault is blamed", async (kind) => {
  const faults = {
    loops: "for (;;);",
    hoards: "const all = []; for (;;) all.push(new Uint8Array(1e6).fill(1));",
    throws: "throw new TypeError('no luck');",
    // And so on.
    again: 'return await ctx.run("one again");',
  };
  const commands = (name: string, bodies: Readonly<Record<string, string>>) =>
    Object.entries(bodies).map(([path, body]) =>
      `"${name} ${path}": {
      summary: "Try", examples: [], effect: "write", database: "none",
      run: async (ctx) => { ${body} } }`
    ).join(",\n");
  const calls = Object.fromEntries(
    Object.keys(faults).map((path) => [path, `return await ctx.run("two ${path}");`]),
  );
  await using given = await project(kind, {
    "plugins/one.js": `export default { name: "one", api: 1, summary: "Try", commands: {
      ${commands("one", calls)} } };`,
    "plugins/two.js": `export default { name: "two", api: 1, summary: "Try", commands: {
      ${commands("two", faults)} }, hooks: { "before:config": () => { ${faults.hoards} } } };`,
  });
  const run = (...args: string[]) =>
    given.run(["--json", ...args], {
      env: { PLUGINS_DIR: "plugins", ...SECONDS, ...MEGABYTES },
      timeoutMs: 30_000,
    });
  for (
    const [path, message] of [
      ["one loops", /^Plugin two did not pause within 2 s/],
      ["one hoards", /^Plugin two took more than 150 MiB of memory$/],
      ["one throws", /^Plugin two failed: TypeError: no luck \(.*plugins\/two\.js:\d+:\d+\)$/],
      ["one again", /^Cannot run two again: 10 commands have run each other already/],
      ["config", /^The hook "before:config" of plugin two failed: Plugin two took more than 150/],
    ] as const
  ) {
    const { code, stdout, stderr } = await run(...path.split(" "));
    assert.equal(code, 1, `${path}: ${stderr}`);
    assert.match(JSON.parse(stdout).error.message, message, path);
  }
  const { code } = await run("plugin", "list", "--check");
  assert.equal(code, 0);
});
