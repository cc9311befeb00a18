import assert from "assert";
import { suggest } from "../../core/suggest.ts";

const COMMANDS = ["migrate", "migrate status", "migrate rollback", "backup", "restore", "sql"];

Deno.test("suggest: one slip of each kind is forgiven", () => {
  for (const slip of ["migate", "miigrate", "migrste", "mirgate", "MIGRATE"]) {
    assert.equal(suggest(slip, COMMANDS), "migrate", slip);
  }
});

Deno.test("suggest: a third of the letters may be wrong, and never more than three", () => {
  assert.equal(suggest("migrate stts", COMMANDS), "migrate status");
  assert.equal(suggest("bckp", COMMANDS), undefined);
  assert.equal(suggest("bakcp", COMMANDS), undefined);
  assert.equal(suggest("migrate rxxxxack", COMMANDS), undefined);
});

Deno.test("suggest: a short word may be one letter off", () => {
  assert.equal(suggest("sq", COMMANDS), "sql");
  assert.equal(suggest("sqll", COMMANDS), "sql");
  assert.equal(suggest("s", COMMANDS), undefined);
});

Deno.test("suggest: a swap of neighbours is one edit, not two", () => {
  assert.equal(suggest("qsl", COMMANDS), "sql");
});

Deno.test("suggest: the nearest wins, and among equals the first", () => {
  assert.equal(suggest("confix", ["config", "confi"]), "config");
  assert.equal(suggest("restorf", ["restart", "restore"]), "restore");
  assert.equal(suggest("abcx", ["abcd", "abce"]), "abcd");
});

Deno.test("suggest: nothing is near where nothing is like it", () => {
  assert.equal(suggest("quokka", COMMANDS), undefined);
  assert.equal(suggest("", COMMANDS), undefined);
  assert.equal(suggest("migrate", []), undefined);
});
