/** `plugin new`, `check`, `types`, `sums` and `verify` from outside. */
import assert from "assert";
import { join } from "node:path";
import ts from "typescript";
import { uniqueName } from "../database.ts";
import { forEachKind, type Kind, runProgram } from "../program.ts";
import { BROKEN, HELLO, hooking, saying } from "./plugin_sources.ts";
import { directoryWith, project } from "./project.ts";

/** Deno itself, as an author runs it. */
async function deno(directory: string, ...args: string[]): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: directory,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

/** What an editor without Deno's own types says of the plugins of a directory. */
function editorProblems(directory: string): string[] {
  const { config, error } = ts.readConfigFile(join(directory, "tsconfig.json"), ts.sys.readFile);
  assert.equal(error, undefined);
  const { fileNames, options } = ts.parseJsonConfigFileContent(config, ts.sys, directory);
  assert.ok(fileNames.some((name) => name.endsWith("/_observatory/plugin.ts")), `${fileNames}`);
  return ts.getPreEmitDiagnostics(ts.createProgram(fileNames, options))
    .map(({ file, messageText }) =>
      `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`
    );
}

function runIn(directory: string, kind: Kind, env: Readonly<Record<string, string>> = {}) {
  return (...args: string[]) => runProgram(args, { kind, cwd: directory, env });
}

forEachKind("plugin new: what it writes is valid, compiles, and its tests pass", async (kind) => {
  await using given = await project(kind, {});
  const env = { PLUGINS_DIR: "ops/plugins" };
  const run = (...args: string[]) => given.run(args, { env });
  const plugins = join(given.directory, "ops/plugins");
  const first = await run("plugin", "new", "big-tables");
  assert.equal(first.code, 0, first.stderr);
  assert.match(
    first.stdout,
    /^Created ops\/plugins\/big-tables\.ts\nCreated .*big-tables_test\.ts\n/,
  );
  assert.match(first.stdout, /^Created ops\/plugins\/_observatory\/plugin\.ts$/m);
  const second = await run("plugin", "new", "small-tables", "--js");
  assert.deepEqual(second.stdout.match(/^Created .*$/gm), [
    "Created ops/plugins/small-tables.js",
    "Created ops/plugins/small-tables_test.js",
  ]);
  const files = ["big-tables.ts", "big-tables_test.ts", "small-tables.js", "small-tables_test.js"];
  const checked = await deno(plugins, "check", ...files);
  assert.equal(checked.code, 0, checked.text);
  assert.deepEqual(editorProblems(plugins), []);
  const tested = await deno(plugins, "test");
  assert.deepEqual([tested.code, /ok \| 4 passed/.test(tested.text)], [0, true], tested.text);
  for (const file of ["big-tables.ts", "small-tables.js"]) {
    const valid = await run("plugin", "check", `ops/plugins/${file}`);
    assert.equal(valid.code, 0, valid.stderr);
    assert.match(valid.stdout, /^It is valid, for version 1 of the contract$/m);
    assert.match(valid.stdout, /--limit NUMBER \(default: 10\) {2}How many tables are told$/m);
  }
  const list = await run("plugin", "list", "--check");
  assert.equal(list.code, 0, list.stderr);
  await given.database.query("CREATE TABLE large (n int); INSERT INTO large VALUES (1)");
  for (const name of ["big-tables", "small-tables"]) {
    const { code, stdout, stderr } = await run(name, "--limit", "1");
    assert.deepEqual([code, stdout], [0, "8192 bytes  large\n"], stderr);
  }
});

forEachKind(
  "plugin new: overwrites nothing, and takes no name that is taken or is none",
  async (kind) => {
    await using directory = await directoryWith({ "plugins/mine_test.ts": "mine" });
    const run = runIn(directory.path, kind);
    const there = await run("plugin", "new", "mine");
    assert.equal(there.code, 1);
    assert.match(there.stderr, /Cannot create "\.\/plugins\/mine_test\.ts": it exists already/);
    const files = (await Array.fromAsync(Deno.readDir(join(directory.path, "plugins"))))
      .map(({ name }) => name);
    assert.deepEqual(files, ["mine_test.ts"]);
    for (const name of ["migrate", "shell", "help", "Mine", "../mine", "a--b", ""]) {
      const { code, stderr } = await run("plugin", "new", name);
      assert.equal(code, 2, `${name}: ${stderr}`);
    }
    const taken = await run("plugin", "new", "shell");
    assert.match(taken.stderr, /Cannot write the plugin "shell": the name is taken/);
  },
);

