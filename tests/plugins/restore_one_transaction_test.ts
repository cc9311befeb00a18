import assert from "assert";
import { inOneTransaction } from "../../plugins/restore/one_transaction.ts";

const encoder = new TextEncoder();

async function passed(text: string, size = text.length): Promise<string> {
  const bytes = encoder.encode(text);
  async function* chunks() {
    for (let at = 0; at < bytes.length; at += size) {
      const chunk = bytes.slice(at, at + size);
      yield await Promise.resolve(chunk);
      // Whoever gives a chunk may use its memory again.
      chunk.fill(0);
    }
  }
  const parts: Uint8Array[] = [];
  for await (const part of inOneTransaction(chunks())) parts.push(part.slice());
  return new TextDecoder().decode(Uint8Array.from(parts.flatMap((part) => [...part])));
}

const HEAD = "--\n-- PostgreSQL database dump\n--\n\nSET lock_timeout = 0;\n\n";
const OBJECTS = (begin: string, commit: string) =>
  `--\n-- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: -\n--\n\n${begin}\nSELECT pg_catalog.lo_open('16424', 131072);\nSELECT pg_catalog.lowrite(0, '\\x4142');\nSELECT pg_catalog.lo_close(0);\n\n${commit}\n--\n-- Name: a_pkey; Type: CONSTRAINT\n--\n`;
const ROWS =
  "COPY public.t (a) FROM stdin;\n-- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: -\n--\n\nBEGIN;\nCOMMIT;\n\\.\n\n\n";
const ODD_NAME = ROWS.replace("public.t", 'public."odd\nname"');
const EMPTY = "COPY public.e (a) FROM stdin;\n\\.\n\n\n";
const FUNCTION =
  "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$\nBEGIN\nCOMMIT;\nEND $$;\nCALL p();\nBEGIN;\nCOMMIT;\n";

Deno.test("one transaction: BEGIN and COMMIT around large objects go, and nothing else, however it is cut", async () => {
  const script = HEAD + EMPTY + ROWS + ODD_NAME + FUNCTION + OBJECTS("BEGIN;\n", "COMMIT;\n") +
    EMPTY;
  const expected = HEAD + EMPTY + ROWS + ODD_NAME + FUNCTION + OBJECTS("", "") + EMPTY;
  for (const size of [1, 2, 3, 5, 7, 11, 64, 1000, script.length]) {
    assert.equal(await passed(script, size), expected, `pieces of ${size}`);
  }
});

Deno.test("one transaction: what only looks like it stays", async () => {
  for (
    const script of [
      "-- Data for Name: BLOBS; Type: BLOBS; Schema: -; Owner: -\nBEGIN;\nSELECT 1;\nCOMMIT;\n",
      "-- Data for Name: t; Type: TABLE DATA; Schema: public\n--\n\nBEGIN;\nCOMMIT;\n",
      "SELECT 1;",
      "",
      "COPY t FROM stdin;\nBEGIN;\n",
    ]
  ) {
    for (const size of [1, 4, 1000]) assert.equal(await passed(script, size), script);
  }
});
