/**
 * What the contract's types promise to plugin authors. Each expected error is
 * one that `deno check` must find: without it the check of this file fails.
 */
import assert from "assert";
import {
  command,
  type Context,
  definePlugin,
  type Hook,
  type Input,
  type Plugin,
} from "../../core/plugin.ts";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true
  : false;

/** Fails to compile unless the type is `true`. */
function expectType<_T extends true>(): void {}

const examples = [{ line: "observatory x", note: "Do x" }] as const;
const run = () => Promise.resolve({ data: null });

Deno.test("command: each flag's value has the type that its declaration says", () => {
  const declared = command({
    summary: "Do x",
    examples,
    effect: "read",
    flags: {
      "text": { type: "string", help: "Text" },
      "text-default": { type: "string", help: "Text", default: "a" },
      "text-required": { type: "string", help: "Text", required: true },
      "number": { type: "number", help: "A number" },
      "number-default": { type: "number", help: "A number", default: 1 },
      "switch": { type: "boolean", help: "A switch" },
      "choice": { type: "string", help: "A choice", choices: ["a", "b"] },
      "choice-default": { type: "string", help: "A choice", choices: ["a", "b"], default: "a" },
      "many": { type: "string", help: "Many", repeatable: true },
      "many-numbers": { type: "number", help: "Many", repeatable: true },
      "many-choices": { type: "string", help: "Many", repeatable: true, choices: ["a", "b"] },
    },
    run: (_ctx, { flags }) => {
      expectType<Equal<typeof flags["text"], string | undefined>>();
      expectType<Equal<typeof flags["text-default"], string>>();
      expectType<Equal<typeof flags["text-required"], string>>();
      expectType<Equal<typeof flags["number"], number | undefined>>();
      expectType<Equal<typeof flags["number-default"], number>>();
      expectType<Equal<typeof flags["switch"], boolean>>();
      expectType<Equal<typeof flags["choice"], "a" | "b" | undefined>>();
      expectType<Equal<typeof flags["choice-default"], "a" | "b">>();
      expectType<Equal<typeof flags["many"], string[]>>();
      expectType<Equal<typeof flags["many-numbers"], number[]>>();
      expectType<Equal<typeof flags["many-choices"], ("a" | "b")[]>>();
      return Promise.resolve({ data: null });
    },
  });
  assert.equal(declared.summary, "Do x");
});

Deno.test("command: each argument's value has the type that its declaration says", () => {
  const declared = command({
    summary: "Do x",
    examples,
    effect: "read",
    args: {
      "name": { help: "A name", required: true },
      "count": { type: "number", help: "A number" },
      "kind": { help: "A kind", choices: ["up", "down"], required: true },
      "rest": { help: "The rest", repeatable: true },
    },
    run: (_ctx, { args }) => {
      expectType<Equal<typeof args["name"], string>>();
      expectType<Equal<typeof args["count"], number | undefined>>();
      expectType<Equal<typeof args["kind"], "up" | "down">>();
      expectType<Equal<typeof args["rest"], string[]>>();
      return Promise.resolve({ data: null });
    },
  });
  assert.equal(declared.effect, "read");
});

Deno.test("command: a misspelt flag or argument does not compile", () => {
  command({
    summary: "Do x",
    examples,
    effect: "read",
    flags: { "steps": { type: "number", help: "Steps" } },
    args: { "name": { help: "A name" } },
    run: (_ctx, { flags, args }) => {
      // @ts-expect-error -- there is no flag of this name
      assert.equal(flags.step, undefined);
      // @ts-expect-error -- there is no argument of this name
      assert.equal(args.nane, undefined);
      // @ts-expect-error -- the flag is a number
      assert.equal(flags.steps?.toUpperCase(), undefined);
      return Promise.resolve({ data: null });
    },
  });
});

Deno.test("command: without declared flags and arguments there are none", () => {
  command({
    summary: "Do x",
    examples,
    effect: "read",
    run: (_ctx, { flags, args }) => {
      // @ts-expect-error -- no flag is declared
      assert.equal(flags.any, undefined);
      // @ts-expect-error -- no argument is declared
      assert.equal(args.any, undefined);
      return Promise.resolve({ data: null });
    },
  });
});

Deno.test("command: a value that is compared with none of its choices does not compile", () => {
  command({
    summary: "Do x",
    examples,
    effect: "read",
    flags: { "order": { type: "string", help: "The order", choices: ["strict", "loose"] } },
    run: (_ctx, { flags }) => {
      // @ts-expect-error -- this is not one of the choices
      assert.equal(flags.order === "strickt", false);
      return Promise.resolve({ data: null });
    },
  });
});

