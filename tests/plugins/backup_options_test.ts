/** The flags of `backup`: what they mean together, and what is wrong with them, all at once. */
import assert from "assert";
import { OperationError } from "../../core/plugin.ts";
import { dumpArguments } from "../../plugins/backup/call.ts";
import {
  type Compression,
  compressionArgument,
  readCompression,
} from "../../plugins/backup/compression.ts";
import { type BackupFlags, dumpSuffix, readOptions } from "../../plugins/backup/options.ts";

const DEFAULTS: BackupFlags = {
  "format": "custom",
  "compress": false,
  "schema-only": false,
  "data-only": false,
  "tables": [],
  "exclude-table": [],
  "s3-upload": false,
  "s3-only": false,
  "encrypt": [],
  "globals": false,
  "fingerprint": "counts",
  "if-locked": "wait",
  "lock-wait": 600,
  "stall-timeout": 3600,
  "no-prune": false,
};

function options(flags: Partial<BackupFlags> = {}) {
  return readOptions({ ...DEFAULTS, ...flags });
}

function problemsOf(flags: Partial<BackupFlags>): unknown {
  try {
    options(flags);
  } catch (error) {
    assert.ok(error instanceof OperationError);
    assert.deepEqual([error.kind, error.code], ["usage", "bad_flags"]);
    return error.details["problems"];
  }
  return [];
}

Deno.test("options: without flags, all of it as a custom dump in the directory", () => {
  assert.deepEqual(options(), {
    format: "custom",
    kind: "full",
    sections: "all",
    compression: undefined,
    jobs: 1,
    tables: [],
    exclude: [],
    local: true,
    s3: false,
    directory: undefined,
    endpoint: undefined,
    recipients: [],
    globals: false,
    fingerprint: "counts",
    note: undefined,
    ifLocked: "wait",
    lockWait: 600,
    stallTimeout: 3600,
    prune: true,
  });
});

Deno.test("options: the manual's flags", () => {
  const schema = options({ "schema-only": true });
  assert.deepEqual([schema.kind, schema.sections, schema.fingerprint], [
    "schema",
    "schema",
    "none",
  ]);
  const data = options({ "data-only": true });
  assert.deepEqual([data.kind, data.sections, data.fingerprint], ["data", "data", "counts"]);
  const tables = options({ tables: ["projects,models, traces"] });
  assert.deepEqual([tables.kind, tables.tables], ["partial", ["projects", "models", "traces"]]);
  const without = options({ "exclude-table": ["logs", "a,b"] });
  // Of --exclude-table each is one pattern, as pg_dump has it.
  assert.deepEqual([without.kind, without.exclude], ["partial", ["logs", "a,b"]]);
  assert.equal(options({ "format": "directory", jobs: 8 }).jobs, 8);
  assert.deepEqual([options({ "s3-upload": true })].map(({ local, s3 }) => [local, s3]), [[
    true,
    true,
  ]]);
  assert.deepEqual([options({ "s3-only": true })].map(({ local, s3 }) => [local, s3]), [[
    false,
    true,
  ]]);
  const plain = options({ format: "plain" });
  assert.deepEqual(plain.compression, { method: "none", level: null });
  assert.deepEqual(options({ format: "plain", compress: true }).compression, {
    method: "gzip",
    level: 1,
  });
  // The others are compressed anyway.
  assert.equal(options({ compress: true }).compression, undefined);
});

Deno.test("options: several recipients, as flags or from one setting", () => {
  assert.deepEqual(options({ encrypt: ["age1a", "age1b"] }).recipients, ["age1a", "age1b"]);
  assert.deepEqual(options({ encrypt: [" age1a,age1b  age1c\n"] }).recipients, [
    ...["age1a", "age1b", "age1c"],
  ]);
  assert.deepEqual(options({ encrypt: [""] }).recipients, []);
});

