/** What plugins cannot do, tried from inside one in the real program: escapes, and denial of service. */

import assert from "assert";
import { join } from "node:path";
import { withFolder } from "../core/plugin_folder.ts";
import { freshDatabase } from "../database.ts";
import { forEachKind, type Kind, type Run, type RunOptions, startProgram } from "../program.ts";

/** A plugin whose commands are the given functions; their texts are what runs. */
function pluginOf(
  commands: Readonly<Record<string, string>>,
  { permissions = {}, effect = "read", database = "none", more = "" } = {},
): string {
  const declared = Object.entries(commands).map(([name, run]) =>
    `"${name}": { summary: "Try", examples: [], effect: "${effect}", database: "${database}", run: ${run} }`
  );
  return `import { OperationError } from "observatory";
export default { name: "tries", api: 1, summary: "Try", permissions: ${
    JSON.stringify(permissions)
  }, commands: { ${declared.join(",\n")} } };
${more}`;
}

interface Ended {
  readonly code: number;
  readonly stderr: string;
  // deno-lint-ignore no-explicit-any -- each test knows what its command gives
  readonly json: any;
}

/** Runs the program with the plugin; `during` speaks to it while it runs. */
async function withPlugin(
  kind: Kind,
  { source, args, files = {}, during, ...options }: RunOptions & {
    readonly source: string;
    readonly args: readonly string[];
    readonly files?: Readonly<Record<string, string>>;
    readonly during?: (run: Run) => Promise<void>;
  },
): Promise<Ended> {
  let ended: Ended | undefined;
  await withFolder({ "plugins/tries.js": source, ...files }, async ({ path }) => {
    const line = ["--json", "--plugin-dir", join(path, "plugins"), ...args];
    const run = await startProgram(line, { kind, cwd: path, ...options });
    await run.endInput();
    await during?.(run);
    const { code, stdout, stderr } = await run.result();
    ended = { code, stderr, json: JSON.parse(stdout) };
  });
  if (ended === undefined) throw new Error("The program did not run");
  return ended;
}

/** Tries each piece of code in the plugin; gives what came of it. */
async function tried(
  kind: Kind,
  attempts: Readonly<Record<string, string>>,
  { permissions = {}, files = {} }: {
    readonly permissions?: Readonly<Record<string, readonly string[]>>;
    readonly files?: Readonly<Record<string, string>>;
  } = {},
): Promise<Readonly<Record<string, string>>> {
  const all = Object.entries(attempts)
    .map(([name, code]) => `${JSON.stringify(name)}: async () => (${code})`);
  const source = pluginOf({
    try: `async (ctx) => {
      const attempts = { ${all.join(",\n")} };
      const data = {};
      for (const [name, attempt] of Object.entries(attempts)) {
        data[name] = await attempt().then(
          (value) => "escaped: " + String(value), (error) => error.name + ": " + error.message);
      }
      return { data };
    }`,
  }, { permissions });
  const { code, json, stderr } = await withPlugin(kind, { source, files, args: ["try"] });
  assert.equal(code, 0, `${JSON.stringify(json)} ${stderr}`);
  return json.data;
}

const NO_DENO = /^Error: A plugin has no Deno\.\w+: what a plugin may do, it does by its context/;
const NO_PROCESS = /^Error: A plugin has no process\.\w+: what a plugin may do/;
const ABSENT = /^ReferenceError: \w+ is not defined$/;
const NO_CODE = /^EvalError: Code generation from strings disallowed for this context$/;
const NO_NET = /^NotCapable: Requires (net|read) access to "/;
const NOT_DECLARED = /^OperationError: Cannot .*: plugin tries does not declare that it/;

