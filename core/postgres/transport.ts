/**
 * The byte stream below the protocol. The machine's sockets come from outside,
 * so that this client runs on any of them and a test can hand in a faulty one.
 */

/** A two-way byte stream; a TCP or Unix connection of the host satisfies it. */
export interface Duplex {
  /** Reads at least one byte into the buffer; null at the end. */
  read(into: Uint8Array): Promise<number | null>;
  /** Writes some of the bytes and tells how many; they stay untouched until then. */
  write(bytes: Uint8Array): Promise<number>;
  /** Tells the other end that no more comes. */
  closeWrite?(): Promise<void>;
  /** Closes both directions. */
  close(): void;
}

/** Opens plain connections. A rejection's `code` or `name` tells the reason. */
export interface Dialer {
  tcp(hostname: string, port: number): Promise<Duplex>;
  /** A path that begins with "@" names a socket in the abstract namespace. */
  unix(path: string): Promise<Duplex>;
}

/** Writes all bytes, however few are taken at a time. */
export async function writeAll(to: Duplex, bytes: Uint8Array): Promise<void> {
  let rest = bytes;
  while (rest.length > 0) {
    const count = await to.write(rest);
    if (count === rest.length) return;
    if (count <= 0) throw new Error("the transport accepts no more bytes");
    rest = rest.subarray(count);
  }
}

/** Closes a stream that may be closed or broken already. */
export function closeQuietly(stream: Duplex): void {
  try {
    // Some versions of the runtime keep a connection open as long as a read is under way
    // (denoland/deno#35292): this is what the other end learns of then.
    stream.closeWrite?.().catch(() => {});
    stream.close();
  } catch {
    // It is gone already, which is what was wanted.
  }
}

/** A server that closes the connection without a word is most often one that starts or stops. */
export function closedEarly(): Error {
  const error = new Error("the server closed the connection without a word");
  error.name = "UnexpectedEof";
  return error;
}
