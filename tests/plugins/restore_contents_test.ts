/** What a file is told to be by its bytes, and what is wrapped around a dump taken away. */
import assert from "assert";
import { Buffer } from "node:buffer";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { armor, Encrypter, generateIdentity, identityToRecipient } from "age-encryption";
import { OperationError } from "../../core/plugin.ts";
import { recognise } from "../../plugins/restore/contents.ts";
import { unwrap } from "../../plugins/restore/unwrap.ts";
import { createXxh32, xxh32 } from "../../plugins/restore/xxh32.ts";
import { withChance } from "../faults/random.ts";

const SCRIPT = bytesOf(
  `--\n-- PostgreSQL database dump\n--\n\nSET x = 1;\n${"SELECT 1;\n".repeat(30_000)}`,
);

function bytesOf(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(text, "latin1"));
}

function tell(text: string) {
  return recognise(bytesOf(text), { title: "x.dump" });
}

/** A tar's first head: a name, and the magic where it stands. */
function tar(name: string): string {
  return `${name.padEnd(257, "\0")}ustar\0${"\0".repeat(250)}`;
}

Deno.test("recognise: dumps and what is wrapped around them", () => {
  const head = "\x01\x0e\0\x04\x08";
  assert.deepEqual(tell(`PGDMP${head}\x01\0\0`), { format: "custom" });
  assert.deepEqual(tell(tar("toc.dat")), { format: "tar" });
  assert.deepEqual(tell("\x1f\x8b\x08\0"), { wrapping: "gzip" });
  assert.deepEqual(tell("\x28\xb5\x2f\xfd\x04"), { wrapping: "zstd" });
  assert.deepEqual(tell("\x04\x22\x4d\x18\x64"), { wrapping: "lz4" });
  assert.deepEqual(tell("\x50\x2a\x4d\x18\x02\0\0\0ab\x04\x22\x4d\x18"), { wrapping: "lz4" });
  assert.deepEqual(tell("\x5f\x2a\x4d\x18\x02\0\0\0ab\x28\xb5\x2f\xfd"), { wrapping: "zstd" });
  assert.deepEqual(tell("age-encryption.org/v1\n-> X25519 x\n"), { wrapping: "age" });
  assert.deepEqual(tell("-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n"), { wrapping: "age" });
});

Deno.test("recognise: SQL, with whatever comments before its first statement", () => {
  const scripts = [
    "--\n-- PostgreSQL database dump\n--\n\n\\restrict x\nSET statement_timeout = 0;",
    "\xef\xbb\xbfcreate table a ();",
    "\n\t /* one /* in another */ -- not ended */\r\n  ; insert into a values (1)",
    "-- a comment alone",
    "/* one that does not end here",
    "\\connect other\n",
    "(SELECT 1) UNION SELECT 2;",
    "With a as (select 1) select * from a",
    "COPY a FROM stdin;\n\xff\xfe\x80\n\\.\n",
    ` ${" ".repeat(3000)}begin;`,
  ];
  for (const script of scripts) assert.deepEqual(tell(script), { format: "plain" }, script);
});

