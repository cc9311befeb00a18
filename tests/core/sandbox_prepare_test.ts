import assert from "assert";
import { join } from "node:path";
import { observatoryModule } from "../../core/sandbox/observatory_module.ts";
import { FILES_LIMIT } from "../../core/sandbox/read_sources.ts";
import { assertNotPrepared, withPlugins } from "./plugin_bench.ts";
import { configMap } from "./plugin_folder.ts";

Deno.test("prepare: types go, relative files, JSON and the contract come along", async () => {
  await withPlugins({
    "_lib/greet.ts": 'import data from "../names.json" with { type: "json" };\n' +
      "export const greet = (name: string): string => `hi ${name}, ${data.other}`;\n",
    "_lib/plain.mjs": "export default 7;",
    "names.json": '{ "other": "you", "__proto__": { "polluted": true }, "large": 1e400 }',
    "hello.ts": [
      'import { type Context, definePlugin, OperationError } from "observatory";',
      'import { greet } from "./_lib/greet.ts";',
      'import seven, { default as also } from "./_lib/plain.mjs";',
      'import names from "./names.json" with { "type": "json", };',
      'export * as all from "./_lib/greet.ts";',
      'export { greet as hello } from "./_lib/greet.ts";',
      "export const said = greet('me') + seven + also;",
      "export const own = Object.keys(names);",
      "export const later = async (_ctx?: Context) =>",
      '  (await import("./_lib/plain.mjs")).default;',
      "export const failure = new OperationError('no', { hint: 'yes' });",
      'export default definePlugin({ name: "hello", api: 1, summary: "Hello" });',
    ].join("\n"),
  }, async ({ path, prepare, load }) => {
    const module = await load("hello.ts");
    assert.equal(module.said, "hi me, you77");
    assert.deepEqual(module.own, ["other", "__proto__", "large"]);
    assert.deepEqual(Object.keys(module.all as object), ["greet"]);
    assert.equal(await (module.later as () => Promise<unknown>)(), 7);
    assert.equal((module.failure as Error).name, "OperationError");
    assert.deepEqual(module.default, { name: "hello", api: 1, summary: "Hello" });
    const prepared = await prepare("hello.ts");
    const sources = ["hello.ts", "_lib/greet.ts", "_lib/plain.mjs", "names.json"];
    assert.deepEqual(prepared.sources, sources.map((name) => join(path, name)));
    assert.deepEqual(Object.values(prepared.origins), prepared.sources);
    assert.equal(prepared.origins[prepared.entryUrl], join(path, "hello.ts"));
    assert.deepEqual(prepared.warnings, []);
  });
});

Deno.test("prepare: what is thrown stands at the source's own line and column", async () => {
  await withPlugins({
    "fails.ts": "#!/usr/bin/env -S observatory\n" +
      'import { command, definePlugin as define } from "observatory"; type A = { b: string };\n' +
      "/* ü */ export const fail = <T>(_: T): void => { throw new Error('here'); };\n" +
      "void command; void define;\n//# sourceMappingURL=elsewhere.map\n",
  }, async ({ prepare, load }) => {
    const { fail } = await load("fails.ts");
    const { entryUrl, directory } = await prepare("fails.ts");
    assert.throws(() => (fail as (value: number) => void)(1), (error) => {
      return error instanceof Error && error.stack!.includes(`${entryUrl}:3:56`);
    });
    const text = await Deno.readTextFile(join(directory, "0.mjs"));
    assert.ok(!/sourceMappingURL|observatory\n|ü/.test(text), text);
  });
});

Deno.test("prepare: imports go round in a circle, files begin with a byte order mark", async () => {
  await withPlugins({
    "a.ts":
      '\ufeffimport { b } from "./b.js";\nexport const a = 1;\nexport const sum = () => a + b();',
    "b.js": '\ufeffimport { a } from "./a.ts";\nexport const b = () => a + 1;',
    "c.js": '\ufeffimport data from "./c.json" with { type: "json" }; export const c = data;',
    "c.json": "\ufeff[1]",
  }, async ({ load }) => {
    assert.equal(((await load("a.ts")).sum as () => number)(), 3);
    assert.deepEqual((await load("c.js")).c, [1]);
  });
});