Deno.test("command: a declaration that is wrong or not whole does not compile", () => {
  // @ts-expect-error -- there is no such effect
  command({ summary: "Do x", examples, effect: "delete", run });
  // @ts-expect-error -- the effect is missing
  command({ summary: "Do x", examples, run });
  // @ts-expect-error -- the examples are missing
  command({ summary: "Do x", effect: "read", run });
  const rest = { summary: "Do x", examples, effect: "read", run } as const;
  // @ts-expect-error -- there is no such type of flag
  command({ ...rest, flags: { a: { type: "date", help: "" } } });
  // @ts-expect-error -- a flag has a help text
  command({ ...rest, flags: { a: { type: "string" } } });
  // @ts-expect-error -- a result has data
  command({ summary: "Do x", examples, effect: "read", run: () => Promise.resolve({ text: "" }) });
});

Deno.test("definePlugin: a declaration that is wrong or not whole does not compile", () => {
  definePlugin({ name: "x", api: 1, summary: "X" });
  // @ts-expect-error -- this is no version of the contract
  definePlugin({ name: "x", api: 2, summary: "X" });
  // @ts-expect-error -- the summary is missing
  definePlugin({ name: "x", api: 1 });
  // @ts-expect-error -- there is no such moment
  definePlugin({ name: "x", api: 1, summary: "X", hooks: { "during:x": () => {} } });
  // @ts-expect-error -- there is no such permission
  definePlugin({ name: "x", api: 1, summary: "X", permissions: { ffi: true } });
});

Deno.test("definePlugin: takes commands with flags of their own beside each other, and hooks", () => {
  const hook: Hook = (ctx, event) => ctx.log.info(`${event.moment} ${event.command}`);
  const plugin = definePlugin({
    name: "x",
    api: 1,
    summary: "X",
    commands: {
      "x": command({ summary: "X", examples, effect: "read", run }),
      "x y": command({
        summary: "Y",
        examples,
        effect: "write",
        flags: { "a": { type: "string", help: "A" } },
        run: (_ctx, { flags }) => Promise.resolve({ data: flags.a ?? null }),
      }),
    },
    hooks: { "before:*": hook, "after:x": hook },
  });
  assert.deepEqual(Object.keys(plugin.commands ?? {}), ["x", "x y"]);
});

Deno.test("definePlugin: each hook's event has what its moment tells", () => {
  const plugin = definePlugin({
    name: "x",
    api: 1,
    summary: "X",
    hooks: {
      "before:*": (_ctx, event) => {
        const moment: "before" = event.moment;
        // @ts-expect-error -- nothing has come of it yet
        String(event.error.code);
        return void moment;
      },
      "after:migrate status": (_ctx, { moment, result }) => {
        const after: "after" = moment;
        // @ts-expect-error -- what a command's data are is not known here
        return void [after, result.migrations];
      },
      "failed:reset": (_ctx, { error }) => void error.message.length,
      "always:*": (_ctx, event) => {
        // @ts-expect-error -- it may have succeeded
        String(event.error.code);
        if (event.error !== undefined) return void event.error.code;
      },
      // @ts-expect-error -- there is no such moment
      "during:reset": () => {},
    },
  });
  assert.equal(Object.keys(plugin.hooks ?? {}).length, 5);
});

Deno.test("Plugin: a plain object that satisfies the type is a plugin too", () => {
  const plugin = {
    name: "x",
    api: 1,
    summary: "X",
    commands: {
      "x": {
        summary: "X",
        examples,
        effect: "read",
        run: (_ctx: Context, _input: Input<object, object>) => Promise.resolve({ data: 1 }),
      },
    },
  } satisfies Plugin;
  assert.equal(plugin.api, 1);
});

Deno.test("Context: what a plugin must not change is read-only, and results are awaited", () => {
  // Never called: only its types are looked at.
  function body(ctx: Context): void {
    // @ts-expect-error -- the dry run is not the plugin's to decide
    ctx.dryRun = false;
    // @ts-expect-error -- the target has no password
    String(ctx.db.target.password);
    // @ts-expect-error -- rows come with a promise
    String(ctx.db.query("SELECT 1").rows);
    // @ts-expect-error -- the error level is the host's alone
    ctx.log.error("");
    // @ts-expect-error -- a lock says what it guards
    void ctx.db.withLock({ key: 1n, wait: 0 }, () => Promise.resolve());
    // @ts-expect-error -- a parameter is a scalar, not an object
    void ctx.db.query("SELECT $1", [{ a: 1 }]);
  }
  assert.equal(body.length, 1);
});