Deno.test("recognise: what is no dump is refused, with what it looks like", () => {
  const others: readonly (readonly [string, RegExp])[] = [
    ["", /: it is empty$/],
    ["PK\x03\x04abc", /a ZIP archive/],
    ["BZh91AY", /compressed by bzip2/],
    ["\xfd7zXZ\0\0", /compressed by xz/],
    ["SQLite format 3\0", /SQLite/],
    ["\x7fELF\x02", /a program/],
    ["Salted__abcdefgh", /encrypted by openssl/],
    ["\x85\x02\x0c\x03abc", /encrypted by GnuPG/],
    ["\xff\xfeS\0E\0T\0", /UTF-16/],
    ["<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", /a server's error message/],
    ['{"schema": 1}', /it is JSON/],
    ["-- MySQL dump 10.13  Distrib 8.0\n", /MySQL/],
    ["-- MariaDB dump 10.19\n", /MySQL/],
    ["version https://git-lfs.github.com/spec/v1\n", /Git LFS/],
    ["\0\0\0\0\0\0", /it is binary/],
    ["SELECT\0", /it is binary/],
    ["Dear all,\n", /it is text, and no SQL: it begins with "Dear all,"$/],
    [tar("photos/1.jpg"), /it is a tar archive, and none/],
    [tar("toc.dat.bak"), /it is a tar archive, and none/],
    ["PGDMP\x01\x0e\0\x04\x08\x03\0\0", /the table of contents of a dump in the directory format/],
    ["--\n-- PostgreSQL database cluster dump\n--\n\n", /it is of pg_dumpall/],
  ];
  for (const [text, reason] of others) {
    assert.throws(() => tell(text), { kind: "refused", code: "unknown_contents", message: reason });
  }
});

/** A frame of LZ4 with one block of literals, as `lz4` writes it, for any bytes up to 4 MiB. */
function lz4(bytes: Uint8Array): Uint8Array {
  const number = (value: number) => {
    const four = new Uint8Array(4);
    new DataView(four.buffer).setUint32(0, value, true);
    return four;
  };
  const descriptor = Uint8Array.of(0b01110100, 0x70);
  const block = Buffer.concat([number(0x80000000 + bytes.length), bytes, number(xxh32(bytes))]);
  return new Uint8Array(Buffer.concat([
    number(0x184d2204),
    descriptor,
    Uint8Array.of(xxh32(descriptor) >> 8 & 0xff),
    block,
    number(0),
    number(xxh32(bytes)),
  ]));
}

const identity = await generateIdentity();

async function age(bytes: Uint8Array): Promise<Uint8Array> {
  const encrypter = new Encrypter();
  encrypter.addRecipient(await identityToRecipient(identity));
  return await encrypter.encrypt(bytes);
}

/** Text in lines of any length, as they come from a mail or an editor of Windows. */
function mailed(text: string): Uint8Array {
  return bytesOf(text.replaceAll("\n", "\r\n"));
}

const WRAPPED: Readonly<Record<string, Uint8Array>> = {
  "": SCRIPT,
  "gzip": new Uint8Array(gzipSync(SCRIPT)),
  "zstd": new Uint8Array(zstdCompressSync(SCRIPT)),
  "lz4": lz4(SCRIPT),
  "age": await age(SCRIPT),
  "age gzip": await age(new Uint8Array(gzipSync(SCRIPT))),
  "gzip age": new Uint8Array(gzipSync(await age(SCRIPT))),
  "age zstd gzip": await age(
    new Uint8Array(zstdCompressSync(new Uint8Array(gzipSync(SCRIPT)))),
  ),
};

/** A stream of pieces whose memory is taken back, as those of files are. */
function streamOf(bytes: Uint8Array, size = 1000): ReadableStream<Uint8Array> {
  return ReadableStream.from(pieces(bytes, size));
}

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    const piece = bytes.slice(at, at + size);
    yield piece;
    await Promise.resolve();
    piece.fill(0xaa);
  }
}

async function unwrapped(stream: ReadableStream<Uint8Array>, keys: readonly string[] = [identity]) {
  const opened = await unwrap(stream, { title: "x", identities: () => Promise.resolve(keys) });
  const chunks: Uint8Array[] = [];
  for await (const chunk of opened.stream) chunks.push(chunk.slice());
  return { contents: opened.contents, bytes: Buffer.concat(chunks) };
}

for (const [name, bytes] of Object.entries(WRAPPED)) {
  Deno.test(`unwrap: ${name === "" ? "nothing" : name} around a script, in pieces of any size`, async () => {
    for (const size of [1, 1000, 65_536, 10_000_000]) {
      if (size === 1 && bytes.length > 20_000) continue;
      const { contents, bytes: found } = await unwrapped(streamOf(bytes, size));
      assert.deepEqual(contents, { format: "plain", wrapping: name.split(" ").filter(Boolean) });
      assert.ok(found.equals(SCRIPT));
    }
  });
}

Deno.test("unwrap: age in its form for text, with the ends of lines of any system", async () => {
  const text = armor.encode(await age(SCRIPT));
  for (const bytes of [bytesOf(text), bytesOf(text.trimEnd()), mailed(text)]) {
    for (const size of [50, 64, 1000, 10_000_000]) {
      const { contents, bytes: found } = await unwrapped(streamOf(bytes, size));
      assert.deepEqual(contents.wrapping, ["age"]);
      assert.ok(found.equals(SCRIPT));
    }
  }
  for (const cut of [text.length - 34, text.length - 100, 5000, 100]) {
    await assert.rejects(unwrapped(streamOf(bytesOf(text.slice(0, cut)))), isDamage);
  }
  for (
    const changed of [text.replace("\n", "\n\n"), text.replace(/(?<=\n)..../, "*"), `${text}x`]
  ) {
    await assert.rejects(unwrapped(streamOf(bytesOf(changed))), isDamage);
  }
});

