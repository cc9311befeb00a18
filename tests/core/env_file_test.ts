import assert from "assert";
import { parseEnvFile } from "../../core/env_file.ts";

// Each file's text with the values and lines it gives.
const READ: [text: string, values: Record<string, [value: string, line: number]>][] = [
  ["", {}],
  ["# only a comment\n\n", {}],
  ["A=1", { A: ["1", 1] }],
  ["A=1\nB=2\n", { A: ["1", 1], B: ["2", 2] }],
  ["\uFEFFA=1\r\nB=2\r\n", { A: ["1", 1], B: ["2", 2] }],
  ["A=1\rB=2", { A: ["1", 1], B: ["2", 2] }],
  ["# c\n\n  export A = 1  \n", { A: ["1", 3] }],
  ["A: 1", { A: ["1", 1] }],
  ["A=\nB=2", { A: ["", 1], B: ["2", 2] }],
  ["A=pa$word\nB=\"pa$word${A}\"\nC='$A'", {
    A: ["pa$word", 1],
    B: ["pa$word${A}", 2],
    C: ["$A", 3],
  }],
  ['A=\'a#b\' # c\nB="a # b"\nC=`it\'s "so"`', {
    A: ["a#b", 1],
    B: ["a # b", 2],
    C: [`it's "so"`, 3],
  }],
  ["A=1 # comment", { A: ["1", 1] }],
  ['A="one\ntwo\nB=no"\nB=2', { A: ["one\ntwo\nB=no", 1], B: ["2", 4] }],
  ["A=\"one\\ntwo\"\nB='one\\ntwo'", { A: ["one\ntwo", 1], B: ["one\\ntwo", 2] }],
  ["A=postgres://u:p@h/d?x=y&z=1", { A: ["postgres://u:p@h/d?x=y&z=1", 1] }],
  ["A=a=b==", { A: ["a=b==", 1] }],
  ["A=it's\nB=2", { A: ["it's", 1], B: ["2", 2] }],
];

for (const [text, expected] of READ) {
  Deno.test(`parseEnvFile: reads ${JSON.stringify(text)}`, async () => {
    const { values, warnings } = await parseEnvFile(text, ".env");
    const found = [...values].map(([name, { value, line }]) => [name, [value, line]]);
    assert.deepEqual(Object.fromEntries(found), expected);
    assert.deepEqual(warnings, []);
  });
}

const ODD: [text: string, values: Record<string, string>, warning: string][] = [
  [
    "A=1\nhunter2\nB=2",
    { A: "1", B: "2" },
    'Line 2 of ".env" is not NAME=value and is passed over',
  ],
  ["=hunter2", {}, 'Line 1 of ".env" is not NAME=value and is passed over'],
  ["A=1\n\nA=2", { A: "2" }, '".env" sets A twice: line 3 counts, not line 1'],
  [
    "A=hun#ter2",
    { A: "hun" },
    'The value of A in line 1 of ".env" ends before "#"; put it in quotes if "#" belongs to it',
  ],
  [
    "A=#hunter2",
    { A: "" },
    'The value of A in line 1 of ".env" ends before "#"; put it in quotes if "#" belongs to it',
  ],
  [
    'A="hunter2\nB=2',
    { A: '"hunter2', B: "2" },
    'The value of A in line 1 of ".env" begins with a quote that does not end it',
  ],
];

for (const [text, expected, warning] of ODD) {
  Deno.test(`parseEnvFile: warns about ${JSON.stringify(text)} without repeating it`, async () => {
    const { values, warnings } = await parseEnvFile(text, ".env");
    const found = [...values].map(([name, { value }]) => [name, value]);
    assert.deepEqual(Object.fromEntries(found), expected);
    assert.deepEqual(warnings, [warning]);
  });
}

Deno.test("parseEnvFile: gives the line that counts where a name stands twice", async () => {
  const { values } = await parseEnvFile("A=1\nA=2", ".env");
  assert.deepEqual(values.get("A"), { value: "2", line: 2 });
});
