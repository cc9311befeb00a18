import assert from "assert";
import { envelopeWriter } from "../../core/rows/envelope.ts";
import { jsonRowWriter } from "../../core/rows/json.ts";
import { typeName } from "../../core/rows/types.ts";
import { compactJson, jsonWriter } from "../../core/rows/values.ts";
import { resultOf, TYPE, written } from "./rows_parts.ts";

const { int4, text } = TYPE;

function writer(lines: boolean) {
  const warnings: string[] = [];
  return { writer: jsonRowWriter({ lines, warn: (line) => warnings.push(line) }), warnings };
}

Deno.test("jsonWriter: writes numbers where a double keeps them, and strings where not", () => {
  const values: readonly (readonly [keyof typeof TYPE, string, string])[] = [
    ["bool", "t", "true"],
    ["bool", "f", "false"],
    ["int4", "-2147483648", "-2147483648"],
    ["int8", "9007199254740991", "9007199254740991"],
    ["int8", "-9007199254740991", "-9007199254740991"],
    ["int8", "9007199254740993", '"9007199254740993"'],
    ["int8", "-9223372036854775808", '"-9223372036854775808"'],
    ["float8", "0.1", "0.1"],
    ["float8", "1e+20", "1e+20"],
    ["float8", "-0", "-0"],
    ["float8", "1.7976931348623157e+308", "1.7976931348623157e+308"],
    ["float8", "NaN", '"NaN"'],
    ["float8", "-Infinity", '"-Infinity"'],
    ["numeric", "1.50", "1.50"],
    ["numeric", "0.00000000000000000000", "0.00000000000000000000"],
    ["numeric", "123456789012345.00000", "123456789012345.00000"],
    ["numeric", "0.0000000000001234567890", "0.0000000000001234567890"],
    ["numeric", "9007199254740991", "9007199254740991"],
    ["numeric", "9007199254740993", '"9007199254740993"'],
    ["numeric", "0.1234567890123456", '"0.1234567890123456"'],
    ["numeric", "1000000000000000000000", "1000000000000000000000"],
    ["numeric", `1${"0".repeat(400)}`, `"1${"0".repeat(400)}"`],
    ["numeric", `0.${"0".repeat(400)}1`, `"0.${"0".repeat(400)}1"`],
    ["numeric", "NaN", '"NaN"'],
    ["numeric", "Infinity", '"Infinity"'],
    ["text", 'a "b"\n\\\u2028', JSON.stringify('a "b"\n\\\u2028')],
    ["enumeration", "{1}", '"{1}"'],
  ];
  for (const [type, value, json] of values) {
    assert.equal(jsonWriter(TYPE[type])(value), json, `${type} ${value}`);
  }
});

Deno.test("jsonWriter: a number read as a double gives the digits that it was written with", () => {
  const write = jsonWriter(TYPE.numeric);
  for (let round = 0; round < 2000; round++) {
    const digits = Array.from({ length: 1 + round % 30 }, () => Math.floor(Math.random() * 10));
    const at = Math.floor(Math.random() * digits.length);
    const value = `${digits.slice(0, at).join("").replace(/^0+/, "") || "0"}.${
      digits.slice(at).join("")
    }`;
    const json = write(value);
    if (json.startsWith('"')) assert.equal(JSON.parse(json), value);
    else assert.equal(normal(expanded(JSON.parse(json))), normal(value), value);
  }
});

/** A number's digits, without an exponent. */
function expanded(number: number): string {
  const [mantissa = "", exponent] = String(number).split("e-");
  if (exponent === undefined) return mantissa;
  return `0.${"0".repeat(Number(exponent) - 1)}${mantissa.replace(".", "")}`;
}

function normal(digits: string): string {
  return digits.includes(".") ? digits.replace(/0+$/, "").replace(/\.$/, "") : digits;
}

