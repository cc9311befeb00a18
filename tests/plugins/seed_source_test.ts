import assert from "assert";
import { createHash } from "node:crypto";
import { FileFault } from "../../plugins/seed/fault.ts";
import type { SeedFile } from "../../plugins/seed/files.ts";
import {
  checksumOf,
  CopyEnd,
  lineOfOffset,
  openSource,
  type Reading,
} from "../../plugins/seed/source.ts";
import { fakeHost } from "../../core/testing.ts";

const FILE: SeedFile = {
  name: "base/a.csv",
  path: "seeds/base/a.csv",
  fileName: "a.csv",
  type: "csv",
  size: 0,
};

/** A run in which the file holds these bytes and comes in chunks of a size. */
function reading(bytes: Uint8Array, size = 1000): Reading {
  const host = fakeHost();
  return {
    progress: () => {},
    files: {
      ...host.files,
      inspect: () => Promise.resolve(undefined),
      stream: () => {
        const chunks: Uint8Array[] = [];
        for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.slice(at, at + size));
        return Promise.resolve(ReadableStream.from(chunks));
      },
    },
  };
}

function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

async function read(bytes: Uint8Array, { size = 1000, guard = false } = {}) {
  const source = await openSource(reading(bytes, size), FILE, { guard });
  const parts: Uint8Array[] = [];
  for await (const chunk of source.chunks) parts.push(chunk.slice());
  return { bytes: new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer()), source };
}

Deno.test("openSource: leaves out a byte order mark, but hashes it", async () => {
  const texts = ["\uFEFFid\n1\n", "id\n", "\uFEFF", "", "a", "ab", "\uFEFF\uFEFF"];
  for (const text of texts) {
    for (const size of [1, 2, 3, 4, 100]) {
      const whole = utf8(text);
      const { bytes, source } = await read(whole, { size });
      assert.deepEqual(bytes, utf8(text.replace(/^\uFEFF/, "")), JSON.stringify([text, size]));
      const expected = createHash("sha256").update(whole).digest("hex");
      assert.equal(source.checksum(), expected);
      assert.equal(await checksumOf(reading(whole, size), FILE), expected);
    }
  }
});

Deno.test("openSource: tells the line of bytes that are no UTF-8, and of a NUL", async () => {
  const cases: [bytes: Uint8Array, line: number][] = [
    [Uint8Array.of(...utf8("\uFEFFid\n1\n2"), 0xff, 10), 3],
    [Uint8Array.of(...utf8("id\né"), 0xc3), 2],
    [utf8("id\n1\n\n\0\n"), 4],
  ];
  for (const [bytes, line] of cases) {
    for (const size of [1, 2, 5, 100]) {
      const error = await read(bytes, { size }).catch((error) => error);
      assert(error instanceof FileFault);
      assert.equal(error.code, "not_utf8");
      const { offset = -1 } = error.place;
      assert.equal(await lineOfOffset(reading(bytes, size), FILE, offset), line);
    }
  }
});

Deno.test("openSource: its guard meets a line that ends the data, wherever chunks are cut", async () => {
  const meets = async (text: string, size: number) => {
    try {
      await read(utf8(text), { size, guard: true });
      return false;
    } catch (error) {
      if (!(error instanceof CopyEnd)) throw error;
      return true;
    }
  };
  for (const size of [1, 2, 3, 4, 5, 7, 100]) {
    for (const text of ["a\n\\.\nb\n", "a\n\\.", "\\.\n", "a\r\n\\.\r\nb", "abc\r\\.\r", "\\."]) {
      assert(await meets(text, size), JSON.stringify([text, size]));
    }
    for (
      const text of ["a\\.\n", "a\n\\.b\n", "a\n \\.\n", "\\", ".", "a\n\\\n.\n", "\\..\n", ""]
    ) {
      assert(!await meets(text, size), JSON.stringify([text, size]));
    }
  }
});

Deno.test("openSource: can be closed at any time, more than once", async () => {
  for (const reads of [0, 1, 10]) {
    const source = await openSource(reading(utf8("a\nb\nc\n"), 2), FILE);
    for (let count = 0; count < reads; count++) await source.chunks.next();
    await source.close();
    await source.close();
    assert.equal((await source.chunks.next()).done, true);
  }
});
