/** Connections protected by TLS. Loaded only when one is made, since the modules below are heavy. */
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { certificateHash, certificateHosts, certificateIsFor } from "./certificate.ts";
import type { ConnectionParameters, HostAddress } from "./connection_parameters.ts";
import { connectError, tlsFailure } from "./connect_errors.ts";
import { sslRequest } from "./messages.ts";
import { readMaterial, type TlsMaterial } from "./tls_files.ts";
import { closedEarly, type Duplex } from "./transport.ts";

/** What a protected connection is made with. */
export interface TlsOptions {
  readonly host: HostAddress;
  /** Where to, for messages. */
  readonly address: string;
  readonly parameters: ConnectionParameters;
  /** Gives the attempt up. */
  readonly signal: AbortSignal;
}

/** A protected connection. */
export interface TlsConnection {
  readonly duplex: Duplex;
  /** What a login is bound to: the hash of the server's certificate, where one is defined for it. */
  bindingData(): Promise<Uint8Array | undefined>;
}

/**
 * Connects, asks for TLS, and checks the server's certificate as the sslmode demands.
 *
 * @throws OperationError of kind `connection`: `tls_refused` when the server takes up no TLS,
 *   `tls_failed` when the handshake fails or the certificate is not trusted, `tls_file` when a
 *   certificate or key of ours cannot be used
 */
export async function openTls(options: TlsOptions): Promise<TlsConnection> {
  const { host, address, parameters, signal } = options;
  const material = await readMaterial(parameters);
  signal.throwIfAborted();
  const socket = connectTcp({ host: host.hostaddr ?? host.host, port: host.port });
  const destroy = () => socket.destroy();
  signal.addEventListener("abort", destroy, { once: true });
  try {
    await connected(socket);
    // A round trip of small messages must not wait for more to send.
    socket.setNoDelay(true);
    socket.setKeepAlive(true);
    const begin = () => handshake(socket, options, material);
    const { secured, certificate } = parameters.sslnegotiation === "direct"
      ? await begin()
      : await negotiate(socket, address, begin);
    // Without this answer, what was reached might be another service that speaks TLS.
    if (parameters.sslnegotiation === "direct" && secured.alpnProtocol !== "postgresql") {
      throw tlsFailure(address, "the server does not agree to speak PostgreSQL's protocol (ALPN)");
    }
    if (material.checkName && !certificateIsFor(certificate, host.host)) {
      throw tlsFailure(
        address,
        `the server's certificate is for ${certificateHosts(certificate)}, not "${host.host}"`,
      );
    }
    return {
      duplex: duplexOf(secured),
      bindingData: () => certificateHash(certificate),
    };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function connected(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
    socket.once("close", () => reject(closedEarly()));
  });
}

/**
 * Asks the server in clear whether it takes up TLS, and begins with it at once: some versions of
 * the runtime lose the start of the handshake when it comes even a little later.
 */
function negotiate(
  socket: Socket,
  address: string,
  begin: () => Promise<Secured>,
): Promise<Secured> {
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.once("close", () => reject(closedEarly()));
    socket.once("data", (bytes: Uint8Array) => {
      // More than the one byte would be text that somebody put in before the encryption begins.
      if (bytes.length === 1 && bytes[0] === 0x53) begin().then(resolve, reject); // S
      else {reject(connectError({
          address,
          code: "tls_refused",
          reason: bytes.length === 1 && bytes[0] === 0x4e // N
            ? "the server does not use TLS"
            : "the server answers the request for TLS with something else",
          retryable: false,
          hint: "Turn on ssl in the server, or use another sslmode where that is safe",
        }));}
    });
    socket.write(sslRequest());
  });
}

interface Secured {
  readonly secured: TLSSocket;
  /** In DER. */
  readonly certificate: Uint8Array;
}

function handshake(
  socket: Socket,
  { host, parameters, address }: TlsOptions,
  material: TlsMaterial,
): Promise<Secured> {
  const { ca, cert, key } = material;
  return new Promise((resolve, reject) => {
    const secured = connectTls({
      socket,
      rejectUnauthorized: ca !== undefined,
      // The runtime checks the issuer, and `openTls` the name afterwards: some versions of the
      // runtime check for the name "localhost" where an address is meant.
      checkServerIdentity: () => undefined,
      ...(isIP(host.host) === 0 ? { servername: host.host } : {}),
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(parameters.sslnegotiation === "direct" ? { ALPNProtocols: ["postgresql"] } : {}),
    });
    secured.once("error", (error) => reject(tlsFailure(address, error)));
    secured.once("close", () => reject(tlsFailure(address, "the server closed the connection")));
    secured.once("secureConnect", () => {
      const certificate = secured.getPeerCertificate().raw;
      // Some versions of the runtime tell of success first and of a failure after it: only the
      // certificate shows that the handshake is over.
      if (certificate instanceof Uint8Array) resolve({ secured, certificate });
    });
  });
}

/** A socket as the byte stream that the protocol stands on; reads no further ahead than asked. */
function duplexOf(socket: TLSSocket): Duplex {
  const chunks: Uint8Array[] = [];
  let ended = false;
  let failure: Error | undefined;
  let wake = () => {};
  socket.on("data", (chunk: Uint8Array) => {
    chunks.push(chunk);
    socket.pause();
    wake();
  });
  socket.on("error", (error) => {
    failure ??= error;
    wake();
  });
  for (const event of ["end", "close"]) {
    socket.on(event, () => {
      ended = true;
      wake();
    });
  }
  return {
    async read(into) {
      for (;;) {
        const chunk = chunks[0];
        if (chunk !== undefined) {
          const taken = chunk.subarray(0, into.length);
          into.set(taken);
          if (taken.length < chunk.length) chunks[0] = chunk.subarray(taken.length);
          else chunks.shift();
          return taken.length;
        }
        if (failure !== undefined) throw failure;
        if (ended) return null;
        await new Promise<void>((resolve) => {
          wake = resolve;
          socket.resume();
        });
      }
    },
    write(bytes) {
      return new Promise((resolve, reject) => {
        socket.write(bytes, (error) => error ? reject(error) : resolve(bytes.length));
      });
    },
    close() {
      ended = true;
      socket.destroy();
      wake();
    },
  };
}
