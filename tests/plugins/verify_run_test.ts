/** `verify` without any server: what it does then, on a host without a machine. */
import assert from "assert";
import type { FileFacts } from "../../core/plugin.ts";
import { CHECK_NAMES } from "../../plugins/verify/names.ts";
import { run } from "../../core/run.ts";
import { type FakeHost, fakeHost, type FakeMachine } from "../../core/testing.ts";

async function verify(
  args: readonly string[],
  machine: FakeMachine = {},
  change: (host: FakeHost) => Partial<FakeHost> = () => ({}),
) {
  const host = fakeHost(machine);
  const code = await run(["verify", ...args], { ...host, ...change(host) });
  return { code, ...host.written };
}

Deno.test("verify: without a server it ends with the connection's own error and exit 5", async () => {
  const { code, stdout, stderr } = await verify(["--wait", "0"]);
  assert.deepEqual([code, stdout], [5, ""]);
  assert.match(stderr, /^\[ERROR\] Cannot connect to localhost:5432: connection refused$/m);
  const json = await verify(["--wait", "0", "--json"]);
  assert.equal(json.code, 5);
  const told = JSON.parse(json.stdout);
  assert.deepEqual(
    [told.ok, told.command, told.error.kind, told.error.code, told.error.exit],
    [false, "verify", "connection", "connection_refused", 5],
  );
});

Deno.test("verify: a check that needs no server does not connect to one", async () => {
  const { code, stdout, stderr } = await verify(["--only", "backups-dir"], {
    env: { BACKUPS_DIR: "kept" },
    files: { "kept/one.dump": "x" },
  });
  assert.deepEqual([code, stderr], [0, ""]);
  assert.equal(
    stdout,
    "ok       backups-dir  Backups can be written to /work/kept\n\n" +
      "1 check: 1 ok, 0 warnings, 0 failed\n",
  );
});

Deno.test("verify: a directory that cannot be written to is exit 3, as data and as a problem", async () => {
  const closed: FileFacts = {
    realPath: "/srv/backups",
    kind: "directory",
    size: 0,
    modified: 0,
    mode: 0o755,
    owner: { uid: 0, gid: 0 },
    self: { uid: 10001, gid: 10002 },
    access: { read: true, write: false, execute: true },
    disk: { total: 2, free: 1 },
  };
  const { code, stdout } = await verify(
    ["--only", "backups-dir", "--json"],
    { env: { BACKUPS_DIR: "/srv/backups" } },
    (host) => ({ files: { ...host.files, inspect: () => Promise.resolve(closed) } }),
  );
  assert.equal(code, 3);
  const { ok, data, problems } = JSON.parse(stdout);
  assert.deepEqual([ok, data.failed, data.ok], [true, 1, 0]);
  assert.equal(data.checks[0].remedy, "chown 10001:10002 /srv/backups");
  assert.equal(problems.length, 1);
  assert.match(problems[0], /^backups-dir: Backups cannot be written to \/srv\/backups/);
});

Deno.test("verify: with --strict a warning is exit 3 too", async () => {
  // Absent, with a directory above it in which it can be made.
  const machine = { env: { BACKUPS_DIR: "var/backups" }, files: { "var/x": "" } };
  const line = ["--only", "backups-dir"];
  const plain = await verify(line, machine);
  assert.equal(plain.code, 0);
  assert.match(plain.stdout, /^warning {2}backups-dir .*\n {22}mkdir -p var\/backups$/m);
  const strict = await verify([...line, "--strict"], machine);
  assert.equal(strict.code, 3);
  assert.equal(strict.stdout, plain.stdout);
  assert.match(strict.stderr, /^\[WARNING\] backups-dir: /);
});

Deno.test("verify: what a check throws is its finding, but a bug is told as one", async () => {
  const { OperationError } = await import("../../core/plugin.ts");
  const line = ["--only", "backups-dir", "--json"];
  const failing = (error: Error) =>
    verify(line, {}, (host) => ({
      files: { ...host.files, inspect: () => Promise.reject(error) },
    }));
  const refused = await failing(
    new OperationError("Cannot inspect it", { code: "permission_denied", hint: "Let me" }),
  );
  assert.equal(refused.code, 3);
  assert.deepEqual(JSON.parse(refused.stdout).data.checks, [{
    name: "backups-dir",
    status: "failed",
    message: "Cannot inspect it",
    remedy: "Let me",
    details: { code: "permission_denied" },
  }]);
  assert.equal((await failing(new TypeError("x is not a function"))).code, 70);
});

Deno.test("verify: unknown names and an empty choice are exit 2", async () => {
  const unknown = await verify(["--only", "conection"]);
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /did you mean "connection"/);
  const none = await verify([
    "--only",
    "clock",
    "--only",
    "query",
    "--skip",
    "clock",
    "--skip",
    "query",
  ]);
  assert.equal(none.code, 2);
  assert.match(none.stderr, /No check is left/);
});

Deno.test("verify: its help names every check", async () => {
  const { code, stdout } = await verify(["--help"]);
  assert.equal(code, 0);
  assert.match(
    stdout.replaceAll("\n", " "),
    new RegExp(`The checks: ${CHECK_NAMES.join(", ")}\\.`),
  );
});
