/** The reader of pg_dump's archives, against those of real ones of several majors. */
import assert from "assert";
import { join } from "node:path";
import { OperationError } from "../../core/plugin.ts";
import { type ArchiveFacts, createArchiveReader } from "../../plugins/repository/archive.ts";
import { type ClientMajor, clientMajors, runClient } from "../client_majors.ts";
import { freshDatabase, sharedServer, type TestDatabase } from "../database.ts";
import { skipWhenMissing } from "../skip.ts";

const SOURCE = `
  CREATE SCHEMA "other; one";
  CREATE TABLE plain (id serial PRIMARY KEY, name text, payload bytea);
  INSERT INTO plain (name, payload) SELECT 'row ' || i, decode(md5(i::text), 'hex')
    FROM generate_series(1, 40) i;
  CREATE TABLE empty (id int);
  CREATE TABLE nothing ();
  CREATE TABLE "other; one"."Odd ""name"" 😀" ("a;b" text);
  INSERT INTO "other; one"."Odd ""name"" 😀" VALUES (E'line\\nbreak'), (NULL);
  CREATE TABLE parent (day date) PARTITION BY RANGE (day);
  CREATE TABLE child PARTITION OF parent FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
  INSERT INTO parent VALUES ('2024-05-05');
  CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM plain;
  CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n';
  COMMENT ON TABLE plain IS 'of the test';
  SELECT lo_from_bytea(4242, 'a large object'), lo_from_bytea(4243, '');`;

/** The form of the archives that each major writes. */
const FORMS: Readonly<Record<number, string>> = { 15: "1.14", 16: "1.15", 17: "1.16", 18: "1.16" };

/** What is dumped, by the arguments of pg_dump. */
const DUMPS: Readonly<Record<string, readonly string[]>> = {
  "all of it": [],
  "not compressed": ["--compress=0"],
  "definitions": ["--schema-only"],
  "rows": ["--data-only"],
  "one table": ["--table=plain"],
  "an empty table": ["--table=empty"],
  "no large objects": ["--no-blobs"],
};

/** What the programs that know more methods dump beside. */
const METHODS: Readonly<Record<string, readonly string[]>> = {
  "zstd": ["--compress=zstd:3"],
  "lz4": ["--compress=lz4"],
};
const KNOWS_METHODS = 17;

const server = await sharedServer();

for (const major of await clientMajors()) {
  const missing = major.missing ??
    (server.version > major.version
      ? `the tests' server is PostgreSQL ${server.version}, which pg_dump ${major.version} refuses`
      : undefined);
  const title = `archives of pg_dump ${major.version}`;
  Deno.test({
    name: title,
    ignore: skipWhenMissing(title, missing),
    async fn(t) {
      await using database = await freshDatabase({ sql: SOURCE });
      const dumps = major.version === KNOWS_METHODS ? { ...DUMPS, ...METHODS } : DUMPS;
      for (const [what, args] of Object.entries(dumps)) {
        const bytes = await dump(major, { database, args: ["--format=custom", ...args] });
        await t.step(`${what}: every entry is told as pg_restore tells it`, async () => {
          const facts = read([bytes]);
          assert.equal(facts.version, FORMS[major.version]);
          assert.equal(facts.format, "custom");
          const method = what === "not compressed" ? "none" : what in METHODS ? what : "gzip";
          assert.equal(facts.compression, method);
          assert.equal(facts.database, database.name);
          assert.match(facts.serverVersion, new RegExp(`^${server.version}\\b`));
          assert.match(facts.dumpVersion, new RegExp(`^${major.version}\\b`));
          assert.deepEqual(linesOf(facts), await listed(major, bytes));
        });
        await t.step(`${what}: read alike in pieces of any size`, () => {
          const whole = read([bytes]);
          for (const size of [1, 2, 3, 5, 64, 1000]) {
            assert.deepEqual(read(cut(bytes, () => size)), whole, `pieces of ${size} bytes`);
          }
          let seed = 1;
          const random = () => 1 + (seed = (seed * 48271) % 2147483647) % 200;
          assert.deepEqual(read(cut(bytes, random)), whole);
        });
        await t.step(`${what}: cut anywhere, it is told`, () => {
          // Everywhere in one of them; of the others the end, and samples of the rest.
          const every = what === "all of it" ? 1 : 41;
          const end = bytes.length - 64;
          for (let length = 0; length < bytes.length; length += length < end ? every : 1) {
            assert.throws(
              () => read([bytes.subarray(0, length)]),
              { code: "truncated_archive" },
              `the first ${length} of ${bytes.length} bytes`,
            );
          }
        });
      }
      await t.step("a directory: its table of contents names its files", async () => {
        await using directory = await dumpDirectory(major, { database, args: [] });
        const bytes = await Deno.readFile(join(directory.path, "toc.dat"));
        const facts = read([bytes]);
        assert.equal(facts.format, "directory");
        const names: string[] = [];
        for await (const { name } of Deno.readDir(directory.path)) {
          names.push(name.replace(/\.gz$/, ""));
        }
        const named = facts.entries.filter(({ hasData, file }) => hasData && file !== "")
          .map(({ file }) => file);
        assert.ok(named.length >= 5, String(named));
        assert.deepEqual(named.filter((name) => !names.includes(name)), []);
        for (let length = 0; length < bytes.length; length += length < bytes.length - 64 ? 41 : 1) {
          assert.throws(() => read([bytes.subarray(0, length)]), { code: "truncated_archive" });
        }
        assert.throws(() => read([bytes, Uint8Array.of(0)]), { code: "bad_archive" });
      });
      await t.step("any byte changed: it is read, or told as damaged", async () => {
        const bytes = await dump(major, { database, args: ["--format=custom", "--compress=0"] });
        let told = 0;
        for (let at = 0; at < bytes.length; at += 7) {
          const changed = bytes.slice();
          changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
          try {
            read([changed]);
          } catch (error) {
            assert.ok(error instanceof OperationError, `byte ${at}: ${error}`);
            assert.match(error.code, /^(bad|truncated|unknown)_archive$/);
            told++;
          }
        }
        assert.ok(told > 20, `${told} were told`);
      });
    },
  });
}

