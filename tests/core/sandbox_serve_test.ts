/** The context as a plugin has it in its worker, over a real server and real programs. */

import assert from "assert";
import { join } from "node:path";
import { SignalError } from "../../core/errors.ts";
import { systemHost } from "../../core/host.ts";
import {
  type Context,
  DatabaseError,
  type HookEvent,
  OperationError,
  type Permissions,
} from "../../core/plugin.ts";
import { createPrograms } from "../../core/programs.ts";
import { type Guest, startGuest } from "../../core/sandbox/worker.ts";
import { freshDatabase, type TestDatabase } from "../database.ts";
import { withPlugins } from "./plugin_bench.ts";
import { runDatabase, type TestRunDatabase, until } from "./run_database.ts";
import { contextWith, dataOf, failureOf, pluginWith, withGuest } from "./sandbox_guest.ts";

/** Runs `work` with a plugin's one command `go`, whose context reaches a database of its own. */
async function withDatabase(
  run: string,
  work: (given: {
    readonly guest: Guest;
    readonly context: Context;
    readonly database: TestDatabase;
    readonly db: TestRunDatabase;
  }) => Promise<void>,
  sql = "CREATE TABLE t (n int UNIQUE)",
): Promise<void> {
  await using database = await freshDatabase({ sql });
  await using db = runDatabase(database);
  await withGuest(pluginWith(`commands: { go: work(${run}) }`), async (guest) => {
    await work({ guest, context: contextWith({ db }).context, database, db });
  });
}

Deno.test("sandbox serve: queries, sessions and pipelines give what they give in process", async () => {
  await withDatabase(
    `async ({ db }) => {
      const session = await db.session({ settings: { application_name: "guest" } });
      const steps = [{ sql: "BEGIN" }, { sql: "INSERT INTO t VALUES ($1)", params: [1] }];
      const listed = await session.pipeline([...steps, { sql: "COMMIT" }]);
      const streamed = await session.pipeline(ReadableStream.from([
        { sql: "BEGIN" }, { sql: "INSERT INTO t VALUES (2); INSERT INTO t VALUES (3)" },
        { sql: "COMMIT" },
      ]));
      const maintenance = await db.maintenance();
      const elsewhere = await maintenance.query("SELECT current_database() AS name");
      await maintenance.close();
      await session.close();
      return { data: {
        values: (await db.query("SELECT 1::int8 AS big, true AS yes, '\\\\x0102'::bytea AS bytes, " +
          "1.50::numeric AS exact, NULL AS nothing, $1::text AS given", ["x"])).rows,
        listed, streamed, elsewhere: elsewhere.rows, target: db.target,
        pid: typeof session.pid, count: (await db.query("SELECT * FROM t")).count,
      } };
    }`,
    async ({ guest, context, database }) => {
      const insert = { rows: [], command: "INSERT", count: 1 };
      const plain = (command: string) => ({ rows: [], command, count: 0 });
      assert.deepEqual(await dataOf(guest, "go", context), {
        values: [{
          big: 1n,
          yes: true,
          bytes: new Uint8Array([1, 2]),
          exact: "1.50",
          nothing: null,
          given: "x",
        }],
        listed: [plain("BEGIN"), insert, plain("COMMIT")],
        streamed: [plain("BEGIN"), insert, plain("COMMIT")],
        elsewhere: [{ name: "postgres" }],
        target: { ...context.db.target, database: database.name },
        pid: "number",
        count: 3,
      });
    },
  );
});

Deno.test("sandbox serve: rows stream in, are cancelled, and fail as they do in process", async () => {
  await withDatabase(
    `async ({ db }) => {
      const session = await db.session();
      let rows = 0, kinds = new Set();
      const all = await session.execute("SELECT g, g::text FROM generate_series(1, 50000) g");
      for await (const part of all) {
        kinds.add(part.kind);
        if (part.kind === "rows") rows += part.rows.length;
      }
      for await (const part of await session.execute("SELECT generate_series(1, 100000000)")) {
        if (part.kind === "rows") break;
      }
      const failure = await (async () => {
        for await (const part of await session.execute("SELECT 1/(g-3) FROM generate_series(1,9) g"));
      })().catch((error) => error);
      const after = await session.query("SELECT 1 AS one");
      return { data: { rows, kinds: [...kinds], one: after.rows[0].one,
        failure: [failure instanceof DatabaseError, failure instanceof OperationError,
          failure.server.sqlstate, failure.code] } };
    }`,
    async ({ guest, context }) => {
      assert.deepEqual(await dataOf(guest, "go", context), {
        rows: 50000,
        kinds: ["columns", "rows", "end"],
        one: 1,
        failure: [true, true, "22012", "database_error"],
      });
    },
  );
});

