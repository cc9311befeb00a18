import assert from "assert";
import { tableWriter } from "../../core/rows/table.ts";
import { harmless, widthOf } from "../../core/rows/width.ts";
import { resultOf, TYPE, written } from "./rows_parts.ts";

const { int4, text } = TYPE;

function table(...parts: Parameters<typeof written>[1]): string[] {
  return written(tableWriter(), parts).split("\n");
}

Deno.test("tableWriter: aligns numbers to the right and tells an empty text from NULL", () => {
  const parts = resultOf({ id: int4, name: text, note: text }, [
    ["1", "one", ""],
    ["1000", null, null],
    [null, "", "x"],
  ]);
  assert.deepEqual(table(...parts), [
    "  id | name | note",
    "-----+------+-----",
    "   1 | one  |",
    "1000 | NULL | NULL",
    "NULL |      | x",
    "(3 rows)",
    "",
  ]);
});

Deno.test("tableWriter: shows each statement in turn, with the tags that psql knows", () => {
  const parts = [
    ...resultOf({ a: int4 }, [["1"]]),
    { kind: "end", command: "CREATE TABLE", count: 0 } as const,
    { kind: "end", command: "INSERT", count: 2 } as const,
    { kind: "end", command: "UPDATE", count: 0 } as const,
    ...resultOf({ a: int4 }, [], "DELETE"),
    ...resultOf({}, [[], []]),
    { kind: "end", command: "", count: 0 } as const,
  ];
  assert.deepEqual(table(...parts), [
    ...["a", "-", "1", "(1 row)", ""],
    ...["CREATE TABLE", "INSERT 0 2", "UPDATE 0", ""],
    ...["a", "-", "(0 rows)", "DELETE 0", ""],
    ...["(2 rows)", ""],
  ]);
});

Deno.test("tableWriter: aligns what is wide, in names and values", () => {
  const parts = resultOf({ 数: int4, 名前: text, "größe": int4, z: text }, [
    ["1", "日本", "5", "a"],
    [null, "größer", "12345678", "b"],
  ]);
  assert.deepEqual(table(...parts), [
    "  数 | 名前   |    größe | z",
    "-----+--------+----------+--",
    "   1 | 日本   |        5 | a",
    "NULL | größer | 12345678 | b",
    "(2 rows)",
    "",
  ]);
});

Deno.test("tableWriter: counts the rows of commands that tell no count", () => {
  const parts = resultOf({ TimeZone: text }, [["UTC"]], "SHOW");
  const end = { kind: "end", command: "SHOW", count: 0 } as const;
  assert.match(written(tableWriter(), [...parts.slice(0, -1), end]), /\n\(1 row\)\n$/);
});

Deno.test("tableWriter: continues lines, and writes what a terminal would obey as escapes", () => {
  const parts = resultOf({ "a\n\x1b[31m": text, n: int4, c: text }, [
    ["x\ny\n", "1", "\x1b]0;title\x07"],
    ["\ttab\r", "2", "1\n2"],
    ["\u202eabc\u009b", "3", "end"],
  ]);
  const lines = table(...parts);
  assert.deepEqual(lines, [
    "a\\n\\x1b[31m   | n | c",
    "--------------+---+-----------------",
    "x            +| 1 | \\x1b]0;title\\x07",
    "y            +|   |",
    "              |   |",
    "\\ttab\\r       | 2 | 1               +",
    "              |   | 2",
    "\\u202eabc\\x9b | 3 | end",
    "(3 rows)",
    "",
  ]);
  // deno-lint-ignore no-control-regex -- none of them may be left
  assert.doesNotMatch(lines.join(""), /[\x00-\x1f\x7f-\x9f]/);
});

Deno.test("tableWriter: writes before all rows have come, and widens a column where it must", () => {
  const writer = tableWriter();
  const rows = Array.from({ length: 600 }, () => ["1", "x"]);
  assert.equal(writer.part({ kind: "columns", columns: columnsOf("n", "t") }), "");
  assert.equal(writer.part({ kind: "rows", rows }), "");
  assert.equal(writer.part({ kind: "rows", rows }).split("\n").length, 1200 + 2 + 1);
  const later = writer.part({ kind: "rows", rows: [["1", "x"], ["12345", "x"], ["1", "x"]] });
  assert.equal(later, "1 | x\n12345 | x\n    1 | x\n");
  assert.equal(writer.part({ kind: "end", command: "SELECT", count: 1203 }), "(1203 rows)\n");
});

Deno.test("tableWriter: holds back no more than a mebibyte, and fills no column up to a long text", () => {
  const writer = tableWriter();
  writer.part({ kind: "columns", columns: columnsOf("n", "t", "u") });
  const long = "x".repeat(600_000);
  assert.equal(writer.part({ kind: "rows", rows: [["1", "x", "u"], ["2", "x", "u"]] }), "");
  const text = writer.part({ kind: "rows", rows: [["3", long, "u"], ["4", long, "u"]] });
  const [, , first = "", , third = ""] = text.split("\n");
  assert.equal(first, `1 | x${" ".repeat(119)} | u`);
  assert.equal(third, `3 | ${long} | u`);
});

function columnsOf(number: string, ...texts: readonly string[]) {
  return [{ name: number, type: int4 }, ...texts.map((name) => ({ name, type: text }))];
}

Deno.test("widthOf: counts columns of a terminal", () => {
  const widths: readonly (readonly [string, number])[] = [
    ["abc", 3],
    ["ünïcode", 7],
    ["u\u0308", 1],
    ["日本語", 6],
    ["ｆｕｌｌ", 8],
    ["한국", 4],
    ["\u1112\u1161\u11ab", 2],
    ["😀", 2],
    ["👩‍👩‍👧", 2],
    ["👍🏽", 2],
    ["🇩🇪", 2],
    ["❤️", 2],
    ["❤", 1],
    ["1️⃣", 2],
    ["a\u200bb", 2],
    ["\u00ad", 1],
    ["café 日本 😀!", 4 + 1 + 1 + 4 + 1 + 2 + 1 - 1],
    ["─│", 2],
    ["𝔘", 1],
    ["𠀀", 2],
  ];
  for (const [value, width] of widths) assert.equal(widthOf(value), width, JSON.stringify(value));
});

Deno.test("harmless: leaves everything that is only seen", () => {
  const seen = "a\\n é 日本 👩‍👩‍👧 \u200f";
  assert.equal(harmless(seen), seen);
});
