/** What every command prints with --json, against the published schemas; every run of a test is held against them. */
import assert from "assert";
import { uniqueName } from "../database.ts";
import { openDatabase, sharedServer } from "../database.ts";
import { kinds } from "../program.ts";
import {
  dataSchema,
  described,
  problemsBy,
  problemsOfResult,
  requireDescribed,
  schemas,
} from "../schemas.ts";
import { type Project, project } from "./project.ts";
import { HELLO } from "./plugin_sources.ts";

/** The parts of a schema, with their places. */
function* partsOf(value: unknown, place: string): Generator<[string, Record<string, unknown>]> {
  if (typeof value !== "object" || value === null) return;
  if (!Array.isArray(value)) yield [place, { ...value }];
  for (const [name, each] of Object.entries(value)) yield* partsOf(each, `${place}/${name}`);
}

Deno.test("schemas: every command of ours has one, and no other", () => {
  const wanted = described.map(dataSchema);
  const missing = wanted.filter((path) => !schemas.has(path));
  assert.deepEqual(missing, [], "write these in docs/schema/: what --json of the command prints");
  const left = [...schemas.keys()].filter((path) =>
    path.startsWith("data/") && !wanted.includes(path)
  );
  assert.deepEqual(left, [], "no command has these");
});

Deno.test("schemas: each says what it is, and takes nothing that it does not name", () => {
  for (const [path, schema] of schemas) {
    assert.equal(schema["$id"], path);
    assert.equal(typeof schema["title"], "string", path);
    assert.equal(typeof schema["description"], "string", path);
    for (const [place, part] of partsOf(schema, path)) {
      if (part["type"] !== "object" || place.endsWith("/properties")) continue;
      const open = part["properties"] === undefined;
      const free = /More may be added/.test(String(part["description"]));
      const closed = part["additionalProperties"] === false ||
        open && typeof part["additionalProperties"] === "object";
      assert.ok(closed || free, `${place} takes members that it does not name`);
    }
  }
});

Deno.test("schemas: what is missing, of another type or not named is found", () => {
  const id = "00000000-0000-4000-8000-000000000000";
  const good = {
    ok: true,
    command: "migrate add",
    data: { version: "1", files: ["a"] },
    run_id: id,
  };
  assert.deepEqual(problemsOfResult(good), []);
  const { data: _, ...without } = good;
  const wrong: object[] = [
    without,
    { ...good, run_id: "1" },
    { ...good, more: 1 },
    { ...good, data: { version: 1, files: [] } },
    { ...good, data: { ...good.data, more: 1 } },
    { ...good, data: null },
    { ok: false, run_id: id },
    { ok: false, run_id: id, error: { kind: "odd", code: "c", message: "m", exit: 1 } },
  ];
  for (const each of wrong) {
    assert.notDeepEqual(problemsOfResult(each), [], JSON.stringify(each));
    const printed = { args: ["migrate", "add", "--json"], env: {}, stderr: "" };
    assert.throws(
      () => requireDescribed({ ...printed, stdout: JSON.stringify(each) }),
      /What "migrate add --json" prints is not what docs\/schema\/ says/,
    );
  }
  const error = { kind: "failed", code: "c", message: "m", exit: 1 };
  assert.deepEqual(problemsOfResult({ ok: false, error, run_id: id }), []);
  // A plugin's data are its own.
  assert.deepEqual(problemsOfResult({ ...good, command: "hello", data: [1] }), []);
});

Deno.test("schemas: lines of the log are held against theirs", () => {
  const line = { time: "2026-01-01T00:00:00.000Z", level: "info", message: "m", run_id: "x" };
  assert.notDeepEqual(problemsBy("log-line.schema.json", line), []);
  const printed = { args: ["x", "--log-format", "json"], env: {}, stdout: "" };
  assert.throws(() => requireDescribed({ ...printed, stderr: JSON.stringify(line) }), /log-line/);
  requireDescribed({ ...printed, stderr: "psql: something else\n" });
});

const FILES = {
  "migrations/1_first.up.sql": "CREATE TABLE first (n int PRIMARY KEY);",
  "migrations/1_first.down.sql": "DROP TABLE first;",
  "migrations/2_second.sql": "CREATE TABLE second (n int);",
  "seeds/base/1_first.csv": "n\n1\n",
  "seeds/base/2_shown.sql": "SELECT n, n::text AS t FROM first;",
  "plugins/hello.ts": HELLO,
  "scripts/tidy.sh": "#!/bin/sh\n",
  "query.sql": "SELECT 1;",
};

