import assert from "assert";
import { MessageReader, ProtocolError } from "../../core/postgres/message_reader.ts";
import type { Duplex } from "../../core/postgres/transport.ts";

/** A stream that gives the bytes in pieces of the sizes told, again and again. */
function source(bytes: Uint8Array, sizes: readonly number[]): Duplex {
  let at = 0;
  let turn = 0;
  return {
    read(into) {
      if (at === bytes.length) return Promise.resolve(null);
      const size = sizes[turn++ % sizes.length] ?? 1;
      const piece = bytes.subarray(at, at + Math.min(size, into.length));
      into.set(piece);
      at += piece.length;
      return Promise.resolve(piece.length);
    },
    write: (given) => Promise.resolve(given.length),
    close: () => {},
  };
}

/** Messages of these lengths; each body's bytes tell the message's place. */
function messages(lengths: readonly number[]): Uint8Array {
  const all = new Uint8Array(lengths.reduce((sum, length) => sum + length + 5, 0));
  let at = 0;
  lengths.forEach((length, index) => {
    all[at] = 0x41 + index % 26;
    new DataView(all.buffer).setInt32(at + 1, length + 4);
    all.fill(index % 251, at + 5, at + 5 + length);
    at += 5 + length;
  });
  return all;
}

Deno.test("MessageReader: messages come whole, whatever pieces they arrive in", async () => {
  const small = [0, 1, 5, 8187, 8188, 100, 40_000, 0, 3];
  const large = [...small, 300_000, 131_072, 2, 65_536, 7, 1_000_000, ...small];
  const cases: [number[], number[]][] = [
    [large, [1_000_000_000]],
    [large, [8192]],
    [large, [65_536, 1]],
    [small, [3, 7, 1000]],
    [small, [1]],
  ];
  for (const [lengths, sizes] of cases) {
    const bytes = messages(lengths);
    const reader = new MessageReader(source(bytes, sizes));
    let index = 0;
    reader.loggedIn();
    await reader.forEach((type, buffer, start, end) => {
      assert.equal(type, 0x41 + index % 26);
      assert.equal(end - start, lengths[index]);
      assert.ok(buffer.subarray(start, end).every((byte) => byte === index % 251));
      index += 1;
    });
    assert.equal(index, lengths.length);
  }
});

Deno.test("MessageReader: next gives bodies that stay, and what follows stays for forEach", async () => {
  const reader = new MessageReader(source(messages([3, 2, 4]), [2]));
  const first = await reader.next();
  const second = await reader.next();
  assert.deepEqual(first, { type: 0x41, body: Uint8Array.of(0, 0, 0) });
  assert.deepEqual(second, { type: 0x42, body: Uint8Array.of(1, 1) });
  const rest: number[] = [];
  await reader.forEach((type) => void rest.push(type));
  assert.deepEqual(rest, [0x43]);
  assert.equal(await reader.next(), null);
});

Deno.test("MessageReader: lengths that cannot be are refused at once", async () => {
  for (const length of [-1, 0, 3, 0x40000000]) {
    const bytes = Uint8Array.of(0x5a, 0, 0, 0, 0, 0);
    new DataView(bytes.buffer).setInt32(1, length);
    const reader = new MessageReader(source(bytes, [6]));
    reader.loggedIn();
    await assert.rejects(reader.next(), ProtocolError);
  }
});

Deno.test("MessageReader: during the login a large message shows that this is no server", async () => {
  const bytes = Uint8Array.of(0x48, 0x54, 0x54, 0x50, 0x2f, 0x31);
  await assert.rejects(new MessageReader(source(bytes, [6])).next(), {
    message: 'a message of type "H" claims 1414811695 bytes',
  });
});

Deno.test("MessageReader: an end within a message is not taken for the end", async () => {
  const cut = messages([10]).subarray(0, 12);
  await assert.rejects(new MessageReader(source(cut, [5])).next(), /ended in the middle/);
});

Deno.test("MessageReader: a promise of the handler holds back the next message, and reading", async () => {
  const below = source(messages([3, 3, 3]), [8]);
  let reads = 0;
  const reader = new MessageReader({
    ...below,
    read: (into) => {
      reads++;
      return below.read(into);
    },
  });
  const seen: number[] = [];
  let resume = () => {};
  const all = reader.forEach((type) => {
    seen.push(type);
    return type === 0x42 ? new Promise<void>((resolve) => resume = resolve) : undefined;
  });
  while (seen.length < 2) await Promise.resolve();
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual([seen, reads], [[0x41, 0x42], 2]);
  resume();
  await all;
  assert.deepEqual(seen, [0x41, 0x42, 0x43]);
});