Deno.test("unwrap: compressed in several members or frames, as pigz and pzstd write", async () => {
  const [one, two] = [SCRIPT.subarray(0, 100_000), SCRIPT.subarray(100_000)];
  const joined = {
    gzip: [gzipSync(one), gzipSync(two)],
    zstd: [
      zstdCompressSync(one),
      bytesOf("\x5a\x2a\x4d\x18\x03\0\0\0abc"),
      zstdCompressSync(two),
      zstdCompressSync(new Uint8Array()),
    ],
    lz4: [lz4(one), lz4(two)],
  };
  for (const [name, parts] of Object.entries(joined)) {
    const { bytes } = await unwrapped(streamOf(new Uint8Array(Buffer.concat(parts))));
    assert.ok(bytes.equals(SCRIPT), `${name}: ${bytes.length}`);
  }
});

Deno.test("unwrap: every wrapping that is cut tells it, wherever the cut is", async () => {
  for (const [name, bytes] of Object.entries(WRAPPED)) {
    if (name === "") continue;
    const step = Math.ceil(bytes.length / 25);
    for (let length = bytes.length - 1; length > 4; length -= step) {
      await assert.rejects(
        unwrapped(streamOf(bytes.subarray(0, length), 10_000)),
        (error) => isDamage(error) || isUnknown(error),
        `${name} cut to ${length}`,
      );
    }
  }
});

Deno.test("unwrap: a changed byte is told, or nothing is changed by it", async () => {
  await withChance(11, async (chance) => {
    for (const [name, bytes] of Object.entries(WRAPPED)) {
      if (name === "") continue;
      for (let round = 0; round < 25; round++) {
        const changed = bytes.slice();
        const at = chance.below(bytes.length);
        changed[at] = (changed[at] ?? 0) ^ (1 << chance.below(8));
        let found: Uint8Array | undefined;
        try {
          found = (await unwrapped(streamOf(changed, 10_000))).bytes;
        } catch (error) {
          const known = error instanceof OperationError &&
            (isDamage(error) || isUnknown(error) || error.code === "other_identity");
          assert.ok(known, `${name} at ${at}: ${error}`);
        }
        // zstd has no checksum unless it is asked for one.
        const same = found === undefined || Buffer.from(found).equals(SCRIPT);
        assert.ok(same || name === "zstd", `${name} at ${at}`);
      }
    }
  });
});

Deno.test("unwrap: keys are asked for only where they are needed", async () => {
  const identities = () => Promise.reject(new OperationError("No keys", { code: "no_identity" }));
  await unwrap(streamOf(SCRIPT), { title: "x", identities });
  await assert.rejects(unwrap(streamOf(WRAPPED["age"] ?? SCRIPT), { title: "x", identities }), {
    code: "no_identity",
  });
  const other = [await generateIdentity()];
  await assert.rejects(unwrapped(streamOf(WRAPPED["age"] ?? SCRIPT), other), {
    code: "other_identity",
  });
});

Deno.test("unwrap: who reads no further ends what it is read from", async () => {
  for (const [name, bytes] of Object.entries(WRAPPED)) {
    let ended = false;
    const watched = async function* () {
      try {
        yield* pieces(bytes, 1000);
      } finally {
        ended = true;
      }
    };
    const { stream } = await unwrap(ReadableStream.from(watched()), {
      title: "x",
      identities: () => Promise.resolve([identity]),
    });
    const reader = stream.getReader();
    await reader.read();
    await reader.cancel();
    // Streams within streams hear of it one after another.
    for (let wait = 0; wait < 200 && !ended; wait++) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    assert.ok(ended, name);
  }
});

Deno.test("xxh32: the values of its specification's reference, in one piece or many", () => {
  // What `xxhsum -H32` and the reference implementation tell.
  const values: readonly (readonly [string, number])[] = [
    ["", 0x02cc5d05],
    ["a", 0x550d7456],
    ["abc", 0x32d153ff],
    ["Nobody inspects the spammish repetition", 0xe2293b2f],
  ];
  for (const [text, value] of values) assert.equal(xxh32(bytesOf(text)), value, text);
  for (const size of [1, 7, 16, 33, 1000]) {
    const sum = createXxh32();
    for (let at = 0; at < SCRIPT.length; at += size) sum.take(SCRIPT.subarray(at, at + size));
    assert.equal(sum.digest(), xxh32(SCRIPT));
  }
});

function isDamage(error: unknown): boolean {
  return error instanceof OperationError &&
    (error.code === "bad_archive" || error.code === "truncated_archive");
}

function isUnknown(error: unknown): boolean {
  return error instanceof OperationError && error.code === "unknown_contents";
}
