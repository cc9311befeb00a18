import assert from "assert";
import {
  type CsvRecord,
  findEndRecord,
  findRecord,
  headerColumns,
  readHeader,
  RecordScanner,
} from "../../plugins/seed/csv.ts";
import { FileFault } from "../../plugins/seed/fault.ts";

/** A text in chunks of some size. */
async function* chunked(text: string, size = 1 << 20): AsyncGenerator<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length; at += size) {
    yield await Promise.resolve(bytes.subarray(at, at + size));
  }
}

/** Where the records of a text begin, as [line, COPY's line]. */
function recordsOf(text: string, size: number): [line: number, copyLine: number][] {
  const scanner = new RecordScanner();
  const found: CsvRecord[] = [];
  const bytes = new TextEncoder().encode(text);
  for (let start = 0; start < bytes.length; start += size) {
    const chunk = bytes.subarray(start, start + size);
    for (let at = scanner.next(chunk, 0); at >= 0; at = scanner.next(chunk, at)) {
      found.push(scanner.record);
    }
  }
  if (scanner.finish()) found.push(scanner.record);
  return found.map(({ line, copyLine }) => [line, copyLine]);
}

Deno.test("RecordScanner: finds records by every kind of line end, however chunks are cut", () => {
  const cases: [text: string, records: [number, number][]][] = [
    ["a\n1\n2\n", [[1, 0], [2, 1], [3, 2]]],
    ["a\n1\n2", [[1, 0], [2, 1], [3, 2]]],
    ["a\r\n1\r\n2\r\n", [[1, 0], [2, 1], [3, 2]]],
    ["a\r1\r2\r", [[1, 0], [2, 1], [3, 2]]],
    ["a\r1\r2", [[1, 0], [2, 1], [3, 2]]],
    ["a\n\n\n2\n", [[1, 0], [2, 1], [3, 2], [4, 3]]],
    // COPY does not count the line feeds in quotes of its first record.
    ['a\n"1\n1"\n2\n"3\n\n"\n4\n', [[1, 0], [2, 1], [4, 2], [5, 5], [8, 6]]],
    ['a\r\n"1\r\n1"\r\n2\r\n"3\r\n"\r\n4', [[1, 0], [2, 2], [4, 3], [5, 5], [7, 6]]],
    // Line feeds in quotes are lines for every editor, but not for COPY.
    ['a\r\n"1\n1"\r\n2\r\n', [[1, 0], [2, 1], [4, 2]]],
    ['"a\nb"\n1\n', [[1, 0], [3, 1]]],
    ['a\n1"x\ny"2,"""\n"""\n3\n', [[1, 0], [2, 1], [5, 2]]],
    ["a\n1\rx\n2\n", [[1, 0], [2, 1], [3, 2]]],
    ["", []],
  ];
  for (const [text, records] of cases) {
    for (const size of [1, 2, 3, 5, 100]) {
      assert.deepEqual(recordsOf(text, size), records, JSON.stringify([text, size]));
    }
  }
});

Deno.test("readHeader: gives the columns and exactly what comes after them", async () => {
  const cases: [text: string, columns: string[], rest: string][] = [
    ["id,name\n1,2\n3,4", ["id", "name"], "1,2\n3,4"],
    ["id,name\r\n1,2\r\n", ["id", "name"], "1,2\r\n"],
    ["id,name\r1,2\r", ["id", "name"], "1,2\r"],
    ['"id","a ""b"", c"\n\n', ["id", 'a "b", c'], "\n"],
    ['"two\nlines",x\n1,2', ["two\nlines", "x"], "1,2"],
    ["é,\u{1F600}\n1,2\n", ["é", "\u{1F600}"], "1,2\n"],
    ["id", ["id"], ""],
    ["id\n", ["id"], ""],
  ];
  for (const [text, columns, expected] of cases) {
    for (const size of [1, 2, 3, 7, 100]) {
      const contents = await readHeader(chunked(text, size));
      const rest = await new Response(ReadableStream.from(contents.rest)).text();
      assert.deepEqual([contents.columns, rest], [columns, expected], JSON.stringify([text, size]));
    }
  }
});

Deno.test("readHeader: refuses headers that name no columns, or do not end", async () => {
  const cases: [string, RegExp][] = [
    ["", /header that names the columns is missing/],
    ["\n1\n", /is missing/],
    ["id,,x\n", /column 2 of the header has no name/],
    ["id,\n", /column 2 of the header/],
    ["id,x,id\n", /names column "id" twice/],
    ['id,"x\n1,2\n', /a quote in it is not closed/],
    [`id,"${"x".repeat(2 << 20)}`, /a quote in it is not closed/],
  ];
  for (const [text, message] of cases) {
    await assert.rejects(readHeader(chunked(text, 100_000)), (error) => {
      assert(error instanceof FileFault);
      assert.match(error.message, message);
      assert.deepEqual(error.place, { line: 1 });
      return true;
    });
  }
});

Deno.test("headerColumns: keeps spaces and case", () => {
  assert.deepEqual(headerColumns("Id, name"), ["Id", " name"]);
});

Deno.test("findRecord: finds by number and by COPY's line, and tells when there is none", async () => {
  const text = 'a,b\n1,"x\ny"\n2,z\n';
  const line = async (wanted: (record: CsvRecord) => boolean) =>
    (await findRecord(chunked(text, 3), wanted))?.line;
  assert.equal(await line(({ ordinal }) => ordinal === 2), 4);
  assert.equal(await line(({ copyLine }) => copyLine === 2), 4);
  assert.equal(await line(({ ordinal }) => ordinal === 3), undefined);
});

Deno.test("findEndRecord: finds a record that is the mark alone, not one in quotes", async () => {
  const cases: [text: string, line: number | undefined][] = [
    ["a\n1\n\\.\n2\n", 3],
    ["a\n\\.", 2],
    ["a\r\n1\r\n\\.\r\n", 3],
    ["a\r1\r\\.\r2", 3],
    ['a\n"x\n\\.\n"\n', undefined],
    ['a\n"\\."\n', undefined],
    ["a\n\\.x\n", undefined],
    ["a\nx\\.\n", undefined],
    ["\\.\n1\n", undefined],
    ['a\n"x\n"\n\\.\n', 4],
  ];
  for (const [text, line] of cases) {
    for (const size of [1, 2, 3, 100]) {
      assert.equal(await findEndRecord(chunked(text, size)), line, JSON.stringify([text, size]));
    }
  }
});
