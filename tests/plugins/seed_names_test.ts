import assert from "assert";
import { compareBytes, kindOfName, tableOfName } from "../../plugins/seed/names.ts";
import { identifier } from "../../plugins/sql/names.ts";
import { nearest } from "../../plugins/seed/nearest.ts";
import { matcherOf } from "../../plugins/seed/pattern.ts";

Deno.test("kindOfName: knows seed files, what looks like one, and what is none", () => {
  const expected = {
    "010_a.sql": "sql",
    "a.csv": "csv",
    "a.b.jsonl": "jsonl",
    "a.SQL": "lookalike",
    "a.Csv": "lookalike",
    "a.csv.gz": "lookalike",
    "a.sql.zst": "lookalike",
    "010_a.ts": "module",
    "a.b.js": "module",
    "a.mjs": "module",
    "_a.ts": "other",
    "a_test.ts": "other",
    "a.d.ts": "other",
    "a.tsx": "other",
    "a.json": "lookalike",
    "a.ndjson": "lookalike",
    "a.tsv": "lookalike",
    ".a.sql": "other",
    ".a.csv.swp": "other",
    "a.sql~": "other",
    "#a.sql#": "other",
    "a.sql.bak": "other",
    "README.md": "other",
    "sql": "other",
  };
  for (const [name, kind] of Object.entries(expected)) assert.equal(kindOfName(name), kind, name);
});

Deno.test("tableOfName: takes one number off the front and keeps the case", () => {
  const table = (name: string) => {
    const named = tableOfName(name);
    return named && [named.schema, named.table];
  };
  assert.deepEqual(table("models.csv"), [undefined, "models"]);
  assert.deepEqual(table("010_models.csv"), [undefined, "models"]);
  assert.deepEqual(table("20260101000000_Models.jsonl"), [undefined, "Models"]);
  assert.deepEqual(table("010_app.models.csv"), ["app", "models"]);
  assert.deepEqual(table("010_2024_stats.csv"), [undefined, "2024_stats"]);
  assert.deepEqual(table("010-models.csv"), [undefined, "010-models"]);
  assert.deepEqual(table("010_.csv"), [undefined, "010_"]);
  assert.equal(table("a.b.c.csv"), undefined);
  assert.equal(table("010_a..csv"), undefined);
  assert.equal(table("app..csv"), undefined);
});

Deno.test("compareBytes: sorts as UTF-8 does, capitals and short names first", () => {
  const names = ["b", "a10", "a9", "B", "a", "é", "\u{1F600}", "\uFFFD", "a_1", "a-1"];
  assert.deepEqual(names.sort(compareBytes), [
    "B",
    "a",
    "a-1",
    "a10",
    "a9",
    "a_1",
    "b",
    "é",
    "\uFFFD",
    "\u{1F600}",
  ]);
});

Deno.test("identifier: doubles quotes", () => {
  assert.equal(identifier('a"b'), '"a""b"');
});

Deno.test("matcherOf: knows stars, question marks and sets", () => {
  const matches = (pattern: string, text: string) => matcherOf(pattern)(text);
  assert(matches("*.csv", "010_a.csv"));
  assert(!matches("*.csv", "base/010_a.csv"));
  assert(matches("base/*", "base/010_a.csv"));
  assert(matches("**a*", "base/010_a.csv"));
  assert(matches("01?_a.csv", "010_a.csv"));
  assert(!matches("01?_a.csv", "01/_a.csv"));
  assert(matches("01[0-3]_*", "012_a.csv"));
  assert(!matches("01[!0-3]_*", "012_a.csv"));
  assert(matches("01[^0-3]_*", "014_a.csv"));
  assert(!matches("a.csv", "aXcsv"));
  assert(matches("a(1)+{2}|$.sql", "a(1)+{2}|$.sql"));
  assert(matches("a[1", "a[1"));
  assert(matches("[]a]", "]"));
  assert(matches("x[z-a]", "x[z-a]"));
  assert(!matches("", "a"));
});

Deno.test("nearest: finds what was meant, and nothing where nothing is near", () => {
  const names = ["id", "model", "created_at", "Name"];
  assert.equal(nearest("modle", names), "model");
  assert.equal(nearest(" name", names), "Name");
  assert.equal(nearest("createdat", names), "created_at");
  assert.equal(nearest("price", names), undefined);
});
