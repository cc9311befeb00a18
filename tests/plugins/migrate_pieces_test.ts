import assert from "assert";
import { createHash } from "node:crypto";
import { ByteQueue } from "../../plugins/sql/byte_queue.ts";
import { sha384 } from "../../plugins/migrate/contents.ts";
import { readPieces } from "../../plugins/sql/pieces.ts";
import { ScriptRules } from "../../plugins/migrate/rules.ts";

const decoder = new TextDecoder();

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function chunksOf(bytes: Uint8Array, size: number): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.slice(at, at + size));
  return chunks;
}

async function cut(sql: string, { chunk = 7, piece = 0, noTransaction = false } = {}) {
  const rules = new ScriptRules(noTransaction);
  const hash = createHash("sha384");
  let begin: string | undefined;
  const pieces: [text: string, line: number, column: number][] = [];
  const stream = ReadableStream.from(chunksOf(bytesOf(sql), chunk));
  const options = {
    rules,
    hash,
    bytes: piece,
    onBegin: (text: Uint8Array) => begin = decoder.decode(text),
  };
  for await (const { bytes, line, column } of readPieces(stream, options)) {
    pieces.push([decoder.decode(bytes), line, column]);
  }
  return { pieces, rules, begin, checksum: new Uint8Array(hash.digest()) };
}

Deno.test("ByteQueue: gives ranges across chunks and forgets what lies before", () => {
  const queue = new ByteQueue();
  for (const chunk of ["ab", "", "cde", "f"]) queue.push(bytesOf(chunk));
  assert.equal(decoder.decode(queue.take(1, 4)), "bcd");
  assert.equal(decoder.decode(queue.take(4, 4)), "");
  queue.push(bytesOf("gh"));
  queue.drop(5);
  assert.equal(decoder.decode(queue.take(5, 8)), "fgh");
  assert.throws(() => queue.take(8, 9), RangeError);
});

Deno.test("readPieces: gives each statement with its place, whatever the chunks are", async () => {
  const sql = "-- ä\nSELECT 1;  SELECT 'ö;';\n\nINSERT INTO t\n VALUES (1);\nSELECT 3";
  for (const chunk of [1, 2, 3, 7, 1000]) {
    const { pieces, checksum } = await cut(sql, { chunk });
    assert.deepEqual(pieces, [
      ["SELECT 1;", 2, 1],
      ["SELECT 'ö;';", 2, 12],
      ["INSERT INTO t\n VALUES (1);", 4, 1],
      ["SELECT 3", 6, 1],
    ], `in chunks of ${chunk}`);
    assert.deepEqual(checksum, sha384(bytesOf(sql)));
  }
});

Deno.test("readPieces: puts statements together up to the size asked for, and ends pieces where they end", async () => {
  const sql = Array.from({ length: 100 }, (_, index) => `SELECT ${index};\n`).join("");
  const { pieces } = await cut(sql, { chunk: 64, piece: 200 });
  assert.ok(pieces.length > 1);
  assert.equal(pieces.map(([text]) => text + "\n").join(""), sql);
  for (const [text] of pieces.slice(0, -1)) assert.ok(text.length >= 200 && text.length < 220);
});

Deno.test("readPieces: leaves out the file's own transaction and hands over its BEGIN", async () => {
  const { pieces, begin } = await cut(
    "BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT 1;\nSELECT 2;\nCOMMIT;\n",
    { piece: 1000 },
  );
  assert.deepEqual(pieces, [["SELECT 1;\nSELECT 2;", 2, 1]]);
  assert.equal(begin, "BEGIN ISOLATION LEVEL REPEATABLE READ;");
});

Deno.test("readPieces: reads no further once there is a fault", async () => {
  let taken = 0;
  const data = bytesOf("1\n2\n3\n");
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(taken++ === 0 ? bytesOf("COPY t FROM stdin;\n") : data);
    },
  }, { highWaterMark: 0 });
  const rules = new ScriptRules(false);
  for await (
    const piece of readPieces(stream, { rules, hash: createHash("sha384"), bytes: 100 })
  ) assert.fail(decoder.decode(piece.bytes));
  assert.deepEqual(rules.faults.map(({ code }) => code), ["copy_from_stdin"]);
  assert.ok(taken < 5);
});

Deno.test("readPieces: gives nothing for a file without statements", async () => {
  for (const sql of ["", "-- nothing here\n", ";;\n", "/* a /* b */ */"]) {
    assert.deepEqual((await cut(sql)).pieces, []);
  }
});
