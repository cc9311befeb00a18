/** Seeds that are modules: their rows, their random numbers, and what is told when one fails. */
import assert from "assert";
import { seedProject } from "../seed_project.ts";

const HEAD = 'import { defineSeed } from "observatory";\n';

/** A module that yields what a generator's body does. */
function moduleOf(body: string, more = ""): string {
  return `${HEAD}export default defineSeed({ ${more}async *rows(ctx) {\n${body}\n} });\n`;
}

Deno.test("seed: the rows of a module arrive exactly", async () => {
  await using given = await seedProject(
    `CREATE SCHEMA app; CREATE TABLE app.things (id bigint PRIMARY KEY, at timestamptz, raw bytea,
       price numeric, ratio float8, label text, flag boolean, doc jsonb, list int[])`,
    {
      "base/_names.ts":
        "export const names: readonly string[] = ['größe \\u{1F600}', 'a\"b\\\\n'];",
      "base/rows.json": '[{"deep": [1, {"x": null}]}, {}]',
      "base/1_things.ts": `import { names } from "./_names.ts";
import docs from "./rows.json" with { type: "json" };
${
        moduleOf(
          `yield { id: 9007199254740993n, at: new Date(0), raw: new Uint8Array([0, 255, 16]), price: 123456789012345678901234567890n, ratio: -0, label: names[0], flag: true, doc: docs[0], list: [1, 2] };
  const id: number = 2;
  yield { id, at: null, raw: null, price: 0.1, ratio: 1e300, label: names[1] + "\\n", flag: false, doc: { big: 9007199254740993n }, list: [] };`,
          'table: "app.things", ',
        )
      }`,
    },
  );
  assert.deepEqual((await given.data()).files.map(({ file, inserted }) => [file, inserted]), [
    ["base/1_things.ts", 2],
  ]);
  assert.deepEqual(
    await given.database.query(
      `SELECT id::text, extract(epoch FROM at)::int AS at, raw::text, price::text, ratio::text, label,
         flag, doc::text, list::text FROM app.things ORDER BY id DESC`,
    ),
    [{
      id: "9007199254740993",
      at: 0,
      raw: "\\x00ff10",
      price: "123456789012345678901234567890",
      ratio: "-0",
      label: "größe \u{1F600}",
      flag: true,
      doc: '{"deep": [1, {"x": null}]}',
      list: "{1,2}",
    }, {
      id: "2",
      at: null,
      raw: null,
      price: "0.1",
      ratio: "1e+300",
      label: 'a"b\\n\n',
      flag: false,
      doc: '{"big": 9007199254740993}',
      list: "{}",
    }],
  );
});

Deno.test("seed: a module draws the same random numbers in every run, and others than the next", async () => {
  const table = "(n int PRIMARY KEY, x float8)";
  const body = "for (let n = 0; n < 3000; n++) yield { n, x: ctx.random() };";
  const seeds = { "base/1_a.js": moduleOf(body), "base/2_b.mjs": moduleOf(body) };
  const drawn = async () => {
    await using given = await seedProject(
      `CREATE TABLE a ${table}; CREATE TABLE b ${table};`,
      seeds,
    );
    await given.data();
    const rows = await given.database.query(
      "SELECT a.x AS a, b.x AS b FROM a JOIN b USING (n) ORDER BY n",
    );
    return rows.map(({ a, b }) => [Number(a), Number(b)] as const);
  };
  const [first, second] = await Promise.all([drawn(), drawn()]);
  assert.equal(first.length, 3000);
  assert.deepEqual(first, second);
  for (const index of [0, 1] as const) {
    const numbers = first.map((pair) => pair[index]);
    assert.equal(new Set(numbers).size, 3000);
    assert(numbers.every((number) => number >= 0 && number < 1));
    const mean = numbers.reduce((sum, number) => sum + number, 0) / 3000;
    assert(mean > 0.45 && mean < 0.55, String(mean));
  }
  assert(first.every(([a, b]) => a !== b));
});

Deno.test("seed: a module is loaded once, and a changed one updates its rows", async () => {
  const at = (v: string) => moduleOf(`yield { id: 1, v: "${v}" }; yield { id: 2, v: ctx.env };`);
  await using given = await seedProject("CREATE TABLE t (id int PRIMARY KEY, v text)", {
    "base/1_t.ts": at("old"),
    "base/t_test.ts": "never loaded",
    "base/t.d.ts": "never loaded",
  });
  const preview = await given.seed(["--dry-run"]);
  assert.match(preview.stdout, /^Would load base\/1_t\.ts: new$/m);
  assert.equal((await given.data()).files[0]?.inserted, 2);
  assert.equal((await given.data()).files[0]?.reason, "unchanged");
  await given.write({ "base/1_t.ts": at("new") });
  const [file] = (await given.data()).files;
  assert.deepEqual([file?.reason, file?.updated, file?.untouched], ["changed", 1, 1]);
  assert.deepEqual(await given.database.query("SELECT v FROM t ORDER BY id"), [{ v: "new" }, {
    v: "development",
  }]);
});

