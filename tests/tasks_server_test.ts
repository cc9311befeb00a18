import assert from "assert";
import { startServer } from "../tasks/server.ts";
import { freshDatabase, openDatabase, sharedServer, uniqueName } from "./database.ts";

/** Waits until a condition holds; fails after ten seconds. */
async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!await holds()) {
    assert.ok(Date.now() < deadline, `Still waiting until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

async function runs(pid: number): Promise<boolean> {
  const { success } = await new Deno.Command("/bin/sh", {
    args: ["-c", 'kill -0 "$1"', "sh", String(pid)],
    stderr: "null",
  }).output();
  return success;
}

Deno.test("startServer: takes sessions at once and leaves nothing behind", async () => {
  const server = await startServer();
  const [row] = await openDatabase(server, "postgres").query(
    "SELECT current_user AS user, current_setting('server_version_num')::int / 10000 AS version",
  );
  assert.deepEqual(row, { user: "postgres", version: server.version });
  await server.stop();
  await server.stop();
  assert.equal(await exists(server.socketDirectory), false);
  assert.equal(await runs(server.pid), false);
});

Deno.test("startServer: uses the settings and access rules given", async () => {
  await using server = await startServer({
    settings: { max_connections: "7", fsync: "on" },
    hba: ["local all all trust", "host all all 127.0.0.1/32 scram-sha-256"],
  });
  await assert.rejects(
    openDatabase(server, "postgres").query("SELECT 1"),
    /password/,
  );
  const socket = {
    ...server,
    url: (name = "postgres") =>
      `postgres://postgres@/${name}?host=${encodeURIComponent(server.socketDirectory)}` +
      `&port=${server.port}`,
  };
  const [row] = await openDatabase(socket, "postgres").query(
    "SELECT current_setting('max_connections') AS connections, current_setting('fsync') AS fsync",
  );
  assert.deepEqual(row, { connections: "7", fsync: "on" });
});

Deno.test("startServer: listens on its socket alone when asked to", async () => {
  await using server = await startServer({ listen: false });
  await assert.rejects(Deno.connect({ hostname: "127.0.0.1", port: server.port }));
  const [row] = await openDatabase(server, "postgres").query(
    "SELECT inet_server_addr() IS NULL AS local",
  );
  assert.deepEqual(row, { local: true });
});

Deno.test("startServer: tells the server's own reason when it does not start", async () => {
  await assert.rejects(
    startServer({ settings: { shared_buffers: "much" } }),
    /Cannot start PostgreSQL .*invalid value for parameter "shared_buffers": "much"/s,
  );
});

Deno.test("startServer: the server ends with its owner, even one that is killed", async () => {
  const owner = new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      `import { startServer } from "${new URL("../tasks/server.ts", import.meta.url)}";
       const server = await startServer();
       console.log(JSON.stringify([server.pid, server.socketDirectory]));
       setInterval(() => {}, 1000);`,
    ],
    stdout: "piped",
  }).spawn();
  const reader = owner.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await reader.read();
  const told: [number, string] = JSON.parse(value ?? "");
  const [pid, directory] = told;
  assert.equal(await runs(pid), true);
  owner.kill("SIGKILL");
  await owner.status;
  await reader.cancel();
  await until("the server has ended", async () => !await runs(pid));
  await until("its directory is gone", async () => !await exists(directory));
});

Deno.test("startServer: a killed server can still be stopped", async () => {
  const server = await startServer();
  server.kill("SIGKILL");
  await until("the server has ended", async () => !await runs(server.pid));
  await server.stop();
  assert.equal(await exists(server.socketDirectory), false);
});

Deno.test("freshDatabase: is empty, its own, and gone after the test", async () => {
  const server = await sharedServer();
  const all = openDatabase(server, "postgres");
  let name: string;
  {
    await using database = await freshDatabase({ sql: "CREATE TABLE t (id int); TABLE t" });
    name = database.name;
    const inside = await database.query(
      "SELECT current_database() AS name FROM pg_tables " +
        "WHERE tablename = $1",
      ["t"],
    );
    assert.deepEqual(inside, [{ name }]);
    const open = await database.connect();
    open.on("error", () => {}); // The drop ends this session.
    assert.equal(
      (await all.query("SELECT 1 FROM pg_database WHERE datname = $1", [name])).length,
      1,
    );
  }
  assert.deepEqual(await all.query("SELECT 1 FROM pg_database WHERE datname = $1", [name]), []);
});

Deno.test("uniqueName: does not repeat itself", () => {
  assert.notEqual(uniqueName(), uniqueName());
  assert.match(uniqueName("role"), /^role_[0-9a-f]{20}$/);
});