Deno.test("options: every problem is told, and all of them at once", () => {
  const one: readonly (readonly [Partial<BackupFlags>, RegExp])[] = [
    [{ "schema-only": true, "data-only": true }, /--schema-only and --data-only/],
    [{ "s3-only": true, "output-dir": "x" }, /--s3-only writes no file/],
    [{ jobs: 2 }, /--jobs needs --format directory/],
    [{ jobs: 2, format: "plain" }, /--jobs needs --format directory/],
    [{ jobs: 0, format: "directory" }, /--jobs is a whole number/],
    [{ jobs: 1.5, format: "directory" }, /--jobs is a whole number/],
    [{ jobs: 257, format: "directory" }, /--jobs is a whole number from 1 to 256/],
    [{ "lock-wait": -1 }, /--lock-wait is a number of seconds/],
    [{ "stall-timeout": -1 }, /--stall-timeout is a number of seconds/],
    [{ encrypt: ["age1x"], format: "directory" }, /--encrypt needs --format custom or plain/],
    [{ compression: "brotli" }, /Cannot compress by "brotli": there is no such method/],
    [{ compression: "gzip:10" }, /its level is a number from 1 to 9/],
    [{ compression: "lz4", format: "plain" }, /lz4/],
    [{ compress: true, compression: "none", format: "plain" }, /--compress and --compression none/],
    [{ tables: [" , "] }, /--tables names no table/],
    [{ tables: ["a.b.c.d"] }, /"a\.b\.c\.d"/],
    [{ "exclude-table": ['"open'] }, /a double quote is open/],
    [{ "exclude-table": [""] }, /a name is missing/],
  ];
  for (const [flags, expected] of one) {
    const problems = problemsOf(flags);
    assert.ok(
      Array.isArray(problems) && problems.length === 1,
      `${JSON.stringify(flags)}: ${problems}`,
    );
    assert.match(String(problems[0]), expected);
  }
  const all = problemsOf({
    "schema-only": true,
    "data-only": true,
    "jobs": 0,
    "lock-wait": -1,
    "compression": "x",
    "tables": [",", '"a'],
    "exclude-table": ["a.b.c.d"],
  });
  assert.ok(Array.isArray(all));
  assert.equal(all.length, 7, all.join("\n"));
  assert.throws(() => options({ "lock-wait": -1, "stall-timeout": -1 }), {
    message: "The flags do not go together:\n--lock-wait is a number of seconds\n" +
      "--stall-timeout is a number of seconds",
  });
});

Deno.test("compression: methods with and without a level", () => {
  const read: readonly (readonly [string, Compression])[] = [
    ["none", { method: "none", level: null }],
    ["gzip", { method: "gzip", level: null }],
    ["gzip:1", { method: "gzip", level: 1 }],
    ["gzip:9", { method: "gzip", level: 9 }],
    [" ZSTD:22 ", { method: "zstd", level: 22 }],
    ["lz4:12", { method: "lz4", level: 12 }],
  ];
  for (const [text, compression] of read) assert.deepEqual(readCompression(text), compression);
  for (
    const text of [
      ...["", "xz", "gzip:0", "gzip:10", "gzip:", "gzip:a", "gzip:1.5", "gzip:-1", "gzip:1:2"],
      ...["none:0", "zstd:23", "zstd:0", "lz4:13", "zstd:long", "constructor", "1"],
    ]
  ) {
    assert.throws(() => readCompression(text), { kind: "usage", code: "bad_compression" }, text);
  }
});

Deno.test("compression: the argument that each pg_dump understands", () => {
  const of = (text: string, major: number) =>
    compressionArgument(readCompression(text), { path: "", version: "", major });
  assert.equal(of("none", 15), "--compress=0");
  assert.equal(of("none", 18), "--compress=0");
  assert.equal(of("gzip", 15), "--compress=6");
  assert.equal(of("gzip:1", 15), "--compress=1");
  assert.equal(of("gzip:1", 16), "--compress=gzip:1");
  assert.equal(of("gzip", 16), "--compress=gzip");
  assert.equal(of("zstd:3", 18), "--compress=zstd:3");
});

Deno.test("names: the dump's file is told by its format and compression", () => {
  const suffix = (format: "custom" | "plain" | "directory", text: string) =>
    dumpSuffix(format, readCompression(text));
  assert.equal(suffix("custom", "gzip"), ".dump");
  assert.equal(suffix("custom", "none"), ".dump");
  assert.equal(suffix("plain", "none"), ".sql");
  assert.equal(suffix("plain", "gzip:9"), ".sql.gz");
  assert.equal(suffix("plain", "zstd"), ".sql.zst");
  assert.equal(suffix("directory", "gzip"), ".dir");
});

