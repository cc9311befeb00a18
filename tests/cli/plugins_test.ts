/** Plugins of users from outside: found, listed in the help, run; clashes and broken ones. */
import assert from "assert";
import { join } from "node:path";
import { forEachKind, runProgram } from "../program.ts";
import { BROKEN, HELLO, hooking, saying } from "./plugin_sources.ts";
import { directoryWith, project } from "./project.ts";

const DIR = { PLUGINS_DIR: "plugins" };
const FILES = {
  "migrations/1_first.sql": "CREATE TABLE first (n int);",
  "seeds/base/1_first.sql": "INSERT INTO first VALUES (1);",
};

forEachKind(
  "plugins: found in the system's directory, PLUGINS_DIR and --plugin-dir",
  async (kind) => {
    await using directory = await directoryWith({
      "system/one.ts": saying("one"),
      "plugins/two/mod.ts": saying("two"),
      "given/three.js": saying("three"),
      "given/four.mjs": saying("four"),
      "given/_shared.ts": "export const a = 1;",
    });
    const options = {
      kind,
      cwd: directory.path,
      env: { ...DIR, OBSERVATORY_SYSTEM_PLUGINS: "system" },
    };
    for (
      const [name, ...flags] of [["one"], ["two"], ["three", "--plugin-dir", "given"], [
        "four",
        "--plugin-dir=given",
      ]]
    ) {
      const { code, stdout, stderr } = await runProgram([name ?? "", ...flags], options);
      assert.deepEqual([code, stdout, stderr], [0, `I am ${name}\n`, ""]);
    }
    const first = await runProgram(["--plugin-dir", "given", "three"], options);
    assert.equal(first.stdout, "I am three\n");
    const none = await runProgram(["one", "--no-plugins"], options);
    assert.equal(none.code, 2);
    assert.match(none.stderr, /^\[ERROR\] Unknown command "one"$/m);
    const list = await runProgram(["plugin", "list", "--json", "--plugin-dir", "given"], options);
    const { plugins } = JSON.parse(list.stdout).data;
    assert.deepEqual(
      plugins.filter(({ path }: { path: string | null }) => path !== null)
        .map(({ name, source, status }: Record<string, string>) => [name, source, status]),
      [["one", "system", "ok"], ["two", "project", "ok"], ["four", "flag", "ok"], [
        "three",
        "flag",
        "ok",
      ]],
    );
    const missing = await runProgram(["config", "--plugin-dir", "nowhere"], options);
    assert.equal(missing.code, 2);
    assert.match(missing.stderr, /Cannot read the plugin directory ".*nowhere" \(--plugin-dir\)/);
  },
);

forEachKind("plugins: the help shows their commands in a group of their own", async (kind) => {
  await using directory = await directoryWith({ "plugins/hello.ts": HELLO });
  const options = { kind, cwd: directory.path, env: DIR };
  const { code, stdout } = await runProgram(["help"], options);
  assert.equal(code, 0);
  const [, own = ""] = stdout.split("Plugin commands:\n");
  assert.match(own, /^ {2}hello +Say hello to somebody\n {2}hello count +Count the tables\n\n/);
  const [builtIns = ""] = stdout.split("Plugin commands:\n");
  assert.doesNotMatch(builtIns, /Say hello/);
  const without = await runProgram(["help", "--no-plugins"], options);
  assert.doesNotMatch(without.stdout, /Plugin commands/);
  const own1 = await runProgram(["hello", "--help"], options);
  const own2 = await runProgram(["help", "hello"], options);
  assert.equal(own1.stdout, own2.stdout);
  assert.match(own1.stdout, /^Usage: observatory hello \[TO\] \[flags\]$/m);
  assert.match(own1.stdout, /^ {2}--manner warm\|cool +How it is said$/m);
  assert.match(own1.stdout, /^Subcommands:\n {2}hello count /m);
});

