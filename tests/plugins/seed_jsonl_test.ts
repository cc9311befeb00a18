import assert from "assert";
import { FileFault, type Place } from "../../plugins/seed/fault.ts";
import { jsonFaultIndex } from "../../plugins/seed/json_fault.ts";
import { findObjectLine, readJsonLines } from "../../plugins/seed/jsonl.ts";

async function* chunked(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length; at += size) {
    yield await Promise.resolve(bytes.subarray(at, at + size));
  }
}

Deno.test("readJsonLines: gives the keys and every byte, however chunks are cut", async () => {
  const text = '\n{"a": 1, "é": "\u{1F600}\\n"}\r\n\n{"é": [], "a": {}}\n\n{"a":null,"é":1e400}';
  for (const size of [1, 2, 3, 10, 1000]) {
    const lines = await readJsonLines(chunked(text, size));
    assert.deepEqual([lines.columns, lines.line], [["a", "é"], 2]);
    assert.equal(await new Response(ReadableStream.from(lines.rest)).text(), text);
  }
});

Deno.test("readJsonLines: tells the place of what does not fit", async () => {
  const first = '{"a":1,"b":2}';
  const cases: [text: string, place: Place, message: RegExp][] = [
    ["", { line: 1 }, /holds no object/],
    ["\n\n", { line: 1 }, /holds no object/],
    ["[1]\n", { line: 1 }, /not an object/],
    [`${first}\nnull\n`, { line: 2 }, /not an object/],
    ["{}\n", { line: 1 }, /has no keys/],
    [`${first}\n\n{"a":1,"c":2}`, { line: 3 }, /key "c" is not in the first object, in line 1/],
    [`\n${first}\n{"a":1}`, { line: 3 }, /key "b" is missing.* in the first object, in line 2/],
    [`${first}\n{"a":1,}\n`, { line: 2, column: 8 }, /not valid JSON/],
    [`${first}\n{"é":\u{1F600}}\n`, { line: 2, column: 6 }, /not valid JSON/],
    [`${first}\n{"a":1`, { line: 2, column: 7 }, /not valid JSON/],
    [`${first}\n{"a":"x\u0001"}\n`, { line: 2, column: 8 }, /not valid JSON/],
    [`${first}\n\\.\n${first}\n`, { line: 2, column: 1 }, /not valid JSON/],
    [`${first}\r${first}\r`, { line: 1, column: 15 }, /not valid JSON/],
  ];
  for (const [text, place, message] of cases) {
    for (const size of [1, 4, 1000]) {
      await assert.rejects(
        async () => {
          const { rest } = await readJsonLines(chunked(text, size));
          for await (const _ of rest) { /* Only what is thrown matters. */ }
        },
        (error) => {
          assert(error instanceof FileFault, String(error));
          assert.match(error.message, message);
          assert.deepEqual(error.place, place, text);
          return true;
        },
      );
    }
  }
});

Deno.test("findObjectLine: passes over empty lines", async () => {
  const text = '\r\n{"a":1}\n\n{"a":2}\r\n{"a":3}';
  for (const size of [1, 3, 100]) {
    const found = [1, 2, 3, 4].map((ordinal) => findObjectLine(chunked(text, size), ordinal));
    assert.deepEqual(await Promise.all(found), [2, 4, 5, undefined]);
  }
});

Deno.test("jsonFaultIndex: stops at the first character that does not fit", () => {
  const cases: [before: string, after: string][] = [
    ["", "x"],
    ["[1, ", "]"],
    ["[1 ", "2]"],
    ['{"a"', "}"],
    ['{"a": ', "}"],
    ['{"a": 1, ', "}"],
    ["{", "a: 1}"],
    ['"a', '\n"'],
    ['"a', '\\x"'],
    ["0", "1"],
    ["-", ""],
    ["[1", ".]"],
    ["[true, fals", ""],
    ["{}", "]"],
    ["[[", ""],
    ["", ""],
  ];
  for (const [before, after] of cases) {
    const text = before + after;
    assert.throws(() => JSON.parse(text), SyntaxError, text);
    // Of a word or number that breaks off, its beginning is told.
    const expected = /[a-z-]$/.test(before) && after === ""
      ? before.search(/[a-z-]+$/)
      : before.length;
    assert.equal(jsonFaultIndex(text), expected, text);
  }
});

Deno.test("jsonFaultIndex: goes through all that the parser takes", () => {
  for (
    const text of [
      ' {"a": [1, -0.5e+10, true, false, null, "\\u00e9\\n\u{1F600}", {}, []], "b": {"c": ""}} ',
      "0",
      '""',
      "[".repeat(5000) + "]".repeat(5000),
    ]
  ) {
    JSON.parse(text);
    assert.equal(jsonFaultIndex(text), text.length, text);
  }
});
