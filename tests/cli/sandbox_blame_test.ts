/** How a plugin is blamed in the real program: by its name and its own place. */

import assert from "assert";
import { freshDatabase } from "../database.ts";
import { forEachKind } from "../program.ts";
import { pluginOf, withPlugin } from "./sandbox_tries.ts";

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