/** What is tried, with what it must fail with. */
const ESCAPES: Readonly<Record<string, readonly [code: string, fails: RegExp]>> = {
  "read a file": ["Deno.readTextFile('/etc/passwd')", NO_DENO],
  "read a file at once": ["Deno.readTextFileSync('/etc/passwd')", NO_DENO],
  "the environment": ["Deno.env.toObject()", NO_DENO],
  "start a program": ["new Deno.Command('id').output()", NO_DENO],
  "foreign functions": ["Deno.dlopen('libc.so.6', {})", NO_DENO],
  "connect": ["Deno.connect({ port: 1 })", NO_DENO],
  "exit": ["Deno.exit(0)", NO_DENO],
  "arguments": ["Deno.args", NO_DENO],
  "where the program is": ["Deno.execPath()", NO_DENO],
  "ask for permission": ["Deno.permissions.request({ name: 'read' })", NO_DENO],
  "write to stdout": ["Deno.stdout.writeSync(new Uint8Array(1))", NO_DENO],
  "listen to signals": ["Deno.addSignalListener('SIGINT', () => {})", NO_DENO],
  "the runtime's internals": ["Deno.internal", NO_DENO],
  "replace the stand-in": ["(() => { 'use strict'; globalThis.Deno = {}; })()", /^TypeError: /],
  "define it anew": ["Object.defineProperty(globalThis, 'Deno', { value: 1 })", /^TypeError: /],
  "extend the stand-in": ["Object.defineProperty(Deno, 'x', { value: 1 })", /^TypeError: /],
  "process environment": ["process.env", NO_PROCESS],
  "process abort": ["process.abort()", NO_PROCESS],
  "process exit": ["process.exit(0)", NO_PROCESS],
  "process stdout": ["process.stdout.write('x')", NO_PROCESS],
  "Node's global": ["global.process", ABSENT],
  "Node's buffers": ["Buffer.from('x')", ABSENT],
  "require": ["require('fs')", ABSENT],
  "another worker": ["new Worker('data:text/javascript,1', { type: 'module' })", ABSENT],
  "a forged message": ["postMessage({ type: 'loaded', declaration: '{}' })", ABSENT],
  "a forged message of self": ["self.postMessage({})", /^TypeError: self\.postMessage is not a/],
  "end the worker": ["close()", ABSENT],
  "import scripts": ["importScripts('file:///etc/passwd')", ABSENT],
  "other workers' channels": ["new BroadcastChannel('x')", ABSENT],
  "message channels": ["new MessageChannel()", ABSENT],
  "the cache on the disk": ["caches.open('x')", ABSENT],
  "the disk's storage": ["localStorage.setItem('x', 'y')", ABSENT],
  "the graphics card": ["navigator.gpu.requestAdapter()", ABSENT],
  "where the guest is": ["location.href", ABSENT],
  "WebAssembly": ["WebAssembly.compile(new Uint8Array(8))", ABSENT],
  "the terminal": ["prompt('x')", ABSENT],
  "eval": ["(0, eval)('1')", NO_CODE],
  "direct eval": ["eval('1')", NO_CODE],
  "Function": ["new Function('return 1')()", NO_CODE],
  "a constructor's constructor": ["(() => {}).constructor('return 1')()", NO_CODE],
  "an async function": ["(async () => {}).constructor('await 1')()", NO_CODE],
  "a generator": ["(function* () {}).constructor('yield 1')()", NO_CODE],
  "fetch a file": ["fetch('file:///etc/passwd').then((r) => r.text())", NO_NET],
  "fetch an address": ["fetch('http://127.0.0.1:PORT').then((r) => r.text())", NO_NET],
  "fetch from the outside": ["fetch('http://example.com')", NO_NET],
  "a web socket": [
    "new Promise((yes, no) => { const s = new WebSocket('ws://127.0.0.1:PORT'); s.onopen = yes; s.onerror = (e) => no(e.error ?? new TypeError(e.message)); })",
    NO_NET,
  ],
  "a file by the context": ["ctx.files.readAll(['/etc/passwd'])", NOT_DECLARED],
  "a file beside the plugin": ["ctx.files.readAll(['secret.json'])", NOT_DECLARED],
  "a new file": ["ctx.files.create('new.txt', 'x')", NOT_DECLARED],
  "a new file from a stream": ["ctx.files.save('new.txt', new ReadableStream())", NOT_DECLARED],
  "another name": ["ctx.files.rename('secret.json', 'new.json')", NOT_DECLARED],
  "what is taken away": ["ctx.files.remove('secret.json')", NOT_DECLARED],
  "a new directory": ["ctx.files.makeDirectory('new')", NOT_DECLARED],
  "a secret setting": ["ctx.config.secret('DB_PASSWORD')", /^TypeError: .* is not a function$/],
  "a program by the context": ["ctx.exec('id')", NOT_DECLARED],
  "another plugin": ["ctx.plugins.check('secret.json')", /^OperationError: Cannot check a plugin/],
  "no database": ["ctx.db.query('SELECT 1')", /^OperationError: This command declares that it/],
  "a command that destroys": [
    "ctx.run('reset')",
    /^OperationError: Cannot run reset: try declares/,
  ],
  "a method that is none": [
    "ctx.db.__proto__.constructor('return 1')()",
    /^(OperationError|EvalError)/,
  ],
};

