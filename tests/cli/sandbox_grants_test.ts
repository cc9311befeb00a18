/** What a plugin does not get by way of other commands, of programs, of its own grants or of the cache. */

import assert from "assert";
import { join } from "node:path";
import { PROJECT } from "../../tasks/build.ts";
import { withFolder } from "../core/plugin_folder.ts";
import { forEachKind, programOf, runProgram, startProgram } from "../program.ts";
import { project } from "./project.ts";
import { NOT_DECLARED, pluginOf, tried } from "./sandbox_tries.ts";

forEachKind("sandbox: no other command does for a plugin what it may not do", async (kind) => {
  await using given = await project(kind, {
    "scripts/report.sh": "#!/bin/sh\ntouch escaped\n",
    "plugins/_data.txt": "",
    "secret.sql": "s3cr3t outside",
  });
  await Deno.chmod(`${given.directory}/scripts/report.sh`, 0o755);
  const calls: Readonly<Record<string, readonly [call: string, code: string]>> = {
    shell: ['"shell", { flags: { command: "\\\\! touch escaped" } }', "not_declared"],
    "shell and a script": [
      '"shell", { flags: { command: "./scripts/report.sh" } }',
      "not_declared",
    ],
    sql: ['"sql", { args: { file: ["secret.sql"] } }', "not_declared"],
    script: ['"script", { args: { name: "report" } }', "not_declared"],
    "migrations of others": ['"migrate", { flags: { dir: "/etc" } }', "not_declared"],
    "by its alias": ['"migrate-status", { flags: { dir: ["/etc"] } }', "not_declared"],
    "a value in a flag's name": ['"migrate status", { flags: { "dir=/etc": true } }', "usage"],
    "a new migration": [
      '"migrate add", { args: { name: "x" }, flags: { dir: "." } }',
      "not_declared",
    ],
    "seeds of others": ['"seed", { flags: { dir: "/etc" } }', "not_declared"],
    "a new plugin": ['"plugin new", { args: { name: "evil" } }', "forbidden"],
    "types of plugins": ['"plugin types", { flags: { dir: "." } }', "forbidden"],
    "another plugin": ['"plugin check", { args: { file: "secret.sql" } }', "forbidden"],
    "sums of plugins": ['"plugin sums"', "forbidden"],
  };
  const attempts = Object.entries(calls).map(([name, [call]]) =>
    `${JSON.stringify(name)}: await ctx.run(${call}).then(() => "done", (error) => error.code)`
  ).join(",\n");
  const source = pluginOf({ try: `async (ctx) => ({ data: { ${attempts} } })` }, {
    effect: "write",
  })
    .replace(
      "commands:",
      `hooks: { "before:config": async (ctx) => ctx.log.info(JSON.stringify({
      ${attempts} })) }, commands:`,
    );
  await Deno.writeTextFile(`${given.directory}/plugins/tries.js`, source);
  const expected = Object.fromEntries(
    Object.entries(calls).map(([name, [, code]]) => [name, code]),
  );
  const run = (...args: string[]) =>
    given.run(["--json", ...args], { env: { PLUGINS_DIR: "plugins" } });
  const tries = await run("try");
  assert.equal(tries.code, 0, tries.stderr + tries.stdout);
  assert.deepEqual(JSON.parse(tries.stdout).data, expected);
  // A hook is called in the context of the built-in operation, and may no more for that.
  const hook = await run("config");
  assert.equal(hook.code, 0, hook.stderr);
  assert.deepEqual(JSON.parse(/\{.*\}/.exec(hook.stderr)?.[0] ?? ""), expected);
  const names = namesIn(given.directory);
  assert.deepEqual(names, ["plugins", "scripts", "secret.sql"]);
});

forEachKind(
  "sandbox: of programs only those are started that are declared, as they are",
  async (kind) => {
    const exec = (line: string) => `ctx.exec(${line}).then(async (p) => (await p.exit).code)`;
    const told = await tried(kind, {
      declared: exec('"true"'),
      "by another name": exec('"/bin/true"'),
      other: exec('"id"'),
      "a line": exec('"true; id"'),
      preloaded: exec('"true", { env: { LD_PRELOAD: "./evil.so" } }'),
      libraries: exec('"true", { env: { LD_LIBRARY_PATH: "." } }'),
      "the terminal": exec('"true", { stdin: "inherit" }'),
    }, { permissions: { run: ["true"] } });
    assert.equal(told["declared"], "escaped: 0");
    for (const name of ["by another name", "other", "a line"]) {
      assert.match(told[name] ?? "", NOT_DECLARED, name);
    }
    for (const name of ["preloaded", "libraries"]) {
      assert.match(told[name] ?? "", /^OperationError: Cannot start "true": .*LD_/, name);
    }
    assert.match(told["the terminal"] ?? "", /gets neither the terminal/);
  },
);