forEachKind("plugins: a command has typed flags, --json and every exit code", async (kind) => {
  await using given = await project(kind, { ...FILES, "plugins/hello.ts": HELLO });
  const run = (...args: string[]) => given.run(args, { env: DIR });
  const said = await run("hello", "ada", "--times", "2");
  assert.deepEqual(
    [said.code, said.stdout, said.stderr],
    [0, "Hello ada\nHello ada\n", "[INFO] about to say it\n"],
  );
  const json = await run("hello", "--json", "--times=3");
  const { ok, command, data } = JSON.parse(json.stdout);
  assert.deepEqual([ok, command, data], [true, "hello", { to: "world", times: 3 }]);
  const wrong = await run("hello", "--times", "often", "--manner", "warmly", "--tmes", "1");
  assert.equal(wrong.code, 2);
  for (
    const problem of [
      /"often" of --times is not a number/,
      /did you mean "warm"/,
      /did you mean --times/,
    ]
  ) {
    assert.match(wrong.stderr, problem);
  }
  const problems = await run("hello", "--end", "problems");
  assert.equal(problems.code, 3);
  assert.match(problems.stderr, /^\[WARNING\] Nobody answered$/m);
  const failed = await run("hello", "--end", "failed");
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /\[ERROR\] Cannot speak\nHint: Drink\n$/);
  const refused = await run("hello", "--end", "refused", "--json");
  assert.deepEqual([refused.code, JSON.parse(refused.stdout).error.code], [4, "not_them"]);
  const thrown = await run("hello", "--end", "thrown");
  assert.equal(thrown.code, 1);
  assert.match(
    thrown.stderr,
    /\[ERROR\] Plugin hello failed: no voice \(.*plugins\/hello\.ts:24:43\)$/m,
  );
  await run("migrate");
  const count = await run("hello", "count");
  assert.deepEqual([count.code, count.stdout], [0, "2 tables\n"], count.stderr);
  const typo = await run("helo");
  assert.match(typo.stderr, /Hint: Did you mean `observatory hello`\?/);
});

forEachKind(
  "plugins: a name already taken never shadows, and `plugin run` reaches it",
  async (kind) => {
    await using directory = await directoryWith({
      "plugins/a.ts": saying("evil", "config"),
      "plugins/b.ts": saying("under", "verify more"),
      "plugins/c.ts": saying("first", "same"),
      "plugins/d.ts": saying("second", "same"),
      "plugins/e.ts": saying("first", "other"),
      "plugins/f.ts": saying("helpful", "help"),
      "plugins/g.ts": saying("eaten", "exec more"),
    });
    const options = { kind, cwd: directory.path, env: DIR };
    const built = await runProgram(["config", "--json"], options);
    assert.ok("settings" in JSON.parse(built.stdout).data, built.stdout);
    assert.equal(built.code, 0);
    const runs: [string[], string][] = [
      [["same"], "first"],
      [["plugin", "run", "second", "same"], "second"],
      [["plugin", "run", "evil", "config"], "evil"],
      [["--quiet", "plugin", "run", "helpful", "help"], "helpful"],
      [["verify", "more"], "under"],
    ];
    for (const [args, name] of runs) {
      const { code, stdout, stderr } = await runProgram(args, options);
      assert.deepEqual([code, stdout], [0, `I am ${name}\n`], stderr);
    }
    const help = await runProgram(["plugin", "run", "evil", "config", "--help"], options);
    assert.match(help.stdout, /^Usage: observatory plugin run evil config \[flags\]$/m);
    const own = await runProgram(["plugin", "run", "--help"], options);
    assert.match(own.stdout, /^Usage: observatory plugin run PLUGIN \[COMMAND\.\.\.\] \[flags\]$/m);
    const wrong = await runProgram(["plugin", "run", "evil", "nothing"], options);
    assert.equal(wrong.code, 2);
    assert.match(wrong.stderr, /Plugin "evil" has no command "nothing"\nHint: There are: config$/m);
    const list = await runProgram(["plugin", "list", "--check"], options);
    assert.equal(list.code, 3);
    assert.match(list.stdout, /commands: +config \(read; taken by the program itself\)/);
    assert.match(list.stdout, /commands: +same \(read; taken by plugin first\)/);
    assert.match(list.stdout, /reason: +the name is taken by the plugin at .*\/plugins\/c\.ts/);
    assert.match(list.stdout, /commands: +exec more \(read; taken by the program itself\)/);
    const listed = await runProgram(["help"], options);
    assert.doesNotMatch(listed.stdout, /Say (evil|second|helpful|eaten)$/m);
  },
);

