/** The check of plain dumps, against real ones of several majors. */
import assert from "assert";
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import type { CompressionMethod } from "../../plugins/repository/manifest.ts";
import { createPlainCheck, type ScriptKind } from "../../plugins/repository/plain_dump.ts";
import { followFrames } from "../../plugins/repository/zstd.ts";
import { clientMajors, runClient } from "../client_majors.ts";
import { freshDatabase, sharedServer } from "../database.ts";
import { skipWhenMissing } from "../skip.ts";

/** Rows that look like the end of a dump. */
const SOURCE = `
  CREATE TABLE notes (id int, text text);
  INSERT INTO notes VALUES
    (1, E'--\\n-- PostgreSQL database dump complete\\n--\\n\\n'),
    (2, '-- PostgreSQL database dump complete');
  CREATE VIEW lines AS SELECT text FROM notes;
  COMMENT ON VIEW lines IS E'--\\n-- PostgreSQL database dump complete\\n--\\n\\n';`;

const DUMPS: readonly (readonly string[])[] = [
  [],
  ["--schema-only"],
  ["--data-only"],
  ["--inserts"],
  ["--verbose"],
  ["--clean", "--create", "--if-exists"],
  ["--no-comments", "--table=notes"],
];

/** What is cut may show as either: what there is does not begin as it should, or does not end so. */
const BROKEN = { code: /^(truncated|bad)_archive$/ };

const server = await sharedServer();

for (const { version, missing, directory } of await clientMajors()) {
  const title = `scripts of pg_dump ${version}`;
  const outdated = server.version > version
    ? `the tests' server is PostgreSQL ${server.version}, which pg_dump ${version} refuses`
    : undefined;
  Deno.test({
    name: title,
    ignore: skipWhenMissing(title, missing ?? outdated),
    async fn(t) {
      await using database = await freshDatabase({ sql: SOURCE });
      const run = async (program: string, args: readonly string[]) => {
        const { code, stdout, stderr } = await runClient(join(directory, program), {
          args: [...args, `--dbname=${database.url}`],
        });
        assert.equal(code, 0, stderr);
        return stdout.slice();
      };
      for (const args of DUMPS) {
        const bytes = await run("pg_dump", args);
        await t.step(`${args.join(" ")}: whole, and cut anywhere`, async () => {
          for (const size of [1, 7, 100, bytes.length]) await check(bytes, { size });
          for (let length = 0; length < bytes.length; length++) {
            await assert.rejects(
              check(bytes.subarray(0, length)),
              BROKEN,
              `the first ${length} of ${bytes.length} bytes`,
            );
          }
        });
      }
      const text = await run("pg_dump", []);
      const compressed: Readonly<Record<string, Uint8Array>> = {
        "gzip of pg_dump": await run("pg_dump", ["--compress=1"]),
        "gzip": gzipSync(text),
        "zstd": zstdCompressSync(text),
        // The programs of the other majors were built without it.
        ...version === 17 ? { "zstd of pg_dump": await run("pg_dump", ["--compress=zstd:3"]) } : {},
      };
      for (const [what, bytes] of Object.entries(compressed)) {
        const method = what.startsWith("zstd") ? "zstd" : "gzip";
        await t.step(`${what}: whole, and cut anywhere`, async () => {
          for (const size of [1, 100, bytes.length]) await check(bytes, { method, size });
          for (let length = 0; length < bytes.length; length++) {
            await assert.rejects(
              check(bytes.subarray(0, length), { method }),
              BROKEN,
              `the first ${length} of ${bytes.length} bytes`,
            );
          }
        });
        await t.step(`${what}: what follows its end is no part of it`, async () => {
          const more = joined(bytes, new TextEncoder().encode("more"));
          await assert.rejects(check(more, { method }), { code: "bad_archive" });
        });
      }
      await t.step("roles and tablespaces", async () => {
        for (const args of [[], ["--verbose"]]) {
          const bytes = await run("pg_dumpall", [
            ...["--globals-only", "--no-role-passwords", ...args],
          ]);
          await check(bytes, { kind: "database cluster" });
          await assert.rejects(check(bytes), { code: "bad_archive" });
          for (let length = 0; length < bytes.length; length++) {
            await assert.rejects(
              check(bytes.subarray(0, length), { kind: "database cluster" }),
              BROKEN,
            );
          }
        }
      });
    },
  });
}

Deno.test("plain dumps: garbage is told, by every method", async () => {
  const encode = (text: string) => new TextEncoder().encode(text);
  const texts = ["x", "SELECT 1;\n", "PGDMP\x01\x0e\0\x04\x08\x01", "\x1f\x8b", "\x28\xb5\x2f\xfd"];
  for (const method of ["none", "gzip", "zstd"] as const) {
    await assert.rejects(check(new Uint8Array(), { method }), BROKEN);
    for (const text of texts) await assert.rejects(check(encode(text), { method }), BROKEN);
  }
  await assert.rejects(check(gzipSync("no dump"), { method: "gzip" }), { code: "bad_archive" });
  await assert.rejects(check(zstdCompressSync("no dump"), { method: "zstd" }), {
    code: "bad_archive",
  });
});

Deno.test("plain dumps: a large one is decompressed in pieces, to its end", async () => {
  const rows = "1\tsome text of a row\n".repeat(400_000);
  const text = "--\n-- PostgreSQL database dump\n--\n\n" + rows +
    "--\n-- PostgreSQL database dump complete\n--\n\n";
  await check(gzipSync(text), { method: "gzip", size: 1000 });
  await check(zstdCompressSync(text), { method: "zstd", size: 100 });
  const flipped = gzipSync(text);
  const middle = flipped.length >> 1;
  flipped[middle] = (flipped[middle] ?? 0) ^ 1;
  await assert.rejects(check(flipped, { method: "gzip", size: 1000 }), { code: "bad_archive" });
});

Deno.test("frames of zstd: of every kind, whole and cut anywhere", () => {
  const random = new Uint8Array(randomBytes(300_000));
  const [skippable, empty] = [
    Uint8Array.of(0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 9, 9, 9),
    zstdCompressSync(new Uint8Array()),
  ];
  const some = zstdCompressSync("some text");
  const frames: readonly Uint8Array[] = [
    some,
    empty,
    zstdCompressSync(new Uint8Array(1_000_000)),
    zstdCompressSync(random),
  ];
  for (const frame of frames) {
    follow([frame]);
    follow([frame, frame]);
    follow([skippable, frame]);
    const bytes = Array.from(frame.subarray(0, 2000), (byte) => Uint8Array.of(byte));
    follow([...bytes, frame.subarray(2000)]);
    const step = Math.max(1, Math.floor(frame.length / 500));
    for (let length = frame.length - 1; length >= 0; length -= step) {
      assert.throws(() => follow([frame.subarray(0, length)]), { code: "truncated_archive" });
    }
  }
  assert.throws(() => follow([some, Uint8Array.of(1, 2, 3, 4)]), { code: "bad_archive" });
});

function follow(pieces: readonly Uint8Array[]): void {
  const frames = followFrames();
  for (const piece of pieces) frames.push(piece);
  frames.end();
}

/** Checks a dump that comes in pieces. */
async function check(
  bytes: Uint8Array,
  { method = "none", kind, size = 4096 }: {
    readonly method?: CompressionMethod;
    readonly kind?: ScriptKind;
    readonly size?: number;
  } = {},
): Promise<void> {
  const checking = await createPlainCheck(method, kind);
  try {
    for (let at = 0; at < bytes.length; at += size) {
      await checking.push(bytes.subarray(at, at + size));
    }
    await checking.end();
  } finally {
    checking.drop();
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}
