/** Members of dumps in the directory format: none is taken for whole that is cut anywhere. */
import assert from "assert";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { createMemberCheck } from "../../plugins/repository/member.ts";

const ROWS = new TextEncoder().encode(`${"1\tsome text\n".repeat(500)}\\.\n\n\n`);

/** A frame of LZ4 by hand: blocks that are not compressed, with what a header may ask for. */
function lz4({ checked = false, sized = false } = {}): Uint8Array {
  const flags = 0x40 | (checked ? 0b10100 : 0) | (sized ? 0b1000 : 0);
  const blocks = [ROWS.subarray(0, 1000), ROWS.subarray(1000)];
  const number = (value: number) => {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value, true);
    return bytes;
  };
  const parts = [
    number(0x184d2204),
    Uint8Array.of(flags, 0x40),
    new Uint8Array(sized ? 8 : 0),
    Uint8Array.of(7),
    ...blocks.flatMap((block) => [
      number(0x80000000 + block.length),
      block,
      new Uint8Array(checked ? 4 : 0),
    ]),
    number(0),
    new Uint8Array(checked ? 4 : 0),
  ];
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

async function check(name: string, bytes: Uint8Array, size = 700): Promise<void> {
  const member = await createMemberCheck(name);
  try {
    for (let at = 0; at < bytes.length; at += size) {
      await member.push(bytes.subarray(at, at + size));
    }
    await member.end();
  } finally {
    member.drop();
  }
}

for (
  const [name, bytes] of [
    ["3351.dat", ROWS],
    ["3351.dat.gz", new Uint8Array(gzipSync(ROWS))],
    ["3351.dat.zst", new Uint8Array(zstdCompressSync(ROWS))],
    ["3351.dat.lz4", lz4()],
    ["3351.dat.lz4", lz4({ checked: true, sized: true })],
    ["blob_16425.dat.gz", new Uint8Array(gzipSync("a large object"))],
  ] as const
) {
  Deno.test(`createMemberCheck: ${name} of ${bytes.length} bytes, whole and cut anywhere`, async () => {
    for (const size of [1, 3, 700, 1_000_000]) await check(name, bytes, size);
    const step = Math.max(1, Math.floor(bytes.length / 300));
    for (let length = bytes.length - 1; length >= 0; length -= step) {
      await assert.rejects(
        check(name, bytes.subarray(0, length)),
        { code: /^(truncated|bad)_archive$/ },
        `${length} bytes`,
      );
    }
    await assert.rejects(check(name, new Uint8Array([...bytes, 1, 2, 3, 4, 5])), {
      code: /^(truncated|bad)_archive$/,
    });
  });
}

Deno.test("createMemberCheck: only of a large object an empty file is whole", async () => {
  for (const method of ["zst", "lz4"]) {
    await check(`blob_16425.dat.${method}`, new Uint8Array());
    await assert.rejects(check(`3351.dat.${method}`, new Uint8Array()), {
      code: "truncated_archive",
    });
  }
});

Deno.test("createMemberCheck: what tells no end is taken as it is", async () => {
  for (const name of ["blob_16425.dat", "blobs.toc", "toc.dat"]) {
    await check(name, new Uint8Array([1, 2, 3]));
    await check(name, new Uint8Array());
  }
});
