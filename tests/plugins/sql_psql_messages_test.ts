import assert from "assert";
import { type Complaints, readComplaints, tellIgnored } from "../../plugins/sql/psql_messages.ts";

/** Reads the text in pieces of one size, as psql may write it. */
async function read(
  text: string,
  { size = 7, bareErrors = false } = {},
): Promise<{ complaints: Complaints; told: string[]; ignored: string[] }> {
  const told: string[] = [];
  const tell = (level: string) => (message: string) => void told.push(`${level} ${message}`);
  const log = { debug: tell("d"), info: tell("i"), success: tell("s"), warn: tell("w") };
  const bytes = new TextEncoder().encode(text);
  const pieces = Array.from(
    { length: Math.ceil(bytes.length / size) },
    (_, index) => bytes.slice(index * size, (index + 1) * size),
  );
  const complaints = await readComplaints(ReadableStream.from(pieces), { log, bareErrors });
  const before = told.length;
  tellIgnored(complaints, log);
  return { complaints, told: told.slice(0, before), ignored: told.slice(before) };
}

Deno.test("psql's messages: the error with its place and its lines", async () => {
  for (const size of [1, 3, 1000]) {
    const { complaints, told } = await read(
      "psql:a b:c.sql:3: NOTICE:  é\nCONTEXT:  x\n" +
        'psql:a b:c.sql:12: ERROR:  column "nope" does not exist\nLINE 2:  nope;\n         ^\n' +
        "DETAIL:  d\nHINT:  h\n",
      { size },
    );
    assert.deepEqual(told, ["i psql:a b:c.sql:3: NOTICE:  é", "i CONTEXT:  x"]);
    assert.deepEqual(complaints.last, {
      file: "a b:c.sql",
      line: 12,
      severity: "ERROR",
      text: 'column "nope" does not exist',
      whole: 'psql:a b:c.sql:12: ERROR:  column "nope" does not exist',
      more: ["LINE 2:  nope;", "         ^", "DETAIL:  d", "HINT:  h"],
    });
    assert.equal(complaints.fatal, undefined);
  }
});

Deno.test("psql's messages: errors that psql did not stop at become warnings", async () => {
  const { complaints, told, ignored } = await read(
    "psql:a.sql:1: ERROR:  one\nDETAIL:  d\npsql:a.sql:2: ERROR:  two\n",
  );
  assert.deepEqual(told, ["w psql:a.sql:1: ERROR:  one", "w DETAIL:  d"]);
  assert.equal(complaints.last?.text, "two");
  assert.deepEqual(ignored, ["w psql:a.sql:2: ERROR:  two"]);
});

Deno.test("psql's messages: the reason for a lost connection is kept beside its loss", async () => {
  const { complaints, told } = await read(
    "psql:c.sql:1: FATAL:  terminating connection due to administrator command\n" +
      "psql:c.sql:1: server closed the connection unexpectedly\n\tThis probably means\n" +
      "psql:c.sql:1: error: connection to server was lost\n",
  );
  assert.deepEqual(told, []);
  assert.deepEqual(
    [complaints.fatal?.text, complaints.fatal?.more, complaints.last?.text],
    [
      "terminating connection due to administrator command",
      ["server closed the connection unexpectedly", "\tThis probably means"],
      "connection to server was lost",
    ],
  );
});

Deno.test("psql's messages: other levels, other languages, other programs", async () => {
  const { complaints, told } = await read(
    "from a program\npsql:a.sql:1: WARNING:  careful\npsql:a.sql:2: INFO:  so\n" +
      "psql: warning: extra\npsql:a.sql:3: FEHLER:  Relation »x« existiert nicht\n" +
      "ZEILE 1: SELECT\n",
  );
  assert.deepEqual(told, [
    "w from a program",
    "w psql:a.sql:1: WARNING:  careful",
    "i psql:a.sql:2: INFO:  so",
    "w psql: warning: extra",
  ]);
  assert.deepEqual([complaints.last?.severity, complaints.last?.more], [
    "FEHLER",
    ["ZEILE 1: SELECT"],
  ]);
});

Deno.test("psql's messages: with -c, a line without a severity is the error", async () => {
  const bare = await read("invalid command \\foo\nTry \\? for help.\n", { bareErrors: true });
  assert.deepEqual([bare.complaints.last?.text, bare.complaints.last?.more], [
    "invalid command \\foo",
    ["Try \\? for help."],
  ]);
  const plain = await read("ERROR:  no\nLINE 1: x\n", { bareErrors: true });
  assert.deepEqual(plain.complaints.last?.text, "no");
  assert.deepEqual((await read("invalid\n")).complaints, {});
});