Deno.test("archive reader: what is no archive is told at its first bytes", () => {
  for (const text of ["--\n-- PostgreSQL database dump\n", "\x1f\x8b\x08\0", "PGDUMP", "age-enc"]) {
    const reader = createArchiveReader();
    assert.throws(() => reader.push(new TextEncoder().encode(text)), { code: "bad_archive" });
  }
  for (const text of ["", "P", "PGDM"]) {
    assert.throws(() => read([new TextEncoder().encode(text)]), { code: "truncated_archive" });
  }
});

Deno.test("archive reader: a version that is not known is told as such", () => {
  for (const minor of [11, 17]) {
    const head = Uint8Array.of(...new TextEncoder().encode("PGDMP"), 1, minor, 0, 4, 8, 1);
    assert.throws(() => read([head]), {
      code: "unknown_archive",
      message: `Cannot read an archive of version 1.${minor}`,
    });
  }
});

Deno.test("archive reader: lengths that cannot be take no memory", () => {
  // A name of a gigabyte, of which nothing comes.
  const head = Uint8Array.of(...new TextEncoder().encode("PGDMP"), 1, 14, 0, 4, 8, 1);
  const ints = new Uint8Array(5 * 8);
  const before = Deno.memoryUsage().external;
  const reader = createArchiveReader();
  reader.push(head);
  reader.push(ints);
  assert.throws(() => {
    reader.push(Uint8Array.of(0, 0xff, 0xff, 0xff, 0x3f));
    reader.push(new Uint8Array(10));
  }, { code: "bad_archive" });
  assert.ok(Deno.memoryUsage().external - before < 1 << 24);
});

/** Reads an archive that comes in pieces. */
function read(pieces: Iterable<Uint8Array>): ArchiveFacts {
  const reader = createArchiveReader();
  for (const piece of pieces) reader.push(piece);
  return reader.end();
}

function* cut(bytes: Uint8Array, size: () => number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length;) {
    const end = at + size();
    yield bytes.subarray(at, end);
    at = end;
  }
}

interface DumpOf {
  readonly database: TestDatabase;
  readonly args: readonly string[];
}

/** What pg_dump writes into a pipe. */
async function dump(
  { directory }: ClientMajor,
  { database, args }: DumpOf,
): Promise<Uint8Array<ArrayBuffer>> {
  const path = join(directory, "pg_dump");
  const { code, stdout, stderr } = await runClient(path, {
    args: [...args, `--dbname=${database.url}`],
  });
  assert.equal(code, 0, stderr);
  return stdout.slice();
}

async function dumpDirectory(major: ClientMajor, { database, args }: DumpOf) {
  const parent = await Deno.makeTempDir({ prefix: "observatory-archive-" });
  const path = join(parent, "dump");
  await dump(major, { database, args: ["--format=directory", `--file=${path}`, ...args] });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(parent, { recursive: true }) };
}

/** The entries as `pg_restore --list` tells them: `3353; 0 16386 TABLE DATA public plain postgres`. */
async function listed(
  { directory }: ClientMajor,
  archive: Uint8Array<ArrayBuffer>,
): Promise<string[]> {
  const { code, stdout, stderr } = await runClient(join(directory, "pg_restore"), {
    args: ["--list"],
    stdin: archive,
  });
  assert.equal(code, 0, stderr);
  return new TextDecoder().decode(stdout).split("\n")
    .filter((line) => /^\d+; /.test(line))
    .map((line) => line.replace(/^(\d+); \d+ \d+ /, "$1 ")).sort();
}

/** What `pg_restore --list` leaves out: settings of the session, and what needs no restoring. */
const UNLISTED = /^(ENCODING|STDSTRINGS|SEARCHPATH|DATABASE)$/;

function linesOf({ entries }: ArchiveFacts): string[] {
  return entries.filter(({ kind }) => !UNLISTED.test(kind))
    .map(({ id, kind, schema, tag, owner }) =>
      `${id} ${kind} ${schema === "" ? "-" : schema} ${tag.replaceAll("\n", " ")} ${owner}`
    ).sort();
}