forEachKind("plugin types: replaces what it wrote, and nothing else", async (kind) => {
  await using directory = await directoryWith({ "plugins/deno.json": "{}" });
  const run = runIn(directory.path, kind);
  const first = await run("plugin", "types");
  assert.equal(first.code, 0, first.stderr);
  assert.match(first.stdout, /^Kept \.\/plugins\/deno\.json$/m);
  assert.match(
    first.stderr,
    /deno\.json is yours and does not lead to \.\/_observatory\/plugin\.ts/,
  );
  assert.equal(await Deno.readTextFile(join(directory.path, "plugins/deno.json")), "{}");
  const contract = join(directory.path, "plugins/_observatory/plugin.ts");
  const text = await Deno.readTextFile(contract);
  await Deno.writeTextFile(contract, `${text.split("\n")[0]}\nolder`);
  const again = await run("plugin", "types");
  assert.match(again.stdout, /^Replaced \.\/plugins\/_observatory\/plugin\.ts$/m);
  assert.match(again.stdout, /^Unchanged \.\/plugins\/_observatory\/plugin_testing\.ts$/m);
  assert.equal(await Deno.readTextFile(contract), text);
  await Deno.writeTextFile(contract, "mine");
  const mine = await run("plugin", "types");
  assert.equal(mine.code, 4);
  assert.match(mine.stderr, /Cannot replace ".*plugin\.ts": it was not written by this program/);
  assert.equal(await Deno.readTextFile(contract), "mine");
});

forEachKind("plugin check: tells what is declared, or what is wrong and where", async (kind) => {
  await using directory = await directoryWith({
    "hello.ts": HELLO,
    "folder/mod.ts": saying("folder").replace(
      'summary: "Say folder",',
      'summary: "Say folder",\n  permissions: { net: ["a.example"], run: ["pg_dump"] },',
    ),
    "taken.ts": saying("taken", "config"),
    ...Object.fromEntries(
      Object.entries(BROKEN).filter(([name]) => name !== "hangs")
        .map(([name, [text]]) => [`${name}/broken.ts`, text]),
    ),
  });
  const run = runIn(directory.path, kind);
  const hello = await run("plugin", "check", "hello.ts", "--json");
  const { data } = JSON.parse(hello.stdout);
  assert.deepEqual([hello.code, data.status, data.api], [0, "ok", 1]);
  assert.deepEqual(data.declared.hello.flags.manner.choices, ["warm", "cool"]);
  for (const path of ["folder", "folder/mod.ts"]) {
    const { code, stdout } = await run("plugin", "check", path);
    assert.equal(code, 0);
    assert.match(stdout, /Permissions:\n {2}net a\.example\n {2}run pg_dump \(full trust: /);
  }
  const taken = await run("plugin", "check", "taken.ts");
  assert.equal(taken.code, 3);
  assert.match(taken.stderr, /the name "config" is taken by the program itself/);
  const missing = await run("plugin", "check", "nowhere.ts");
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /Cannot check "nowhere\.ts": there is no such file/);
  await Promise.all(
    Object.entries(BROKEN).filter(([name]) => name !== "hangs").map(
      async ([name, [, status, reason]]) => {
        const { code, stderr, stdout } = await run("plugin", "check", `${name}/broken.ts`);
        assert.deepEqual([name, code, stdout], [name, 3, ""], stderr);
        assert.match(stderr, reason);
        assert.ok(stderr.includes(`is not ok (${status})`), stderr);
      },
    ),
  );
});

forEachKind("plugin sums: a changed file is refused from then on", async (kind) => {
  await using directory = await directoryWith({
    "plugins/hello.ts": HELLO,
    "plugins/two/mod.ts": 'import { a } from "./_a.ts";\n' + saying("two").replace("I am", "${a}"),
    "plugins/two/_a.ts": "export const a = 1;\n",
    "plugins/hello_test.ts": "",
    "plugins/deno.json": "{}",
  });
  const run = runIn(directory.path, kind, { PLUGINS_DIR: "plugins" });
  const { code, stdout } = await run("plugin", "sums");
  assert.equal(code, 0);
  assert.deepEqual(
    stdout.trimEnd().split("\n").map((line) => line.replace(/^[0-9a-f]{64} {2}/, "")),
    ["hello.ts", "two/_a.ts", "two/mod.ts"],
  );
  await Deno.writeTextFile(join(directory.path, "plugins/SHA256SUMS"), stdout);
  assert.equal((await run("plugin", "list", "--check")).code, 0);
  await Deno.writeTextFile(join(directory.path, "plugins/two/_a.ts"), "export const a = 2;\n");
  const list = await run("plugin", "list", "--check");
  assert.equal(list.code, 3);
  assert.match(list.stderr, /Plugin "two" is not ok \(refused\): .*two\/_a\.ts/);
  const missing = await run("plugin", "sums", "--dir", "nowhere");
  assert.equal(missing.code, 2);
});

forEachKind("verify: tells of plugins that cannot be used, and of a superuser", async (kind) => {
  await using given = await project(kind, { "plugins/hello.ts": HELLO });
  const line = ["verify", "--only", "plugins"];
  const run = (...more: string[]) =>
    given.run([...line, ...more], { env: { PLUGINS_DIR: "plugins" } });
  const none = await given.run(line);
  assert.match(none.stdout, /^ok +plugins +None besides the built-in ones$/m);
  const superuser = await run();
  assert.equal(superuser.code, 0);
  assert.match(
    superuser.stdout,
    /^warning +plugins +All can be used \(hello\), but the role is a/m,
  );
  await Deno.writeTextFile(join(given.directory, "plugins/broken.ts"), "export const a = 1;\n");
  const broken = await run();
  assert.equal(broken.code, 3);
  assert.match(broken.stdout, /^failed +plugins +"broken": .*no default export$/m);
  const without = await run("--no-plugins");
  assert.equal(without.code, 0);
});

