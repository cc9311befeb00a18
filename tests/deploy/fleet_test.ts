/** One command on fifty databases, eight at a time, by the script of `deploy/fleet/`. */
import assert from "assert";
import { join } from "node:path";
import { startServer } from "../../tasks/server.ts";
import { openDatabase } from "../database.ts";
import { kinds, programOf } from "../program.ts";
import { directoryWith } from "../cli/project.ts";
import { check, DEPLOY } from "./validators.ts";

const COUNT = 50;
const JOBS = 8;
const UNREACHABLE = 17;
const DIRTY = 42;

/** Starts the program, and tells how many were running when it did. */
const COUNTING = `#!/bin/sh
mkdir "$COUNTING/running.$$"
ls -d "$COUNTING"/running.* | wc -l >>"$COUNTING/counts"
PROGRAM "$@"
code=$?
rmdir "$COUNTING/running.$$"
exit "$code"
`;

interface Line {
  readonly index: number;
  readonly exit: number;
  readonly seconds: number;
  readonly result: {
    readonly ok: boolean;
    readonly target: string;
    readonly error?: { readonly code: string };
  };
}

Deno.test("fleet: fifty databases, eight at a time, one unreachable, one dirty, one report", async () => {
  // The compiled one where it can be had: this is about the many runs, not about the program.
  const kind = kinds.at(-1) ?? "sources";
  const { command, env } = await programOf(kind);
  await using server = await startServer();
  const target = (index: number) => {
    const name = `shard_${String(index).padStart(2, "0")}`;
    return index === UNREACHABLE
      ? `${name} host=127.0.0.1 port=1 dbname=${name} user=postgres OBSERVATORY_WAIT=0`
      : `${name} ${server.url(name)}`;
  };
  await using directory = await directoryWith({
    "fleet.txt": `# name  address\n\n${
      Array.from({ length: COUNT }, (_, index) => target(index)).join("\n")
    }\n`,
    "migrations/1_items.up.sql": "CREATE TABLE items (id int);",
    "migrations/1_items.down.sql": "DROP TABLE items;",
    "observatory": COUNTING.replace("PROGRAM", command.map((word) => `'${word}'`).join(" ")),
  });
  await Deno.chmod(join(directory.path, "observatory"), 0o755);
  // What sqlx leaves when a migration without a transaction breaks off.
  await openDatabase(server, "postgres").query(`CREATE DATABASE shard_${DIRTY}`);
  const dirty = openDatabase(server, `shard_${DIRTY}`);
  await dirty.query(`
    CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, description text NOT NULL,
      installed_on timestamptz NOT NULL DEFAULT now(), success boolean NOT NULL,
      checksum bytea NOT NULL, execution_time bigint NOT NULL);
    INSERT INTO _sqlx_migrations VALUES (1, 'items', now(), false,
      sha384('CREATE TABLE items (id int);'), -1)`);

  const results = join(directory.path, "results");
  const { code, text } = await check("env", [
    ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
    `OBSERVATORY=${join(directory.path, "observatory")}`,
    `COUNTING=${directory.path}`,
    // Whatever the shell says of a database.
    "DB_HOST=elsewhere",
    "DATABASE_URL=postgres://elsewhere/nothing",
    join(DEPLOY, "fleet/run-fleet.sh"),
    ...["-P", String(JOBS), "-o", results, "fleet.txt", "migrate", "--strict"],
  ], { cwd: directory.path });

  assert.equal(code, 1, text);
  const rows = text.split("\n").filter((line) => /^ +\d+ {2}/.test(line));
  assert.equal(rows.length, COUNT, text);
  for (const [index, row] of rows.entries()) {
    const name = `shard_${String(index).padStart(2, "0")}`;
    const told = index === UNREACHABLE
      ? /5 +\d+s {2}cannot connect or log in: Cannot connect to 127\.0\.0\.1:1/
      : index === DIRTY
      ? /4 +\d+s {2}refused: .*\b1\b/
      : /0 +\d+s {2}ok$/;
    assert.match(row, new RegExp(`^ +${index} {2}${name} +${told.source}`));
  }
  assert.ok(
    text.includes(`\n48 of ${COUNT} ok, 2 not; results in ${results}/results.jsonl\n`),
    text,
  );

  const lines: Line[] = (await Deno.readTextFile(join(results, "results.jsonl"))).trim()
    .split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ index }) => index), Array.from({ length: COUNT }, (_, n) => n));
  for (const { index, exit, result } of lines) {
    assert.equal(result.ok, exit === 0);
    assert.equal(result.target, `shard_${String(index).padStart(2, "0")}`);
  }
  assert.match(await Deno.readTextFile(join(results, `${DIRTY}.log`)), /^\[ERROR\] shard_42: /m);

  // Each database by another way: 48 of them have the table.
  let migrated = 0;
  for (let index = 0; index < COUNT; index++) {
    if (index === UNREACHABLE) continue;
    const [row] = await openDatabase(server, `shard_${String(index).padStart(2, "0")}`)
      .query<{ there: boolean }>("SELECT to_regclass('items') IS NOT NULL AS there");
    if (row?.there) migrated++;
  }
  assert.equal(migrated, 48);
  const counts = (await Deno.readTextFile(join(directory.path, "counts"))).trim().split("\n")
    .map(Number);
  assert.equal(counts.length, COUNT);
  assert.ok(Math.max(...counts) <= JOBS && Math.max(...counts) > 1, String(counts));
});