/** A listener that must not be spoken to. */
async function withListener(work: (port: number) => Promise<void>): Promise<number> {
  let connections = 0;
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, () => {
    connections++;
    return new Response("reached");
  });
  try {
    await work(server.addr.port);
  } finally {
    await server.shutdown();
  }
  return connections;
}

forEachKind("sandbox: nothing beyond the context is reached from a plugin", async (kind) => {
  const connections = await withListener(async (port) => {
    const attempts = Object.fromEntries(
      Object.entries(ESCAPES).map(([name, [code]]) => [name, code.replace("PORT", `${port}`)]),
    );
    const told = await tried(kind, attempts, { files: { "secret.json": '{ "key": "x" }' } });
    for (const [name, [, fails]] of Object.entries(ESCAPES)) {
      assert.match(told[name] ?? "", fails, name);
    }
  });
  assert.equal(connections, 0);
});

forEachKind("sandbox: what a worker has is what is listed, and leads nowhere", async (kind) => {
  const told = await tried(kind, {
    names:
      "JSON.stringify(Object.getOwnPropertyNames(globalThis).filter((name) => /^(GPU|Worker|Dedicated|Web(Assembly|GPU)|Image|Offscreen|Message(Channel|Port)|Broadcast|Cache|Storage|Perform.*Observer|navigator|location|name|on[a-z]+|process\\$|set(Immediate))/.test(name)))",
    symbols: "JSON.stringify(Reflect.ownKeys(Deno))",
    prototype: "String(Object.getPrototypeOf(Deno))",
    shown: "typeof Deno + typeof process + typeof console.log",
    callSites: `(() => {
      Error.prepareStackTrace = (_, sites) => sites.some((site) => site.getThis() !== undefined ||
        site.getFunction() !== undefined);
      const found = new Error().stack;
      delete Error.prepareStackTrace;
      return found;
    })()`,
    config:
      "JSON.stringify(['DB_PASSWORD', 'DATABASE_URL', 'PGPASSWORD', 'PATH', 'HOME', '__proto__'].map((name) => ctx.config.get(name) ?? null))",
  });
  assert.deepEqual(told, {
    names: "escaped: []",
    symbols: "escaped: []",
    prototype: "escaped: null",
    shown: "escaped: objectobjectfunction",
    callSites: "escaped: false",
    config: "escaped: [null,null,null,null,null,null]",
  });
});

forEachKind("sandbox: the network is reached as far as it is declared", async (kind) => {
  const connections = await withListener(async (port) => {
    const told = await tried(kind, {
      declared: `fetch('http://127.0.0.1:${port}').then((r) => r.text())`,
      other: `fetch('http://127.0.0.1:${port + 1}').then((r) => r.text())`,
      name: `fetch('http://localhost:${port}').then((r) => r.text())`,
      redirected: "fetch('file:///etc/passwd').then((r) => r.text())",
    }, { permissions: { net: [`127.0.0.1:${port}`] } });
    assert.equal(told["declared"], "escaped: reached");
    for (const name of ["other", "name", "redirected"]) {
      assert.match(told[name] ?? "", NO_NET, name);
    }
  });
  assert.equal(connections, 1);
});

