/** Hooks of users' plugins around built-in commands, and plugins' own, from outside. */
import assert from "assert";
import { forEachKind } from "../program.ts";
import { hooking, saying } from "./plugin_sources.ts";
import { project } from "./project.ts";

const DIR = { PLUGINS_DIR: "plugins" };
const FILES = { "migrations/1_first.sql": "CREATE TABLE first (n int);" };
const TELL = 'ctx.log.info(event.moment + " " + event.command + " " + (event.error?.code ?? ""));';

forEachKind(
  "hooks: called around built-in commands and plugins' own, in their order",
  async (kind) => {
    await using given = await project(kind, {
      ...FILES,
      "plugins/a.ts": hooking("a", {
        "before:*": TELL,
        "after:*": TELL,
        "failed:*": TELL,
        "always:*": TELL,
      }),
      "plugins/say.ts": saying("say"),
    });
    const lines = async (...args: string[]) => {
      const { code, stderr } = await given.run(args, { env: DIR });
      return [
        code,
        stderr.split("\n").filter((line) => /\] (before|after|failed|always) /.test(line)),
      ];
    };
    const told = (...moments: string[]) => moments.map((moment) => `[INFO] ${moment}`);
    assert.deepEqual(await lines("migrate"), [
      0,
      told("before migrate ", "after migrate ", "always migrate "),
    ]);
    assert.deepEqual(await lines("say"), [0, told("before say ", "after say ", "always say ")]);
    assert.deepEqual(await lines("exec", "SELECT nope"), [
      1,
      told("before exec ", "failed exec sql_failed", "always exec sql_failed"),
    ]);
  },
);

forEachKind(
  "hooks: one that throws before stops the operation, and says how it ends",
  async (kind) => {
    await using given = await project(kind, {
      ...FILES,
      "plugins/freeze.ts": hooking("freeze", {
        "before:migrate":
          'throw new OperationError("Frozen until Monday", { kind: "refused", hint: "Wait" });',
      }),
    });
    const { code, stderr } = await given.run(["migrate"], { env: DIR });
    assert.equal(code, 4);
    assert.match(
      stderr,
      /\[ERROR\] The hook "before:migrate" of plugin freeze failed: Frozen until Monday; migrate was not started\nHint: Wait\n$/,
    );
    const rows = await given.database.query("SELECT 1 FROM pg_tables WHERE tablename = 'first'");
    assert.deepEqual(rows, []);
    const without = await given.run(["migrate", "--no-plugins"], { env: DIR });
    assert.equal(without.code, 0, without.stderr);
  },
);

forEachKind(
  "hooks: one that fails after says that the operation itself succeeded",
  async (kind) => {
    await using given = await project(kind, {
      ...FILES,
      "plugins/late.ts": hooking("late", { "after:migrate": 'throw new TypeError("too late");' }),
    });
    const { code, stderr } = await given.run(["migrate"], { env: DIR });
    assert.equal(code, 1);
    assert.match(stderr, /The hook "after:migrate" of plugin late failed: TypeError: too late \(/);
    assert.match(stderr, /plugins\/late\.ts:8:\d+/);
    assert.match(stderr, /; migrate itself succeeded$/m);
    const rows = await given.database.query("SELECT 1 FROM pg_tables WHERE tablename = 'first'");
    assert.equal(rows.length, 1);
  },
);

forEachKind(
  "hooks: those of a plugin with clashing commands are called all the same",
  async (kind) => {
    const clashing = hooking("both", { "before:config": TELL }).replace(
      "hooks: {",
      `commands: { "config": { summary: "x", examples: [], effect: "read",
      run: () => Promise.resolve({ data: 1 }) } },
  hooks: {`,
    );
    await using given = await project(kind, { "plugins/both.ts": clashing });
    const { code, stderr } = await given.run(["config"], { env: DIR });
    assert.deepEqual([code, stderr], [0, "[INFO] before config \n"]);
  },
);
