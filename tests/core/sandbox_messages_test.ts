/** What the host makes of the messages of a worker that is not the guest it should be. */

import assert from "assert";
import { OperationError } from "../../core/plugin.ts";
import { blamedError, CLASSES } from "../../core/sandbox/blame.ts";
import { readDeclaration, rememberedDeclaration } from "../../core/sandbox/declaration.ts";
import { packError, unpackError } from "../../core/sandbox/guest/errors.mjs";
import { type StreamMessage, Streams, WINDOW } from "../../core/sandbox/guest/streams.mjs";
import { GUEST_LIMITS, limitsOf } from "../../core/sandbox/limits.ts";
import { GuestLine } from "../../core/sandbox/line.ts";
import { isStreamMessage, readMessage } from "../../core/sandbox/messages.ts";
import { ProtocolError } from "../../core/sandbox/shapes.ts";
import { dataProblem, result, rowPart, sqlParameters } from "../../core/sandbox/values.ts";

const ERROR = { class: "other", name: "Error", message: "no" };

const GARBAGE: readonly (readonly [unknown, RegExp])[] = [
  [undefined, /without a type/],
  [null, /without a type/],
  [7, /without a type/],
  ["ready", /without a type/],
  [[], /without a type/],
  [new Map([["type", "pong"]]), /without a type/],
  [{ type: 1 }, /without a type/],
  [{ type: "toString" }, /of type "toString"/],
  [{ type: "__proto__" }, /of type "__proto__"/],
  [{ type: "start", entry: "file:///etc/passwd" }, /of type "start"/],
  [{ type: "x".repeat(1000) }, /of type "x{100}"/],
  [{ type: "pong", more: 1 }, /no property "more"/],
  [{ type: "result" }, /id: a whole number/],
  [{ type: "result", id: 0 }, /id: a whole number/],
  [{ type: "result", id: 1.5 }, /id: a whole number/],
  [{ type: "result", id: "1" }, /id: a whole number/],
  [{ type: "error", id: 1, error: null }, /error: an object/],
  [{ type: "error", id: 1, error: { ...ERROR, class: "bug" } }, /class: operation or/],
  [{ type: "error", id: 1, error: { ...ERROR, kind: "refused!" } }, /kind: failed or/],
  [{ type: "error", id: 1, error: { ...ERROR, message: "x".repeat(2 ** 20 + 1) } }, /message: a t/],
  [{ type: "error", id: 1, error: { ...ERROR, details: [] } }, /details: an object/],
  [{ type: "call", id: 1, run: 1, method: 5, args: [] }, /method: a text/],
  [{ type: "call", id: 1, run: 1, method: "db.query", args: {} }, /args: a list/],
  [{ type: "call", id: 1, run: 1, method: "db.query", args: Array(11).fill(1) }, /args: a list/],
  [{ type: "log", level: "error", text: "no" }, /level: debug or/],
  [{ type: "log", level: "info", text: {} }, /text: a text/],
  [{ type: "pull", stream: 1, count: WINDOW + 1 }, /count: a whole number/],
  [{ type: "pull", stream: 1, count: 0 }, /count: a whole number/],
  [{ type: "part", stream: -1, value: 1 }, /stream: a whole number/],
  [{ type: "loaded", declaration: { name: "x" } }, /declaration: a text/],
];

Deno.test("sandbox messages: what no guest sends is refused, and why", () => {
  for (const [value, reason] of GARBAGE) {
    assert.throws(() => readMessage(value), (error) => {
      assert.ok(error instanceof ProtocolError);
      assert.match(error.message, reason);
      return true;
    });
  }
});

Deno.test("sandbox messages: what is read is a copy without more than is meant", () => {
  const sent = { type: "error", id: 3, error: { ...ERROR, stack: "at x" } };
  const message = readMessage(sent);
  assert.deepEqual(message, sent);
  assert.notEqual(message, sent);
  assert.ok(!isStreamMessage(message));
  assert.ok(isStreamMessage(readMessage({ type: "done", stream: 1 })));
});

/** A worker that runs this script instead of the guest. */
function rawWorker(script: string): Worker {
  return new Worker(`data:text/javascript,${encodeURIComponent(script)}`, {
    type: "module",
    deno: { permissions: "none" },
  });
}

