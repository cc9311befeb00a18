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
  await context.db.copyIn("COPY t FROM STDIN", ReadableStream.from([data]));
  assert.equal(context.statements.at(-1)?.copied, "1\n2\n");
  assert.equal(await new Response(await context.db.copyOut("COPY t TO STDOUT")).text(), "1\n2\n");
  assert.equal(await context.db.stateTable({ name: "t", columns: {} }), "observatory.t");
  assert.equal(
    await context.db.withLock({ key: 1n, purpose: "x", wait: 0 }, () => Promise.resolve(5)),
    5,
  );
});

Deno.test("fakeContext: streamed rows are those of the test, in batches of two", async () => {
  const rows = [{ n: 1n }, { n: 2n }, { n: 3n }];
  const context = fakeContext({ sql: [["SELECT n", rows], ["SELECT none", []]] });
  assert.deepEqual(await Array.fromAsync(await context.db.stream("SELECT n", [7])), [
    [{ n: 1n }, { n: 2n }],
    [{ n: 3n }],
  ]);
  assert.deepEqual(context.statements, [{ sql: "SELECT n", params: [7] }]);
  assert.deepEqual(await Array.fromAsync(await context.db.stream("SELECT none")), []);
  await assert.rejects(context.db.stream("SELECT other"), /does not say/);
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

Deno.test("fakeContext: files are saved, renamed and removed as on a disk", async () => {
  const context = fakeContext({ files: { "data/a.txt": "one two" }, now: 5000 });
  const { files, stored } = context;
  const bytes = (...texts: string[]) =>
    ReadableStream.from(texts.map((text) => new TextEncoder().encode(text)));
  const text = (path: string) => new TextDecoder().decode(stored.get(path));
  const part = await files.stream("data/a.txt", { offset: 4, length: 2 });
  assert.equal(await new Response(part).text(), "tw");
  assert.equal(
    await new Response(await files.stream("data/a.txt", { offset: 99 })).text(),
    "",
  );

  await assert.rejects(files.save("backups/dump", bytes("x")), { code: "not_found" });
  await files.makeDirectory("backups/", { private: true });
  assert.deepEqual(await files.list("backups"), []);
  await assert.rejects(files.makeDirectory("backups"), { code: "already_exists" });
  const seen: string[] = [];
  const data = ReadableStream.from((function* () {
    for (const each of ["one ", "two"]) {
      yield new TextEncoder().encode(each);
      seen.push([...stored.keys()].join());
    }
  })());
  await files.save("backups/dump", data, { private: true });
  assert(seen.every((each) => each === "data/a.txt,backups/dump.partial"), seen.join("\n"));
  assert.deepEqual([...stored.keys()], ["data/a.txt", "backups/dump"]);
  assert.equal(text("backups/dump"), "one two");
  const { mode, modified, size } = await files.inspect("backups/dump") ?? {};
  assert.deepEqual({ mode, modified, size }, { mode: 0o600, modified: 5000, size: 7 });

  const broken = new Error("broken off");
  const breaking = ReadableStream.from((function* () {
    yield new Uint8Array(3);
    throw broken;
  })());
  await assert.rejects(files.save("backups/dump", breaking, { replace: true }), broken);
  await assert.rejects(files.save("backups/dump", bytes("x")), { code: "already_exists" });
  const taken = files.save("backups/b", bytes("x"), { partial: "data/a.txt" });
  await assert.rejects(taken, { code: "already_exists" });
  assert.deepEqual([...stored.keys()], ["data/a.txt", "backups/dump"]);
  await files.save("backups/dump", bytes("three"), { replace: true });
  await files.create("data/a.txt", "four", { replace: true });
  assert.deepEqual([text("backups/dump"), text("data/a.txt")], ["three", "four"]);

  await assert.rejects(files.rename("data", "backups"), { code: "already_exists" });
  await assert.rejects(files.rename("nothing", "x"), { code: "not_found" });
  await files.rename("backups", "kept");
  await files.rename("data/a.txt", "kept/a.txt");
  assert.deepEqual([...stored.keys()].sort(), ["kept/a.txt", "kept/dump"]);
  assert.equal((await files.inspect("kept/dump"))?.mode, 0o644);
  assert.deepEqual(await files.list("data"), [], "an empty directory stays");
  assert.deepEqual([await files.remove("kept"), await files.remove("kept")], [true, false]);
  assert.equal(stored.size, 0);
  assert.deepEqual(context.tool, { name: "observatory", version: "0.0.0" });
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
