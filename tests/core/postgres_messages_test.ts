import assert from "assert";
import {
  copyQuery,
  extendedQuery,
  fillCopyHeader,
  joined,
  mentionsStdin,
  simpleQuery,
  startupMessage,
} from "../../core/postgres/messages.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("mentionsStdin: finds the word in any case and at any place, and nothing else", () => {
  for (const word of ["stdin", "STDIN", "StdIn"]) {
    for (let before = 0; before < 12; before++) {
      for (const after of ["", ";", " with csv", "stdi"]) {
        const text = "n".repeat(before) + word + after;
        assert.equal(mentionsStdin(bytes(text)), true, text);
      }
    }
  }
  for (
    const text of ["", "stdi", "std in", "stdni", "sttdi n", "tdin", "STDOUT", "sтdin", "ſtdin"]
  ) {
    assert.equal(mentionsStdin(bytes(text)), false, text);
  }
});

Deno.test("mentionsStdin: agrees with a plain search in texts of the word's own letters", () => {
  let seed = 7;
  const letters = ["s", "t", "d", "i", "n", "x", "S", "N"];
  for (let round = 0; round < 3000; round++) {
    let text = "";
    for (let length = 0; length < 40; length++) {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      text += letters[Math.floor(seed / 65536) % letters.length];
    }
    if (round % 3 === 0) text = text.slice(0, 20) + "stdin" + text.slice(20);
    assert.equal(mentionsStdin(bytes(text)), /stdin/i.test(text), text);
  }
});

Deno.test("simpleQuery: text and bytes give the same message, a large one in pieces of its own", () => {
  assert.deepEqual(simpleQuery("é"), [Uint8Array.of(0x51, 0, 0, 0, 7, 0xc3, 0xa9, 0)]);
  assert.deepEqual(simpleQuery(bytes("é")), simpleQuery("é"));
  const large = bytes("x".repeat(100_000));
  const pieces = simpleQuery(large);
  assert.ok(pieces.includes(large));
  const message = joined(pieces);
  assert.equal(message.length, large.length + 6);
  assert.equal(new DataView(message.buffer).getInt32(1), large.length + 5);
});

Deno.test("simpleQuery: a copy from the client is ended ahead, other statements stand alone", () => {
  const types = (pieces: Uint8Array[]) => {
    const all = joined(pieces);
    let told = "";
    for (let at = 0; at < all.length;) {
      told += String.fromCharCode(all[at] ?? 0);
      at += 1 + new DataView(all.buffer).getInt32(at + 1);
    }
    return told;
  };
  assert.equal(types(simpleQuery("COPY t TO STDOUT")), "Q");
  assert.equal(types(simpleQuery("COPY t FROM STDIN")), "Qf");
  assert.equal(types(simpleQuery(`COPY t FROM STDIN ${" ".repeat(100_000)}`)), "Qf");
  assert.equal(types(extendedQuery("SELECT $1", [1])), "PBDES");
  assert.equal(types(extendedQuery("COPY t FROM stdin", [])), "PBDEfS");
});

Deno.test("startupMessage: a zero character is refused without the value", () => {
  assert.throws(() => startupMessage({ user: "a\0b-hidden" }), (error) => {
    assert.ok(error instanceof Error);
    assert.equal(error.message, 'Cannot send the setting "user": it holds a zero character');
    return true;
  });
});

Deno.test("copyQuery: nothing is sent ahead of the data, neither its refusal nor the synchronisation", () => {
  const message = copyQuery("COPY t FROM STDIN");
  const types: string[] = [];
  for (let at = 0; at < message.length;) {
    types.push(String.fromCharCode(message[at] ?? 0));
    at += 1 + new DataView(message.buffer).getInt32(at + 1);
  }
  assert.deepEqual(types, ["P", "B", "E", "H"]);
  assert.throws(() => copyQuery("COPY\0"), { code: "statement_invalid" });
});

Deno.test("fillCopyHeader: the length is that of the part of the buffer that is sent", () => {
  const buffer = new Uint8Array(300);
  const message = buffer.subarray(20, 290);
  fillCopyHeader(message);
  assert.deepEqual([...message.subarray(0, 6)], [0x64, 0, 0, 1, 0x0d, 0]);
  assert.ok(buffer.subarray(0, 20).every((byte) => byte === 0));
});
