import assert from "assert";
import { createRestoreMessages } from "../../plugins/restore/messages.ts";
import { filterScript } from "../../plugins/restore/run_script.ts";

function read(text: string) {
  const items: string[] = [];
  const messages = createRestoreMessages({ item: (name) => void items.push(name) });
  for (const line of text.split("\n")) messages.line(line);
  return { messages, items };
}

Deno.test("pg_restore's words: entries are told as they begin", () => {
  const { items, messages } = read(`pg_restore: connecting to database for restore
pg_restore: creating SCHEMA "s2"
pg_restore: creating TABLE "public.we ""ird"
pg_restore: processing data for table "public.a"
pg_restore: executing SEQUENCE SET a_id_seq
pg_restore: creating FK CONSTRAINT "public.b b_id_fkey"`);
  assert.deepEqual(items, [
    "SCHEMA s2",
    'TABLE public.we ""ird',
    "TABLE DATA public.a",
    "SEQUENCE SET a_id_seq",
    "FK CONSTRAINT public.b b_id_fkey",
  ]);
  assert.equal(messages.items, 5);
  assert.deepEqual([messages.failures, messages.warnings], [[], []]);
});

Deno.test("pg_restore's words: a failure is told with its object, details and statement", () => {
  const { messages } = read(`pg_restore: executing BLOB 16424
pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 3432; 2613 16424 BLOB 16424 postgres
pg_restore: error: could not execute query: ERROR:  duplicate key value violates unique constraint
DETAIL:  Key (oid)=(16424) already exists.
Command was: SELECT pg_catalog.lo_create('16424');
`);
  assert.deepEqual(messages.failures, [{
    object: "BLOB 16424 postgres",
    message: "duplicate key value violates unique constraint",
    more: [
      "DETAIL:  Key (oid)=(16424) already exists.",
      "Command was: SELECT pg_catalog.lo_create('16424');",
      "",
    ],
  }]);
});

Deno.test("pg_restore's words: of rows that are refused, and of a process that dies of them", () => {
  const { messages } = read(`pg_restore: processing data for table "public.b"
pg_restore: error: COPY failed for table "b": ERROR:  insert violates foreign key
DETAIL:  Key (id)=(1) is not present in table "a".
pg_restore: fatal: a worker process died unexpectedly`);
  assert.equal(messages.failures.length, 1);
  assert.equal(messages.failures[0]?.object, "TABLE DATA public.b");
  assert.equal(messages.failures[0]?.message, "insert violates foreign key");
});

Deno.test("pg_restore's words: warnings of the server and its own, with their hints", () => {
  const { messages } = read(`pg_restore: creating PUBLICATION "p"
pg_restore: WARNING:  wal_level is insufficient to publish logical changes
HINT:  Set wal_level to "logical" before creating subscriptions.
pg_restore: NOTICE:  nothing of interest
DETAIL:  nor here
pg_restore: warning: errors ignored on restore: 1`);
  assert.deepEqual(messages.warnings, [
    'wal_level is insufficient to publish logical changes\nHINT:  Set wal_level to "logical" before creating subscriptions.',
    "errors ignored on restore: 1",
  ]);
});

async function filtered(...chunks: string[]): Promise<string> {
  const encoder = new TextEncoder();
  const stream = ReadableStream.from(chunks.map((chunk) => encoder.encode(chunk)));
  return await new Response(ReadableStream.from(filterScript(stream))).text();
}

Deno.test("scripts for older servers: the setting goes from the head, however it is cut, and from nowhere else", async () => {
  const head = "--\n-- dump\n--\n\nSET statement_timeout = 0;\nSET transaction_timeout = 0;\n";
  const rest = "SET client_encoding = 'UTF8';\nCOPY t FROM stdin;\n";
  const rows = `${"x".repeat(10_000)}\nSET transaction_timeout = 0;\n`;
  const expected = head.replace("SET transaction_timeout = 0;\n", "") + rest + rows;
  assert.equal(await filtered(head + rest + rows), expected);
  assert.equal(await filtered(head.slice(0, 50), head.slice(50) + rest, rows), expected);
  assert.equal(await filtered(...head + rest + rows), expected);
  assert.equal(await filtered(head), head.replace("SET transaction_timeout = 0;\n", ""));
  assert.equal(await filtered(rest), rest);
});