Deno.test("sandbox messages: a worker that sends garbage is ended, and the plugin blamed", async () => {
  const forged = [
    "null",
    '{ type: "nonsense" }',
    '{ type: "result", id: 99, value: 1 }',
    '{ type: "error", id: 1, error: { class: "other", name: "E", message: "m" } }',
    '{ type: "part", stream: 1, value: 1 }',
    '{ type: "pull", stream: 1, count: 1 }',
    '{ type: "done", stream: 4 }',
  ];
  for (const message of forged) {
    const line = new GuestLine(rawWorker(`postMessage(${message}); setInterval(() => {}, 10);`), {
      blamed: { name: "forger", origins: {} },
      limits: GUEST_LIMITS,
    });
    const error = await line.load({ entry: "file:///x.mjs", contract: "file:///y.mjs" })
      .then(() => undefined, (reason: unknown) => reason);
    assert.ok(error instanceof OperationError, message);
    assert.deepEqual([error.code, error.kind], ["plugin_protocol", "failed"], message);
    assert.match(error.message, /^Plugin forger sent what no plugin sends: /, message);
    assert.equal(line.ended, error);
  }
});

Deno.test("sandbox messages: a worker that fails without a guest is blamed, too", async () => {
  const line = new GuestLine(rawWorker("throw new TypeError('early')"), {
    blamed: { name: "early", origins: {} },
    limits: GUEST_LIMITS,
  });
  await assert.rejects(
    line.load({ entry: "file:///x.mjs", contract: "file:///y.mjs" }),
    { code: "plugin_failed", message: /^Plugin early failed: .*TypeError: early/ },
  );
});

Deno.test("sandbox messages: errors cross with everything that they carry", () => {
  const options = {
    kind: "refused",
    code: "guarded",
    hint: "Do it",
    excerpt: "  ^",
    details: { n: 1n, list: [1] },
  } as const;
  const server = { severity: "ERROR", sqlstate: "23505", message: "twice", constraint: "k" };
  const database = new CLASSES.DatabaseError(server, 3, { completed: 2, hint: "Once" });
  database.message = "worded anew";
  for (const error of [new OperationError("no", options), database]) {
    const data = packError(error, CLASSES);
    assert.deepEqual(readMessage({ type: "failed", error: structuredClone(data) }), {
      type: "failed",
      error: data,
    });
    const made = unpackError(data, CLASSES);
    assert.ok(made instanceof error.constructor);
    assert.deepEqual({ ...made }, { ...error });
    assert.equal(made.message, error.message);
  }
});

Deno.test("sandbox messages: whatever is thrown can be told", () => {
  const trap = new Proxy(new OperationError("x"), {
    get() {
      throw new Error("trapped");
    },
  });
  assert.equal(packError(trap, CLASSES).message, "What was thrown cannot be told");
  assert.equal(packError(Object.create(null), CLASSES).message, "What was thrown cannot be told");
  assert.equal(packError("text", CLASSES).message, "text");
  assert.equal(packError(undefined, CLASSES).message, "undefined");
  const uncloneable = packError(new OperationError("x", { details: { f() {} } }), CLASSES);
  assert.equal(uncloneable.details, undefined);
});

Deno.test("sandbox messages: blame names the plugin and its own place, not the copy's", () => {
  const origins = { "file:///cache/ab/0.mjs": "/plugins/vacuum.ts" };
  const stack = [
    "TypeError: no",
    "    at inner (file:///cache/ab/0.mjs:2:5)",
    "    at async Object.run (file:///cache/ab/0.mjs:9:1)",
    "    at async perform (file:///cache/guest/main.mjs:100:7)",
    "    at ext:core/01_core.js:1:1",
  ].join("\n");
  const data = { class: "other", name: "TypeError", message: "no", stack } as const;
  const error = blamedError(data, { name: "vacuum", origins });
  assert.ok(error instanceof OperationError);
  assert.equal(error.message, "Plugin vacuum failed: TypeError: no (/plugins/vacuum.ts:2:5)");
  assert.equal(
    error.excerpt,
    "    at inner (/plugins/vacuum.ts:2:5)\n    at async Object.run (/plugins/vacuum.ts:9:1)",
  );
  assert.deepEqual([error.kind, error.code, error.details], [
    "failed",
    "plugin_failed",
    { plugin: "vacuum", at: "/plugins/vacuum.ts:2:5" },
  ]);
  const bare = blamedError({ class: "other", name: "Error", message: "no", stack: "" }, {
    name: "vacuum",
    origins,
  });
  assert.equal(bare.message, "Plugin vacuum failed: no");
});

const PLUGIN = { name: "x", api: 1, summary: "X" };
const COMMAND = { summary: "Do", examples: [], effect: "read", run: "function" };