Deno.test("sandbox serve: copies stream both ways, and one that breaks off keeps nothing", async () => {
  await withDatabase(
    `async ({ db }) => {
      const session = await db.session();
      const lines = (count) => new ReadableStream({
        pull(controller) {
          if (count === 0) return controller.close();
          controller.enqueue(new TextEncoder().encode(count + "\\n"));
          if (--count === 5) controller.error(new OperationError("Out of lines", { code: "out" }));
        },
      });
      const broken = await session.copyIn("COPY t FROM STDIN", lines(8)).catch((error) => error);
      const copied = await session.copyIn("COPY t FROM STDIN", lines(3));
      const out = await new Response(await session.copyOut("COPY t TO STDOUT")).text();
      return { data: { broken: [broken instanceof OperationError, broken.code], out, copied } };
    }`,
    async ({ guest, context }) => {
      assert.deepEqual(await dataOf(guest, "go", context), {
        broken: [true, "out"],
        out: "3\n2\n1\n",
        copied: { rows: [], command: "COPY", count: 3 },
      });
    },
  );
});

Deno.test("sandbox serve: the database streams rows by name, and copies, on sessions of their own", async () => {
  await withDatabase(
    `async ({ db }) => {
      const rows = [];
      let batches = 0;
      for await (const batch of await db.stream("SELECT g, g::int8 AS big, 'a' || g AS text, " +
        "NULL AS none, '\\\\x0102'::bytea AS bytes, g > $1 AS yes FROM generate_series(1, 20000) g", [1])) {
        batches++;
        rows.push(...batch);
      }
      for await (const [row] of await db.stream("SELECT generate_series(1, 100000000) AS n")) {
        if (row.n === 1) break;
      }
      const failure = await Array.fromAsync(await db.stream("SELECT nope")).catch((e) => e);
      const encoder = new TextEncoder();
      const copied = await db.copyIn("COPY t FROM STDIN", ReadableStream.from([encoder.encode("3\\n")]));
      const out = await new Response(await db.copyOut("COPY t TO STDOUT")).text();
      const broken = await db.copyIn("COPY t FROM STDIN", new ReadableStream({
        pull() { throw new OperationError("Out of lines", { code: "out" }); },
      })).catch((error) => error.code);
      return { data: { first: rows[0], count: rows.length, many: batches > 5, copied, out, broken,
        failure: [failure instanceof DatabaseError, failure.server.sqlstate] } };
    }`,
    async ({ guest, context, database }) => {
      assert.deepEqual(await dataOf(guest, "go", context), {
        first: {
          g: 1,
          big: 1n,
          text: "a1",
          none: null,
          bytes: new Uint8Array([1, 2]),
          yes: false,
        },
        count: 20000,
        many: true,
        copied: { rows: [], command: "COPY", count: 1 },
        out: "3\n",
        broken: "out",
        failure: [true, "42703"],
      });
      await until("their sessions are closed", async () => {
        const rows = await database.query(
          "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND " +
            "application_name = 'observatory'",
        );
        return rows.length === 0;
      });
    },
  );
});

Deno.test("sandbox serve: a transaction is committed, or rolled back with the plugin's own error", async () => {
  await withDatabase(
    `async ({ db }) => {
      const value = await db.transaction(async (session) => {
        await session.query("INSERT INTO t VALUES (1)");
        return new Map([["kept", () => "in the worker"]]);
      });
      const mine = Object.assign(new TypeError("mine"), { own: () => {} });
      const thrown = await db.transaction(async (session) => {
        await session.query("INSERT INTO t VALUES (2)");
        throw mine;
      }).catch((error) => error);
      const refused = await db.transaction(async (session) => {
        await session.query("INSERT INTO t VALUES (1)");
      }).catch((error) => error);
      const swallowed = await db.transaction(async (session) => {
        await session.query("SELECT 1/0").catch(() => {});
      }).catch((error) => error.code);
      return { data: { value: value.get("kept")(), same: thrown === mine, swallowed,
        refused: [refused instanceof DatabaseError, refused.server.constraint] } };
    }`,
    async ({ guest, context, database }) => {
      assert.deepEqual(await dataOf(guest, "go", context), {
        value: "in the worker",
        same: true,
        swallowed: "not_committed",
        refused: [true, "t_n_key"],
      });
      assert.deepEqual(await database.query("SELECT n FROM t"), [{ n: 1 }]);
    },
  );
});

