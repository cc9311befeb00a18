import assert from "assert";
import { createRedactor } from "../../core/redact.ts";

const redact = (secrets: string[], text: string, publicNames: string[] = []) => {
  const redactor = createRedactor();
  for (const secret of secrets) redactor.add(secret);
  for (const name of publicNames) redactor.addPublicName(name);
  return redactor.text(text);
};

const CASES: [what: string, secrets: string[], text: string, expected: string][] = [
  ["leaves text alone when it knows nothing", [], "password=x", "password=x"],
  ["ignores an empty secret", [""], "abc", "abc"],
  ["masks a long secret everywhere", ["correct-horse"], "xcorrect-horsex!", "x********x!"],
  ["masks each occurrence", ["correct-horse"], "correct-horse correct-horse", "******** ********"],
  [
    "masks a short secret as a whole word",
    ["hunter2"],
    "hunter2: 'hunter2'",
    "********: '********'",
  ],
  [
    "leaves words that hold a short secret",
    ["test"],
    "test_a.sql attest test",
    "test_a.sql attest ********",
  ],
  ["masks a short secret of other characters anywhere", ["a$b"], "a$b", "********"],
  [
    "masks a tiny secret where a password stands",
    ["pg"],
    "pg postgres://u:pg@h password=pg",
    "pg postgres://u:********@h password=********",
  ],
  [
    "masks the usual password only where a password stands",
    ["postgres"],
    `postgres://postgres:postgres@h/postgres {"password":"postgres"} PGPASSWORD='postgres'`,
    `postgres://postgres:********@h/postgres {"password":"********"} PGPASSWORD='********'`,
  ],
  [
    "takes the longer of two secrets that begin alike",
    ["hunter2x", "hunter2xyz"],
    "hunter2xyz hunter2x",
    "******** ********",
  ],
  [
    "masks the percent-encoded form",
    ["p@ss w/rd"],
    "p%40ss%20w%2Frd p%40ss%20w%2frd",
    "******** ********",
  ],
  ["masks the form in a string of JSON", ['a"b\\c\nd'], JSON.stringify('a"b\\c\nd'), '"********"'],
  [
    "masks the form in a literal of SQL",
    ["it's secret"],
    "PASSWORD 'it''s secret'",
    "PASSWORD '********'",
  ],
  [
    "takes the characters of patterns literally",
    ["a.*b[c]$(d)|^-/"],
    "a.*b[c]$(d)|^-/ axxb",
    "******** axxb",
  ],
  ["masks a secret that is not well-formed text", ["abcdefgh\ud800"], "abcdefgh\ud800", "********"],
];

for (const [what, secrets, text, expected] of CASES) {
  Deno.test(`createRedactor: ${what}`, () => assert.equal(redact(secrets, text), expected));
}

Deno.test("createRedactor: treats a password that equals a public name as one", () => {
  const text = "app@db postgres://app:app@db";
  assert.equal(redact(["app"], text, ["app"]), "app@db postgres://app:********@db");
});

Deno.test("createRedactor: takes in secrets after text was masked", () => {
  const redactor = createRedactor();
  redactor.add("first-secret");
  assert.equal(redactor.text("first-secret second-secret"), "******** second-secret");
  redactor.add("second-secret");
  assert.equal(redactor.text("first-secret second-secret"), "******** ********");
});