Deno.test("sandbox messages: a declaration is data, the same when remembered", () => {
  const declaration = readDeclaration(
    JSON.stringify({
      ...PLUGIN,
      commands: {
        "do it": {
          ...COMMAND,
          plan: "function",
          flags: { n: { type: "number", help: "N" } },
          args: { from: { help: "F", completes: "backup" } },
        },
      },
      hooks: { "after:backup": "function", "always:*": "function" },
      permissions: { net: ["example.com", "[::1]:80"], run: ["git"] },
    }),
    "x.ts",
  );
  assert.deepEqual(declaration.hooks, ["after:backup", "always:*"]);
  assert.equal(declaration.commands["do it"]?.plans, true);
  assert.equal(declaration.commands["do it"]?.args?.["from"]?.completes, "backup");
  assert.deepEqual(rememberedDeclaration(JSON.parse(JSON.stringify(declaration))), declaration);
  assert.equal(rememberedDeclaration({ ...declaration, api: 2 }), undefined);
  assert.equal(rememberedDeclaration({ ...declaration, hooks: "all" }), undefined);
  assert.equal(rememberedDeclaration(undefined), undefined);
});

Deno.test("sandbox messages: what is wrong with a declaration is told, with its place", () => {
  const cases: readonly (readonly [unknown, string, RegExp])[] = [
    [null, "plugin_invalid", /^Plugin x\.ts has no default export$/],
    ["text", "plugin_invalid", /is not valid: an object/],
    [{ ...PLUGIN, api: 2 }, "plugin_incompatible", /version 2 of the plugin contract; .* has 1/],
    [{ ...PLUGIN, api: "1" }, "plugin_invalid", /api: a number/],
    [{ ...PLUGIN, name: "Big Name" }, "plugin_invalid", /name: a name of lower-case/],
    [{ ...PLUGIN, permisions: {} }, "plugin_invalid", /no property "permisions"/],
    [
      { ...PLUGIN, commands: { x: { ...COMMAND, effect: "reads" } } },
      "plugin_invalid",
      /commands: "x": effect: read or write or destroy/,
    ],
    [
      { ...PLUGIN, commands: { x: { ...COMMAND, run: "undefined" } } },
      "plugin_invalid",
      /"x": run: function/,
    ],
    [
      { ...PLUGIN, completers: { backup: "function" } },
      "plugin_invalid",
      /no property "completers"/,
    ],
    [
      { ...PLUGIN, commands: { x: { ...COMMAND, args: { a: { help: "", completes: "town" } } } } },
      "plugin_invalid",
      /"a": completes: backup or dump/,
    ],
    [{ ...PLUGIN, commands: { "--x": COMMAND } }, "plugin_invalid", /a path of words/],
    [{ ...PLUGIN, commands: { x: null } }, "plugin_invalid", /commands: "x": an object/],
    [
      {
        ...PLUGIN,
        commands: { x: { ...COMMAND, flags: { Force: { type: "boolean", help: "" } } } },
      },
      "plugin_invalid",
      /flags: a name/,
    ],
    [
      { ...PLUGIN, commands: { x: { ...COMMAND, flags: { f: { type: "date", help: "" } } } } },
      "plugin_invalid",
      /"f": type: string or number/,
    ],
    ...([
      [
        { flags: { json: { type: "string", help: "" } } },
        /flag "json": the name is taken by a flag/,
      ],
      [
        { flags: { "database-url": { type: "string", help: "" } } },
        /"database-url": the name is t/,
      ],
      [{ database: "none", flags: { port: { type: "number", help: "" } } }, /"port": the name is/],
      [{ effect: "destroy", flags: { force: { type: "boolean", help: "" } } }, /"force": the name/],
      [
        { flags: { a: { type: "string", short: "q", help: "" } } },
        /letter q is taken by the progr/,
      ],
      [
        {
          flags: {
            a: { type: "string", short: "x", help: "" },
            b: { type: "string", short: "x", help: "" },
          },
        },
        /flag "b": the letter x is taken by flag "a"$/,
      ],
      [
        { flags: { n: { type: "number", default: "ten", help: "" } } },
        /the default "ten" is no nu/,
      ],
      [{ flags: { n: { type: "number", choices: ["1"], help: "" } } }, /choices are for texts/],
      [
        { flags: { m: { type: "string", choices: ["a"], default: "b", help: "" } } },
        /flag "m": the default "b" is none of the choices$/,
      ],
      [{ flags: { k: { type: "boolean", repeatable: true, help: "" } } }, /cannot be repeated/],
      [
        { args: { a: { help: "" }, b: { help: "", required: true } } },
        /"b": it is required, and "a"/,
      ],
      [
        { args: { a: { help: "", repeatable: true }, b: { help: "" } } },
        /"b": nothing is left behi/,
      ],
    ] as const).map(([more, message]): [unknown, string, RegExp] => [
      { ...PLUGIN, commands: { x: { ...COMMAND, ...more } } },
      "plugin_invalid",
      message,
    ]),
    [{ ...PLUGIN, hooks: { "during:x": "function" } }, "plugin_invalid", /hooks: a moment/],
    [{ ...PLUGIN, hooks: { "after:x": "object" } }, "plugin_invalid", /"after:x": function/],
    [{ ...PLUGIN, permissions: { net: ["*"] } }, "plugin_invalid", /net: a host/],
    [{ ...PLUGIN, permissions: { net: ["http://x"] } }, "plugin_invalid", /net: a host/],
    [{ ...PLUGIN, permissions: { net: true } }, "plugin_invalid", /net: a list/],
    [{ ...PLUGIN, permissions: { ffi: true } }, "plugin_invalid", /no property "ffi"/],
    [{ ...PLUGIN, permissions: { env: ["HOME"] } }, "plugin_invalid", /no property "env"/],
  ];
  for (const [value, code, message] of cases) {
    assert.throws(() => readDeclaration(JSON.stringify(value), "x.ts"), (error) => {
      assert.ok(error instanceof OperationError);
      assert.equal(error.code, code);
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("sandbox messages: values of the contract are checked", () => {
  const columns = { kind: "columns", columns: [{ name: "a", type: 23 }] };
  const rows = { kind: "rows", rows: [["1", null]] };
  for (const part of [columns, rows, { kind: "end", command: "SELECT", count: 1 }]) {
    assert.deepEqual(rowPart(part), part);
  }
  for (
    const part of [
      null,
      { kind: "other" },
      { kind: "rows", rows: "all" },
      { kind: "rows", rows: ["ab"] },
      { kind: "rows", rows: [[1]] },
      { kind: "rows", rows: [[undefined]] },
      { kind: "rows", rows: [[{ toString: "x" }]] },
      { kind: "end", command: "SELECT", count: -1 },
      { kind: "columns", columns: [{ name: "a" }] },
    ]
  ) assert.throws(() => rowPart(part), ProtocolError);
  assert.deepEqual(sqlParameters(["a", 1, 1n, true, null, new Uint8Array(2)]).length, 6);
  for (const parameter of [undefined, {}, [1], new Date(0), Symbol.iterator]) {
    assert.throws(() => sqlParameters([parameter]), ProtocolError);
  }
  assert.deepEqual(result({ data: undefined, text: undefined }), { data: undefined });
  assert.throws(() => result({ data: 1, format: "xml" }), ProtocolError);
  assert.throws(() => result({ text: "x" }), ProtocolError);
});

Deno.test("sandbox messages: data that cannot be written as JSON is told of", () => {
  const cycle: Record<string, unknown> = {};
  cycle["self"] = [cycle];
  let deep: unknown = 1;
  for (let level = 0; level < 1000; level++) deep = [deep];
  const twice = { a: 1 };
  assert.equal(dataProblem(cycle), "holds itself");
  assert.equal(dataProblem(deep), "is nested deeper than 500 levels");
  assert.equal(dataProblem("x".repeat(65 << 20)), "is larger than 64 MiB");
  assert.equal(dataProblem([new Uint8Array(65 << 20)]), "is larger than 64 MiB");
  const map = new Map<string, unknown>();
  map.set("self", new Set([map]));
  assert.equal(dataProblem(map), "holds itself");
  assert.equal(dataProblem(new Map([["a", new Set([deep])]])), "is nested deeper than 500 levels");
  assert.equal(dataProblem([Object(1n)]), "holds a bigint as an object");
  // 4,000,000,000 times null, and 5,000,000 numbers.
  assert.equal(dataProblem(Object.assign([], { length: 4e9 })), "is larger than 64 MiB");
  assert.equal(dataProblem(new Array(5e6).fill(1)), undefined);
  assert.equal(dataProblem({ twice: [twice, twice], n: 1n, d: new Date(0) }), undefined);
});

Deno.test("sandbox messages: the limits of memory and time can be set by the environment", () => {
  const { hook, silence, load } = limitsOf({ OBSERVATORY_PLUGIN_SECONDS: "300" });
  assert.deepEqual([hook, silence, load], [300_000, 300_000, GUEST_LIMITS.load]);
  assert.deepEqual(limitsOf({ OBSERVATORY_PLUGIN_SECONDS: "soon" }), GUEST_LIMITS);
  assert.equal(limitsOf({}).memory, 1 << 30);
  assert.equal(limitsOf({ OBSERVATORY_PLUGIN_MEMORY_MB: "300" }).memory, 300 << 20);
  assert.equal(limitsOf({ OBSERVATORY_PLUGIN_MEMORY_MB: "none" }).memory, 1 << 30);
});

interface Pair {
  readonly here: Streams;
  readonly there: Streams;
  readonly said: StreamMessage[];
}

/** Two sides that hear each other at once. */
function pair(): Pick<Pair, "here" | "there"> {
  const side = (other: () => Streams) => ({
    post: (message: StreamMessage) =>
      queueMicrotask(() => other().handle(structuredClone(message))),
    pack: (error: unknown) => packError(error, CLASSES),
    unpack: (data: Parameters<typeof unpackError>[0]) => unpackError(data, CLASSES),
  });
  const here: Streams = new Streams(side(() => there));
  const there: Streams = new Streams(side(() => here));
  return { here, there };
}

/** A side whose other side says nothing. */
function alone(): Pick<Pair, "here" | "said"> {
  const said: StreamMessage[] = [];
  const here = new Streams({
    post: (message) => void said.push(message),
    pack: (error) => packError(error, CLASSES),
    unpack: (data) => unpackError(data, CLASSES),
  });
  return { here, said };
}

const number = (value: unknown) => {
  if (typeof value !== "number") throw new ProtocolError("a number was expected");
  return value;
};

Deno.test("sandbox messages: a stream crosses whole, no faster than it is read", async () => {
  const { here, there } = pair();
  let made = 0;
  const id = here.send(
    new ReadableStream<number>({
      pull(controller) {
        if (made === 100) controller.close();
        else controller.enqueue(made++);
      },
    }, { highWaterMark: 0 }),
  );
  const reader = there.receive(id, number).getReader();
  assert.equal((await reader.read()).value, 0);
  await new Promise((resolve) => setTimeout(resolve, 10));
  assert.ok(made <= 2 * WINDOW, `${made} were made for one that was read`);
  for (let next = 1; next < 100; next++) assert.equal((await reader.read()).value, next);
  assert.equal((await reader.read()).done, true);
});

Deno.test("sandbox messages: a stream that fails fails there, one that is cancelled is given up here", async () => {
  const { here, there } = pair();
  const failing = here.send(
    new ReadableStream({
      start: (controller) => controller.error(new OperationError("broken", { code: "b" })),
    }),
  );
  await assert.rejects(there.receive(failing, number).getReader().read(), { code: "b" });
  const cancelled = Promise.withResolvers<unknown>();
  const endless = here.send(
    new ReadableStream({
      pull: (controller) => controller.enqueue(1),
      cancel: (reason) => cancelled.resolve(reason),
    }, { highWaterMark: 0 }),
  );
  const reader = there.receive(endless, number).getReader();
  await reader.read();
  await reader.cancel(new OperationError("enough", { code: "enough" }));
  assert.equal((await cancelled.promise as OperationError).code, "enough");
});

Deno.test("sandbox messages: more of a stream than was asked for is refused, either way", () => {
  const { here } = alone();
  const part = { type: "part", stream: 7, value: 1 } as const;
  assert.throws(() => here.handle(part), /there is not/);
  here.receive(7, number);
  assert.throws(() => here.handle(part), /more parts than were asked for/);
  assert.throws(() => here.receive(7, number), /twice/);
  const id = here.send(new ReadableStream({ pull() {} }));
  here.handle({ type: "pull", stream: id, count: WINDOW });
  assert.throws(() => {
    here.handle({ type: "pull", stream: id, count: WINDOW });
    here.handle({ type: "pull", stream: id, count: WINDOW });
  }, /more of a stream is asked for/);
  assert.throws(() => here.handle({ type: "pull", stream: id + 1, count: 1 }), /never was/);
});

Deno.test("sandbox messages: a part that is none is refused", async () => {
  const { here, said } = alone();
  const reader = here.receive(1, number).getReader();
  reader.read().catch(() => {});
  await Promise.resolve();
  assert.deepEqual(said, [{ type: "pull", stream: 1, count: WINDOW }]);
  assert.throws(() => here.handle({ type: "part", stream: 1, value: "no" }), ProtocolError);
});
