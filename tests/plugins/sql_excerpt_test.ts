import assert from "assert";
import { excerpt } from "../../plugins/sql/excerpt.ts";

function show(text: string, mark = "^"): ReturnType<typeof excerpt> {
  const position = Array.from(text.slice(0, text.indexOf(mark))).length + 1;
  return excerpt({ text: text.replace(mark, ""), position });
}

Deno.test("excerpt: shows two lines before the line in question and a caret under the column", () => {
  assert.deepEqual(show("one\ntwo\nthree\nselect ^nope;\nfive"), {
    line: 4,
    column: 8,
    lines: ["2 | two", "3 | three", "4 | select nope;", "  |        ^"].join("\n"),
  });
  assert.equal(show("a\nb\nc\nd^").lines, ["2 | b", "3 | c", "4 | d", "  |  ^"].join("\n"));
  assert.equal(
    excerpt({ text: "a\nb\nc", position: 5, context: 0 }).lines,
    ["3 | c", "  | ^"].join("\n"),
  );
});

Deno.test("excerpt: finds places at the edges of lines and of the text", () => {
  assert.deepEqual(show("^x"), { line: 1, column: 1, lines: "1 | x\n  | ^" });
  assert.deepEqual(show("^"), { line: 1, column: 1, lines: "1 |\n  | ^" });
  assert.deepEqual(show("^\nx"), { line: 1, column: 1, lines: "1 |\n  | ^" });
  assert.deepEqual(show("\n^x"), { line: 2, column: 1, lines: "1 |\n2 | x\n  | ^" });
  assert.deepEqual(show("\n\n^"), { line: 3, column: 1, lines: "1 |\n2 |\n3 |\n  | ^" });
  assert.deepEqual(show("ab^\r\nc"), { line: 1, column: 3, lines: "1 | ab\n  |   ^" });
  const beyond = excerpt({ text: "ab", position: 9 });
  assert.deepEqual(beyond, { line: 1, column: 3, lines: "1 | ab\n  |   ^" });
});

Deno.test("excerpt: counts lines and columns from where the text stands in its file", () => {
  const options = { text: "select a,\n b", firstLine: 99, firstColumn: 5 };
  assert.deepEqual(excerpt({ ...options, position: 8 }), {
    line: 99,
    column: 12,
    lines: "99 | select a,\n   |        ^",
  });
  assert.deepEqual(excerpt({ ...options, position: 12 }), {
    line: 100,
    column: 2,
    lines: " 99 | select a,\n100 |  b\n    |  ^",
  });
});

Deno.test("excerpt: counts positions in code points and draws by width", () => {
  assert.deepEqual(show("'é\u{1F600}漢字' ^x"), {
    line: 1,
    column: 8,
    lines: `1 | 'é\u{1F600}漢字' x\n  | ${" ".repeat(10)}^`,
  });
  assert.equal(show("e\u0301 ^x").lines, "1 | e\u0301 x\n  |   ^");
});

Deno.test("excerpt: keeps tabs below tabs", () => {
  assert.equal(show("\ta\t^x").lines, "1 | \ta\tx\n  | \t \t^");
});

Deno.test("excerpt: shows control characters as signs", () => {
  assert.equal(show("'\u001b[2J' ^x").lines, "1 | '\uFFFD[2J' x\n  |        ^");
});

Deno.test("excerpt: cuts long lines to what is around the caret", () => {
  for (const character of ["a", "漢", "\u{1F600}"]) {
    for (const [before, after] of [[1000, 1000], [0, 1000], [1000, 0], [100, 61], [1e6, 1e6]]) {
      const text = `${character.repeat(before!)}^${character.repeat(after!)}`;
      const { column, lines } = show(text);
      assert.equal(column, before! + 1);
      const [line = "", caret = ""] = lines.split("\n");
      const columns = (shown: string) =>
        Array.from(shown.slice(4)).reduce((sum, c) => sum + (/[\u2026 ^a]/.test(c) ? 1 : 2), 0);
      assert.ok(columns(line) <= 162, `${columns(line)} columns`);
      assert.ok(columns(caret) <= columns(line) + 1, "the caret is under the line");
      assert.equal(line.startsWith("1 | …"), before! > 0);
      assert.ok(columns(line) > 150, "the width is used");
    }
  }
  const short = "x".repeat(160);
  assert.equal(
    show(`${short.slice(0, 80)}^${short.slice(80)}`).lines.split("\n")[0],
    `1 | ${short}`,
  );
});
