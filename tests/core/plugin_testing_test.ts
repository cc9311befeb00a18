/** The context in memory that plugin authors test with. */
import assert from "assert";
import { command, definePlugin, OperationError, type RowPart } from "../../core/plugin.ts";
import { fakeContext, runCommand, runHook } from "../../core/plugin_testing.ts";

const examples = [{ line: "observatory x", note: "x" }];

Deno.test("fakeContext: answers statements by text without regard to space, pattern and function", async () => {
  const context = fakeContext({
    sql: [
      ["SELECT  1\n AS n", [{ n: 1 }]],
      [/^SELECT .* FROM users/, (params) => params.map((id) => ({ id }))],
      [/^UPDATE/, { count: 3 }],
      [/^DELETE/, new OperationError("No", { code: "no" })],
    ],
  });
  assert.deepEqual(await context.db.query("SELECT 1 AS n"), {
    rows: [{ n: 1 }],
    command: "SELECT",
    count: 1,
  });
  assert.deepEqual((await context.db.query("SELECT id FROM users", [7, 8])).rows, [
    { id: 7 },
    { id: 8 },
  ]);
  assert.equal((await context.db.query("UPDATE users SET a = 1")).count, 3);
  await assert.rejects(context.db.query("DELETE FROM users"), { code: "no" });
  await assert.rejects(context.db.query("SELECT other"), /does not say .*: SELECT other; add it/);
  assert.deepEqual(context.statements[1], { sql: "SELECT id FROM users", params: [7, 8] });
  assert.equal(context.statements.length, 5);
});

Deno.test("fakeContext: transactions, pipelines, streams and copies reach the same answers", async () => {
  const context = fakeContext({
    sql: [
      [/^SELECT/, [{ a: 1n, b: null, c: true, d: new Uint8Array([1, 255]) }]],
      [/^INSERT/, { count: 2 }],
      [/^COPY .* FROM/, { count: 2 }],
      [/^COPY .* TO/, { copy: "1\n2\n" }],
    ],
  });
  const count = await context.db.transaction(async (session) => {
    const [, inserted] = await session.pipeline([{ sql: "BEGIN" }, { sql: "INSERT INTO t" }]);
    await session.pipeline(
      ReadableStream.from([{ sql: "INSERT INTO t" }, { sql: new TextEncoder().encode("COMMIT") }]),
    );
    return inserted?.count;
  });
  assert.equal(count, 2);
  const session = await context.db.session();
  const parts: RowPart[] = await Array.fromAsync(await session.execute("SELECT 1"));
  assert.deepEqual(parts, [
    { kind: "columns", columns: ["a", "b", "c", "d"].map((name) => ({ name, type: 25 })) },
    { kind: "rows", rows: [["1", null, "t", "\\x01ff"]] },
    { kind: "end", command: "SELECT", count: 1 },
  ]);
  const data = new TextEncoder().encode("1\n2\n");
  await session.copyIn("COPY t FROM STDIN", ReadableStream.from([data]));
  assert.equal(context.statements.at(-1)?.copied, "1\n2\n");
  const out = await session.copyOut("COPY t TO STDOUT");
  assert.equal(await new Response(out).text(), "1\n2\n");
  assert.equal(await context.db.stateTable({ name: "t", columns: {} }), "observatory.t");
  assert.equal(
    await context.db.withLock({ key: 1n, purpose: "x", wait: 0 }, () => Promise.resolve(5)),
    5,
  );
});

Deno.test("fakeContext: files are kept in memory, and never overwritten", async () => {
  const context = fakeContext({ files: { "data/a.txt": "one", "data/sub/b.txt": "two" } });
  const { files } = context;
  assert.deepEqual(
    (await files.list("data")).map(({ name, kind }) => [name, kind]),
    [["a.txt", "file"], ["sub", "directory"]],
  );
  const [bytes] = await files.readAll(["data/a.txt"]);
  assert.equal(new TextDecoder().decode(bytes), "one");
  assert.deepEqual(await files.readSmall(["data/a.txt"], 2), [null]);
  assert.equal(await new Response(await files.stream("data/sub/b.txt")).text(), "two");
  await files.create("out.txt", "made");
  assert.equal(new TextDecoder().decode(context.stored.get("out.txt")), "made");
  await assert.rejects(files.create("out.txt", ""), { code: "already_exists" });
  await assert.rejects(files.readAll(["nowhere"]), { code: "not_found" });
  await assert.rejects(files.list("nowhere"), { code: "not_found" });
  assert.equal((await files.inspect("data"))?.kind, "directory");
  assert.equal(await files.inspect("nowhere"), undefined);
});