Deno.test("seed: tells what is wrong with a module, and where; nothing of it is kept", async () => {
  await using given = await seedProject("CREATE TABLE t (id int PRIMARY KEY, v float8)", {});
  const cases: Readonly<Record<string, readonly [body: string, message: RegExp]>> = {
    throws: [
      'for (let id = 1; id < 9; id++) {\n  if (id === 5) throw new Error("boom");\n  yield { id, v: 0 };\n}',
      /t\.ts: the module failed: boom \(\/.*\/seeds\/base\/t\.ts:4:23\)/,
    ],
    undefined: [
      "yield { id: 1, v: 1 }; yield { id: 2, v: undefined };",
      /t\.ts: row 2: v is undefined/,
    ],
    nan: ["yield { id: 1, v: 1 / 0 - 1 / 0 };", /row 1: v is NaN, which JSON lacks\n/],
    function: ["yield { id: 1, v: [() => 1] };", /row 1: v\[0\] is a function/],
    map: ["yield { id: 1, v: { a: new Map() } };", /row 1: v\.a is not a plain object/],
    list: ["yield [1];", /row 1 is not a plain object/],
    date: ['yield { id: 1, v: new Date("no") };', /row 1: v is no valid date/],
    keys: [
      "yield { id: 1 }; yield { v: 1 };",
      /t\.ts, row 2: the key "v" is not in the first object, in row 1/,
    ],
    server: [
      'yield { id: 1, v: 1 }; yield { id: 2, v: "x" };',
      /t\.ts, row 2: invalid input syntax/,
    ],
    twice: [
      "yield { id: 1, v: 1 }; yield { id: 7, v: null }; yield { nope: 1 };",
      /row 3: the key "nope"/,
    ],
    column: ["yield { idd: 1 };", /has no column "idd"/],
    none: ["", /the module yields no row/],
  };
  for (const [name, [body, message]] of Object.entries(cases)) {
    await given.write({ "base/t.ts": moduleOf(body) });
    const { exit, stderr } = await given.seed();
    assert.equal(exit, 1, `${name}: ${stderr}`);
    assert.match(stderr, message, name);
    assert.match(stderr, /Nothing of this file was kept/, name);
    assert.deepEqual(await given.database.query("SELECT FROM t"), [], name);
  }
  const files: Readonly<Record<string, readonly [text: string, message: RegExp, exit: number]>> = {
    plugin: ['export default { name: "seed", api: 1, summary: "" };', /the module is no seed/, 1],
    permissions: [
      `${HEAD}export default { ...defineSeed({ *rows() {} }), permissions: { net: ["localhost"] } };`,
      /the module is no seed/,
      1,
    ],
    table: [moduleOf("yield { id: 1 };", 'table: "a.b.c", '), /"a\.b\.c" is no table/, 1],
    syntax: [`${HEAD}const = 1;`, /t\.ts:2:7": /, 1],
    outside: [`import "../../other.ts";\n${moduleOf("")}`, /leads out of/, 4],
    runtime: [`import fs from "node:fs";\n${moduleOf("")}`, /t\.ts:1:16"/, 4],
    package: [`import "npm:left-pad";\n${moduleOf("")}`, /t\.ts:1:8"/, 4],
  };
  for (const [name, [text, message, code]] of Object.entries(files)) {
    await given.write({ "base/t.ts": text });
    const { exit, stderr } = await given.seed();
    assert.match(stderr, message, name);
    assert.equal(exit, code, `${name}: ${stderr}`);
  }
});

Deno.test("seed: a module reaches neither files, network, environment nor the database", async () => {
  await using given = await seedProject("CREATE TABLE t (what text PRIMARY KEY, came text)", {});
  const { port } = new URL(given.database.url);
  await given.write({
    "base/t.js": moduleOf(`
  const attempts = {
    context: async () => Object.keys(ctx).sort().join(),
    env: async () => Deno.env.get("HOME"),
    files: async () => await Deno.readTextFile("/etc/passwd"),
    process: async () => process.env.HOME,
    fetch: async () => await fetch("http://127.0.0.1:${port}/"),
  };
  for (const [what, attempt] of Object.entries(attempts)) {
    yield { what, came: await attempt().then((value) => "got " + value, (error) => "refused: " + error.message) };
  }`),
    "base/u.js": `export default { name: "seed", api: 1, summary: "", commands: { rows: {
  summary: "", examples: [], effect: "write", run: async (ctx) => {
    const data = [];
    for (const attempt of [
      () => ctx.db.query("SELECT 1"),
      () => ctx.files.stream("/etc/passwd"),
      () => ctx.run("migrate"),
      () => ctx.exec("true"),
      () => ctx.state.set("a", 1),
      () => ctx.plugins.list(),
    ]) {
      try { data.push("got " + await attempt()); } catch (error) { data.push(error.message); }
    }
    return { data, rows: ReadableStream.from([{ kind: "rows", rows: data.map((came, what) => [JSON.stringify({ what: "u" + what, came })]) }]) };
  } } } };`,
  });
  await given.data(["--only", "t.js"]);
  const rows = await given.database.query("SELECT what, came FROM t");
  const came = Object.fromEntries(rows.map(({ what, came }) => [what, String(came)]));
  assert.equal(came["context"], "got config,env,log,random");
  assert.match(came["fetch"] ?? "", /^refused: Requires net access to "127\.0\.0\.1:\d+"/);
  for (const name of ["env", "files", "process"]) {
    assert.match(
      came[name] ?? "",
      /^refused: .*what a plugin may do, it does by its context/,
      name,
    );
  }
  await given.database.query("CREATE TABLE u (what text PRIMARY KEY, came text)");
  await given.data(["--only", "u.js"]);
  const more = await given.database.query("SELECT came FROM u");
  assert.equal(more.length, 6);
  for (const { came } of more) assert.doesNotMatch(String(came), /^got/);
});