forEachKind(
  "sandbox: declared files are reached by the host alone, and no link leads out",
  async (kind) => {
    const source = pluginOf({
      try: `async ({ files }) => {
      const tell = (work) => work.then((value) => "escaped: " + value, (error) => error.code);
      const text = async (path) => new TextDecoder().decode((await files.readAll([path]))[0]);
      return { data: [await tell(text("data/a.txt")), await tell(text("data/../secret.txt")),
        await tell(text("data/link.txt")), await tell(text("/proc/self/environ")),
        await tell(files.create("plugins/evil.js", "x")), await tell(text(".env")),
        await tell(text("/data/a.txt")),
        await tell(files.save("plugins/evil.js", new Blob(["x"]).stream())),
        await tell(files.rename("data", "plugins/data")), await tell(files.remove("plugins")),
        await tell(files.rename("data/link.txt", "link.txt")),
        await tell(files.makeDirectory("data/deep/deeper", { private: true })),
        await tell(files.save("data/deep/b.txt", new Blob(["one two"]).stream())),
        await tell(files.rename("data/deep/b.txt", "data/b.txt")),
        await tell(new Response(await files.stream("data/b.txt", { offset: 4 })).text()),
        await tell(files.remove("data/deep")), await tell(files.remove("data/link.txt")),
        (await files.list("data")).map(({ name }) => name).join()] };
    }`,
    }, { permissions: { read: ["data", "/proc", ".env"], write: ["."] } });
    await withFolder({
      "project/plugins/tries.js": source,
      "project/data/a.txt": "a",
      "project/secret.txt": "s",
      "project/.env": "",
      "project/data/link.txt": { link: "../../outside.txt" },
      "outside.txt": "o",
    }, async ({ path }) => {
      const cwd = join(path, "project");
      const run = await startProgram(["--json", "--plugin-dir", "plugins", "try"], { kind, cwd });
      await run.endInput();
      const { code, stdout, stderr } = await run.result();
      assert.equal(code, 0, stderr + stdout);
      assert.deepEqual(JSON.parse(stdout).data, [
        "escaped: a",
        // The whole project is declared to be written, so it may be read.
        "escaped: s",
        "not_declared",
        "forbidden",
        "forbidden",
        "forbidden",
        "not_declared",
        "forbidden",
        "forbidden",
        "forbidden",
        "forbidden",
        "escaped: undefined",
        "escaped: undefined",
        "escaped: undefined",
        "escaped: two",
        "escaped: true",
        "escaped: true",
        "a.txt,b.txt",
      ]);
      assert.equal(await Deno.readTextFile(join(path, "outside.txt")), "o");
    });
  },
);

forEachKind("sandbox: what a plugin breaks in its worker breaks nothing else", async (kind) => {
  const source = pluginOf({
    try: `async (ctx) => {
      const heard = [];
      EventTarget.prototype.addEventListener.call(globalThis, "message", (e) => heard.push(e.data));
      EventTarget.prototype.dispatchEvent.call(globalThis,
        new MessageEvent("message", { data: { type: "reply", id: 1, value: "forged" } }));
      console.log("to stdout");
      Object.prototype.polluted = "yes";
      Object.prototype.code = "forged";
      Array.prototype.map = () => { throw new Error("broken"); };
      Map.prototype.get = () => undefined;
      String.prototype.slice = () => "forged";
      const problems = await Promise.race([ctx.config.problems().catch(() => "failed"),
        new Promise((resolve) => setTimeout(resolve, 100, "lost"))]);
      return { data: { heard: heard.length, problems } };
    }`,
  });
  const { code, json, stderr } = await withPlugin(kind, { source, args: ["try"] });
  assert.equal(code, 0, stderr);
  assert.equal(json.data.heard, 0);
  assert.match(stderr, /to stdout/);
});

