/** Tables of contents for restores, against what pg_restore tells of the same real archives. */
import assert from "assert";
import { join } from "node:path";
import { createContentsReader, DEFINED } from "../../plugins/repository/archive_contents.ts";
import {
  type Archive,
  type Entry,
  readTableOfContents,
} from "../../plugins/restore/table_of_contents.ts";
import { SOURCE } from "../backup_source.ts";
import { type ClientMajor, clientMajors, runClient } from "../client_majors.ts";
import { freshDatabase, sharedServer, type TestDatabase } from "../database.ts";
import { skipWhenMissing } from "../skip.ts";

const MORE = `
  CREATE EXTENSION IF NOT EXISTS pg_trgm;
  GRANT SELECT ON people TO PUBLIC;
  ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;
  COMMENT ON VIEW sad IS 'of those';`;

const FORMATS = ["custom", "directory", "tar"] as const;
const SECTIONS = ["pre-data", "data", "post-data"] as const;

const server = await sharedServer();

for (const major of await clientMajors()) {
  const missing = major.missing ??
    (server.version > major.version
      ? `the tests' server is PostgreSQL ${server.version}, which pg_dump ${major.version} refuses`
      : undefined);
  const title = `tables of contents of pg_dump ${major.version}`;
  Deno.test({
    name: title,
    ignore: skipWhenMissing(title, missing),
    async fn(t) {
      await using database = await freshDatabase({ sql: SOURCE + MORE });
      const directory = await Deno.makeTempDir({ prefix: "observatory-toc-" });
      try {
        for (const format of FORMATS) {
          const path = join(directory, format);
          await dump(major, { database, format, path });
          const archive = await read(path, { format });
          await t.step(`${format}: the entries, in their order`, async () => {
            assert.equal(archive.format, format);
            assert.deepEqual(linesOf(archive), await listed(major, path));
          });
          await t.step(`${format}: the section of each`, async () => {
            for (const section of SECTIONS) {
              const expected = await listed(major, path, [`--section=${section}`]);
              const told = archive.entries.filter((entry) => entry.section === section);
              // Comments and privileges are listed with what they are of.
              const bare = (lines: readonly string[]) =>
                lines.filter((line) => !/^\d+ (ACL|COMMENT|DEFAULT ACL) /.test(line));
              assert.deepEqual(bare(linesOf({ entries: told })), bare(expected), section);
              assert.ok(bare(expected).length > 5, section);
            }
          });
          await t.step(`${format}: what each depends on`, async () => {
            const told = archive.entries.map(({ id, dependencies }) =>
              `${id}: ${dependencies.join(" ")}`
            );
            assert.deepEqual(told, await dependencies(major, path));
          });
          await t.step(`${format}: the definitions of some kinds`, async () => {
            const script = await scriptOf(major, path);
            const kinds = new Set<string>();
            for (const { kind, tag, definition } of archive.entries) {
              if (!DEFINED.has(kind)) assert.equal(definition, "", `${kind} ${tag}`);
              else if (definition !== "") {
                assert.ok(script.includes(definition.trimEnd()), `${kind} ${tag}: ${definition}`);
                kinds.add(kind);
              }
            }
            assert.deepEqual([...kinds].sort(), [...DEFINED].sort());
          });
        }
        await t.step("no more is read than the table of contents", async () => {
          await stopsEarly(join(directory, "custom"));
        });
        await t.step("cut anywhere, it is told; what follows does not matter", async () => {
          await cutAnywhere(join(directory, "custom"));
        });
      } finally {
        await Deno.remove(directory, { recursive: true });
      }
    },
  });
}

async function stopsEarly(path: string): Promise<void> {
  let given = 0;
  let ended = false;
  async function* pieces(): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of (await Deno.open(path)).readable) {
        for (let at = 0; at < chunk.length; at += 100) {
          const piece = chunk.slice(at, at + 100);
          given += piece.length;
          yield piece;
          piece.fill(0xaa);
        }
      }
    } finally {
      ended = true;
    }
  }
  const { size } = await readTableOfContents(ReadableStream.from(pieces()), { format: "custom" });
  const whole = (await Deno.stat(path)).size;
  assert.ok(size < whole - 1000, `${size} of ${whole}`);
  assert.ok(given >= size && given <= size + 200, `${given} were read for ${size}`);
  assert.ok(ended);
}

async function cutAnywhere(path: string): Promise<void> {
  const bytes = await Deno.readFile(path);
  const whole = await read(path, { format: "custom" });
  const readTo = (length: number) => {
    const reader = createContentsReader();
    return reader.push(bytes.subarray(0, length)) ?? reader.end();
  };
  for (let length = 0; length < whole.size; length += 37) {
    assert.throws(() => readTo(length), { code: "truncated_archive" }, String(length));
  }
  assert.throws(() => readTo(whole.size - 1), { code: "truncated_archive" });
  for (const length of [whole.size, whole.size + 1, bytes.length]) {
    assert.deepEqual(readTo(length), whole);
  }
}

interface Dump {
  readonly database: TestDatabase;
  readonly format: string;
  readonly path: string;
}

async function dump({ directory }: ClientMajor, { database, format, path }: Dump): Promise<void> {
  const { code, stderr } = await runClient(join(directory, "pg_dump"), {
    args: [`--format=${format}`, `--file=${path}`, `--dbname=${database.url}`],
  });
  assert.equal(code, 0, stderr);
}

async function read(
  path: string,
  { format }: { readonly format: (typeof FORMATS)[number] },
): Promise<Archive> {
  const file = await Deno.open(format === "directory" ? join(path, "toc.dat") : path);
  return await readTableOfContents(file.readable, { format });
}

async function restore(
  { directory }: ClientMajor,
  args: readonly string[],
): Promise<string> {
  const { code, stdout, stderr } = await runClient(join(directory, "pg_restore"), { args });
  assert.equal(code, 0, stderr);
  return new TextDecoder().decode(stdout);
}

/** The entries as `pg_restore --list` tells them, without the numbers of the catalogue. */
async function listed(
  major: ClientMajor,
  path: string,
  args: readonly string[] = [],
): Promise<string[]> {
  return (await restore(major, ["--list", ...args, path])).split("\n")
    .filter((line) => /^\d+; /.test(line))
    .map((line) => line.replace(/^(\d+); \d+ \d+ /, "$1 "));
}

async function dependencies(major: ClientMajor, path: string): Promise<string[]> {
  const found: string[] = [];
  for (const line of (await restore(major, ["--list", "--verbose", path])).split("\n")) {
    const [, id] = /^(\d+); /.exec(line) ?? [];
    if (id !== undefined) found.push(`${id}: `);
    const [, told] = /^;\s+depends on: (.*)$/.exec(line) ?? [];
    if (told !== undefined) found.push(`${found.pop()}${told.trim()}`);
  }
  return found;
}

async function scriptOf(major: ClientMajor, path: string): Promise<string> {
  return await restore(major, ["--file=-", path]);
}

/** What `pg_restore --list` leaves out: settings of the session, and what needs no restoring. */
function isListed({ kind }: Entry): boolean {
  return !/^(ENCODING|STDSTRINGS|SEARCHPATH|DATABASE)$/.test(kind);
}

function linesOf({ entries }: Pick<Archive, "entries">): string[] {
  return entries.filter(isListed).map(({ id, kind, schema, tag, owner }) =>
    `${id} ${kind} ${schema === "" ? "-" : schema} ${tag.replaceAll("\n", " ")} ${owner}`
  );
}
