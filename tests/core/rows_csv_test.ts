import assert from "assert";
import { csvWriter } from "../../core/rows/csv.ts";
import { resultOf, TYPE, written } from "./rows_parts.ts";

const { int4, text } = TYPE;

Deno.test("csvWriter: quotes what would be read as something else, and only that", () => {
  const parts = resultOf({ 'na"me': text, "b,": text, c: text }, [
    ["plain text", " spaces ", "ünï"],
    ['a "quoted" one', "a,b", "two\nlines"],
    [null, "", "carriage\rreturn"],
    ["\\.", "\\N", "'"],
    ["=1+1", "NULL", "t"],
  ]);
  assert.equal(
    written(csvWriter(), parts),
    '"na""me","b,",c\n' +
      "plain text, spaces ,ünï\n" +
      '"a ""quoted"" one","a,b","two\nlines"\n' +
      ',"","carriage\rreturn"\n' +
      `"\\.",\\N,'\n` +
      "=1+1,NULL,t\n",
  );
});

Deno.test("csvWriter: parts results by an empty line, and passes over what has no rows", () => {
  const parts = [
    { kind: "end", command: "CREATE TABLE", count: 0 } as const,
    ...resultOf({ a: int4 }, [["1"]]),
    { kind: "end", command: "UPDATE", count: 7 } as const,
    ...resultOf({ b: int4, c: int4 }, []),
  ];
  assert.equal(written(csvWriter(), parts), "a\n1\n\nb,c\n");
});
