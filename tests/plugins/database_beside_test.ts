import assert from "assert";
import fc from "fast-check";
import { commentOf, type Mark, markOf, nameOf, newMark } from "../../plugins/database/beside.ts";

const NOW = Date.parse("2026-11-26T22:01:05.123Z");

function mark(known: Partial<Mark> = {}): Mark {
  return newMark({ now: () => NOW }, { kind: "before", database: "shop", ...known });
}

Deno.test("beside: names tell what it is of which database, and since when", () => {
  const made = mark();
  assert.match(nameOf(made), /^shop_before_20261126t2201_[0-9a-f]{4}$/);
  assert.equal(made.at, "2026-11-26T22:01:05.123Z");
});

Deno.test("beside: any name and comment come back from a database's name and comment", () => {
  const text = fc.string({ unit: "binary", maxLength: 40 }).map((each) =>
    each.replaceAll("\0", "")
  );
  fc.assert(
    fc.property(text, fc.option(text), fc.boolean(), (database, comment, open) => {
      const made = mark({ database, comment, open });
      const name = nameOf(made);
      assert.ok(new TextEncoder().encode(name).length <= 63, name);
      const written = commentOf(made);
      assert.match(written, /^[\x20-\x7e]+$/);
      assert.deepEqual(markOf(name, written), made);
    }),
  );
});

Deno.test("beside: neither the name alone nor the comment alone makes it ours", () => {
  const made = mark();
  const name = nameOf(made);
  const comment = commentOf(made);
  assert.equal(markOf(`${name}x`, comment), undefined);
  assert.equal(markOf("shop", comment), undefined);
  for (
    const other of [
      null,
      "",
      "Kept by observatory",
      comment.slice(0, -1),
      comment.replace('"open":true', '"open":1'),
      comment.replace('"before"', '"toString"'),
      comment.replace('"shop"', '"shop2"'),
      `x ${comment}`,
    ]
  ) assert.equal(markOf(name, other), undefined, String(other));
});