/** Every command at least once, in an order in which each finds what it needs. */
const LINES: readonly string[][] = [
  ["help"],
  ["help", "exit-codes"],
  ["version"],
  ["completion", "bash"],
  ["config"],
  ["migrate", "check"],
  ["migrate", "--dry-run"],
  ["migrate", "--to", "1"],
  ["migrate", "status"],
  ["migrate"],
  ["migrate", "rollback", "--dry-run", "--to", "2"],
  ["migrate", "add", "third"],
  ["migrate", "resolve", "2", "--unapplied", "--dry-run"],
  ["migrate", "resolve", "2", "--unapplied"],
  ["migrate", "resolve", "2", "--applied"],
  ["migrate", "repair"],
  ["migrate", "baseline", "2", "--dry-run"],
  ["seed", "--dry-run"],
  ["seed"],
  ["seed"],
  ["seed", "status"],
  ["exec", "SELECT 1 AS a, NULL AS b; CREATE TABLE t (n numeric); TABLE t"],
  ["sql", "query.sql"],
  ["script"],
  ["verify"],
  ["plugin", "list"],
  ["plugin", "check", "plugins/hello.ts"],
  ["plugin", "sums"],
  ["plugin", "types", "--dir", "more"],
  ["plugin", "new", "big-tables", "--dir", "more"],
  ["hello"],
  ["backup", "--dry-run"],
  ["backup", "--schema-only"],
  ["backup", "--fingerprint", "full", "--note", "a note"],
  ["backup", "list"],
  ["backup", "show", "latest"],
  ["backup", "verify", "latest", "--level", "bytes"],
  ["backup", "list"],
  ["backup", "show", "latest"],
  ["backup", "status", "--max-age", "1d"],
  ["backup", "prune", "--keep-last", "1", "--dry-run"],
  ["backup", "gc"],
  ["restore", "latest", "--swap", "--plan"],
  ["restore", "latest", "--swap", "--dry-run"],
  ["restore", "latest", "--swap", "--force"],
  ["restore", "--undo", "--plan"],
  ["restore", "--undo", "--dry-run"],
  ["restore", "--undo", "--force"],
  ["restore", "--finish", "--plan"],
  ["restore", "--finish", "--dry-run"],
  ["restore", "--finish", "--force"],
  ["reset", "--dry-run"],
  ["reset", "--force", "--backup-first"],
  ["migrate", "rollback", "--to", "2"],
];

/** Stdout belongs to psql or the script. */
const WITHOUT_JSON: readonly string[] = ["shell"];

async function commandOf(given: Project, args: readonly string[]): Promise<string> {
  // What it prints is held against its schema by the run itself.
  const { code, stdout, stderr } = await given.run([...args, "--json"], {
    env: { PLUGINS_DIR: "plugins", LOG_FORMAT: "json" },
  });
  // Such as that a check of the installation warns of something.
  assert.ok(code === 0 || code === 3, `${args.join(" ")}: ${stderr}${stdout}`);
  const { ok, command } = JSON.parse(stdout);
  assert.equal(ok, true, args.join(" "));
  return command;
}

// As one program where that can be had, since it starts sooner.
Deno.test("schemas: every command prints with --json what they say", async () => {
  const kind = kinds.at(-1) ?? "sources";
  await using given = await project(kind, FILES);
  await Deno.chmod(`${given.directory}/scripts/tidy.sh`, 0o755);
  const seen = new Set<string>();
  for (const args of LINES) seen.add(await commandOf(given, args));
  const missing = described.filter((path) => !seen.has(path) && !WITHOUT_JSON.includes(path));
  assert.deepEqual(missing, [], "add a line for each of these above");
  const shell = await given.run(["shell", "--json"]);
  assert.equal(shell.code, 2);
  const baseline = openDatabase(await sharedServer(), uniqueName("baseline"));
  await given.database.query(`CREATE DATABASE ${baseline.name}`);
  try {
    const env = { DATABASE_URL: baseline.url };
    const recorded = await given.run(["migrate", "baseline", "2", "--json"], { env });
    assert.equal(JSON.parse(recorded.stdout).data.recorded.length, 2);
  } finally {
    await baseline.drop();
  }
});
