/** What pg_dump says, sorted out line by line. */
import assert from "assert";
import {
  createDumpMessages,
  readLines,
  worthTelling,
} from "../../plugins/repository/client_messages.ts";

function sorted(text: string) {
  const tables: string[] = [];
  const finished: number[] = [];
  const messages = createDumpMessages({
    table: (name) => void tables.push(name),
    finished: (id) => void finished.push(id),
  });
  for (const line of text.split("\n")) messages.line(line);
  const { warnings, errors, others } = messages;
  return { tables, finished, warnings, errors, others };
}

Deno.test("pg_dump's words: progress is neither a warning nor an error", () => {
  const { tables, finished, warnings, errors } = sorted([
    "pg_dump: last built-in OID is 16383",
    "pg_dump: reading extensions",
    "pg_dump: saving encoding = UTF8",
    'pg_dump: dumping contents of table "public.plain"',
    'pg_dump: dumping contents of table "other; one.Odd ""name"""',
    "pg_dump: finished item 3353 TABLE DATA plain",
    "pg_dump: finished item 12 BLOBS BLOBS",
    "/usr/lib/postgresql/15/bin/pg_dump: saving search_path = ",
  ].join("\n"));
  assert.deepEqual(tables, ["public.plain", 'other; one.Odd ""name""']);
  assert.deepEqual(finished, [3353, 12]);
  assert.deepEqual([warnings, errors], [[], []]);
});

Deno.test("pg_dump's words: warnings and errors have their details and hints", () => {
  const { warnings, errors } = sorted([
    "pg_dump: warning: there are circular foreign-key constraints on this table:",
    "pg_dump: detail: t",
    "pg_dump: hint: You might not be able to restore the dump without using --disable-triggers.",
    "pg_dump: hint: Consider using a full dump instead of a --data-only dump.",
    "pg_dump: dumping",
    "pg_dump: error: query failed: ERROR:  permission denied for table t",
    "pg_dump: detail: Query was: LOCK TABLE public.t IN ACCESS SHARE MODE",
    "pg_dump: warning: another",
  ].join("\n"));
  assert.deepEqual(warnings, [
    "there are circular foreign-key constraints on this table: (t); You might not be able to " +
    "restore the dump without using --disable-triggers.; Consider using a full dump instead of " +
    "a --data-only dump.",
    "another",
  ]);
  assert.deepEqual(errors, [
    "query failed: ERROR:  permission denied for table t (Query was: LOCK TABLE public.t IN " +
    "ACCESS SHARE MODE)",
  ]);
});

Deno.test("pg_dump's words: lines of a message of several belong to it", () => {
  const { errors, warnings } = sorted([
    'pg_dump: error: Dumping the contents of table "t" failed: PQgetResult() failed.',
    "pg_dump: detail: Error message from server: FATAL:  terminating connection",
    "server closed the connection unexpectedly",
    "\tThis probably means the server terminated abnormally",
    "pg_dump: detail: Command was: COPY public.t (id) TO stdout;",
  ].join("\n"));
  assert.deepEqual(warnings, []);
  assert.equal(errors.length, 1);
  assert.match(errors[0] ?? "", /FATAL: .*\nserver closed.*\n\tThis.*\(Command was: COPY/s);
});

Deno.test("pg_dump's words: what is of another program stands apart; the last line is kept", () => {
  const loader = "/usr/lib/pg_dump: error while loading shared libraries: libpq.so.5: cannot open";
  const { errors, others } = sorted(`${loader}\n\nSegmentation fault`);
  assert.deepEqual([errors, others], [[], ["Segmentation fault"]]);
  const messages = createDumpMessages();
  assert.equal(messages.last, "");
  messages.line(loader);
  messages.line("");
  assert.deepEqual([messages.errors, messages.last], [[], loader]);
});

Deno.test("pg_dump's words: pg_dumpall and fatal ones are known as well", () => {
  const { errors, warnings } = sorted(
    "pg_dumpall: warning: a\npg_dumpall: error: b\npg_dump: fatal: c\npg_dumpall: d",
  );
  assert.deepEqual([warnings, errors], [["a"], ["b", "c"]]);
});

Deno.test("pg_dump's words: those about TimescaleDB's own tables are told unless they are all dumped", () => {
  const circular =
    "there are circular foreign-key constraints on this table: (hypertable); You might";
  const chunks = "hypertable data are in the chunks, no data will be copied";
  const others = ["there are circular foreign-key constraints on this table: (mine)", "another"];
  const all = [circular, ...others, chunks];
  assert.deepEqual(worthTelling(all, { whole: true, timescale: true }), others);
  assert.deepEqual(worthTelling(all, { whole: false, timescale: true }), all);
  assert.deepEqual(worthTelling(all, { whole: true, timescale: false }), all);
});

Deno.test("lines: of a stream that is cut anywhere, with and without a last line end", async () => {
  const encoded = new TextEncoder().encode("one\ntwö 😀\r\n\nfour");
  for (let cut = 0; cut <= encoded.length; cut++) {
    const lines: string[] = [];
    const pieces = [encoded.slice(0, cut), encoded.slice(cut)];
    await readLines(ReadableStream.from(pieces), (line) => void lines.push(line));
    assert.deepEqual(lines, ["one", "twö 😀", "", "four"]);
  }
  const lines: string[] = [];
  await readLines(ReadableStream.from([Uint8Array.of(0xff, 10)]), (line) => void lines.push(line));
  assert.deepEqual(lines, ["\ufffd"]);
});
