import assert from "assert";
import { sha384 } from "../../plugins/migrate/contents.ts";
import { cosmeticChange } from "../../plugins/migrate/cosmetic.ts";

function changeBetween(present: string, applied: string): string[] | undefined {
  const encoder = new TextEncoder();
  return cosmeticChange(encoder.encode(present), sha384(encoder.encode(applied)));
}

Deno.test("cosmeticChange: finds other line ends in both directions", () => {
  assert.deepEqual(changeBetween("a;\r\nb;\r\n", "a;\nb;\n"), ["line endings"]);
  assert.deepEqual(changeBetween("a;\nb;\n", "a;\r\nb;\r\n"), ["line endings"]);
  assert.deepEqual(changeBetween("a;\r\nb;\n", "a;\r\nb;\r\n"), ["line endings"]);
});

Deno.test("cosmeticChange: finds a final line feed that came or went", () => {
  assert.deepEqual(changeBetween("a;", "a;\n"), ["final line feed"]);
  assert.deepEqual(changeBetween("a;\n\n\n", "a;"), ["final line feed"]);
  assert.deepEqual(changeBetween("a;", "a;\r\n"), ["final line feed"]);
});

Deno.test("cosmeticChange: finds a byte order mark that came or went, and several changes at once", () => {
  assert.deepEqual(changeBetween("\ufeffa;\n", "a;\n"), ["byte order mark"]);
  assert.deepEqual(changeBetween("a;\n", "\ufeffa;\n"), ["byte order mark"]);
  assert.deepEqual(changeBetween("a;\nb;", "\ufeffa;\r\nb;\r\n"), [
    "line endings",
    "final line feed",
    "byte order mark",
  ]);
});

Deno.test("cosmeticChange: takes no other change for one of form", () => {
  for (const present of ["a; ", "A;\n", "a;\n\nb;", "a;\rb;\n", "", "-- \na;\n"]) {
    assert.equal(changeBetween(present, "a;\n"), undefined, JSON.stringify(present));
  }
});
