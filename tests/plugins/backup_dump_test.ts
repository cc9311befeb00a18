/** pg_dump, held to its word: programs that stand for it, and what becomes of them. */
import assert from "assert";
import { join } from "node:path";
import type { Context } from "../../core/plugin.ts";
import { type Dump, type DumpCall, startDump } from "../../plugins/backup/dump.ts";
import { withContext } from "../context.ts";
import { freshDatabase } from "../database.ts";

/** A program that stands for pg_dump: a script of the shell. */
async function dumping<T>(
  script: string,
  work: (dump: Dump, ctx: Context) => Promise<T>,
  call: Partial<DumpCall> = {},
): Promise<T> {
  await using directory = await temporary();
  await using database = await freshDatabase();
  const path = join(directory.path, "pg_dump");
  await Deno.writeTextFile(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return await withContext({ database }, async (ctx) => {
    const dump = await startDump(ctx, {
      tool: { path, version: "15.0", major: 15 },
      args: [],
      name: "test",
      stallTimeout: 30,
      ...call,
    });
    return await work(dump, ctx);
  });
}

async function temporary() {
  const path = await Deno.makeTempDir({ prefix: "observatory-dump-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

async function textOf(dump: Dump): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of dump.output) text += decoder.decode(chunk, { stream: true });
  return text;
}

const rejected = (dump: Dump, expected: object) => assert.rejects(textOf(dump), expected);

Deno.test("pg_dump: what it writes is passed on, and ends when it has ended with 0", async () => {
  assert.equal(await dumping("printf one; sleep 0.05; printf two", textOf), "onetwo");
  assert.equal(await dumping("exit 0", textOf), "");
});

Deno.test("pg_dump: gets the connection, a name, and no language but English", async () => {
  const text = await dumping('echo "$PGDATABASE|$PGAPPNAME|$LC_ALL|$LANGUAGE"', textOf);
  assert.match(text, /^test_\w+\|test\|C\|C\n$/);
});

Deno.test("pg_dump: its output fails when it ends otherwise, with what it said", async () => {
  await dumping(
    `printf everything
     echo 'pg_dump: warning: of no account' >&2
     echo 'pg_dump: error: query failed: ERROR:  permission denied for table t' >&2
     echo 'pg_dump: detail: Query was: LOCK TABLE t' >&2
     echo 'pg_dump: error: another' >&2
     exit 1`,
    async (dump) => {
      await rejected(dump, {
        code: "dump_failed",
        message: "Cannot back up: pg_dump failed: query failed: ERROR:  permission denied for " +
          "table t (Query was: LOCK TABLE t)",
        excerpt: "another",
        details: { program: "pg_dump", exit: 1 },
      });
      assert.deepEqual(dump.messages.warnings, ["of no account"]);
    },
  );
  await dumping("printf some; exit 3", (dump) =>
    rejected(dump, {
      code: "dump_failed",
      message: "Cannot back up: pg_dump ended with exit code 3",
      excerpt: undefined,
    }));
  const loader = "pg_dump: error while loading shared libraries: libpq.so.5";
  await dumping(`echo '${loader}' >&2; exit 127`, (dump) =>
    rejected(dump, {
      message: "Cannot back up: pg_dump ended with exit code 127",
      excerpt: loader,
    }));
  await dumping("printf some; kill -9 $$", (dump) =>
    rejected(dump, {
      message: "Cannot back up: pg_dump was ended by SIGKILL",
      details: { program: "pg_dump", exit: 137, signal: "SIGKILL" },
    }));
});

Deno.test("pg_dump: one that cannot be started is told", async () => {
  await assert.rejects(
    dumping("", textOf, { tool: { path: "/nowhere/pg_dump", version: "15.0", major: 15 } }),
    { code: "program_missing" },
  );
});

Deno.test("pg_dump: silent for too long, it is ended", async () => {
  const started = Date.now();
  await dumping("printf some; exec sleep 60", (dump) =>
    rejected(dump, {
      code: "dump_stalled",
      message: "Cannot back up: pg_dump has written and said nothing for 0.2 s",
    }), { stallTimeout: 0.2 });
  assert.ok(Date.now() - started < 10_000);
});

Deno.test("pg_dump: words on stderr, and being seen at work, count as life", async () => {
  const talking = "for i in 1 2 3 4 5 6 7 8; do sleep 0.1; echo pg_dump: dumping >&2; done; echo x";
  assert.equal(await dumping(talking, textOf, { stallTimeout: 0.4 }), "x\n");
  const text = await dumping("sleep 0.8; echo x", async (dump) => {
    const timer = setInterval(dump.alive, 100);
    try {
      return await textOf(dump);
    } finally {
      clearInterval(timer);
    }
  }, { stallTimeout: 0.4 });
  assert.equal(text, "x\n");
});

Deno.test("pg_dump: whoever takes its bytes slowly is not its fault", async () => {
  // More than a pipe holds, so that it waits for its reader.
  const script = "head -c 1000000 /dev/zero; echo pg_dump: done >&2";
  const size = await dumping(script, async (dump) => {
    let size = 0;
    for await (const chunk of dump.output) {
      if (size === 0) await new Promise((resolve) => setTimeout(resolve, 800));
      size += chunk.length;
    }
    return size;
  }, { stallTimeout: 0.3 });
  assert.equal(size, 1_000_000);
});

Deno.test("pg_dump: stopped, its output fails with the reason and the program is gone", async () => {
  await dumping('printf "$$ "; exec sleep 60', async (dump) => {
    const reason = new Error("the lock was lost");
    let pid = 0;
    await assert.rejects(async () => {
      for await (const chunk of dump.output) {
        pid = Number(new TextDecoder().decode(chunk));
        dump.stop(reason);
      }
    }, reason);
    assert.throws(() => Deno.kill(pid, "SIGCONT"), Deno.errors.NotFound);
  });
});

Deno.test("pg_dump: whoever stops reading ends it", async () => {
  await dumping('printf "$$ "; exec sleep 60', async (dump) => {
    let pid = 0;
    for await (const chunk of dump.output) {
      pid = Number(new TextDecoder().decode(chunk));
      break;
    }
    assert.throws(() => Deno.kill(pid, "SIGCONT"), Deno.errors.NotFound);
  });
});

Deno.test("pg_dump: more names of tables than its arguments can hold are told, with a way out", async () => {
  const args = [`--table=${"x".repeat(200_000)}`];
  await assert.rejects(dumping("exit 0", textOf, { args }), {
    name: "OperationError",
    kind: "usage",
    code: "too_many_tables",
    message: "Cannot back up: the names of all tables of --tables and --exclude-table are more " +
      "than pg_dump 15.0 can be given",
    hint: /PostgreSQL 17 or newer/,
  });
});

Deno.test("pg_dump: what it is to read reaches it", async () => {
  assert.equal(await dumping("cat", textOf, { filter: "include table a\n" }), "include table a\n");
});
