/** `verify` from outside: the manual's line, its forms and exit codes. */
import assert from "assert";
import { clientTools } from "../database.ts";
import { forEachKind, kinds, programOf, runProgram } from "../program.ts";
import { skipWhenMissing } from "../skip.ts";
import { directoryWith, project } from "./project.ts";

const FILES = {
  "migrations/1_first.sql": "CREATE TABLE first (n int);",
  "backups/.keep": "",
};

const noTools = await clientTools() === undefined ? "psql is not installed" : undefined;
const toolsMissing = skipWhenMissing("the check of client tools in `verify`", noTools);

forEachKind(
  "verify: makes the manual's checks and more, one line for each, and ends with 0",
  async (kind) => {
    await using given = await project(kind, FILES);
    await given.run(["migrate"]);
    const { code, stdout, stderr } = await given.run(["verify"]);
    assert.equal(code, 0, stdout + stderr);
    assert.equal(
      stderr,
      "[INFO] Waiting for database to be ready...\n[SUCCESS] Database is ready\n",
    );
    const { hostname, port, pathname } = new URL(given.database.url);
    // The four of the manual come first.
    const [connection = "", version = "", timescale = "", query = ""] = stdout.split("\n");
    assert.equal(
      connection,
      `ok       connection       Connected to ${hostname}:${port} as postgres, ` +
        `database "${pathname.slice(1)}", without TLS`,
    );
    assert.match(version, /^(ok|warning) +version +PostgreSQL \d+\.\d+/);
    assert.match(timescale, /^ok +timescaledb +\S/);
    assert.match(query, /^ok +query +SELECT 1 took [\d.]+ ms/);
    for (const name of ["writes", "rights", "migrations", "backups-dir", "disk-space", "clock"]) {
      assert.match(stdout, new RegExp(`^ok +${name} +\\S`, "m"));
    }
    if (!toolsMissing) {
      assert.match(stdout, /^(ok|warning) +client-tools .*\bpg_dump\b.*\bpg_restore\b/m);
    }
    assert.match(stdout, /\n\n20 checks: \d+ ok, \d+ warnings?, 0 failed, 1 skipped\n$/);
  },
);

forEachKind("verify: --json is one object with every check", async (kind) => {
  await using given = await project(kind, FILES);
  const { code, stdout } = await given.run(["verify", "--json"]);
  assert.equal(code, 0);
  assert.match(stdout, /^\{[^\n]*\}\n$/);
  const { ok, command, data, problems } = JSON.parse(stdout);
  assert.deepEqual([ok, command, problems], [true, "verify", undefined]);
  assert.equal(data.checks.length, data.ok + data.warnings + data.failed + data.skipped);
  assert.deepEqual(data.checks.find(({ name }: { name: string }) => name === "migrations"), {
    name: "migrations",
    status: "warning",
    message: "0 applied, 1 pending",
    remedy: "Run `observatory migrate`",
    details: { applied: 0, pending: 1, last_applied_at: null, problems: [] },
  });
});

forEachKind("verify: failed checks are exit 3, warnings only with --strict", async (kind) => {
  await using given = await project(kind, FILES);
  const line = ["verify", "--only", "migrations"];
  const pending = await given.run(line);
  assert.equal(pending.code, 0);
  assert.match(pending.stdout, /^warning .*\n +Run `observatory migrate`\n\n1 check: /);
  const strict = await given.run([...line, "--strict"]);
  assert.equal(strict.code, 3);
  assert.match(strict.stderr, /^\[WARNING\] migrations: 0 applied, 1 pending$/m);

  const missing = new URL(given.database.url);
  missing.pathname += "_missing";
  const failed = await given.run(["verify"], { env: { DATABASE_URL: missing.href } });
  assert.equal(failed.code, 3);
  assert.match(failed.stdout, /^failed +connection +Database ".*_missing" does not exist on /);
  assert.match(failed.stdout, /^ +Run `observatory migrate`, which creates it/m);
});

forEachKind("verify: no connection is exit 5, and --json tells why", async (kind) => {
  const env = { DATABASE_URL: "postgres://app:s3cr3t-word@127.0.0.1:1/x" };
  const options = { kind, env };
  const { code, stdout, stderr } = await runProgram(["verify", "--json", "--wait", "0"], options);
  assert.equal(code, 5);
  const { ok, error } = JSON.parse(stdout);
  assert.deepEqual([ok, error.code, error.exit], [false, "connection_refused", 5]);
  assert.match(stderr, /^\[ERROR\] Cannot connect to 127\.0\.0\.1:1: connection refused$/m);
  assert.doesNotMatch(stdout + stderr, /s3cr3t/);
});

/** Nobody's usual number, without a right to anything of ours. */
const NOBODY = 65534;
const asRoot = Deno.uid() === 0;
const cannotBeOther = asRoot && (!kinds.includes("compiled") || await setprivMissing())
  ? "another user cannot be had for the compiled program"
  : undefined;

async function setprivMissing(): Promise<boolean> {
  return await new Deno.Command("setpriv", { args: ["--version"], stdout: "null" }).output()
    .then(({ success }) => !success, () => true);
}

Deno.test({
  name: "verify: a backups directory that this user may not write to fails, with the chown",
  ignore: skipWhenMissing("verify as a user without rights", cannotBeOther),
  async fn() {
    await using directory = await directoryWith({ "backups/.keep": "" });
    // Everybody may look in, only its owner write, and as its owner not even that.
    await Deno.chmod(directory.path, 0o755);
    await Deno.chmod(`${directory.path}/backups`, asRoot ? 0o755 : 0o555);
    const { command: [program = "", ...words], env } = await programOf(
      asRoot ? "compiled" : "sources",
    );
    const user = asRoot
      ? ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", program]
      : [program];
    const [first = "", ...rest] = [...user, ...words, "verify", "--only", "backups-dir", "--json"];
    const command = new Deno.Command(first, {
      args: rest,
      cwd: directory.path,
      clearEnv: true,
      env: { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin", HOME: directory.path, ...env },
    });
    // It is removed at the end, which its owner could not do as it stands.
    const { code, stdout, stderr } = await command.output().finally(() =>
      Deno.chmod(`${directory.path}/backups`, 0o755)
    );
    const decoder = new TextDecoder();
    assert.equal(code, 3, decoder.decode(stdout) + decoder.decode(stderr));
    const { data: { checks: [check] } } = JSON.parse(decoder.decode(stdout));
    assert.equal(check.status, "failed");
    const path = await Deno.realPath(`${directory.path}/backups`);
    assert.equal(
      check.remedy,
      asRoot ? `chown ${NOBODY}:${NOBODY} ${path}` : `chmod u+rwx ${path}`,
    );
  },
});
