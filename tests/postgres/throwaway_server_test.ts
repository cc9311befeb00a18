/** The throw-away servers that backups are verified in. */
import assert from "assert";
import { join } from "node:path";
import { OperationError } from "../../core/plugin.ts";
import { startThrowaway } from "../../plugins/restore/throwaway_server.ts";
import { findServerBinaries } from "../../tasks/server_binaries.ts";
import { withContext } from "../context.ts";
import { until } from "../core/run_database.ts";
import { skipWhenMissing } from "../skip.ts";

const installed = await findServerBinaries();
const ignore = skipWhenMissing(
  "tests of throw-away servers",
  installed === undefined ? "PostgreSQL's server is not installed" : undefined,
);
const major = installed?.version ?? 15;
const env = {
  PATH: `${installed?.directory}:${Deno.env.get("PATH") ?? ""}`,
  PGHOST: "nowhere",
  PGPASSWORD: "of another server",
};

/** A place for the servers of one test, open to whoever runs them. */
async function place(): Promise<{ readonly path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir({ prefix: "throwaway-", dir: "/tmp" });
  await Deno.chmod(path, 0o1777);
  return {
    path,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

async function isEmpty(path: string): Promise<boolean> {
  return (await Array.fromAsync(Deno.readDir(path))).length === 0;
}

/** Whether a process is there and has not ended. */
async function lives(pid: number): Promise<boolean> {
  try {
    return !/^State:\s*Z/m.test(await Deno.readTextFile(`/proc/${pid}/status`));
  } catch {
    return false;
  }
}

async function postmaster(directory: string): Promise<number> {
  const text = await Deno.readTextFile(join(directory, "data", "postmaster.pid"));
  return Number(text.split("\n")[0]);
}

Deno.test({
  name: "throw-away server: private, on its socket alone, and gone when it is stopped",
  ignore,
  async fn() {
    await using temporary = await place();
    const lines: string[] = [];
    await withContext({ env: { ...env, TMPDIR: temporary.path }, lines }, async (context) => {
      const server = await startThrowaway(context, { major, size: 0 });
      const { rows: [row] } = await server.context.db.query(
        `SELECT current_user::text AS user, current_setting('listen_addresses') AS listens,
           current_setting('fsync') AS fsync, current_setting('server_version_num')::int / 10000 AS major,
           inet_server_addr() IS NULL AS local`,
      );
      assert.deepEqual(row, {
        user: "postgres",
        listens: "",
        fsync: "off",
        major: Number(server.version.split(".")[0]),
        local: true,
      });
      assert.ok(server.directory.startsWith(`${temporary.path}/observatory-verify-`));
      assert.equal(((await Deno.stat(server.directory)).mode ?? 0) & 0o777, 0o700);
      const pid = await postmaster(server.directory);
      const { exit } = await server.context.exec("sh", {
        args: ["-c", 'test "$PGHOST" = "$1" -a -z "$PGPASSWORD"', "sh", server.directory],
        connect: true,
      });
      assert.deepEqual(await exit, { code: 0 });
      await server.stop();
      await server.stop();
      assert.equal(await lives(pid), false);
      assert.ok(await isEmpty(temporary.path));
    });
    assert.match(lines.join("\n"), /Starting a throw-away server of PostgreSQL \d+\.\d+ in \//);
  },
});

Deno.test({
  name: "throw-away server: ends with the run, whether that ends well, badly or by a signal",
  ignore,
  async fn() {
    await using temporary = await place();
    for (const how of ["well", "badly", "signal"]) {
      const ending = new AbortController();
      let pid = 0;
      const run = withContext(
        { env: { ...env, TMPDIR: temporary.path }, signal: ending.signal },
        async (context) => {
          const server = await startThrowaway(context, { major, size: 0 });
          pid = await postmaster(server.directory);
          if (how === "badly") throw new Error("bad end");
          if (how === "well") return;
          const busy = server.context.db.query("SELECT pg_sleep(60)");
          setTimeout(() => ending.abort(), 100);
          await busy;
        },
      );
      const outcome = await run.then(() => "", (error) => String(error));
      assert.match(outcome, how === "well" ? /^$/ : how === "badly" ? /bad end/ : /SIGTERM/);
      await until(`the server has ended (${how})`, async () => !await lives(pid));
      await until(`nothing is left (${how})`, () => isEmpty(temporary.path));
    }
  },
});

Deno.test({
  name: "throw-away server: ends with its owner, even one that is killed, at any time",
  ignore,
  async fn() {
    await using temporary = await place();
    const script = join(temporary.path, "..", `owner-${crypto.randomUUID()}.ts`);
    const module = (path: string) => new URL(`../../${path}`, import.meta.url).href;
    await Deno.writeTextFile(
      script,
      `import { withContext } from "${module("tests/context.ts")}";
       import { startThrowaway } from "${module("plugins/restore/throwaway_server.ts")}";
       await withContext({ env: Deno.env.toObject() }, async (context) => {
         console.log("begun");
         const server = await startThrowaway(context, { major: ${major}, size: 0 });
         console.log("ready");
         await server.context.db.query("SELECT pg_sleep(60)");
       });`,
    );
    try {
      for (
        const [word, wait] of [["begun", 0], ["begun", 300], ["begun", 900], ["ready", 50]] as const
      ) {
        const owner = new Deno.Command(Deno.execPath(), {
          args: [
            "run",
            "-A",
            "--config",
            new URL("../../deno.json", import.meta.url).pathname,
            script,
          ],
          env: { ...env, TMPDIR: temporary.path },
          stdout: "piped",
          stderr: "null",
        }).spawn();
        const reader = owner.stdout.pipeThrough(new TextDecoderStream()).getReader();
        for (let told = ""; !told.includes(word);) {
          const { done, value } = await reader.read();
          assert.ok(!done, `The owner ended before it was ${word}`);
          told += value;
        }
        await new Promise((resolve) => setTimeout(resolve, wait));
        owner.kill("SIGKILL");
        await owner.status;
        await reader.cancel();
        await until(`nothing is left (${word} ${wait})`, () => isEmpty(temporary.path));
      }
    } finally {
      await Deno.remove(script);
    }
    await until("no process is left", async () => {
      const { stdout } = await new Deno.Command("ps", { args: ["-eo", "args"] }).output();
      return !new TextDecoder().decode(stdout).includes(temporary.path);
    });
  },
});

Deno.test({
  name: "throw-away server: what keeps it from being made is told, with the way out",
  ignore,
  async fn() {
    await using temporary = await place();
    const attempt = (
      options: { major?: number; size?: number; preload?: string },
      more: Readonly<Record<string, string>> = {},
    ) =>
      withContext({ env: { ...env, TMPDIR: temporary.path, ...more } }, async (context) => {
        await startThrowaway(context, { major, size: 0, ...options });
      }).then(() => undefined, (error: unknown) => {
        assert.ok(error instanceof OperationError, String(error));
        assert.equal(error.kind, "refused");
        assert.match(error.hint ?? "", /--on URL/);
        return [error.code, error.message];
      });
    const expect = async (told: ReturnType<typeof attempt>, code: string, message: RegExp) => {
      const [was, text] = await told ?? [];
      assert.deepEqual([was, message.test(text ?? "")], [code, true], String(text));
      assert.ok(await isEmpty(temporary.path));
    };
    await expect(attempt({ major: 99 }), "no_server", /no server of PostgreSQL 99 or newer/);
    await expect(attempt({ size: 2 ** 60 }), "no_space", /it takes 1\.0 EiB|it takes 1024\.0 PiB/);
    await expect(attempt({}, { TMPDIR: "/nowhere/at/all" }), "no_directory", /TMPDIR names/);
    await expect(attempt({ preload: "nothing" }), "server_not_started", /"nothing"/);
  },
});
