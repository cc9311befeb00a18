/**
 * One connection to a web server. The runtime's own clients will not do for large bodies: `fetch`
 * sends a stream in chunks, without the length that S3 asks for, and `node:http` never answers on
 * runtime 2.6 when the server has closed a connection that was kept, and holds on to what it sends.
 */
import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectSecurely } from "node:tls";

/** Where a server is. */
export interface Address {
  readonly secure: boolean;
  /** A name, or an IP address without brackets. */
  readonly host: string;
  readonly port: number;
}

/**
 * Why nothing came of a request: `refused`, `unknown_host`, `unreachable` and `untrusted` before
 * anything was sent; `lost` when the connection broke off, `stalled` when nothing moved any more.
 */
export type Loss = "refused" | "unknown_host" | "unreachable" | "untrusted" | "lost" | "stalled";

/** The way to the server, or the server itself, failed. */
export class ConnectionLoss extends Error {
  override name = "ConnectionLoss";
  readonly loss: Loss;

  constructor(loss: Loss, message: string) {
    super(message);
    this.loss = loss;
  }
}

/**
 * An open connection, which is written to by one at a time, and read from likewise. Once it has
 * failed, everything on it fails with the same error.
 */
export interface Connection {
  /** Sends all bytes; they must stay as they are until it resolves. */
  write(bytes: Uint8Array): Promise<void>;
  /** The next bytes; null at the end. The server is read from no faster than this is called. */
  read(): Promise<Uint8Array | null>;
  /** Whether it can carry another request: nothing has come, and no end either. */
  idle(): boolean;
  /** Closes it, and has whatever waits on it fail with the reason. */
  close(reason?: unknown): void;
}

/** How a connection is opened. */
export interface DialOptions {
  /** Milliseconds for the address, the connection and TLS. */
  readonly limit: number;
  readonly signal: AbortSignal | undefined;
  /** Certificates to trust instead of the usual ones, as PEM text. */
  readonly authorities: string | undefined;
}

/**
 * Opens a connection.
 *
 * @throws ConnectionLoss, or the signal's reason
 */
export async function dial(address: Address, options: DialOptions): Promise<Connection> {
  const { secure, host, port } = address;
  const { limit, signal, authorities } = options;
  signal?.throwIfAborted();
  const socket = secure
    ? connectSecurely({
      host,
      port,
      ALPNProtocols: ["http/1.1"],
      ...(authorities === undefined ? {} : { ca: authorities }),
    })
    : connectPlain({ host, port });
  const opened = Promise.withResolvers<void>();
  const connection = connectionOver(socket, opened.reject);
  socket.once(secure ? "secureConnect" : "connect", opened.resolve);
  const timer = setTimeout(() => {
    const seconds = limit / 1000;
    connection.close(new ConnectionLoss("unreachable", `no connection within ${seconds} s`));
  }, limit);
  const abort = () => connection.close(signal?.reason);
  signal?.addEventListener("abort", abort);
  try {
    await opened.promise;
    socket.setNoDelay(true);
    return connection;
  } catch (error) {
    connection.close();
    throw error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

function connectionOver(socket: Socket, failed: (error: unknown) => void): Connection {
  let ended = false;
  let failure: { readonly error: unknown } | undefined;
  let reading: PromiseWithResolvers<void> | undefined;
  let writing: PromiseWithResolvers<void> | undefined;
  function fail(error: unknown): void {
    failure ??= { error };
    failed(failure.error);
    writing?.reject(failure.error);
    reading?.resolve();
  }
  // Never `pause`: on runtime 2.6 a socket that was paused and goes on has given wrong bytes of the
  // right length (`tests/s3/runtime_test.ts`); why is not known, perhaps two reads share a buffer.
  // What is not taken holds it up as well, and that was sound in every run.
  socket.on("readable", () => {
    // The end is told only to those who read.
    if (socket.readableLength === 0) socket.read();
    reading?.resolve();
  });
  socket.on("end", () => {
    ended = true;
    reading?.resolve();
  });
  socket.on("error", (error: Error) => fail(lossOf(error)));
  socket.on("close", () => fail(closed()));
  return {
    async write(bytes) {
      if (failure !== undefined) throw failure.error;
      writing = Promise.withResolvers();
      socket.write(bytes, (error) => {
        if (error) fail(lossOf(error));
        else writing?.resolve();
      });
      await writing.promise;
    },
    async read() {
      for (;;) {
        reading = Promise.withResolvers();
        const chunk: Uint8Array | null = socket.read();
        if (chunk !== null) return withoutNode(chunk);
        if (ended) return null;
        if (failure !== undefined) throw failure.error;
        await reading.promise;
      }
    },
    idle: () => socket.readableLength === 0 && !ended && failure === undefined,
    close(reason = closed()) {
      fail(reason);
      socket.destroy();
    },
  };
}

/** The same bytes as an array whose `slice` copies them: a socket gives buffers of Node, whose does not. */
function withoutNode({ buffer, byteOffset, length }: Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, length);
}

function closed(): ConnectionLoss {
  return new ConnectionLoss("lost", "the connection was closed");
}

const LOSS_BY_CODE: Readonly<Record<string, Loss>> = {
  ECONNREFUSED: "refused",
  ENOTFOUND: "unknown_host",
  EAI_AGAIN: "unknown_host",
  EHOSTUNREACH: "unreachable",
  ENETUNREACH: "unreachable",
  ETIMEDOUT: "unreachable",
};

function lossOf(error: Error): ConnectionLoss {
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  // The runtimes do not agree on a code for it, nor on when they tell it.
  const untrusted = /certificate|CERT_/i.test(`${code} ${error.message}`);
  return new ConnectionLoss(untrusted ? "untrusted" : LOSS_BY_CODE[code] ?? "lost", error.message);
}