for (const [name, [text, status, reason]] of Object.entries(BROKEN)) {
  forEachKind(
    `plugins: one that cannot be loaded takes nothing else down: ${name}`,
    async (kind) => {
      await using given = await project(kind, {
        ...FILES,
        "plugins/broken.ts": text,
        "plugins/sound.ts": saying("sound"),
      });
      await worksBeside(given, { status, reason });
    },
  );
}

forEachKind(
  "plugins: one that others may write to is refused, and takes nothing else down",
  async (kind) => {
    await using given = await project(kind, {
      ...FILES,
      "plugins/broken.ts": saying("broken"),
      "plugins/sound.ts": saying("sound"),
    });
    await Deno.chmod(join(given.directory, "plugins/broken.ts"), 0o666);
    await worksBeside(given, { status: "refused", reason: /everybody may write to it/ });
  },
);

/** Everything but what destroys goes on, with one warning. */
async function worksBeside(
  given: Awaited<ReturnType<typeof project>>,
  { status, reason }: { status: string; reason: RegExp },
): Promise<void> {
  const run = (...args: string[]) => given.run(args, { env: DIR });
  const [help, list, check, config, migrate, sound, reset] = await Promise.all([
    run("help"),
    run("plugin", "list", "--json"),
    run("plugin", "list", "--check"),
    run("config"),
    run("migrate"),
    run("sound"),
    run("reset", "--force"),
  ]);
  assert.deepEqual([help.code, help.stdout.includes("Say sound")], [0, true]);
  const broken = JSON.parse(list.stdout).data.plugins
    .find(({ name }: { name: string }) => name === "broken");
  assert.deepEqual([list.code, broken.status], [0, status], broken.reason);
  assert.match(broken.reason, reason);
  assert.equal(check.code, 3);
  assert.match(check.stderr, reason);
  for (const { code, stderr } of [help, config, migrate, sound]) {
    assert.equal(code, 0, stderr);
    assert.equal(stderr.match(/A plugin cannot be used: "broken" \(/g)?.length, 1, stderr);
    assert.match(stderr, reason);
  }
  assert.equal(sound.stdout, "I am sound\n");
  assert.equal(reset.code, 4, reset.stderr);
  assert.match(reset.stderr, /\[ERROR\] Refused: reset destroys, and a plugin cannot be used: /);
  assert.match(reset.stderr, /nothing was changed\n/);
  assert.match(reset.stderr, /Hint: .*--no-plugins$/m);
  assert.deepEqual(await given.database.query("SELECT n FROM first"), []);
  const without = await run("reset", "--force", "--no-plugins");
  assert.equal(without.code, 0, without.stderr);
}

forEachKind(
  "plugins: what destroys is refused to other commands, too, and beside a name that is taken",
  async (kind) => {
    await using given = await project(kind, {
      ...FILES,
      "plugins/a.ts": hooking("guard", { "before:reset": "throw new OperationError('Never');" }),
      "plugins/b.ts": hooking("guard", { "before:reset": "throw new OperationError('Never');" }),
      "plugins/wipe.ts": saying("wipe").replace(
        /run: .*/,
        'run: (ctx) => ctx.run("reset", { flags: { force: true } }),',
      ).replace('"read"', '"write"').replace('"none"', '"database"'),
    });
    const options = { env: DIR };
    const reset = await given.run(["reset", "--force"], options);
    assert.equal(reset.code, 4);
    assert.match(
      reset.stderr,
      /"b" \(the name is taken by the plugin at |"guard" \(the name is taken/,
    );
    const wipe = await given.run(["wipe"], options);
    assert.equal(wipe.code, 4, wipe.stderr);
    assert.match(wipe.stderr, /Refused: reset destroys/);
  },
);

forEachKind(
  "plugins: one that takes memory after it was ended ends the run, not the machine",
  async (kind) => {
    await using given = await project(kind, {
      "plugins/hog.ts":
        "const kept: unknown[] = [];\nfor (;;) kept.push(new Array(100_000).fill(Math.random()));\n",
    });
    // Without that, the statement would come to its end, and the run to 0.
    const { code, stderr } = await given.run(["exec", "SELECT pg_sleep(40)"], {
      env: { ...DIR, OBSERVATORY_PLUGIN_MEMORY_MB: "150" },
    });
    assert.equal(code, 1, stderr);
    assert.match(stderr, /^\[ERROR\] Plugin hog took more than 150 MiB of memory$/m);
  },
);
