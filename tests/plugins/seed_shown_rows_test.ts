import assert from "assert";
import type { RowPart } from "../../core/plugin.ts";
import { asLines, asObjects, lastRows } from "../../plugins/seed/shown_rows.ts";

const columns = (...names: string[]): RowPart => ({
  kind: "columns",
  columns: names.map((name) => ({ name, type: 25 })),
});
const rows = (...rows: (string | null)[][]): RowPart => ({ kind: "rows", rows });
const end: RowPart = { kind: "end", command: "SELECT", count: 0 };

function last(...parts: RowPart[]) {
  return lastRows(ReadableStream.from(parts));
}

Deno.test("lastRows: keeps what the last statement gives", async () => {
  const shown = await last(
    columns("x"),
    rows(["0"]),
    end,
    columns("a", "b"),
    rows(["1", null]),
    end,
  );
  assert.deepEqual(shown, { columns: ["a", "b"], rows: [["1", null]], more: 0 });
  assert.equal(await last(columns("x"), rows(["0"]), end, end), undefined);
  assert.equal(await last(columns("x"), end), undefined);
  assert.equal(await last(), undefined);
});

Deno.test("lastRows: keeps a thousand rows and counts the others", async () => {
  const batch = Array.from({ length: 700 }, (_, index) => [String(index)]);
  const shown = await last(columns("n"), rows(...batch), rows(...batch), rows(...batch), end);
  assert.equal(shown?.rows.length, 1000);
  assert.equal(shown?.more, 1100);
  assert.equal(asLines({ columns: ["n"], rows: [["1"]], more: 1100 }).at(-1), "(1100 more)");
});

Deno.test("asLines: aligns columns, and keeps each row in one line", () => {
  assert.deepEqual(
    asLines({ columns: ["id", "key"], rows: [["10", "a\nb"], ["1", null]], more: 0 }),
    [
      "id  key",
      "10  a\\nb",
      "1",
    ],
  );
});

Deno.test("asObjects: names the values", () => {
  assert.deepEqual(asObjects({ columns: ["id", "key"], rows: [["1", null]], more: 0 }), [
    { id: "1", key: null },
  ]);
});
