/** What plugins cannot do, tried from inside one in the real program: escapes. */

import assert from "assert";
import { join } from "node:path";
import { withFolder } from "../core/plugin_folder.ts";
import { forEachKind, startProgram } from "../program.ts";
import { NOT_DECLARED, pluginOf, tried, withPlugin } from "./sandbox_tries.ts";

const NO_DENO = /^Error: A plugin has no Deno\.\w+: what a plugin may do, it does by its context/;
const NO_PROCESS = /^Error: A plugin has no process\.\w+: what a plugin may do/;
const ABSENT = /^ReferenceError: \w+ is not defined$/;
const NO_CODE = /^EvalError: Code generation from strings disallowed for this context$/;
const NO_NET = /^NotCapable: Requires (net|read) access to "/;

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
  "standard input": ["Deno.stdin.read(new Uint8Array(1))", NO_DENO],
  "the terminal's mode": ["Deno.stdin.setRaw(true)", NO_DENO],
  "memory of the process": ["Deno.memoryUsage()", NO_DENO],
  "the working directory": ["Deno.cwd()", NO_DENO],
  "the raw operations": ["Deno[Deno.internal].core.ops.op_panic()", NO_DENO],
  "the raw operations by their core": ["Deno.core.ops", NO_DENO],
  "the runtime's start": ["__bootstrap", ABSENT],
  "ffi of the runtime": ["Deno.UnsafePointer", NO_DENO],
  "a file of the program": ["fetch('file:///tmp/deno-compile-observatory/main.ts')", NO_NET],
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
  const server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, ({ url }) => {
    connections++;
    if (!url.endsWith("/away")) return new Response("reached");
    return Response.redirect(url.replace("127.0.0.1", "localhost").replace("/away", "/"));
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
      file: "fetch('file:///etc/passwd').then((r) => r.text())",
      redirected: `fetch('http://127.0.0.1:${port}/away').then((r) => r.text())`,
    }, { permissions: { net: [`127.0.0.1:${port}`] } });
    assert.equal(told["declared"], "escaped: reached");
    for (const name of ["other", "name", "file", "redirected"]) {
      assert.match(told[name] ?? "", NO_NET, name);
    }
  });
  // What was declared, and the redirection itself, which leads to another name of the same listener.
  assert.equal(connections, 2);
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

forEachKind(
  "sandbox: whatever a command gives crosses as data, or is an error of its own",
  async (kind) => {
    const kept = {
      dates: ["new Date(0)", "1970-01-01T00:00:00.000Z"],
      bigints: ["12345678901234567890n", "12345678901234567890"],
      symbols: ["({ [Symbol('x')]: 1, a: 1 })", { a: 1 }],
      maps: ["new Map([['a', 1]])", { a: 1 }],
      proto: [`JSON.parse('{"__proto__": { "polluted": 1 }, "constructor": 2 }')`, undefined],
    } as const;
    const refused = {
      bigint: ["[Object(1n)]", /its result holds a bigint as an object$/],
      gaps: ["Object.assign([], { length: 4e9 })", /its result is larger than 64 MiB$/],
      cycle: ["(() => { const a = {}; a.a = a; return a; })()", /its result holds itself/],
      deep: ["(() => { let a = 1; for (let i = 0; i < 2e5; i++) a = [a]; return a; })()", /./],
      function: ["() => {}", /could not be cloned/],
      proxy: ["new Proxy({}, {})", /could not be cloned/],
      symbol: ["Symbol('x')", /could not be cloned/],
      getter: ["({ get a() { throw new RangeError('got'); } })", /got/],
      promise: ["Promise.resolve(1)", /could not be cloned/],
    } as const;
    const source = pluginOf(
      Object.fromEntries(
        Object.entries({ ...kept, ...refused }).map(([name, [code]]) => [
          name,
          `async () => ({ data: ${code} })`,
        ]),
      ),
    );
    for (const [name, [, expected]] of Object.entries(kept)) {
      const { code, json, stderr } = await withPlugin(kind, { source, args: [name] });
      assert.equal(code, 0, `${name}: ${stderr}`);
      if (expected !== undefined) assert.deepEqual(json.data, expected, name);
    }
    for (const [name, [, message]] of Object.entries(refused)) {
      const { code, json } = await withPlugin(kind, { source, args: [name] });
      assert.deepEqual([code, json.error.code], [1, "plugin_failed"], name);
      assert.match(json.error.message, /^Plugin tries failed: /, name);
      assert.match(json.error.message, message, name);
    }
  },
);
