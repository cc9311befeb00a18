/** A server that says what a test tells it to: for what no real one can be brought to say. */

/** The server's side of one connection. */
export interface FakeTalk {
  /** The next untyped message (startup, request for TLS or cancel), without its length. */
  startup(): Promise<Uint8Array>;
  /** The next typed message. */
  message(): Promise<{ readonly type: string; readonly body: Uint8Array }>;
  /** Some bytes, as they come, of what is no message. */
  some(): Promise<Uint8Array>;
  /** Sends a message of a type. */
  send(type: string, ...body: (Uint8Array | string | number)[]): Promise<void>;
  /** Sends bytes as they are. */
  raw(bytes: Uint8Array | string): Promise<void>;
  /** Lets in without a password: the startup is read and answered up to ready. */
  letIn(): Promise<void>;
}

/** A running fake server. */
export interface FakeServer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** How many connections there were. */
  readonly connections: number;
}

/**
 * Starts a server; `talk` is called for each connection, which is closed when it returns. By
 * default it listens on a free port of 127.0.0.1.
 */
export function fakeServer(
  talk: (talk: FakeTalk) => Promise<void>,
  place?: Deno.UnixListenOptions & { transport: "unix" },
): FakeServer {
  const listener = place === undefined
    ? Deno.listen({ hostname: "127.0.0.1", port: 0 })
    : Deno.listen(place);
  const talks: Promise<void>[] = [];
  const failures: unknown[] = [];
  const accepting = (async () => {
    for await (const connection of listener) {
      talks.push(
        talk(talkOver(connection))
          .catch((error: unknown) => {
            // The client may leave at any time; what else goes wrong is the test's fault.
            if (!(error instanceof Gone)) failures.push(error);
          })
          .finally(() => connection.close()),
      );
    }
  })();
  return {
    host: "127.0.0.1",
    port: listener.addr.transport === "tcp" ? listener.addr.port : 0,
    get connections() {
      return talks.length;
    },
    async [Symbol.asyncDispose]() {
      listener.close();
      await accepting;
      await Promise.all(talks);
      if (failures.length > 0) throw failures[0];
    },
  };
}

class Gone extends Error {}

function talkOver(connection: Deno.Conn): FakeTalk {
  async function exactly(length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const count = await connection.read(bytes.subarray(at)).catch(() => null);
      if (count === null) throw new Gone();
      at += count;
    }
    return bytes;
  }
  async function sized(): Promise<Uint8Array> {
    return await exactly(new DataView((await exactly(4)).buffer).getInt32(0) - 4);
  }
  async function raw(bytes: Uint8Array | string): Promise<void> {
    let rest = encoded(bytes);
    while (rest.length > 0) {
      const count = await connection.write(rest).catch(() => {
        throw new Gone();
      });
      rest = rest.subarray(count);
    }
  }
  const talk: FakeTalk = {
    startup: sized,
    some: () => exactly(1),
    async message() {
      const [type = 0] = await exactly(1);
      return { type: String.fromCharCode(type), body: await sized() };
    },
    send: (type, ...body) => raw(typed(type, ...body)),
    raw,
    async letIn() {
      await talk.startup();
      await talk.send("R", int32(0));
      await talk.send("S", "server_version\0", "15.9\0");
      await talk.send("K", int32(4711), int32(42));
      await talk.send("Z", "I");
    },
  };
  return talk;
}

/** A message with its type and length. */
export function typed(type: string, ...body: (Uint8Array | string | number)[]): Uint8Array {
  const pieces = body.map((part) => typeof part === "number" ? Uint8Array.of(part) : encoded(part));
  const length = pieces.reduce((sum, piece) => sum + piece.length, 4);
  const bytes = new Uint8Array(length + 1);
  bytes[0] = type.charCodeAt(0);
  new DataView(bytes.buffer).setInt32(1, length);
  let at = 5;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** A number in network order. */
export function int32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value);
  return bytes;
}

/** The body of an ErrorResponse. */
export function errorFields(fields: Readonly<Record<string, string>>): string {
  return Object.entries(fields).map(([code, value]) => `${code}${value}\0`).join("") + "\0";
}

function encoded(bytes: Uint8Array | string): Uint8Array {
  return typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
}