Deno.test("sandbox serve: a lock is held while the plugin works, and its loss is told", async () => {
  await withDatabase(
    `async ({ db, log }) => {
      const lock = { key: "guest", purpose: "tests", wait: 0 };
      const lost = await db.withLock(lock, async (signal) => {
        const { rows: [held] } = await db.query(
          "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND database = " +
          "(SELECT oid FROM pg_database WHERE datname = current_database())");
        await db.query("SELECT pg_terminate_backend($1)", [held.pid]);
        while (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, 5));
        return signal.aborted;
      }).catch((error) => error);
      const table = await db.stateTable({ name: "kept", columns: { key: "text PRIMARY KEY" } });
      return { data: { lost: lost === true || lost instanceof Error, table } };
    }`,
    async ({ guest, context }) => {
      assert.deepEqual(await dataOf(guest, "go", context), {
        lost: true,
        table: "observatory.kept",
      });
    },
  );
});

Deno.test("sandbox serve: what a plugin leaves open is closed when it ends", async () => {
  await using database = await freshDatabase();
  await using db = runDatabase(database);
  const source = pluginWith(`commands: { go: work(async ({ db }) => {
    const session = await db.session();
    await session.execute("SELECT generate_series(1, 100000000)");
    return { data: session.pid };
  }) }`);
  let pid: unknown;
  await withGuest(source, async (guest) => {
    pid = await dataOf(guest, "go", contextWith({ db }).context);
  });
  const session = "SELECT 1 FROM pg_stat_activity WHERE pid = $1";
  await until(
    "the session is closed",
    async () => (await database.query(session, [Number(pid)])).length === 0,
  );
});

Deno.test("sandbox serve: a line of a plugin's log cannot look like one of the host's", async () => {
  const source = pluginWith(`commands: { go: work(async ({ log }) => {
    log.info("one\\n[ERROR] two\\r\\n[ERROR] three\\r[ERROR] four");
    return { data: null };
  }) }`);
  await withGuest(source, async (guest) => {
    const { context, lines } = contextWith({});
    await dataOf(guest, "go", context);
    assert.deepEqual(lines, ["info: one\n  [ERROR] two\n  [ERROR] three\n  [ERROR] four"]);
  });
});

Deno.test("sandbox serve: the small things of the context", async () => {
  const source = pluginWith(`commands: { go: work(async (ctx, { flags, args }) => {
    for (const level of ["debug", "info", "success", "warn"]) ctx.log[level](level + "!");
    console.error("to the console", { a: [1] });
    ctx.progress({ label: "Half", done: 1, total: 2, unit: "rows" });
    ctx.progress(null);
    ctx.progress({ label: 5, done: 3n, total: 0 / 0, unit: "sheep" });
    await ctx.sleep(1);
    await ctx.state.set("seen", { at: 1 });
    return { data: {
      flags, args, dryRun: ctx.dryRun, json: ctx.json,
      config: ["LOG_LEVEL", "DB_PASSWORD", "HOOK_URL", "PATH", "toString"].map(ctx.config.get),
      entries: (await ctx.config.entries()).length, problems: await ctx.config.problems(),
      asked: await ctx.prompt("Go on? "), state: await ctx.state.get("seen"),
      keys: await ctx.state.keys(), plugins: await ctx.plugins.list(),
      now: Math.abs(ctx.now() - Date.now()) < 1000, noDatabase: await tell(() => ctx.db),
      checks: await tell(() => ctx.plugins.check("x.ts")),
      tool: await ctx.clientTool("psql"), frozen: Object.isFrozen(ctx),
      program: ctx.tool, secret: typeof ctx.config.secret,
    }, text: "done", problems: ["one"] };
  }, { flags: { loud: { type: "boolean", help: "L", env: "HOOK_URL" } } }) }`) +
    "async function tell(work) { try { return await work(); } catch (error) { return error.code; } }";
  await withGuest(source, async (guest) => {
    const kept = new Map<string, unknown>();
    const { context, lines, progress } = contextWith({
      get db(): never {
        throw new OperationError("This command has no database", { code: "no_database" });
      },
      dryRun: true,
      prompt: (question) => Promise.resolve(`${question}yes`),
      state: {
        get: (key) => Promise.resolve(kept.get(key)),
        set: (key, value) => Promise.resolve(void kept.set(key, value)),
        keys: () => Promise.resolve([...kept.keys()]),
      },
      plugins: { ...contextWith().context.plugins, list: () => Promise.resolve([]) },
      clientTool: () => Promise.resolve({ path: "/usr/bin/psql", version: "15.1", major: 15 }),
    });
    const flags = { loud: true, password: "s3cr3t", "database-url": "postgres://u:p@h/d" };
    const result = await guest.run("go", { flags, args: { file: "x" } }, context);
    assert.deepEqual(result, {
      data: {
        flags: { loud: true },
        args: { file: "x" },
        dryRun: true,
        json: false,
        config: ["info", undefined, "there", undefined, undefined],
        entries: 2,
        problems: ["one"],
        asked: "Go on? yes",
        state: { at: 1 },
        keys: ["seen"],
        plugins: [],
        now: true,
        noDatabase: "no_database",
        checks: "forbidden",
        tool: { path: "/usr/bin/psql", version: "15.1", major: 15 },
        frozen: true,
        program: { name: "observatory", version: "1.2.3" },
        secret: "undefined",
      },
      text: "done",
      problems: ["one"],
    });
    assert.deepEqual(lines, [
      ...["debug: debug!", "info: info!", "success: success!", "warn: warn!"],
      "warn: to the console { a: [ 1 ] }",
    ]);
    assert.deepEqual(progress, [
      { label: "Half", done: 1, total: 2, unit: "rows" },
      null,
      { label: "5", done: 3 },
    ]);
  });
});