Deno.test("arguments: nothing but what is asked for, and no secret", () => {
  const selection = {
    tables: [],
    exclude: [],
    resolved_tables: [],
    resolved_exclude: [],
    resolved_exclude_rows: [],
  };
  const facts = {
    tool: { path: "/usr/bin/pg_dump", version: "15.1", major: 15 },
    compression: { method: "gzip", level: 1 } as const,
    selection,
    encoding: "UTF8",
    snapshot: "00000003-1",
  };
  const argumentsOf = (given: Parameters<typeof dumpArguments>[0]) => dumpArguments(given).args;
  assert.deepEqual(argumentsOf({ ...facts, options: options() }), [
    ...["--format=custom", "--compress=1", "--snapshot=00000003-1", "--no-password", "--verbose"],
  ]);
  assert.deepEqual(
    argumentsOf({
      ...facts,
      options: options({ format: "directory", jobs: 4, "data-only": true }),
      directory: "/b/x.dir.partial",
      selection: {
        ...selection,
        resolved_tables: ['"public"."a"', '"public"."B"'],
        resolved_exclude: ['"public"."c"'],
        resolved_exclude_rows: ['"public"."d"'],
      },
    }),
    [
      ...["--format=directory", "--compress=1", "--snapshot=00000003-1", "--no-password"],
      ...["--verbose", "--data-only", "--jobs=4", "--file=/b/x.dir.partial"],
      ...['--table="public"."a"', '--table="public"."B"', '--exclude-table="public"."c"'],
      ...['--exclude-table-data="public"."d"', "--strict-names"],
    ],
  );
  // pg_dump reads its arguments in the encoding that it dumps in.
  const named = (encoding: string, resolved_tables: readonly string[]) =>
    argumentsOf({
      ...facts,
      options: options(),
      encoding,
      selection: { ...selection, resolved_tables },
    }).includes("--encoding=UTF8");
  assert.equal(named("LATIN1", ['"public"."größe"']), true);
  assert.equal(named("LATIN1", ['"public"."a\nb"']), false);
  assert.equal(named("UTF8", ['"public"."größe"']), false);
  assert.equal(named("SQL_ASCII", ['"public"."größe"']), false);
  const schema = argumentsOf({ ...facts, options: options({ "schema-only": true }) });
  assert.equal(schema.at(-1), "--schema-only");
});

Deno.test("arguments: the names of very many tables are read by a pg_dump that can, and else are arguments", () => {
  const named = (count: number) =>
    Array.from({ length: count }, (_, index) => `"public"."a table with a long name ${index}"`);
  const facts = (tables: number, major: number) => ({
    tool: { path: "/usr/bin/pg_dump", version: `${major}.1`, major },
    compression: { method: "gzip", level: 1 } as const,
    selection: {
      tables: ["a*"],
      exclude: ["b*"],
      resolved_tables: named(tables),
      resolved_exclude: ['"public"."back\\slash"'],
      resolved_exclude_rows: ['"public"."line\nend"'],
    },
    encoding: "UTF8",
    snapshot: "00000003-1",
    options: options(),
  });
  const few = dumpArguments(facts(100, 17));
  assert.equal(few.filter, undefined);
  assert.equal(few.args.filter((each) => each.startsWith("--table=")).length, 100);
  const old = dumpArguments(facts(10_000, 16));
  assert.equal(old.filter, undefined);
  assert.equal(old.args.filter((each) => each.startsWith("--table=")).length, 10_000);
  const { args, filter = "" } = dumpArguments(facts(10_000, 17));
  assert.deepEqual(args.slice(5), ["--filter=-", "--strict-names"]);
  const lines = filter.split("\n");
  assert.equal(lines[0], 'include table "public"."a table with a long name 0"');
  assert.deepEqual(lines.slice(9_999), [
    'include table "public"."a table with a long name 9999"',
    String.raw`exclude table "public"."back\\slash"`,
    String.raw`exclude table_data "public"."line\nend"`,
    "",
  ]);
});