Deno.test("fleet: what is wrong with the call is told, and nothing is run", async () => {
  await using directory = await directoryWith({ "empty.txt": "# none\n" });
  const run = (args: string[]) =>
    check(join(DEPLOY, "fleet/run-fleet.sh"), args, { cwd: directory.path });
  for (
    const args of [[], ["empty.txt"], ["empty.txt", "migrate"], ["none.txt", "migrate"], ["-x"]]
  ) {
    const { code, text } = await run(args);
    assert.equal(code, 2, text);
    assert.match(text, /^run-fleet\.sh: /m);
  }
});

Deno.test("fleet: a target that cannot be read is one failure among the others", async () => {
  const { command, env } = await programOf(kinds.at(-1) ?? "sources");
  await using directory = await directoryWith({
    "fleet.txt": "a postgres://h/d\nb ???\n",
    "observatory": `#!/bin/sh\nexec ${command.map((word) => `'${word}'`).join(" ")} "$@"\n`,
  });
  await Deno.chmod(join(directory.path, "observatory"), 0o755);
  const { code, text } = await check("env", [
    ...Object.entries(env).map(([name, value]) => `${name}=${value}`),
    "OBSERVATORY=./observatory",
    join(DEPLOY, "fleet/run-fleet.sh"),
    ...["-o", "results", "fleet.txt", "config"],
  ], { cwd: directory.path });
  assert.equal(code, 1);
  assert.match(text, /^ +0 {2}a +0 +\d+s {2}ok$/m);
  assert.match(text, /^ +1 {2}- +2 +\d+s {2}usage or configuration: Cannot read fleet\.txt:2: /m);
});

Deno.test("fleet: Ctrl-C ends the runs, begins no others, and there is a report for all that", async () => {
  const { command, env } = await programOf(kinds.at(-1) ?? "sources");
  // Somebody who takes connections and says nothing.
  using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const target = (name: string) =>
    `${name} host=127.0.0.1 port=${silent.addr.port} dbname=${name} user=postgres\n`;
  await using directory = await directoryWith({
    "fleet.txt": ["a", "b", "c", "d"].map(target).join(""),
    "observatory": `#!/bin/sh\nexec ${command.map((word) => `'${word}'`).join(" ")} "$@"\n`,
  });
  await Deno.chmod(join(directory.path, "observatory"), 0o755);
  // A group of its own, as the terminal's foreground has.
  const fleet = new Deno.Command("setsid", {
    args: [
      ...[join(DEPLOY, "fleet/run-fleet.sh"), "-P", "2", "-o", "results", "fleet.txt"],
      ...["exec", "SELECT 1"],
    ],
    cwd: directory.path,
    env: { ...env, OBSERVATORY: "./observatory" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output = fleet.output();
  const connections = [await silent.accept(), await silent.accept()];
  Deno.kill(-fleet.pid, "SIGINT");
  const { code, stdout } = await output;
  for (const connection of connections) connection.close();
  const text = new TextDecoder().decode(stdout);
  assert.equal(code, 1, text);
  for (const row of [0, 1]) {
    assert.match(text, new RegExp(`^ +${row} {2}[ab] +130 .*signal 2$`, "m"));
  }
  for (const row of [2, 3]) assert.match(text, new RegExp(`^ +${row} {2}- .* not run$`, "m"));
  const lines = (await Deno.readTextFile(join(directory.path, "results/results.jsonl"))).trim()
    .split("\n").map((line) => JSON.parse(line).exit);
  assert.deepEqual(lines, [130, 130, null, null]);
});