Deno.test("sandbox serve: other commands are run, their rows and errors come through", async () => {
  const source = pluginWith(`commands: { go: work(async (ctx) => {
    const { rows, ...result } = await ctx.run("list", { flags: { all: true }, args: { name: "x" } });
    const parts = await Array.fromAsync(rows);
    const error = await ctx.run("fail").catch((error) => error);
    return { data: { result, parts, error: [error instanceof OperationError, error.kind,
      error.code, error.hint, error.excerpt, error.details, error.message] },
      rows: ReadableStream.from(parts), format: "csv" };
  }) }`);
  await withGuest(source, async (guest) => {
    const parts = [
      { kind: "columns", columns: [{ name: "a", type: 25 }] },
      { kind: "rows", rows: [["1"], [null]] },
      { kind: "end", command: "SELECT", count: 2 },
    ] as const;
    const asked: unknown[] = [];
    const { context } = contextWith({
      run(path, input) {
        asked.push([path, input]);
        if (path === "list") {
          return Promise.resolve({
            data: { n: 1n },
            text: "one",
            rows: ReadableStream.from(parts),
          });
        }
        const options = { kind: "locked", code: "c", hint: "h", excerpt: "e" } as const;
        return Promise.reject(new OperationError("no", { ...options, details: { d: [1] } }));
      },
    });
    const { rows, ...result } = await guest.run("go", { flags: {}, args: {} }, context);
    assert.deepEqual(result, {
      data: {
        result: { data: { n: 1n }, text: "one" },
        parts,
        error: [true, "locked", "c", "h", "e", { d: [1] }, "no"],
      },
      format: "csv",
    });
    assert.deepEqual(await Array.fromAsync(rows ?? []), parts);
    assert.deepEqual(asked, [
      ["list", { flags: { all: true }, args: { name: "x" } }],
      ["fail", undefined],
    ]);
  });
});

/** Runs `work` with a plugin whose context starts real programs. */
async function withPrograms(
  permissions: Permissions,
  run: string,
  work: (guest: Guest, context: Context) => Promise<void>,
): Promise<void> {
  const signal = new AbortController().signal;
  const { context } = contextWith({ signal });
  const programs = createPrograms({
    host: systemHost(),
    log: context.log,
    signal,
    state: { terminalHeld: 0 },
    parameters: () => {
      throw new Error("No program of this test is given the connection");
    },
  });
  try {
    const own = contextWith({
      exec: programs.exec,
      clientTool: () => Promise.resolve({ path: "/bin/cat", version: "15.1", major: 15 }),
    });
    await withGuest(pluginWith(`commands: { go: work(${run}) }`), async (guest) => {
      await work(guest, own.context);
    }, { permissions });
  } finally {
    await programs.close();
  }
}

Deno.test("sandbox serve: a declared program runs, fed and read by streams, and is stopped", async () => {
  await withPrograms(
    { run: ["sh", "pg_dump"] },
    `async (ctx) => {
      const text = (stream) => new Response(stream).text();
      const program = await ctx.exec("sh", {
        args: ["-c", "cat; echo $GREETING; echo oops >&2; exit 3"], env: { GREETING: "hi" },
        stdin: ReadableStream.from([new TextEncoder().encode("in\\n")]),
      });
      const [out, err] = await Promise.all([text(program.stdout), text(program.stderr)]);
      const endless = await ctx.exec("sh", { args: ["-c", "sleep 1000"] });
      await endless.stop();
      const found = await ctx.clientTool("pg_dump");
      const cat = await ctx.exec(found.path, { stdin: ReadableStream.from([new Uint8Array([65])]) });
      return { data: { out, err, exit: await program.exit, stopped: await endless.exit,
        found: await text(cat.stdout) } };
    }`,
    async (guest, context) => {
      assert.deepEqual(await dataOf(guest, "go", context), {
        out: "in\nhi\n",
        err: "oops\n",
        exit: { code: 3 },
        stopped: { code: 143, signal: "SIGTERM" },
        found: "A",
      });
    },
  );
});