forEachKind("exec: a program may leave its input unread", async (kind) => {
  // More than a pipe holds, at once: half of it is written when the program closes its end.
  const stdin = `new ReadableStream({
    start(controller) { controller.enqueue(new Uint8Array(3_000_000)); controller.close(); }
  })`;
  const line = `"sh", { args: ["-c", "sleep 0.1; exec <&-; sleep 0.3"], stdin: ${stdin} }`;
  const exit = `ctx.exec(${line}).then(async (p) => (await p.exit).code)`;
  const told = await tried(kind, { unread: exit }, { permissions: { run: ["sh"] } });
  assert.deepEqual(told, { unread: "escaped: 0" });
});

forEachKind(
  "sandbox: a grant of everything leaves out plugins, their cache and the program",
  async (kind) => {
    const { command } = await programOf(kind);
    const program = kind === "compiled" ? command[0] ?? "" : join(PROJECT, "core", "evil.ts");
    const source = pluginOf({
      try: `async ({ files }) => {
      const tell = (work) => work.then(() => "escaped", (error) => error.code);
      const data = {};
      for (const path of ${
        JSON.stringify([
          "plugins/evil.js",
          "plugins/new/mod.js",
          "given/evil.js",
          "caches/observatory/plugins/evil.mjs",
          "linked/evil.js",
          program,
          "free.txt",
        ])
      }) {
        data[path] = [await tell(files.create(path, "x", { replace: true })),
          await tell(files.save(path, ReadableStream.from([new Uint8Array(1)]), { replace: true })),
          await tell(files.rename("other.txt", path)), await tell(files.remove(path))];
      }
      return { data };
    }`,
    }, { permissions: { write: ["/"], read: ["/"] } });
    await withFolder({
      "plugins/tries.js": source,
      "given/other.js": "export default 1;",
      "linked": { link: "plugins" },
      "other.txt": "x",
    }, async ({ path }) => {
      const before = kind === "compiled" ? await Deno.stat(program) : undefined;
      const run = await startProgram(
        ["--json", "--plugin-dir", "plugins", "--plugin-dir", "given", "try"],
        { kind, cwd: path, env: { XDG_CACHE_HOME: join(path, "caches") } },
      );
      await run.endInput();
      const { code, stdout, stderr } = await run.result();
      assert.equal(code, 0, stderr + stdout);
      const { ["free.txt"]: free, ...locked } = JSON.parse(stdout).data;
      assert.equal(free[0], "escaped");
      for (const [name, codes] of Object.entries(locked)) {
        assert.deepEqual(codes, Array(4).fill("forbidden"), name);
      }
      if (before !== undefined) assert.equal((await Deno.stat(program)).ino, before.ino);
      assert.deepEqual(namesIn(join(path, "plugins")), [
        "tries.js",
      ]);
    });
  },
);

forEachKind("sandbox: what was tampered with in the cache does not run", async (kind) => {
  await withFolder({
    "plugins/tries.js": pluginOf({ try: "async () => ({ data: 'own' })" }),
    "caches/.keep": "",
  }, async ({ path }) => {
    const caches = join(path, "caches");
    const run = async () => {
      const line = ["--json", "--verbose", "--plugin-dir", "plugins", "try"];
      const env = { XDG_CACHE_HOME: caches };
      const { code, stdout, stderr } = await runProgram(line, { kind, cwd: path, env });
      assert.equal(code, 0, stderr + stdout);
      return { data: JSON.parse(stdout).data, stderr };
    };
    assert.equal((await run()).data, "own");
    const root = join(caches, "observatory", "plugins");
    const files = [...walk(root)];
    assert.ok(files.length > 8, `${files}`);
    const ways: readonly ((text: string) => string)[] = [
      (text) => `console.log("tampered");\n${text.replaceAll("own", "tampered")}`,
      (text) => text.replaceAll("own", "tampered").replaceAll("[]", '["tampered"]'),
      () => "",
    ];
    for (const change of ways) {
      for (const file of files) {
        const text = await Deno.readTextFile(file);
        await Deno.writeTextFile(file, change(text));
        const { data, stderr } = await run();
        assert.equal(data, "own", file);
        assert.doesNotMatch(stderr, /tampered/, file);
      }
    }
    // Where others may write, nothing of it is used, whatever its sums say.
    await Deno.chmod(root, 0o777);
    await Deno.writeTextFile(files.find((file) => file.endsWith("/0.mjs")) ?? "", "tampered");
    assert.equal((await run()).data, "own");
  });
});

function namesIn(directory: string): string[] {
  return [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
}

function* walk(directory: string): Generator<string> {
  for (const { name, isDirectory } of Deno.readDirSync(directory)) {
    if (isDirectory) yield* walk(join(directory, name));
    else yield join(directory, name);
  }
}
