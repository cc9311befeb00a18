import assert from "assert";
import { textRow } from "../../core/postgres/values.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The body of a row's message, within other bytes. */
function rowOf(values: readonly (Uint8Array | null)[]) {
  const size = values.reduce((sum, value) => sum + 4 + (value?.length ?? 0), 2);
  const bytes = new Uint8Array(size + 20).fill(0xe9);
  const view = new DataView(bytes.buffer);
  view.setUint16(7, values.length);
  let at = 9;
  for (const value of values) {
    view.setInt32(at, value === null ? -1 : value.length);
    bytes.set(value ?? [], at + 4);
    at += 4 + (value?.length ?? 0);
  }
  return { bytes, start: 7, end: at };
}

function read(values: readonly (Uint8Array | null)[]): (string | null)[] {
  const { bytes, start, end } = rowOf(values);
  return textRow(bytes, start, end);
}

Deno.test("textRow: every value is its own text, whatever stands beside it and however long it is", () => {
  const pieces = [
    "a",
    "plain text ",
    "é",
    "日本",
    "😀",
    "\ufeff",
    "\u0000",
    "x".repeat(61),
    "ü".repeat(64),
  ];
  for (let round = 0; round < 3000; round++) {
    const values = Array.from({ length: round % 9 }, () =>
      Math.random() < 0.15 ? null : Array.from(
        { length: Math.floor(Math.random() * 7) },
        () => pieces[Math.floor(Math.random() * pieces.length)],
      ).join(""));
    const given = values.map((value) => value === null ? null : encoder.encode(value));
    assert.deepEqual(read(given), values);
  }
  for (let length = 0; length < 5000; length += 7) {
    for (const filler of ["x", "é", "日"]) {
      const values = [filler.repeat(length), "ü", null, "end"];
      assert.deepEqual(
        read(values.map((value) => value === null ? null : encoder.encode(value))),
        values,
      );
    }
  }
});

Deno.test("textRow: bytes that are no UTF-8 spoil no value but their own", () => {
  const odd = [0x41, 0x80, 0xa9, 0xc3, 0xe9, 0xe0, 0xed, 0xa0, 0xf0, 0x9f, 0xf5, 0xff, 0xc0];
  for (let round = 0; round < 5000; round++) {
    const values = Array.from({ length: 1 + round % 5 }, () =>
      Uint8Array.from(
        { length: Math.floor(Math.random() * 6) },
        () => odd[Math.floor(Math.random() * odd.length)] ?? 0,
      ));
    const given = [
      encoder.encode("é"),
      ...values,
      null,
      encoder.encode("日本"),
      encoder.encode("end"),
    ];
    assert.deepEqual(read(given), given.map((value) => value && decoder.decode(value)));
  }
});