forEachKind("sandbox: SQL cannot do what the command's effect forbids", async (kind) => {
  await using database = await freshDatabase({ sql: "CREATE TABLE t (n int)" });
  const attempts = [
    `ctx.db.query("INSERT INTO t VALUES (1)")`,
    `ctx.db.query("SET default_transaction_read_only = off").then(() =>
       ctx.db.query("INSERT INTO t VALUES (1)"))`,
    `ctx.db.query("SELECT 1; INSERT INTO t VALUES (1)")`,
    `ctx.db.query("COMMIT; INSERT INTO t VALUES (1)")`,
    `ctx.db.session({ readOnly: false, settings: { default_transaction_read_only: "off" } })
       .then((s) => s.query("INSERT INTO t VALUES (1)"))`,
    `ctx.db.transaction((s) => s.query("INSERT INTO t VALUES (1)"))`,
    `ctx.db.session().then((s) => s.pipeline([{ sql: "INSERT INTO t VALUES (1)" }]))`,
    `ctx.db.session().then((s) => s.copyIn("COPY t FROM STDIN",
       ReadableStream.from([new TextEncoder().encode("1\\n")])))`,
    `ctx.db.session().then((s) => s.execute("INSERT INTO t VALUES (1)"))
       .then((rows) => Array.fromAsync(rows))`,
    `ctx.db.stream("INSERT INTO t VALUES (1) RETURNING n").then((rows) => Array.fromAsync(rows))`,
    `ctx.db.copyIn("COPY t FROM STDIN", ReadableStream.from([new TextEncoder().encode("1\\n")]))`,
    `ctx.db.maintenance().then((s) => s.query("CREATE DATABASE escaped"))`,
    `ctx.run("exec", { args: { sql: "INSERT INTO t VALUES (1)" } })`,
  ];
  const source = pluginOf({
    try: `async (ctx) => {
      const attempts = [${attempts.map((code) => `() => ${code}`).join(",\n")}];
      const data = [];
      for (const attempt of attempts) {
        data.push(await attempt().then(() => "done", (error) => error instanceof OperationError));
      }
      return { data };
    }`,
  }, { database: "database" });
  const { code, json, stderr } = await withPlugin(kind, {
    source,
    args: ["try", "--database-url", database.url],
  });
  assert.equal(code, 0, stderr + JSON.stringify(json));
  assert.deepEqual(json.data, attempts.map(() => true));
  assert.deepEqual(await database.query("SELECT * FROM t"), []);
});

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

forEachKind(
  "sandbox: a plugin that loops while it is loaded takes nothing else down",
  async (kind) => {
    const source = pluginOf({ try: "async () => ({ data: 1 })" }, { more: "for (;;);" });
    const { code, json } = await withPlugin(kind, { source, args: ["plugin", "list"] });
    assert.equal(code, 0);
    const plugins: { name: string; status: string; reason?: string }[] = json.data.plugins ??
      json.data;
    const broken = plugins.find(({ name }) => name === "tries");
    assert.equal(broken?.status, "failed");
    assert.match(broken?.reason ?? "", /^Plugin tries did not come to an end within 5 s/);
  },
);

const MEGABYTES = { OBSERVATORY_PLUGIN_MEMORY_MB: "150" };