Deno.test("fakeContext: keeps lines, questions, commands, programs and state", async () => {
  const context = fakeContext({
    typed: ["yes"],
    config: { DB_NAME: "shop" },
    commands: { backup: { data: "kept" }, sum: ({ args }) => ({ data: args?.["n"] }) },
    programs: { pg_dump: { stdout: "dump", code: 2 } },
    state: { last: 1 },
    now: 1000,
  });
  context.log.warn("careful");
  assert.deepEqual(context.lines, ["warn: careful"]);
  assert.deepEqual([await context.prompt("Sure?"), await context.prompt("Really?")], ["yes", null]);
  assert.deepEqual(context.questions, ["Sure?", "Really?"]);
  assert.equal(context.config.get("DB_NAME"), "shop");
  assert.deepEqual((await context.run("sum", { args: { n: 4 } })).data, 4);
  assert.deepEqual((await context.run("backup")).data, "kept");
  assert.deepEqual(context.ran.map(({ path }) => path), ["sum", "backup"]);
  await assert.rejects(context.run("other"), /name it in "commands"/);
  const program = await context.exec("pg_dump", { args: ["-Fc"] });
  assert.equal(await new Response(program.stdout).text(), "dump");
  assert.deepEqual(await program.exit, { code: 2 });
  assert.deepEqual(context.started, [{ program: "pg_dump", args: ["-Fc"] }]);
  await context.state.set("next", { at: [1] });
  await context.state.set("last", undefined);
  assert.deepEqual([await context.state.keys(), await context.state.get("next")], [["next"], {
    at: [1],
  }]);
  await context.sleep(500);
  assert.equal(context.now(), 1500);
  const ended = fakeContext({ signal: AbortSignal.abort(new Error("end")) });
  await assert.rejects(ended.sleep(1), /end/);
});

Deno.test("runCommand: gives defaults, refuses what is not declared, and no database to who needs none", async () => {
  const plugin = definePlugin({
    name: "x",
    api: 1,
    summary: "X",
    commands: {
      "x": command({
        summary: "X",
        examples,
        effect: "read",
        database: "none",
        args: { "to": { help: "To", required: true } },
        flags: {
          "times": { type: "number", default: 2, help: "Times" },
          "loud": { type: "boolean", help: "Loud" },
          "tag": { type: "string", repeatable: true, help: "Tag" },
          "text": { type: "string", help: "Text" },
        },
        run: (_ctx, input) => Promise.resolve({ data: input }),
      }),
      "x db": command({
        summary: "X",
        examples,
        effect: "read",
        database: "none",
        run: async (ctx) => ({ data: await ctx.db.query("SELECT 1") }),
      }),
    },
    hooks: { "after:backup": (ctx, event) => ctx.log.info(`${event.moment} ${event.command}`) },
  });
  const { data } = await runCommand(plugin, "x", { args: { to: "a" }, flags: { tag: ["b"] } });
  assert.deepEqual(data, {
    args: { to: "a" },
    flags: { times: 2, loud: false, tag: ["b"], text: undefined },
  });
  await assert.rejects(runCommand(plugin, "x"), /The argument "to" is missing/);
  const wrong = runCommand(plugin, "x", { args: { to: "a" }, flags: { tims: 1 } });
  await assert.rejects(wrong, /There is no flag "tims"/);
  await assert.rejects(runCommand(plugin, "y"), /has no command "y"/);
  await assert.rejects(runCommand(plugin, "x db"), { code: "no_database" });
  const context = fakeContext();
  await runHook(plugin, "after:backup", { context });
  assert.deepEqual(context.lines, ["info: after backup"]);
  await assert.rejects(runHook(plugin, "before:backup"), /has no hook "before:backup"/);
});
