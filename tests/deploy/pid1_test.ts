/**
 * The program as the first process of a container: without the signals' usual effects, and with
 * every orphan as its child. What it does there needs no init beside it.
 */
import assert from "assert";
import { join } from "node:path";
import { clientToolsMissing, freshDatabase } from "../database.ts";
import { kinds, programOf } from "../program.ts";
import { skipWhenMissing } from "../skip.ts";
import { directoryWith, until } from "../cli/project.ts";
import { programMissing } from "./validators.ts";

const missing = Deno.uid() === 0
  ? await programMissing("unshare", "apt-get install util-linux")
  : "only root makes namespaces here";
const ignore = skipWhenMissing("the program as process 1", missing);
const noClients = await clientToolsMissing() !== undefined;

interface Contained {
  /** Its number outside. */
  readonly pid: number;
  readonly end: Promise<
    { readonly code: number; readonly stderr: string; readonly stdout: string }
  >;
}

/** Starts the program as process 1 of a namespace of its own. */
async function contain(
  args: readonly string[],
  options: { readonly cwd: string; readonly env: Readonly<Record<string, string>> },
): Promise<Contained> {
  const { command, env } = await programOf(kinds.at(-1) ?? "sources");
  const child = new Deno.Command("unshare", {
    args: ["--pid", "--fork", "--mount-proc", ...command, ...args],
    cwd: options.cwd,
    clearEnv: true,
    env: { PATH: "/usr/bin:/bin", HOME: options.cwd, ...env, ...options.env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const end = child.output().then(({ code, stdout, stderr }) => ({
    code,
    stdout: new TextDecoder().decode(stdout),
    stderr: new TextDecoder().decode(stderr),
  }));
  let pid = 0;
  await until("the program is started", async () => {
    const children = await Deno.readTextFile(`/proc/${child.pid}/task/${child.pid}/children`)
      .catch(() => "");
    pid = Number(children.trim());
    return pid > 0;
  });
  return { pid, end };
}

/** The processes of a namespace, by their names and states, as seen from outside. */
async function processesOf(pid: number): Promise<string[]> {
  const namespace = await Deno.readLink(`/proc/${pid}/ns/pid`).catch(() => undefined);
  const found: string[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name) || namespace === undefined) continue;
    if (await Deno.readLink(`/proc/${name}/ns/pid`).catch(() => "") !== namespace) continue;
    const stat = await Deno.readTextFile(`/proc/${name}/stat`).catch(() => "");
    const [, program, state] = /\((.*)\) (\S)/.exec(stat) ?? [];
    if (Number(name) !== pid) found.push(`${program} ${state}`);
  }
  return found;
}

for (const [signal, exit] of [["SIGTERM", 143], ["SIGINT", 130]] as const) {
  Deno.test({
    name: `process 1: ${signal} ends a migration in the server, and it ends with ${exit}`,
    ignore,
    async fn() {
      await using database = await freshDatabase();
      await using directory = await directoryWith({
        "migrations/1_slow.sql": "SELECT pg_sleep(60);",
      });
      const { pid, end } = await contain(["migrate"], {
        cwd: directory.path,
        env: { DATABASE_URL: database.url },
      });
      const sleeping = async () =>
        (await database.query(
          "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' " +
            "AND datname = current_database()",
        )).length;
      await until("the migration runs", async () => await sleeping() === 1);
      Deno.kill(pid, signal);
      const { code, stderr } = await end;
      assert.equal(code, exit, stderr);
      assert.match(stderr, new RegExp(`${signal} received`));
      await until("the statement is cancelled", async () => await sleeping() === 0);
    },
  });
}

Deno.test({
  name: "process 1: a second signal ends it at once, whatever it waits for",
  ignore,
  async fn() {
    await using directory = await directoryWith({
      "scripts/stubborn.sh": "#!/bin/sh\ntrap '' TERM INT HUP\necho started >started\nsleep 60\n",
    });
    await Deno.chmod(join(directory.path, "scripts/stubborn.sh"), 0o755);
    await using database = await freshDatabase();
    const { pid, end } = await contain(["script", "stubborn.sh"], {
      cwd: directory.path,
      env: { DATABASE_URL: database.url },
    });
    const started = join(directory.path, "started");
    await until("the script runs", () => Deno.stat(started).then(() => true, () => false));
    Deno.kill(pid, "SIGTERM");
    await new Promise((resolve) => setTimeout(resolve, 100));
    Deno.kill(pid, "SIGTERM");
    const { code } = await end;
    assert.equal(code, 143);
  },
});

Deno.test({
  name: "process 1: what is left of a script's orphans holds nothing up, and ends with it",
  ignore,
  async fn() {
    await using directory = await directoryWith({
      // Twenty orphans that end while the script runs, and one that would outlive it.
      "scripts/orphans.sh":
        "#!/bin/sh\nfor n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20\n" +
        "do (sleep 0.1 &); done\n(setsid sleep 60 >/dev/null 2>&1 &)\nsleep 0.5\n" +
        "echo ready >ready\nwhile [ -e ready ]; do sleep 0.05; done\n",
    });
    await Deno.chmod(join(directory.path, "scripts/orphans.sh"), 0o755);
    await using database = await freshDatabase();
    const { pid, end } = await contain(["script", "orphans.sh"], {
      cwd: directory.path,
      env: { DATABASE_URL: database.url },
    });
    const ready = join(directory.path, "ready");
    await until("the orphans are made", () => Deno.stat(ready).then(() => true, () => false));
    // Nobody waits for them: they stay as names of ended processes until the program is over.
    const during = await processesOf(pid);
    assert.equal(during.filter((each) => each === "sleep Z").length, 20, during.join());
    assert.ok(during.includes("sleep S"), during.join());
    const namespace = await Deno.readLink(`/proc/${pid}/ns/pid`);
    await Deno.remove(ready);
    const { code, stderr } = await end;
    assert.equal(code, 0, stderr);
    for await (const { name } of Deno.readDir("/proc")) {
      if (!/^\d+$/.test(name)) continue;
      assert.notEqual(await Deno.readLink(`/proc/${name}/ns/pid`).catch(() => ""), namespace);
    }
  },
});

Deno.test({
  name: "process 1: TERM takes a backup back, with all of pg_dump's processes",
  ignore: ignore || noClients,
  async fn() {
    await using database = await freshDatabase({ sql: "CREATE TABLE held (n int)" });
    await using directory = await directoryWith({});
    const holder = await database.connect();
    try {
      await holder.query("BEGIN; LOCK TABLE held");
      const { pid, end } = await contain(["backup", "--format", "directory", "--jobs", "2"], {
        cwd: directory.path,
        env: { DATABASE_URL: database.url },
      });
      await until(
        "pg_dump waits",
        async () =>
          (await database.query(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' " +
              "AND datname = current_database()",
          )).length > 0,
      );
      Deno.kill(pid, "SIGTERM");
      const { code, stderr } = await end;
      assert.equal(code, 143, stderr);
      const left = await Array.fromAsync(Deno.readDir(directory.path), ({ name }) => name);
      assert.deepEqual(left, []);
    } finally {
      await holder.end();
    }
  },
});
