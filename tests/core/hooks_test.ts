import assert from "assert";
import { type Context, type Hook, OperationError, type Plugin } from "../../core/plugin.ts";
import { callHooks, type HookCall, runBetweenHooks } from "../../core/hooks.ts";
import { SignalError } from "../../core/errors.ts";
import type { RunLog } from "../../core/log.ts";

// Nothing in callHooks touches the context; it is handed on as it is.
const CONTEXT = { dryRun: true } as Context;

function calling(plugins: readonly Plugin[]): HookCall {
  return {
    plugins,
    event: { command: "backup", effect: "read", flags: { a: 1 }, args: {}, result: { b: 2 } },
    context: () => CONTEXT,
  };
}

function plugin(name: string, hooks: NonNullable<Plugin["hooks"]>): Plugin {
  return { name, api: 1, summary: name, hooks };
}

function recording(called: string[], name: string): Plugin {
  const hook = (what: string): Hook => () => void called.push(`${name} ${what}`);
  return plugin(name, {
    "before:*": hook("before:*"),
    "before:backup": hook("before:backup"),
    "before:restore": hook("before:restore"),
    "after:*": hook("after:*"),
    "after:backup": hook("after:backup"),
  });
}

Deno.test("callHooks: go in the plugins' order before, and in reverse afterwards, as brackets close", async () => {
  const called: string[] = [];
  const plugins = [recording(called, "one"), recording(called, "two")];
  await callHooks("before", calling(plugins));
  await callHooks("after", calling(plugins));
  assert.deepEqual(called, [
    "one before:*",
    "one before:backup",
    "two before:*",
    "two before:backup",
    "two after:backup",
    "two after:*",
    "one after:backup",
    "one after:*",
  ]);
});

Deno.test("callHooks: each hook is awaited before the next one is called", async () => {
  const called: string[] = [];
  const slow: Hook = async () => {
    called.push("begin");
    await new Promise((resolve) => setTimeout(resolve, 5));
    called.push("end");
  };
  await callHooks("before", calling([plugin("a", { "before:*": slow, "before:backup": slow })]));
  assert.deepEqual(called, ["begin", "end", "begin", "end"]);
});

Deno.test("callHooks: a hook is told the moment and the operation, and gets the context of its plugin", async () => {
  let told: unknown;
  const plugins = [plugin("a", { "always:backup": (ctx, event) => void (told = [ctx, event]) })];
  await callHooks("always", calling(plugins));
  assert.deepEqual(told, [CONTEXT, {
    moment: "always",
    command: "backup",
    effect: "read",
    flags: { a: 1 },
    args: {},
    result: { b: 2 },
  }]);
});

async function failing(moment: "before" | "after" | "failed" | "always", error: unknown) {
  const hook: Hook = () => {
    throw error;
  };
  const plugins = [plugin("guard", { [`${moment}:backup`]: hook })];
  const [failure] = await callHooks(moment, calling(plugins));
  if (failure !== undefined) throw failure;
}

Deno.test("callHooks: a failure names the hook, its plugin, the reason and what it means", async () => {
  const consequences = {
    before: "backup was not started",
    after: "backup itself succeeded",
    failed: "backup had failed before",
    always: "backup itself succeeded",
  };
  for (const moment of ["before", "after", "failed", "always"] as const) {
    await assert.rejects(failing(moment, new Error("not on Fridays")), {
      name: "OperationError",
      message: `The hook "${moment}:backup" of plugin guard failed: not on Fridays; ${
        consequences[moment]
      }`,
      kind: "failed",
      code: "hook_failed",
      details: { plugin: "guard", hook: `${moment}:backup` },
    });
  }
});

Deno.test("callHooks: a failure keeps its kind, its hint and its cause", async () => {
  const error = new OperationError("Frozen", { kind: "refused", hint: "Wait for Monday" });
  await assert.rejects(failing("before", error), {
    kind: "refused",
    code: "hook_failed",
    hint: "Wait for Monday",
    cause: error,
  });
});

Deno.test("callHooks: whatever a hook throws is blamed on it", async () => {
  for (const thrown of [undefined, "text", Object.create(null)]) {
    await assert.rejects(failing("before", thrown), {
      message: /^The hook "before:backup" of plugin guard failed: /,
    });
  }
});

Deno.test("callHooks: a signal during a hook stays a signal", async () => {
  const signal = new SignalError("SIGTERM");
  await assert.rejects(failing("before", signal), signal);
});

Deno.test("callHooks: the first failure at before stops the rest; afterwards all are called", async () => {
  for (const moment of ["before", "after", "failed", "always"] as const) {
    const called: string[] = [];
    const throwing = (name: string): Hook => () => {
      called.push(name);
      throw new Error(name);
    };
    const plugins = [
      plugin("a", { [`${moment}:*`]: throwing("a"), [`${moment}:backup`]: throwing("b") }),
      plugin("b", { [`${moment}:backup`]: throwing("c") }),
    ];
    const failures = await callHooks(moment, calling(plugins));
    assert.deepEqual(called, moment === "before" ? ["a"] : ["c", "b", "a"]);
    assert.deepEqual(failures.map(({ cause }) => cause instanceof Error && cause.message), called);
  }
});

Deno.test("runBetweenHooks: a failure that several hooks end with is told once", async () => {
  const ended = new OperationError("Plugin a was ended");
  const hook: Hook = () => {
    throw ended;
  };
  const lines: string[] = [];
  const run = runBetweenHooks(() => Promise.reject(new Error("not reached")), {
    ...calling([
      plugin("a", { "before:*": hook, "failed:*": hook, "always:*": hook }),
      plugin("b", {
        "failed:*": () => {
          throw new Error("own");
        },
      }),
    ]),
    log: { error: (line: string) => void lines.push(line) } as RunLog,
    redact: (text) => text,
  });
  await assert.rejects(run, {
    message: 'The hook "before:*" of plugin a failed: Plugin a was ended; backup was not started',
  });
  assert.deepEqual(lines, [
    'The hook "failed:*" of plugin b failed: own; backup had failed before',
  ]);
});
