/** What pg_restore is piped of an archive: it must not come to its end before all is known to be right. */
import assert from "assert";
import { gated } from "../../plugins/restore/gate.ts";
import { type ClientMajor, clientMajors, runClient } from "../client_majors.ts";
import { freshDatabase, sharedServer, type TestDatabase } from "../database.ts";
import { skipWhenMissing } from "../skip.ts";

const SOURCE = `
  CREATE TABLE many AS SELECT n, md5(n::text) AS text FROM generate_series(1, 3000) n;
  CREATE TABLE last_one (n int PRIMARY KEY); INSERT INTO last_one VALUES (1);
  CREATE INDEX ON many (text);
  SELECT lo_from_bytea(4242, 'a large object');`;

const DUMPS: Readonly<Record<string, readonly string[]>> = {
  "all of it": [],
  "not compressed": ["--compress=0"],
  "definitions": ["--schema-only"],
  "rows": ["--data-only"],
};

const server = await sharedServer();

async function dump(
  { bin, database, args }: {
    readonly bin: string;
    readonly database: TestDatabase;
    readonly args: readonly string[];
  },
): Promise<Uint8Array> {
  const { code, stdout, stderr } = await runClient(`${bin}/pg_dump`, {
    args: ["--format=custom", ...args, `--dbname=${database.url}`],
  });
  assert.equal(code, 0, stderr);
  return stdout;
}

/** The script that pg_restore makes of what it is piped, and how it ends. */
async function script(bin: string, stdin: Uint8Array<ArrayBuffer>) {
  const { code, stdout } = await runClient(`${bin}/pg_restore`, { args: ["--file=-"], stdin });
  const text = new TextDecoder().decode(stdout).replaceAll(/^\\(un)?restrict .*$/gm, "");
  return { code, text };
}

/** Pieces of a size; what is done behind the last of them may be to fail. */
async function* cut(
  bytes: Uint8Array,
  { size, atEnd }: { readonly size: number; readonly atEnd: () => void },
): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    yield await Promise.resolve(bytes.slice(at, at + size));
  }
  atEnd();
}

function joined(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

async function tryGate(major: ClientMajor, bytes: Uint8Array): Promise<void> {
  const bin = major.directory;
  const whole = await script(bin, joined([bytes]));
  assert.equal(whole.code, 0);
  for (const size of [97, 1000, 65_536]) {
    // What has come by the time that the source has given everything but its end.
    const before: Uint8Array[] = [];
    const after: Uint8Array[] = [];
    let ended = false;
    const source = cut(bytes, { size, atEnd: () => ended = true });
    for await (const chunk of gated(source)) (ended ? after : before).push(chunk.slice());
    assert.equal(after.length, 1, `${size}`);
    assert.deepEqual(await script(bin, joined([...before, ...after])), whole, `${size}`);
    const early = await script(bin, joined(before));
    assert.notEqual(early.code, 0, `pg_restore ended well without the end, in pieces of ${size}`);
    // A source that fails at its very end gives nothing more.
    const given: Uint8Array[] = [];
    const failing = cut(bytes, {
      size,
      atEnd: () => {
        throw new Error("its hash differs");
      },
    });
    await assert.rejects(async () => {
      for await (const chunk of gated(failing)) given.push(chunk.slice());
    }, /its hash differs/);
    assert.deepEqual(joined(given), joined(before));
  }
}

for (const major of await clientMajors()) {
  const missing = major.missing ??
    (server.version > major.version
      ? `the tests' server is PostgreSQL ${server.version}, which pg_dump ${major.version} refuses`
      : undefined);
  const title = `the gate before pg_restore ${major.version}`;
  Deno.test({
    name: `${title}: holds back what it needs to end`,
    ignore: skipWhenMissing(title, missing),
    async fn(t) {
      await using database = await freshDatabase({ sql: SOURCE });
      for (const [name, args] of Object.entries(DUMPS)) {
        await t.step(name, async () => {
          await tryGate(major, await dump({ bin: major.directory, database, args }));
        });
      }
    },
  });
}
