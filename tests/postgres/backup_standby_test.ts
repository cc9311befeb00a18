/** Backups from a standby, which takes the load off the primary. */
import assert from "assert";
import { dirname, join } from "node:path";
import { findServerBinaries } from "../../tasks/server_binaries.ts";
import { type Server, startServer } from "../../tasks/server.ts";
import { backupProject, contentsOf, restored } from "../backup_project.ts";
import { SOURCE } from "../backup_source.ts";
import { clientTools, openDatabase } from "../database.ts";
import { until } from "../migration_project.ts";
import { skipWhenMissing } from "../skip.ts";

const server = await findServerBinaries();
const programs = dirname((await clientTools())?.pgDump ?? "");
const ignore = skipWhenMissing("backups of a standby", await missing());

async function missing(): Promise<string | undefined> {
  if (server === undefined) return "no PostgreSQL server is installed (package postgresql)";
  for (const name of ["pg_dump", "pg_basebackup"]) {
    const { success, stdout } = await new Deno.Command(join(programs, name), {
      args: ["--version"],
    })
      .output().catch(() => ({ success: false, stdout: new Uint8Array() }));
    const major = /\) (\d+)/.exec(new TextDecoder().decode(stdout))?.[1];
    if (!success || Number(major) !== server.version) {
      return `${name} of PostgreSQL ${server.version} is not installed (package postgresql-client)`;
    }
  }
  return undefined;
}

/** A standby of a server, in the server's own directory and as its own user. */
async function standbyOf(primary: Server) {
  const data = join(primary.socketDirectory, "standby");
  const { uid, gid } = await Deno.stat(primary.socketDirectory);
  const account = Deno.uid() === 0 ? { uid: uid ?? 0, gid: gid ?? 0 } : {};
  const copy = await new Deno.Command(join(programs, "pg_basebackup"), {
    args: [
      ...["--pgdata", data, "--write-recovery-conf", "--checkpoint=fast", "--no-sync"],
      ...["--host", primary.host, "--port", String(primary.port), "--username", "postgres"],
    ],
    cwd: primary.socketDirectory,
    stdin: "null",
    ...account,
  }).output();
  assert.ok(copy.success, new TextDecoder().decode(copy.stderr));
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const child = new Deno.Command(join(server?.directory ?? "", "postgres"), {
    args: [
      ...["-D", data, "-c", `port=${port}`, "-c", `unix_socket_directories=${data}`],
      ...["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", "-c", "fsync=off"],
    ],
    cwd: primary.socketDirectory,
    stdin: "null",
    stdout: "null",
    stderr: "null",
    ...account,
  }).spawn();
  const address = {
    ...primary,
    port,
    url: (database = "postgres") => `postgres://postgres@127.0.0.1:${port}/${database}`,
  };
  await until(async () => {
    const rows = await openDatabase(address, "postgres").query("SELECT pg_is_in_recovery()")
      .catch(() => []);
    return rows.length > 0;
  });
  return {
    address,
    async [Symbol.asyncDispose]() {
      child.kill("SIGINT");
      await child.status;
    },
  };
}

Deno.test({
  name: "backup: from a standby, in every format, with a warning of what is not there",
  ignore,
  async fn() {
    await using primary = await startServer({
      ...server === undefined ? {} : { binaries: server.directory },
    });
    await using project = await backupProject({ server: primary, sql: SOURCE });
    await using standby = await standbyOf(primary);
    const { scratch, ...contents } = await contentsOf(project.database);
    assert.match(scratch ?? "", /^1 /);
    const env = { DATABASE_URL: standby.address.url(project.database.name), PG_BIN_DIR: programs };
    for (const args of [[], ["--format", "plain"], ["--format", "directory", "--jobs", "2"]]) {
      const made = await project.backup([...args, "--fingerprint", "full"], { env });
      const { manifest } = made;
      assert.equal(manifest.source.in_recovery, true);
      assert.deepEqual(manifest.warnings, [
        "The rows of one table are missing: what is not logged is not on a standby",
      ]);
      assert.equal(manifest.tables.some(({ name }) => name === "scratch"), false);
      await using target = await restored(made);
      const { scratch: left, ...others } = await contentsOf(target);
      assert.match(left ?? "", /^0 /);
      assert.deepEqual(others, contents);
    }
    const skipped = await project.backup(["--exclude-table", "scratch"], { env });
    assert.deepEqual(skipped.manifest.warnings, []);
  },
});