forEachKind("sandbox: a command that takes too much memory is ended, and blamed", async (kind) => {
  const hogs = {
    objects: "const all = []; for (;;) all.push({ n: all.length });",
    buffers: "const all = []; for (;;) all.push(new Uint8Array(1e6).fill(1));",
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

forEachKind("sandbox: what a plugin throws is blamed with its own place", async (kind) => {
  const source = `${
    pluginOf({
      direct: "async () => inner(null)",
      timer: "async () => { setTimeout(() => inner(null)); await new Promise(() => {}); }",
      rejection: "async () => { Promise.reject(new Error('lost')); await new Promise(() => {}); }",
      text: "async () => { setTimeout('1'); await new Promise(() => {}); }",
      stack: "async () => { const f = () => f() + 1; f(); }",
      net: "async () => await fetch('http://example.com')",
    })
  }
function inner(value) {
  return value.missing;
}
`;
  const lines = source.split("\n");
  const line = lines.findIndex((each) => each.includes("value.missing")) + 1;
  for (
    const [name, message] of [
      ["direct", new RegExp(`TypeError: .*plugins/tries\\.js:${line}:16\\)$`)],
      ["timer", new RegExp(`nobody waited for it: TypeError: .*plugins/tries\\.js:${line}:16\\)$`)],
      ["rejection", /nobody waited for it: lost \(.*plugins\/tries\.js:\d+:\d+\)$/],
      ["text", /EvalError|TypeError/],
      [
        "net",
        /NotCapable: Requires net access to "example\.com:80" \(.*plugins\/tries\.js:\d+:\d+\)$/,
      ],
      ["stack", /RangeError: Maximum call stack size exceeded \(.*plugins\/tries\.js:\d+:\d+\)$/],
    ] as const
  ) {
    const { code, json, stderr } = await withPlugin(kind, { source, args: [name] });
    assert.equal(code, 1, name);
    assert.equal(json.error.code, "plugin_failed", name);
    assert.match(json.error.message, /^Plugin tries failed/, name);
    assert.match(json.error.message, message, name);
    // Nothing of the runtime's own gets through.
    assert.doesNotMatch(stderr, /Uncaught|guest\/|main\.mjs|ext:/, name);
  }
});

forEachKind("sandbox: what a call fails with is told with the place of the call", async (kind) => {
  await using database = await freshDatabase();
  const calls = {
    query: 'await ctx.db.query("SELECT nope")',
    later: 'await null; await ctx.db.query("SELECT nope")',
    session: 'await (await ctx.db.session()).query("SELECT nope")',
    transaction: 'await ctx.db.transaction((s) => s.query("SELECT nope"))',
    stream: 'for await (const rows of await ctx.db.stream("SELECT nope"));',
    execute: 'for await (const part of await (await ctx.db.session()).execute("SELECT nope"));',
    copy: 'await new Response(await ctx.db.copyOut("COPY nope TO STDOUT")).text()',
    rows: 'return { data: 1, rows: await (await ctx.db.session()).execute("SELECT nope") };',
    unawaited: 'ctx.db.query("SELECT nope"); await new Promise(() => {});',
    file: 'await ctx.files.readAll(["secret"])',
    nested: 'await ctx.run("tries query")',
    other: 'await Array.fromAsync((await ctx.run("exec", { args: { sql: "SELECT nope" } })).rows)',
  };
  const source = pluginOf(
    Object.fromEntries(
      Object.entries(calls).map(([name, code]) => [
        name === "query" ? "tries query" : name,
        `async (ctx) => {\n${code}; return { data: 1 }; }`,
      ]),
    ),
    { database: "database", effect: "write" },
  );
  const lines = source.split("\n");
  for (const [name, call] of Object.entries(calls)) {
    const { code, json, stderr } = await withPlugin(kind, {
      source,
      args: [...name === "query" ? ["tries", "query"] : [name], "--database-url", database.url],
    });
    const line = lines.findIndex((each) => each.startsWith(name === "nested" ? calls.query : call));
    const place = new RegExp(`/plugins/tries\\.js:${line + 1}:\\d+$`);
    const { message, code: what, details, excerpt = "" } = json.error;
    assert.equal(code, name === "file" ? 4 : 1, `${name}: ${stderr}`);
    assert.equal(details.plugin, "tries", name);
    assert.match(details.at, place, name);
    if (name === "file" || name === "other") {
      // Whose words it has, it keeps them.
      assert.match(message, name === "file" ? /^Cannot read "secret"/ : /does not exist/);
      assert.match(excerpt, /^ {4}at .*plugins\/tries\.js:\d+:\d+\)?$/m, name);
    } else if (name !== "unawaited") {
      assert.equal(what, "database_error", name);
      assert.match(
        message,
        /^Plugin tries failed: (column|relation) "nope" does not exist \(SQLSTATE 42\w+\) \(\//,
        name,
      );
    }
    assert.doesNotMatch(stderr, /guest\/|main\.mjs|context\.mjs|ext:/, name);
  }
});
