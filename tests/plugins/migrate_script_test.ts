import assert from "assert";
import { fakeHost } from "../../core/testing.ts";
import { type Files, OperationError } from "../../core/plugin.ts";
import { LARGE_FILE_BYTES, readContents, sha384 } from "../../plugins/migrate/contents.ts";
import { listMigrationFiles } from "../../plugins/migrate/files.ts";
import { readScripts, type Scripts } from "../../plugins/migrate/script.ts";

const PADDING = `-- ${"x".repeat(LARGE_FILE_BYTES)}\n`;

async function read(
  stored: Record<string, string | Uint8Array>,
  options: { files?: (files: Files) => Files; firstWhileSent?: boolean } = {},
): Promise<Scripts> {
  const { files } = fakeHost({ files: stored });
  const { ups } = await listMigrationFiles(files, ["m"]);
  return await readScripts([...ups.values()], {
    files: options.files?.(files) ?? files,
    contents: await readContents(files, ups.values()),
    firstWhileSent: options.firstWhileSent ?? false,
  });
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

Deno.test("readScripts: takes a file out of the transaction by its very first bytes alone", async () => {
  const { scripts, problems, warnings } = await read({
    "m/1_yes.sql": "-- no-transaction\nVACUUM;\n",
    "m/2_trailing.sql": "-- no-transaction because of the index\nVACUUM;\n",
    "m/3_blank_line.sql": "\n-- no-transaction\nSELECT 1;\n",
    "m/4_comment.sql": "-- first\n-- no-transaction\nSELECT 1;\n",
    "m/5_no_space.sql": "--no-transaction\nSELECT 1;\n",
    "m/6_upper.sql": "-- NO-TRANSACTION\nSELECT 1;\n",
    "m/7_later.sql": "SELECT 1;\n-- no-transaction\n",
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(
    scripts.filter((script) => script.noTransaction).map(({ file }) => file.fileName),
    [
      "1_yes.sql",
      "2_trailing.sql",
    ],
  );
  assert.deepEqual(warnings.map((warning) => warning.split(":")[0]), [
    "m/3_blank_line.sql",
    "m/4_comment.sql",
    "m/5_no_space.sql",
    "m/6_upper.sql",
  ]);
});

Deno.test("readScripts: names file, line and column of what cannot be applied, with its lines", async () => {
  const { problems } = await read({
    "m/1_a.sql": "BEGIN;\nSELECT 'ä'; COMMIT; SELECT 2;\n",
    "m/2_b.sql": "CREATE TABLE c (id int);\n  COPY c FROM stdin;\n1\n\\.\n",
  });
  assert.deepEqual(problems.map(({ code, file, line, column }) => [code, file, line, column]), [
    ["own_transaction", "m/1_a.sql", 2, 21],
    ["copy_from_stdin", "m/2_b.sql", 2, 3],
  ]);
  assert.match(problems[0]?.message ?? "", /^m\/1_a\.sql:2:21: /);
  assert.equal(
    problems[0]?.excerpt,
    "1 | BEGIN;\n2 | SELECT 'ä'; COMMIT; SELECT 2;\n  |                     ^",
  );
});

Deno.test("readScripts: finds bytes and quotes that could not be sent, in small files and large ones", async () => {
  for (const before of ["", PADDING]) {
    const { problems } = await read({
      "m/1_latin1.sql": new Uint8Array([...bytesOf(`${before}SELECT '`), 0xe9, ...bytesOf("';")]),
      "m/2_nul.sql": `${before}SELECT 1;\u0000`,
      "m/3_open.sql": `${before}SELECT 'open;\n`,
      "m/4_bom.sql": `\ufeff${before}SELECT 1;\n`,
    });
    assert.deepEqual(problems.map(({ code, file }) => [code, file]), [
      ["sql_not_utf8", "m/1_latin1.sql"],
      ["sql_nul", "m/2_nul.sql"],
      ["sql_unterminated", "m/3_open.sql"],
      ["byte_order_mark", "m/4_bom.sql"],
    ]);
    for (const { message, file } of problems) assert.ok(message.includes(`"${file}"`), message);
  }
});

Deno.test("readScripts: checks a large file like a small one", async () => {
  const text = `BEGIN;\n${PADDING}SELECT 1;\nSELECT 2;\nCOMMIT;\n`;
  const { scripts: [script], problems } = await read({ "m/1_large.sql": text });
  assert.deepEqual(problems, []);
  assert.equal(script?.checked?.statements, 2);
  assert.deepEqual(script?.checked?.checksum, sha384(bytesOf(text)));
  const refused = await read({ "m/1_large.sql": `${text}SELECT 3;\n` });
  assert.deepEqual(refused.problems.map(({ code }) => code), ["own_transaction"]);
});

Deno.test("readScripts: leaves a large file to be checked while it is sent only when it comes first", async () => {
  const text = `${PADDING}SELECT 1;\n`;
  const outside = `-- no-transaction\n${text}`;
  const checked = async (stored: Record<string, string>) =>
    (await read(stored, { firstWhileSent: true })).scripts.map((script) =>
      script.checked !== undefined
    );
  assert.deepEqual(await checked({ "m/1_large.sql": text, "m/2_large.sql": text }), [false, true]);
  assert.deepEqual(await checked({ "m/1_small.sql": "SELECT 1", "m/2_large.sql": text }), [
    true,
    true,
  ]);
  assert.deepEqual(await checked({ "m/1_outside.sql": outside }), [true]);
});

Deno.test("readScripts: ends the run when a file cannot be read any more", async () => {
  const gone = (files: Files): Files => ({
    ...files,
    stream: () => Promise.reject(new OperationError("Cannot read it", { code: "not_found" })),
  });
  await assert.rejects(read({ "m/1_large.sql": `${PADDING}SELECT 1;` }, { files: gone }), {
    code: "not_found",
  });
});
