import assert from "assert";
import { forEachKind, type Kind, programOf } from "../program.ts";
import { type Project, project, until } from "./project.ts";

const SCHEMA = `
  CREATE TABLE projects (id int8 PRIMARY KEY, name text);
  INSERT INTO projects VALUES (1, 'one'), (2, 'two');
  CREATE TABLE configurations (key text PRIMARY KEY, value boolean);
  INSERT INTO configurations VALUES ('enable_caching', false), ('other', false)`;

/** Runs lines of a shell in which \`observatory\` is the program. */
async function inShell(given: Project, { kind, script }: { kind: Kind; script: string }) {
  const { command, env } = await programOf(kind);
  const { code, stdout, stderr } = await new Deno.Command("/bin/bash", {
    args: [
      "-c",
      `program=("$@"); observatory() { "\${program[@]}" "$@"; }\n${script}`,
      "bash",
      ...command,
    ],
    cwd: given.directory,
    env: { ...env, DATABASE_URL: given.database.url },
    stdin: "null",
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Waits until nobody else is in the database. */
async function untilAlone({ database }: Project): Promise<void> {
  await until("all sessions are gone", async () => {
    const rows = await database.query(
      `SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    );
    return rows.length === 0;
  });
}

forEachKind("exec: the manual's lines work as they are written", async (kind) => {
  await using given = await project(kind, {});
  await given.database.query(SCHEMA);
  const shell = (script: string) => inShell(given, { kind, script });
  const count = await shell("observatory exec 'SELECT COUNT(*) FROM projects;'");
  assert.deepEqual([count.code, count.stdout], [0, "count\n-----\n    2\n(1 row)\n"]);
  const update = await shell(
    String
      .raw`observatory exec 'UPDATE configurations SET value = true WHERE key = '\''enable_caching'\'';'`,
  );
  assert.deepEqual([update.code, update.stdout], [0, "UPDATE 1\n"]);
  assert.deepEqual(
    await given.database.query("SELECT key, value FROM configurations ORDER BY key"),
    [{ key: "enable_caching", value: true }, { key: "other", value: false }],
  );
  const version = await shell("observatory exec 'SELECT version();'");
  assert.match(version.stdout, /^version\n-+\nPostgreSQL \d+.*\n\(1 row\)\n$/);
  const user = await shell("observatory exec 'SELECT current_user, session_user;'");
  assert.equal(
    user.stdout,
    "current_user | session_user\n-------------+-------------\npostgres     | postgres\n(1 row)\n",
  );
  const comment = await shell(
    "observatory exec '--format of nothing\nSELECT 1 AS one' --format csv",
  );
  assert.deepEqual([comment.code, comment.stdout], [0, "one\n1\n"]);
});

const VALUES = `SELECT * FROM (VALUES (
  9223372036854775807::int8,
  -42::int8,
  12345678901234567890.123456789012345678::numeric,
  1.50::numeric,
  0.1::float8,
  'NaN'::float8,
  true,
  '2024-02-29 23:59:59.123456+00'::timestamptz,
  '\\xdeadbeef00'::bytea,
  ARRAY['a', NULL, '', 'NULL', '"', ',']::text[],
  '{{1,2},{3,4}}'::int8[],
  '{"b": 1.00, "a": [1e400, 12345678901234567890]}'::json,
  '{"b": 1.00}'::jsonb,
  NULL::text,
  '',
  E'two\\nlines, "quoted"',
  '[1,5)'::int4range,
  ROW(1, 'x y')
)) AS v (big, small, num, scale, float, nan, yes, at, bytes, texts, bigs, js, jsb, nothing, empty,
  quoted, range, record)`;

const OBJECT =
  '{"big":"9223372036854775807","small":-42,"num":"12345678901234567890.123456789012345678",' +
  '"scale":1.50,"float":0.1,"nan":"NaN","yes":true,"at":"2024-02-29 23:59:59.123456+00",' +
  '"bytes":"\\\\xdeadbeef00","texts":["a",null,"","NULL","\\"",","],"bigs":[[1,2],[3,4]],' +
  '"js":{"b":1.00,"a":[1e400,12345678901234567890]},"jsb":{"b":1.00},"nothing":null,"empty":"",' +
  '"quoted":"two\\nlines, \\"quoted\\"","range":"[1,5)","record":"(1,\\"x y\\")"}';

const CSV =
  "big,small,num,scale,float,nan,yes,at,bytes,texts,bigs,js,jsb,nothing,empty,quoted,range," +
  "record\n9223372036854775807,-42,12345678901234567890.123456789012345678,1.50,0.1,NaN,t," +
  '2024-02-29 23:59:59.123456+00,\\xdeadbeef00,"{a,NULL,"""",""NULL"",""\\"""","",""}",' +
  '"{{1,2},{3,4}}","{""b"": 1.00, ""a"": [1e400, 12345678901234567890]}","{""b"": 1.00}",,"",' +
  '"two\nlines, ""quoted""","[1,5)","(1,""x y"")"\n';

forEachKind("exec: values are exact in every format", async (kind) => {
  await using given = await project(kind, {});
  const env = { PGOPTIONS: "-c timezone=UTC" };
  const outOf = async (...flags: readonly string[]) => {
    const { code, stdout, stderr } = await given.run(["exec", VALUES, ...flags], { env });
    assert.equal(code, 0, stderr);
    return stdout;
  };
  assert.equal(await outOf("--format", "ndjson"), `${OBJECT}\n`);
  assert.equal(await outOf("--format", "json"), `[\n${OBJECT}\n]\n`);
  assert.equal(await outOf("--format", "csv"), CSV);
  const { results } = JSON.parse(await outOf("--json"));
  assert.deepEqual(results[0].rows, [Object.values(JSON.parse(OBJECT))]);
  assert.deepEqual(
    results[0].columns.map(({ type }: { type: string }) => type),
    [
      ...["int8", "int8", "numeric", "numeric", "float8", "float8", "bool", "timestamptz", "bytea"],
      ...["text[]", "int8[]", "json", "jsonb", "text", "text", "text", "int4range", "record"],
    ],
  );
  const table = await outOf("--format", "table");
  assert.equal(table, await outOf());
  const [header = "", rule = "", first = "", second = "", last] = table.split("\n");
  assert(
    first.startsWith("9223372036854775807 |   -42 | 12345678901234567890.123456789012345678 |"),
  );
  assert(first.endsWith(' | NULL    |       | two            +| [1,5) | (1,"x y")'), first);
  assert.match(second, /\| lines, "quoted" \|/);
  assert.equal(last, "(1 row)");
  assert.equal(rule.replaceAll("-", ""), "+".repeat(header.split("|").length - 1));
});

/** The largest part of a process's memory that was ever resident, in MiB; undefined once it is gone. */
async function peakMemory(pid: number): Promise<number | undefined> {
  try {
    const status = await Deno.readTextFile(`/proc/${pid}/status`);
    const kibibytes = /^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1];
    return kibibytes === undefined ? undefined : Number(kibibytes) / 1024;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

const MILLION = `SELECT i AS id, md5(i::text) AS hash, repeat('x', 200) AS filler, 'ü' || i AS label
  FROM generate_series(1, 1000000) i`;

for (const flags of [["--format", "table"], ["--json"]]) {
  forEachKind(`exec: a million rows stream in bounded memory, ${flags.join(" ")}`, async (kind) => {
    await using given = await project(kind, {});
    const { command, env } = await programOf(kind);
    const [program = "", ...args] = command;
    const child = new Deno.Command(program, {
      args: [...args, "exec", "--quiet", MILLION, ...flags],
      cwd: given.directory,
      env: { ...env, DATABASE_URL: given.database.url },
      stdin: "null",
      stdout: "piped",
    }).spawn();
    let [size, marks, peak, pieces] = [0, 0, 0, 0];
    for await (const chunk of child.stdout) {
      size += chunk.length;
      for (let at = chunk.indexOf(0xc3); at >= 0; at = chunk.indexOf(0xc3, at + 1)) marks++;
      if (pieces++ % 500 === 0) peak = Math.max(peak, await peakMemory(child.pid) ?? 0);
    }
    assert.equal((await child.status).code, 0);
    assert.equal(marks, 1_000_000);
    assert(size > 240_000_000, `${size} bytes`);
    if (Deno.build.os !== "linux") return;
    // All rows at once take more than a gibibyte; the program alone takes about 100 MiB.
    assert(peak > 20 && peak < 400, `${peak} MiB`);
  });
}

forEachKind(
  "exec: ends quietly with 141 when nobody reads any more, and leaves no session",
  async (kind) => {
    await using given = await project(kind, {});
    const script =
      "observatory exec -q 'SELECT generate_series(1, 1000000000) AS i' | head -n 3\n" +
      'echo "${PIPESTATUS[0]}"';
    const { stdout, stderr } = await inShell(given, { kind, script });
    assert.deepEqual([stdout, stderr], ["   i\n----\n   1\n141\n", ""]);
    await untilAlone(given);
  },
);

forEachKind(
  "exec: a signal cancels the statement and ends the object that was begun",
  async (kind) => {
    await using given = await project(kind, {});
    // The server sends nothing before its buffer of 8 KiB is full.
    const sql = "SELECT 1 AS one; SELECT repeat('x', 20000); SELECT pg_sleep(60)";
    const run = await given.start(["exec", sql, "--json"]);
    await run.until(/"count":1/);
    run.kill("SIGINT");
    const { code, stdout } = await run.result();
    assert.match(stdout, /^\{[^\n]*\}\n$/);
    const { ok, error, results } = JSON.parse(stdout);
    assert.deepEqual([code, ok, error.kind], [130, false, "signal"]);
    assert.deepEqual([results[0].rows, results[0].command], [[[1]], "SELECT"]);
    await untilAlone(given);
  },
);

forEachKind("exec: what cannot be run is told in the form asked for", async (kind) => {
  await using given = await project(kind, {});
  const none = await given.run(["exec"]);
  assert.deepEqual([none.code, none.stdout], [2, ""]);
  const format = await given.run(["exec", "SELECT 1", "--format", "xml"]);
  assert.deepEqual([format.code, format.stdout], [2, ""]);
  const both = await given.run(["exec", "SELECT 1", "--format", "csv", "--json"]);
  assert.deepEqual([both.code, JSON.parse(both.stdout).error.kind], [2, "usage"]);
  const wrong = await given.run(["exec", "SELEC 1", "--json"]);
  const { error } = JSON.parse(wrong.stdout);
  assert.deepEqual([wrong.code, error.details.line, error.details.column], [1, 1, 1]);
  assert.match(error.excerpt, /1 \| SELEC 1\n {2}\| \^/);
  assert.match(wrong.stderr, /^1 \| SELEC 1$/m);
  const refused = await given.run(["exec", "--read-only", "CREATE TABLE t ()"]);
  assert.equal(refused.code, 4);
});