Deno.test("jsonWriter: arrays nest, with quotes, NULL and other lower bounds", () => {
  const arrays: readonly (readonly [keyof typeof TYPE, string, unknown])[] = [
    ["int4Array", "{}", []],
    ["int4Array", "{1,NULL,-3}", [1, null, -3]],
    ["int4Array", "[0:1][-1:0]={{1,2},{3,4}}", [[1, 2], [3, 4]]],
    ["numericArray", "{1.5,NaN,0.12345678901234567}", [1.5, "NaN", "0.12345678901234567"]],
    ["textArray", '{a,"b c","","NULL",NULL,"null"}', ["a", "b c", "", "NULL", null, "null"]],
    ["textArray", '{"\\"","\\\\","{",",","\\\\\\""}', ['"', "\\", "{", ",", '\\"']],
    ["textArray", '{"two\nlines",日本}', ["two\nlines", "日本"]],
    ["jsonArray", '{"{\\"a\\": [1, 2]}",null,NULL}', [{ a: [1, 2] }, null, null]],
    ["boxArray", "{(1,1),(0,0);(2,2),(1,1)}", ["(1,1),(0,0)", "(2,2),(1,1)"]],
  ];
  for (const [type, value, expected] of arrays) {
    assert.deepEqual(JSON.parse(jsonWriter(TYPE[type])(value)), expected, value);
  }
});

Deno.test("compactJson: takes out white space between tokens, and leaves digits and strings", () => {
  const given = '{\n "a" : [ 1.00, 1e400 , 12345678901234567890 ],\t"b \\" c" : " \\\\" , "": {} }';
  assert.equal(
    compactJson(given),
    '{"a":[1.00,1e400,12345678901234567890],"b \\" c":" \\\\","":{}}',
  );
  const large = JSON.stringify({ text: "x y ".repeat(500_000) });
  assert.equal(compactJson(`\n${large}`), large);
});

Deno.test("jsonRowWriter: an array for each result, an object on each line", () => {
  const parts = [
    ...resultOf({ a: int4, b: text }, [["1", null], ["2", "x"]]),
    { kind: "end", command: "UPDATE", count: 1 } as const,
    ...resultOf({ a: int4 }, []),
  ];
  const objects = '{"a":1,"b":null}', second = '{"a":2,"b":"x"}';
  assert.equal(written(writer(false).writer, parts), `[\n${objects},\n${second}\n]\n[]\n`);
  assert.equal(written(writer(true).writer, parts), `${objects}\n${second}\n`);
});

Deno.test("jsonRowWriter: columns of the same name get names of their own, with a warning", () => {
  const { writer: ndjson, warnings } = writer(true);
  const names = ["a", "a", "a_2", "a", "__proto__"];
  const columns = names.map((name) => ({ name, type: int4 }));
  const text = written(ndjson, [
    { kind: "columns", columns },
    { kind: "rows", rows: [["1", "2", "3", "4", "5"]] },
  ]);
  assert.equal(text, '{"a":1,"a_3":2,"a_2":3,"a_4":4,"__proto__":5}\n');
  assert.equal(warnings.length, 2);
});

Deno.test("envelopeWriter: can be closed after any part, and is an object then", () => {
  const parts = [
    ...resultOf({ a: int4, a_array: TYPE.int4Array, e: TYPE.enumeration }, [
      ["1", "{1}", "x"],
      ["2", null, null],
    ]),
    { kind: "end", command: "CREATE TABLE", count: 0 } as const,
    ...resultOf({ a: int4 }, [], "SHOW"),
  ];
  for (let count = 0; count <= parts.length; count++) {
    const envelope = envelopeWriter("exec");
    const text = `${written(envelope, parts.slice(0, count))}${envelope.close()}"ok":true}`;
    const { command, results, ok } = JSON.parse(text);
    assert.deepEqual([command, ok], ["exec", true]);
    const finished = results.filter((result: object) => "command" in result).length;
    assert.equal(finished, parts.slice(0, count).filter(({ kind }) => kind === "end").length);
    if (count < parts.length) continue;
    assert.deepEqual(results, [
      {
        columns: [
          { name: "a", type: "int4" },
          { name: "a_array", type: "int4[]" },
          { name: "e", type: "16400" },
        ],
        rows: [[1, [1], "x"], [2, null, null]],
        command: "SELECT",
        count: 2,
      },
      { command: "CREATE TABLE", count: 0 },
      { columns: [{ name: "a", type: "int4" }], rows: [], command: "SHOW", count: 0 },
    ]);
  }
});

Deno.test("typeName: knows the types and their arrays", () => {
  assert.deepEqual([1184, 1185, 3802, 2950, 99999].map(typeName), [
    ...["timestamptz", "timestamptz[]", "jsonb", "uuid", "99999"],
  ]);
});