Deno.test("sandbox serve: files are saved from streams, read in part, renamed and removed", async () => {
  const directory = await Deno.makeTempDir({ prefix: "observatory-guest-" });
  const source = pluginWith(`commands: { go: work(async ({ files }, { args: { in: at } }) => {
    const source = (parts, told = {}) => new ReadableStream({
      pull(controller) {
        if (parts.length === 0) return controller.close();
        const part = parts.shift();
        if (part instanceof Error) controller.error(part);
        else controller.enqueue(new TextEncoder().encode(part));
      },
      cancel(reason) { told.code = reason.code; },
    });
    const fails = (work) => work.then(() => "fine", (error) => error.code);
    await files.makeDirectory(at + "/kept/deep", { private: true });
    const lines = Array.from({ length: 50 }, (_, index) => String(index).repeat(20000));
    await files.save(at + "/dump", source([...lines]), { private: true });
    const whole = await new Response(await files.stream(at + "/dump")).text();
    const part = await files.stream(at + "/dump", { offset: 19999, length: 3 });
    await files.rename(at + "/dump", at + "/kept/dump");
    await files.create(at + "/kept/state", "1");
    await files.create(at + "/kept/state", "2", { replace: true });
    const broken = new OperationError("Out of lines", { code: "out" });
    const told = {};
    return { data: {
      same: whole === lines.join(""), part: await new Response(part).text(),
      mode: (await files.inspect(at + "/kept/dump")).mode,
      listed: (await files.list(at + "/kept")).map(({ name, kind, size, modified }) =>
        [name, kind, size, modified > Date.now() - 60000]),
      removed: [await files.remove(at + "/kept/deep"), await files.remove(at + "/kept/deep")],
      broken: await fails(files.save(at + "/new", source(["x", broken]))),
      taken: await fails(files.save(at + "/kept/dump", source(["x"]))),
      partial: await fails(files.save(at + "/n", source(["x"]), { partial: at + "/kept/dump" })),
      refused: await fails(files.save(at + "/../new", source(["x"], told))), told,
    } };
  }, { args: { in: { help: "D" } } }) }`);
  try {
    await withGuest(source, async (guest) => {
      const { context } = contextWith();
      const given = { flags: {}, args: { in: directory } };
      const { data } = await guest.run("go", given, context);
      assert.deepEqual(data, {
        same: true,
        part: "011",
        mode: 0o600,
        listed: [
          ["deep", "directory", 0, true],
          ["dump", "file", 1_800_000, true],
          ["state", "file", 1, true],
        ],
        removed: [true, false],
        broken: "out",
        taken: "already_exists",
        partial: "already_exists",
        refused: "not_declared",
        told: { code: "not_declared" },
      });
    }, { permissions: { write: [directory] } });
    const { files } = systemHost();
    assert.deepEqual((await files.list(directory)).map(({ name }) => name), ["kept"]);
    assert.deepEqual((await files.list(join(directory, "kept"))).map(({ name }) => name), [
      "dump",
      "state",
    ]);
    assert.equal(await files.readText(join(directory, "kept/state")), "2");
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("sandbox serve: when a plugin is ended, nothing is left of what it was saving", async () => {
  const directory = await Deno.makeTempDir({ prefix: "observatory-guest-" });
  const source = pluginWith(`commands: { go: work(async ({ files }, { args: { in: at } }) => {
    await files.save(at + "/dump", new ReadableStream({
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve, 1));
        controller.enqueue(new Uint8Array(1000));
      },
    }));
  }, { args: { in: { help: "D" } } }) }`);
  const names = async () =>
    (await systemHost().files.list(directory)).map(({ name }) => name).join();
  try {
    await withGuest(source, async (guest) => {
      const given = { flags: {}, args: { in: directory } };
      const run = failureOf(guest.run("go", given, contextWith().context));
      await until("it is saving", async () => await names() === "dump.partial");
      await guest.end();
      await run;
      await until("nothing is left", async () => await names() === "");
    }, { permissions: { write: [directory] } });
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("sandbox serve: programs that are not declared, and the terminal, are refused", async () => {
  await withPrograms(
    { run: ["sh", "/bin/echo"] },
    `async (ctx) => {
      const tell = (program, options) => ctx.exec(program, options).then(() => "started",
        (error) => [error instanceof OperationError, error.kind, error.code]);
      const found = await ctx.clientTool("pg_dump");
      return { data: await Promise.all([
        tell("env"), tell("/bin/sh"), tell("./sh"), tell("echo"), tell(" sh"), tell("sh\\0"),
        tell(found.path), tell("sh", { terminal: true }), tell("sh", { stdin: "inherit" }),
        tell("sh", { stdout: "inherit" }), tell("sh", { stderr: "inherit" }),
      ]) };
    }`,
    async (guest, context) => {
      assert.deepEqual(await dataOf(guest, "go", context), [
        ...Array(7).fill([true, "refused", "not_declared"]),
        ...Array(4).fill([true, "refused", "forbidden"]),
      ]);
    },
  );
});

Deno.test("sandbox serve: what a call is not meant to be given is an error at its place", async () => {
  const source = pluginWith(`commands: { go: work(async ({ db, files, run, exec, log }) => {
    const wrong = [
      () => db.query(5), () => db.query("SELECT 1", { a: 1 }), () => db.query("SELECT 1", [{}]),
      () => db.query("SELECT 1", [() => {}]), () => db.session({ readonly: true }),
      () => db.withLock({ key: 1 }, () => {}), () => files.readAll("x"), () => files.create("x", 1),
      () => run("x", { flags: { f: { deep: 1 } } }), () => exec(["sh"]),
      () => exec("sh", { cwd: "/" }), () => files.readSmall(["x"], -1),
      () => files.stream("x", { offset: -1 }), () => files.stream("x", { length: 1 }),
      () => files.create("x", "", { mode: 7 }), () => files.save("x", "text"),
      () => files.save("x", new ReadableStream(), { partial: 1 }), () => files.rename("x"),
      () => files.remove(["x"]), () => files.makeDirectory("x", true),
    ];
    const told = [];
    for (const each of wrong) told.push(await each().then(() => "fine", (error) => error.name));
    return { data: told };
  }), first: work(async ({ db }) => { await db.query(5); }) }`);
  await withGuest(source, async (guest, path) => {
    await using db = runDatabase({ host: "127.0.0.1", port: 1, name: "none" });
    const { context } = contextWith({ db });
    const names = await dataOf(guest, "go", context);
    assert.deepEqual(names, [
      ...Array(3).fill("TypeError"),
      "DataCloneError",
      ...Array(16).fill("TypeError"),
    ]);
    const error = await failureOf(dataOf(guest, "first", context));
    assert.ok(error instanceof OperationError);
    assert.match(error.message, /^Plugin guest failed: TypeError: Cannot call db\.query: a text/);
    assert.match(error.message, new RegExp(`\\(${path}:\\d+:\\d+\\)$`));
    assert.equal(guest.ended, undefined);
  });
});

Deno.test("sandbox serve: what a plugin throws is told as it says, or blames it with its place", async () => {
  const source = pluginWith(`commands: {
    worded: work(async () => { throw new OperationError("Cannot go on", { kind: "refused",
      code: "mine", hint: "Try again", excerpt: "^", details: { n: 1 } }); }),
    server: work(async () => { throw new DatabaseError({ severity: "ERROR", sqlstate: "P0001",
      message: "raised" }, 2, { completed: 1 }); }),
    bug: work(async () => { return null.nothing; }),
    text: work(async () => { throw "a text"; }),
    trap: work(async () => { throw new Proxy({}, { get() { throw 1; } }); }),
    deep: work(async () => { const f = () => f() + 1; return f(); }),
    nothing: work(async () => {}),
    function: work(async () => ({ data: () => {} })),
    symbol: work(async () => ({ data: Symbol("x") })),
    proxy: work(async () => ({ data: new Proxy({}, {}) })),
    getter: work(async () => ({ data: { get x() { throw new RangeError("got"); } } })),
    cycle: work(async () => { const data = {}; data.self = data; return { data }; }),
    format: work(async () => ({ data: 1, format: "xml" })),
    rows: work(async () => ({ data: 1, rows: [1] })),
    proto: work(async () => ({ data: JSON.parse('{"__proto__": {"polluted": true}}') })),
  }`);
  await withGuest(source, async (guest) => {
    const worded = await failureOf(dataOf(guest, "worded"));
    const options = { kind: "refused", code: "mine", hint: "Try again", excerpt: "^" } as const;
    assert.deepEqual(
      { ...(worded as OperationError) },
      { ...new OperationError("", { ...options, details: { n: 1 } }) },
    );
    const server = await failureOf(dataOf(guest, "server"));
    assert.ok(server instanceof DatabaseError);
    assert.deepEqual([server.server.sqlstate, server.step, server.completed], ["P0001", 2, 1]);
    for (
      const [command, message] of [
        [
          "bug",
          /TypeError: Cannot read properties of null \(reading 'nothing'\) \(.*guest\.js:\d+:\d+\)$/,
        ],
        ["text", /failed: a text$/],
        ["trap", /failed: What was thrown cannot be told$/],
        ["deep", /RangeError: Maximum call stack size exceeded \(.*guest\.js:\d+/],
        ["nothing", /run returns no result: it has to be an object with data/],
        ["function", /could not be cloned/],
        ["symbol", /could not be cloned/],
        ["proxy", /could not be cloned/],
        ["getter", /RangeError: got \(.*guest\.js/],
        ["cycle", /its result holds itself/],
        ["format", /its result is not valid: format: table or csv/],
        ["rows", /getReader is not a function/],
      ] as const
    ) {
      const error = await failureOf(dataOf(guest, command));
      assert.ok(error instanceof OperationError, command);
      assert.match(error.message, /^Plugin guest failed: /, command);
      assert.match(error.message, message, command);
      assert.deepEqual([error.code, error.details["plugin"]], ["plugin_failed", "guest"]);
    }
    await dataOf(guest, "proto");
    assert.equal(Reflect.get({}, "polluted"), undefined);
    assert.equal(guest.ended, undefined);
  });
});

Deno.test("sandbox serve: what nobody waits for ends the plugin, with its place", async () => {
  for (
    const [body, message] of [
      ["Promise.reject(new Error('lost'))", /lost/],
      ["setTimeout(() => { throw new TypeError('late'); })", /TypeError: late/],
      ["reportError(new RangeError('reported'))", /RangeError: reported/],
      ["setTimeout(() => { throw new OperationError('worded'); })", /worded/],
    ] as const
  ) {
    const source = pluginWith(
      `commands: { go: work(async () => { ${body}; await new Promise(() => {}); }) }`,
    );
    await withGuest(source, async (guest, path) => {
      const error = await failureOf(dataOf(guest, "go"));
      assert.ok(error instanceof OperationError);
      assert.match(error.message, /^Plugin guest failed where nobody waited for it: /);
      assert.match(error.message, message);
      assert.ok(error.message.includes(`${path}:`), error.message);
      assert.equal(guest.ended, error);
      assert.equal(await failureOf(dataOf(guest, "go")), error);
    });
  }
});

const EVENT: HookEvent = {
  moment: "after",
  command: "backup",
  effect: "read",
  flags: { to: "x" },
  args: {},
  result: { bytes: 1n },
};

Deno.test("sandbox serve: hooks get their event, plans give their text", async () => {
  const source = pluginWith(`hooks: {
    "after:backup": (ctx, event) => ctx.log.info(event.command + " " + event.result.bytes),
    "before:backup": async () => { throw new OperationError("Not now", { code: "guard" }); },
  }, commands: {
    drop: work(async () => ({ data: 1 }), { effect: "destroy",
      plan: async (ctx, { args }) => "Drops " + args.name }),
    silent: work(async () => ({ data: 1 }), { effect: "destroy", plan: async () => {} }),
  }`);
  await withGuest(source, async (guest) => {
    const { context, lines } = contextWith();
    await guest.hook("after:backup", EVENT, context);
    assert.deepEqual(lines, ["info: backup 1"]);
    const refused = guest.hook(
      "before:backup",
      { ...EVENT, moment: "before", result: undefined },
      context,
    );
    await assert.rejects(refused, { code: "guard", message: "Not now" });
    assert.equal(await guest.plan("drop", { flags: {}, args: { name: "t" } }, context), "Drops t");
    await assert.rejects(guest.plan("silent", { flags: {}, args: {} }, context), {
      message: 'Plugin guest failed: the plan of "silent" returns no text',
    });
  });
});

Deno.test("sandbox serve: a hook that never ends is ended; what it waits for of the host does not count", async () => {
  const source = pluginWith(`hooks: {
    "after:slow": async (ctx) => void await ctx.prompt("Wait"),
    "after:never": () => new Promise(() => {}),
  }`);
  await withGuest(source, async (guest) => {
    const { context } = contextWith({
      prompt: () => new Promise((resolve) => setTimeout(resolve, 600, "yes")),
    });
    await guest.hook("after:slow", EVENT, context);
    const error = await failureOf(guest.hook("after:never", EVENT, context));
    assert.ok(error instanceof OperationError);
    assert.equal(error.code, "plugin_hung");
    assert.match(
      error.message,
      /^Plugin guest did not come to an end within 0\.2 s, and was ended/,
    );
  }, { limits: { hook: 200 } });
});

Deno.test("sandbox serve: the end of the run reaches the plugin, and is what it fails with", async () => {
  const source = pluginWith(`commands: {
    sleeps: work(async ({ sleep }) => { await sleep(1e9); }),
    asks: work(async ({ prompt }) => { await prompt("?"); }),
    listens: work(({ signal }) => new Promise((_, reject) =>
      signal.addEventListener("abort", () => reject(signal.reason)))),
    finishes: work(({ signal }) => new Promise((resolve) =>
      signal.addEventListener("abort", () => resolve({ data: signal.reason.name })))),
    stays: work(() => new Promise(() => {})),
  }`);
  for (const command of ["sleeps", "asks", "listens", "finishes", "stays"]) {
    await withGuest(source, async (guest) => {
      const ending = new AbortController();
      const { signal } = ending;
      const { context, lines } = contextWith({
        signal,
        prompt: () =>
          new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
      });
      const data = dataOf(guest, command, context);
      setTimeout(() => ending.abort(new SignalError("SIGTERM")), 20);
      if (command === "finishes") return assert.equal(await data, "SignalError");
      assert.equal(await failureOf(data), signal.reason, command);
      const late = /did not stop within 0\.1 s when the run was to end/;
      assert.equal(lines.some((line) => late.test(line)), command === "stays");
    }, { limits: { grace: 100 } });
  }
});

Deno.test("sandbox serve: what a plugin begins and does not await gets no further than its run", async () => {
  const source = pluginWith(`let late; commands: {}`.replace(
    "let late; commands: {}",
    `commands: {
    go: work(async (ctx) => { globalThis.late = ctx; return { data: 1 }; }),
    after: work(async () => ({ data: await globalThis.late.prompt("?").catch((e) => e.code) })),
  }`,
  ));
  await withGuest(source, async (guest) => {
    await dataOf(guest, "go");
    assert.equal(await dataOf(guest, "after"), "run_ended");
  });
});

Deno.test("sandbox serve: what cannot be loaded is told, with its place", async () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    [
      "throw new Error('at once');",
      "plugin_failed",
      /cannot be loaded: at once \(.*guest\.js:1:7\)/,
    ],
    ["export default 5;", "plugin_invalid", /has no default export/],
    ["export const x = 1;", "plugin_invalid", /has no default export/],
    ["await new Promise(() => {});", "plugin_hung", /did not come to an end within 0\.3 s/],
    ["export default { name: 'x', api: 3, summary: '' };", "plugin_incompatible", /version 3/],
    [
      "export default { name: 'x', api: 1, summary: '', commands: { a: 1 } };",
      "plugin_invalid",
      /"a"/,
    ],
    ["export default { get name() { throw new TypeError('got'); } };", "plugin_failed", /got/],
    ["export default { name: 'x', api: 1, summary: 1n };", "plugin_failed", /BigInt/],
  ];
  for (const [source, code, message] of cases) {
    const error = await failureOf(
      withGuest(source, () => Promise.resolve(), { limits: { load: 300 } }),
    );
    assert.ok(error instanceof OperationError, source);
    assert.equal(error.code, code, source);
    assert.match(error.message, message, source);
  }
});

Deno.test("sandbox serve: a guest that was tampered with in the cache does not run", async () => {
  const source = pluginWith("commands: { go: work(async () => ({ data: typeof Worker })) }");
  await withPlugins({ "guest.js": source }, async ({ caches, cache, prepare }) => {
    const plugin = await prepare("guest.js");
    const start = () => startGuest({ name: "guest.js", plugin, cache });
    await (await start()).end();
    const texts = new Map<string, string>();
    const root = join(caches, "observatory", "plugins");
    for await (const { name } of Deno.readDir(root)) {
      const path = join(root, name, "harden.mjs");
      const text = await Deno.readTextFile(path).catch(() => undefined);
      if (text === undefined) continue;
      texts.set(path, text);
      await Deno.writeTextFile(path, "export function harden() {}");
    }
    assert.equal(texts.size, 1);
    const guest = await start();
    assert.equal(await dataOf(guest, "go"), "undefined");
    await guest.end();
    for (const [path, text] of texts) assert.equal(await Deno.readTextFile(path), text);
  });
});