forEachKind(
  "plugin list: warns where the role's SQL leads out of the sandbox, as far as it is known",
  async (kind) => {
    await using given = await project(kind, { "plugins/hello.ts": HELLO });
    const roles = { plain: uniqueName("plain"), runner: uniqueName("runner") };
    await given.database.query(`CREATE ROLE ${roles.plain} LOGIN; CREATE ROLE ${roles.runner} LOGIN;
    GRANT pg_execute_server_program TO ${roles.runner}`);
    try {
      const list = async (env: Readonly<Record<string, string>>, ...args: string[]) => {
        const run = await given.run(["plugin", "list", "--json", ...args], {
          env: { PLUGINS_DIR: "plugins", ...env },
        });
        assert.equal(run.code, 0, run.stderr);
        const { data: { role }, warnings = [] } = JSON.parse(run.stdout);
        return { role, warned: /leads out of any sandbox/.test(run.stderr), warnings };
      };
      const superuser = await list({});
      assert.deepEqual(superuser.role, { name: "postgres", leads_out: true });
      assert.deepEqual([superuser.warned, superuser.warnings.length], [true, 1]);
      const as = (user: string) => ({
        DATABASE_URL: given.database.url.replace("postgres@", `${user}@`),
      });
      assert.deepEqual(await list(as(roles.plain)), {
        role: { name: roles.plain, leads_out: false },
        warned: false,
        warnings: [],
      });
      assert.equal((await list(as(roles.runner))).warned, true);
      const text = await given.run(["plugin", "list"], {
        env: { PLUGINS_DIR: "plugins", ...as(roles.plain) },
      });
      assert.match(
        text.stdout,
        /^A plugin's SQL has the rights of "plain_\w+", which starts no programs/m,
      );
      assert.equal(text.stderr, "");
      // Nothing is waited for, and what is wrong with the connection is not this command's to tell.
      for (const DATABASE_URL of ["postgres://nobody@127.0.0.1:1/x", "postgres://[", "mysql://x"]) {
        const started = Date.now();
        assert.deepEqual(await list({ DATABASE_URL }), { role: null, warned: false, warnings: [] });
        assert.ok(Date.now() - started < 10_000);
      }
      const none = await given.run(["plugin", "list", "--no-plugins"]);
      assert.doesNotMatch(none.stdout + none.stderr, /rights|sandbox/);
    } finally {
      for (const role of Object.values(roles)) await given.database.query(`DROP ROLE ${role}`);
    }
  },
);

forEachKind(
  "plugin list: shows what each plugin reaches, variables of the environment included",
  async (kind) => {
    await using directory = await directoryWith({
      "plugins/hook.ts": saying("hook").replace(
        'summary: "Say hook",',
        'summary: "Say hook",\n  permissions: { net: ["hooks.example.com"], read: ["data"], run: ["id"] },',
      ).replace(
        'database: "none",',
        `database: "none", flags: {
        "url": { type: "string", env: "HOOK_URL", secret: true, help: "Where to" },
        "token": { type: "string", env: "GITHUB_TOKEN", help: "As whom" },
      },`,
      ),
    });
    const run = runIn(directory.path, kind, {
      PLUGINS_DIR: "plugins",
      DATABASE_URL: "postgres://127.0.0.1:1/x",
    });
    const list = await run("plugin", "list");
    assert.match(
      list.stdout,
      /permissions: net hooks\.example\.com; read data; env GITHUB_TOKEN, HOOK_URL; run id \(full trust: /,
    );
    const check = await run("plugin", "check", "plugins/hook.ts");
    assert.match(
      check.stdout,
      /Permissions:\n {2}net hooks.*\n {2}read data\n {2}env GITHUB_TOKEN, HOOK_URL\n/,
    );
  },
);

forEachKind(
  "plugin check, plugin list: a hook of a command that there is not is told",
  async (kind) => {
    await using directory = await directoryWith({
      "plugins/guard.ts": hooking("guard", {
        "before:rest": "",
        "before:reset": "",
        "after:*": "",
        "failed:migrate-status": "",
        "always:say": "",
        "before:plugin list": "",
      }),
      "plugins/say.ts": saying("say"),
    });
    const run = runIn(directory.path, kind, {
      PLUGINS_DIR: "plugins",
      DATABASE_URL: "postgres://127.0.0.1:1/x",
    });
    for (const args of [["check", "plugins/guard.ts"], ["list"]]) {
      const { code, stderr } = await run("plugin", ...args);
      assert.equal(code, 0, stderr);
      const never = (hook: string, why: string) =>
        `[WARNING] The hook "${hook}" of plugin guard is never called: ${why}`;
      assert.deepEqual(stderr.trimEnd().split("\n"), [
        never("before:rest", 'there is no command "rest"'),
        never("failed:migrate-status", 'there is no command "migrate-status"'),
        never("before:plugin list", "plugin list has no hooks"),
      ]);
    }
  },
);
