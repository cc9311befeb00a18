import assert from "assert";
import fc from "fast-check";
import { inDropOrder } from "../../plugins/restore/drop_order.ts";

const entry = (id: number, kind: string, ...dependencies: number[]) => ({ id, kind, dependencies });

const PARTITIONED = [
  entry(1, "TABLE"),
  entry(2, "TABLE"),
  entry(3, "TABLE"),
  entry(4, "TABLE"),
  entry(10, "CONSTRAINT", 1),
  entry(11, "COMMENT", 10),
  entry(12, "CONSTRAINT", 2, 10),
  entry(13, "INDEX", 4),
  entry(14, "CONSTRAINT", 3, 12, 12),
  entry(15, "INDEX ATTACH", 12, 10),
  entry(16, "FK CONSTRAINT", 10, 12),
];

const idsOf = (entries: readonly { readonly id: number }[]) => entries.map(({ id }) => id);

Deno.test("inDropOrder: indexes of partitions, and of theirs, before those of their tables", () => {
  assert.deepEqual(idsOf(inDropOrder(PARTITIONED)), [1, 2, 3, 4, 14, 12, 10, 11, 13, 15, 16]);
});

Deno.test("inDropOrder: an index that needs something later stays, with its table's", () => {
  const entries = [
    ...PARTITIONED.slice(0, 8),
    entry(20, "FUNCTION", 10),
    entry(14, "INDEX", 12, 20),
  ];
  assert.deepEqual(inDropOrder(entries), entries);
});

Deno.test("inDropOrder: the same entries, and all others in their order", () => {
  const kinds = fc.constantFrom("TABLE", "INDEX", "CONSTRAINT", "INDEX ATTACH", "TRIGGER");
  const any = fc.array(fc.tuple(kinds, fc.array(fc.nat(19), { maxLength: 2 })), { maxLength: 20 });
  fc.assert(fc.property(any, (made) => {
    // What an entry needs comes before it.
    const entries = made.map(([kind, needs], id) =>
      entry(id, kind, ...needs.filter((need) => need < id))
    );
    const ordered = inDropOrder(entries);
    assert.deepEqual(idsOf(ordered).toSorted((a, b) => a - b), idsOf(entries));
    const others = (all: typeof entries) =>
      idsOf(all.filter(({ kind }) => kind !== "INDEX" && kind !== "CONSTRAINT"));
    assert.deepEqual(others([...ordered]), others(entries));
  }));
});