Deno.test("prepare: nothing is imported but the contract and files of the own folder", async () => {
  const refused: [text: string, message: RegExp][] = [
    ...[
      "node:fs",
      "node:process",
      "https://example.com/x.js",
      "http://example.com/x.js",
      "npm:left-pad@1",
      "jsr:@std/assert",
      "data:text/javascript,1",
      "blob:null/1",
      "file:///etc/hostname",
      "/etc/hostname",
      "//etc/hostname",
      "pg",
      "amaro",
      "observatory/core",
      "#internal",
      "",
      "..",
      "FILE:///etc/hostname",
    ].map((each): [string, RegExp] => [
      JSON.stringify(each),
      /"[^"]*" (cannot be imported by a plugin|is not on this machine, and plugins download nothing)$/,
    ]),
    ...[
      "./.\t./.\t./secret.js",
      "./a\n.js",
      "./%2e%2e/secret.js",
      "./..\\secret.js",
      "./a.js?x",
      "./a.js#x",
      "./ü.js",
      "./a b.js",
      "./a\u0000.js",
      "./\u202e.js",
    ].map((
      each,
    ): [string, RegExp] => [JSON.stringify(each), /has characters that are not allowed$/]),
    ...[
      "../secret.js",
      "./../secret.js",
      "./sub/../../secret.js",
      "../inside/../secret.js",
      "../../../../../../../../etc/hostname.js",
    ].map((each): [string, RegExp] => [JSON.stringify(each), /leads out of the plugin's folder/]),
    ...["./a", "./sub/", "./sub", "./a.sh", "./a.wasm", "./a.tsx", "./a.d.ts", "./.ts/"].map(
      (each): [string, RegExp] => [JSON.stringify(each), /is no name of a TypeScript, JavaScript/],
    ),
  ];
  await withPlugins({ "secret.js": "export default 1;", "inside/a.js": "" }, async (bench) => {
    for (const [specifier, message] of refused) {
      for (
        const text of [
          `import ${specifier};`,
          `import x from ${specifier};`,
          `import * as x from ${specifier};`,
          `export * from ${specifier};`,
          `export * as x from ${specifier};`,
          `export {} from ${specifier};`,
          `await import(${specifier});`,
          `const f = () => { class A { x = import(${specifier}) } };`,
        ]
      ) {
        for (const name of ["inside/mod.js", "inside/mod.ts"]) {
          bench.write({ [name]: `\n  ${text}` });
          const at = `2:${3 + text.indexOf(specifier)}`;
          await assertNotPrepared(bench, name, { code: "plugin_refused", at, message });
        }
      }
    }
  });
});

Deno.test("prepare: import() takes a literal and nothing else", async () => {
  const computed = /`import\(\)` of a name that is made at run time$/;
  await withPlugins({ "b.js": "" }, async (bench) => {
    for (
      const [text, message, column] of [
        ["await import(name);", computed, 14],
        ["await import('./b' + '.js');", computed, 14],
        ["await import(`./b.js`);", computed, 14],
        ["await import(('./b.js', name));", computed, 15],
        ["await import(1);", computed, 14],
        ["await import('./b.js', {});", /`import\(\)` with options$/, 24],
        ["await import('./b.js', { with: { type: 'json' } });", /with options$/, 24],
        ["const { meta } = { meta: import.meta };", /`import\.meta` tells of files/, 26],
        ["import.meta.url;", /`import\.meta` tells of files/, 1],
        ["f(import . meta);", /`import\.meta` tells of files/, 3],
      ] as const
    ) {
      bench.write({ "a.js": text, "a.ts": text });
      for (const name of ["a.js", "a.ts"]) {
        await assertNotPrepared(bench, name, {
          code: "plugin_refused",
          at: `1:${column}`,
          message,
        });
      }
    }
  });
});

Deno.test("prepare: JSON is the only import attribute, and JSON is imported with it", async () => {
  await withPlugins({ "b.js": "", "b.json": "{}", "bad.json": '{\n "a": 1,\n}' }, async (bench) => {
    for (
      const [text, message, code] of [
        ['import x from "./b.json" with { type: "text" };', /attribute `type: "text"`$/],
        ['import x from "./b.json" with { type: "bytes" };', /attribute `type: "bytes"`$/],
        ['import x from "./b.json" with { kind: "json" };', /attribute `kind: "json"`$/],
        ['import x from "./b.json" with { type: "json", a: "b" };', /attribute `a: "b"`$/],
        ['import x from "./b.json";', /JSON is imported without saying so$/],
        ['await import("./b.json");', /JSON is imported without saying so$/],
        ['import x from "./b.js" with { type: "json" };', /is imported as JSON, and is not/],
        ['import x from "observatory" with { type: "json" };', /"observatory" is no JSON$/],
        ['import x from "../x.json" with { type: "json" };', /leads out of the plugin's folder/],
        [
          'import { a } from "./b.json" with { type: "json" };',
          /"\.\/b\.json" exports no value "a"$/,
          "plugin_invalid",
        ],
        ['import x from "./b.json" assert { type: "json" };', /: unexpected/, "plugin_invalid"],
      ] as const
    ) {
      bench.write({ "a.js": text });
      await assertNotPrepared(bench, "a.js", { code: code ?? "plugin_refused", message });
    }
    bench.write({ "a.js": 'import x from "./bad.json" with { type: "json" };' });
    await assertNotPrepared(bench, "a.js", {
      code: "plugin_invalid",
      message: /bad\.json:3:1": it is not valid JSON$/,
    });
  });
});

Deno.test("prepare: what looks like an import and is none is refused, comments aside", async () => {
  const hidden = /this looks like an import, and is none$/;
  await withPlugins({ "b.js": "" }, async (bench) => {
    for (
      const [text, offset] of [
        // Where parsers have disagreed on what is a regular expression, or could.
        ['const f = function(){} /import("file:///x")/ 1;', undefined],
        ["const c = class {} /import('file:///x')/ 1;", undefined],
        ['const r = /import("data:text,1")/g;', 11],
        ['q < b > /import("data:text,1")/g;', 9],
        ["const t = `import('x')`;", 11],
        ["const s = 'import (1)';", 11],
        ["const s = 'import.source(1)';", 11],
        ["const s = 'import.defer(1)';", 11],
        ["const s = 'x = [...import(1)]';", 19],
        ["const o = { import(x) {} };", 12],
        ["Function('return import(\"x\")')();", 17],
        ["const s = 'import \"./b.js\"';", 11],
        ["const s = 'import x from \"./b.js\"';", 20],
        ["const s = `export * from 'file:///x'`;", 20],
        ["const s = 'import { a as b } from \" data:text,1\"';", 29],
        ["const s = 'import x from \"d\\x61ta:1\"';", 20],
      ] as const
    ) {
      bench.write({ "a.js": text });
      await assertNotPrepared(bench, "a.js", {
        code: "plugin_refused",
        message: /looks like an import, and is none$|import\(\)` of a name|cannot be imported/,
        ...(offset === undefined ? {} : { at: `1:${offset + 1}`, message: hidden }),
      });
    }
    bench.write({
      "a.js": [
        '// import("x"), import x from "./y.ts"',
        '/* import("x") */ /** export * from "file:///x"; import.meta */',
        'import /* import("x") */ { b as c } /* from "x" */ from /* "./c.js" */ "./b.js" /* } */;',
        "export const sql = \"COPY items from './items.csv'; select 'a' from \\\"b\\\"\";",
        'export const told = (table) => `Cannot import ${table} from "${table.file}"`;',
        "export const own = (rows) => rows.import(1) + rows?.import(2) + reimport(3);",
        'export const text = "import.meta";',
        "const reimport = (x) => x;",
        'export const later = async () => (await import /* ( */ ("./b.js" /* , {} */)).b + c;',
      ].join("\n"),
      "b.js": "export const b = 1;",
    });
    const { own, told, later } = await bench.load("a.js");
    assert.equal((own as (rows: unknown) => number)({ import: (x: number) => x }), 6);
    assert.equal((told as (x: unknown) => string)("t"), 'Cannot import t from "undefined"');
    assert.equal(await (later as () => Promise<number>)(), 2);
  });
});

Deno.test("prepare: what is TypeScript to one parser and not to another is never seen by the runtime as such", async () => {
  await withPlugins({}, async (bench) => {
    bench.write({
      "a.ts": 'let q = 1, b = 2;\nq < (b as any) > /import("data:,1")/g;',
    });
    await assertNotPrepared(bench, "a.ts", {
      code: "plugin_refused",
      at: "2:19",
      message: /this looks like an import, and is none$/,
    });
    bench.write({ "a.ts": "export const r = 1 < (2 as any) > (3);" });
    const { entryUrl } = await bench.prepare("a.ts");
    assert.match(entryUrl, /\.mjs$/);
  });
});

Deno.test("prepare: types that are more than types are told by place, with what to write instead", async () => {
  await withPlugins({}, async (bench) => {
    for (
      const [text, at, message, hint] of [
        ["enum A { B }", "1:1", /an enum is more than a type$/, /const object/],
        ["\n  const enum A { B }", "2:3", /an enum is more than a type$/, /const object/],
        ["namespace A { export const b = 1; }", "1:1", /a namespace/, /module of its own/],
        ["module A { export const b = 1; }", "1:1", /a namespace/, /module of its own/],
        ["class A { constructor(private b: 1) {} }", "1:31", /a parameter property/, /constructor/],
        ["import a = require('b');", "1:1", /`import x = …`/, /export default/],
        ["export = 1;", "1:1", /`export = …`/, /export default/],
        ["const a = <number> b;", "1:11", /angle brackets/, /`value as Type`/],
        ["@a class B {}", "1:1", /unexpected character '@'$/, /Decorators/],
        ["let a: = 3;", "1:8", /unexpected token `=`/, undefined],
        ["const a = <div/>;", "1:16", /expression expected$/, undefined],
        ["let a = ;", "1:9", /./, undefined],
        ["class A { accessor b = 1; }", "1:20", /unexpected token$/, undefined],
      ] as const
    ) {
      bench.write({ "a.ts": text });
      await assertNotPrepared(bench, "a.ts", {
        ...{ code: "plugin_invalid", at, message },
        ...(hint === undefined ? {} : { hint }),
      });
    }
    bench.write({ "a.js": "let a: number = 1;" });
    await assertNotPrepared(bench, "a.js", {
      ...{ code: "plugin_invalid", at: "1:6", message: /unexpected token$/ },
    });
  });
});

Deno.test("prepare: a name that is not exported is told where it is imported", async () => {
  await withPlugins({
    "b.ts": "export interface A { b: 1 }\nexport const [c, { d, ...e }] = [1, { d: 2 }], f = 3;\n" +
      'export function g() {} export class H {} export * from "./c.js"; export { i as "j k" };\n' +
      'const i = 1; export * as n from "observatory";',
    "c.js": 'export * from "./b.ts"; export let l, { m = 1 } = {}; export default 1;',
  }, async (bench) => {
    for (
      const [text, at, message, hint] of [
        [
          'import { A } from "./b.ts";',
          "1:10",
          /"\.\/b\.ts" exports no value "A"$/,
          /import type { A/,
        ],
        ['import A from "./b.ts";', "1:8", /exports no value "default"$/, /by name/],
        ['export { A } from "./b.ts";', "1:10", /exports no value "A"$/, /import type/],
        [
          'import { Context } from "observatory";',
          "1:10",
          /exports no value "Context"$/,
          /import type/,
        ],
        ['import o from "observatory";', "1:8", /exports no value "default"$/, /by name/],
      ] as const
    ) {
      bench.write({ "a.ts": text });
      await assertNotPrepared(bench, "a.ts", { code: "plugin_invalid", at, message, hint });
    }
    bench.write({
      "a.ts": 'import { c, d, e, f, g, H, "j k" as j, l, m, n, type A } from "./b.ts";\n' +
        "export const all = [c, d, e, f, typeof g, typeof H, j, l, m, typeof n.command];",
    });
    assert.deepEqual(
      (await bench.load("a.ts")).all,
      [1, 2, {}, 3, "function", "function", 1, undefined, 1, "function"],
    );
  });
});

Deno.test("prepare: a file is imported by its own name", async () => {
  await withPlugins({ "x.ts": "", "y.mjs": "" }, async (bench) => {
    for (
      const [specifier, hint] of [
        ["./x.js", /^Write "\.\/x\.ts": a file is imported by its own name$/],
        ["./y.ts", /^Write "\.\/y\.mjs"/],
        ["./z.ts", /undefined/],
      ] as const
    ) {
      bench.write({ "a.ts": `import "${specifier}";` });
      await assertNotPrepared(bench, "a.ts", {
        ...{ code: "plugin_invalid", at: "1:8", hint },
        message: new RegExp(`there is no file "${specifier}"$`),
      });
    }
    await assertNotPrepared(bench, "gone.ts", {
      ...{ code: "plugin_invalid", message: /gone\.ts": there is no such file$/ },
    });
  });
});

Deno.test("prepare: links do not lead an import out of the folder", async () => {
  await withPlugins({
    "secret.js": "export default 1;",
    "secret.json": "{}",
    "one/mod.ts": 'import x from "./x.js"; export default x;',
    "one/x.js": { link: "../secret.js" },
    "two/mod.ts": 'import x from "./sub/secret.json" with { type: "json" }; export default x;',
    "two/sub": { link: ".." },
    "three/mod.ts": 'import "./x.js";',
    "three/x.js": { link: "/etc/hostname" },
    "four/mod.ts": 'import x from "./x.js"; export default x;',
    "four/x.js": { link: "real/y.js" },
    "four/real/y.js": 'import z from "./z.js"; export default z;',
    "four/real/z.js": "export default 4;",
    "five/mod.ts": { link: "../one/../../five.ts" },
    "six": { link: "_six" },
    "_six/mod.ts": 'export { default } from "./x.js";',
    "_six/x.js": "export default 6;",
  }, async (bench) => {
    const own = /leads out of the plugin's folder/;
    await assertNotPrepared(bench, "one/mod.ts", {
      ...{ code: "plugin_refused", at: "1:15", message: own },
    });
    await assertNotPrepared(bench, "two/mod.ts", {
      ...{ code: "plugin_refused", at: "1:15", message: own },
    });
    const directory = /it leads out of the plugin directory/;
    for (const name of ["three/mod.ts", "five/mod.ts"]) {
      await assertNotPrepared(bench, name, { code: "plugin_refused", message: directory });
    }
    assert.equal((await bench.load("four/mod.ts")).default, 4);
    assert.equal((await bench.load("six/mod.ts")).default, 6);
  });
});

Deno.test("prepare: a ConfigMap's plugin imports the files beside it", async () => {
  const files = {
    "guard.ts": 'import { a } from "./_a.ts"; export default a as number;',
    "_a.ts": "export const a: number = 1;",
  };
  await withPlugins(configMap(files), async (bench) => {
    assert.equal((await bench.load("guard.ts")).default, 1);
    const { hash } = await bench.prepare("guard.ts");
    // Kubernetes makes a new version beside the old one, and turns the link over.
    bench.write({ "..new/guard.ts": files["guard.ts"], "..new/_a.ts": "export const a = 2;" });
    await Deno.remove(join(bench.path, "..data"));
    bench.write({ "..data": { link: "..new" } });
    const second = await bench.prepare("guard.ts");
    assert.notEqual(second.hash, hash);
    assert.deepEqual(second.sources.map((path) => path.slice(bench.path.length)), [
      "/..new/guard.ts",
      "/..new/_a.ts",
    ]);
    assert.equal((await bench.load("guard.ts")).default, 2);
  });
});

Deno.test("prepare: files of others, unlisted files, and too much are refused", async () => {
  await withPlugins({
    "a.ts": 'import "./_lib/b.ts";',
    "_lib/b.ts": "",
    "many.js": Array.from({ length: FILES_LIMIT }, (_, index) => `import "./_m/${index}.js";`).join(
      "\n",
    ),
    ...Object.fromEntries(
      Array.from({ length: FILES_LIMIT }, (_, index) => [`_m/${index}.js`, ""]),
    ),
    "large.js": `//${"x".repeat(1024 * 1024 - 1)}`,
    "bytes.js": new Uint8Array([0x22, 0xff, 0x22]),
    "deep.js": `x = ${"(".repeat(100_000)}1${")".repeat(100_000)}`,
    "deep.ts": `x = ${"(".repeat(100_000)}1${")".repeat(100_000)}`,
    "chain.js": `export const x = ${"1+".repeat(1_000)}1;`,
  }, async (bench) => {
    await bench.prepare("a.ts");
    await Deno.chmod(join(bench.path, "_lib/b.ts"), 0o666);
    await assertNotPrepared(bench, "a.ts", {
      ...{ code: "plugin_refused", message: /_lib\/b\.ts": everybody may write to it/ },
    });
    await Deno.chmod(join(bench.path, "_lib/b.ts"), 0o644);
    bench.write({ SHA256SUMS: "" });
    await assertNotPrepared(bench, "a.ts", {
      ...{ code: "plugin_refused", message: /a\.ts": it is not listed in/ },
    });
    await Deno.remove(join(bench.path, "SHA256SUMS"));
    await assertNotPrepared(bench, "many.js", {
      ...{ code: "plugin_refused", at: "100:8", message: /more than 100 files are not loaded$/ },
    });
    await assertNotPrepared(bench, "large.js", {
      ...{ code: "plugin_refused", message: /it has 1048577 bytes, and more than 1 MiB/ },
    });
    await assertNotPrepared(bench, "bytes.js", {
      ...{ code: "plugin_invalid", at: "1:1", message: /it is not UTF-8$/ },
    });
    await assertNotPrepared(bench, "deep.js", {
      ...{ code: "plugin_invalid", message: /not enough stack space to parse input$/ },
    });
    await assertNotPrepared(bench, "deep.ts", {
      ...{ code: "plugin_invalid", at: "1:1", message: /it is nested too deeply$/ },
    });
    bench.write({ "after.ts": "export default 1 as number;" });
    assert.equal((await bench.load("after.ts")).default, 1);
    assert.equal((await bench.prepare("chain.js")).sources.length, 1);
  });
});

Deno.test("prepare: what is imported from the contract is what the contract has", async () => {
  const contract = await import("../../core/plugin.ts");
  const { text, exports } = await observatoryModule();
  assert.deepEqual([...exports].sort(), Object.keys(contract).sort());
  assert.ok(text.length < 10_000, `its ${text.length} characters are more than code`);
  await withPlugins({ "mod.js": 'export * from "observatory";' }, async ({ load }) => {
    const values = await load("mod.js");
    assert.deepEqual(Object.keys(values), Object.keys(contract).sort());
    const { OperationError: Own, DatabaseError: OwnDatabase } = values as typeof contract;
    const server = { severity: "ERROR", sqlstate: "23505", message: "twice", hint: "Once" };
    const made = [
      new Own("no", { kind: "refused", details: { a: 1 } }),
      new OwnDatabase(server, 2),
    ];
    const wanted = [
      new contract.OperationError("no", { kind: "refused", details: { a: 1 } }),
      new contract.DatabaseError(server, 2),
    ];
    for (const [index, error] of made.entries()) {
      assert.ok(error instanceof Own && error instanceof Error);
      assert.deepEqual({ ...error }, { ...wanted[index] });
      assert.equal(String(error), String(wanted[index]));
    }
  });
});
