/** One way to one server: plain or protected, as the sslmode demands, up to a session. */
import { OperationError, type ServerError } from "../plugin.ts";
import { Connection } from "./connection.ts";
import type { ConnectionParameters, HostAddress } from "./connection_parameters.ts";
import { connectError } from "./connect_errors.ts";
import { login } from "./login.ts";
import { printable, ProtocolError } from "./message_reader.ts";
import { cancelRequest, sslRequest } from "./messages.ts";
import { closedEarly, closeQuietly, type Dialer, type Duplex, writeAll } from "./transport.ts";

/** How a session is opened. */
export interface ConnectOptions {
  readonly dialer: Dialer;
  /** Another database than the parameters' one. */
  readonly database?: string;
  /** Settings of the session, sent with its start. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Called for every notice and warning of the server. */
  onNotice?(notice: ServerError): void;
  /** Ends the attempt; its reason is then thrown. */
  readonly signal?: AbortSignal;
}

/** A host to open a session with. */
export interface Target {
  readonly host: HostAddress;
  readonly parameters: ConnectionParameters;
  readonly options: ConnectOptions;
}

/** One attempt, which ends when its signal says so. */
interface Attempt extends Target {
  readonly signal: AbortSignal;
}

/** An open connection, not yet logged in. */
interface Link {
  readonly duplex: Duplex;
  /** Opens another one of the same kind. */
  readonly another: (attempt: Attempt) => Promise<Link>;
  /** Under TLS only. */
  readonly bindingData?: () => Promise<Uint8Array | undefined>;
}

const DEFAULT_TIMEOUT_SECONDS = 10;

/**
 * Opens a session with one host, within the time for one host.
 *
 * @throws OperationError of kind `connection`, or what the transport throws
 */
export function openSession(target: Target): Promise<Connection> {
  return withDeadline(target, (signal) => openByMode({ ...target, signal }));
}

/** How long one host may take. */
export function timeoutSeconds({ connectTimeout }: ConnectionParameters): number {
  return connectTimeout || DEFAULT_TIMEOUT_SECONDS;
}

/** Where a host's server is, for people: `127.0.0.1:5432`, `[::1]:5432` or the socket's path. */
export function addressOf(host: HostAddress): string {
  if (isSocket(host)) return socketPath(host);
  return host.host.includes(":") ? `[${host.host}]:${host.port}` : `${host.host}:${host.port}`;
}

/** Whether a host is reached by a socket in the file system or the abstract namespace. */
export function isSocket({ host, hostaddr }: HostAddress): boolean {
  return hostaddr === undefined && (host.startsWith("/") || host.startsWith("@"));
}

function socketPath({ host, port }: HostAddress): string {
  return `${host}/.s.PGSQL.${port}`;
}

/** Does what each sslmode means in libpq; sockets are never protected by TLS. */
async function openByMode(attempt: Attempt): Promise<Connection> {
  const { host, parameters } = attempt;
  const { sslmode, sslnegotiation } = parameters;
  if (isSocket(host) || sslmode === "disable") return await openPlain(attempt);
  if (sslnegotiation === "direct" && (sslmode === "allow" || sslmode === "prefer")) {
    throw new OperationError(`Cannot use sslnegotiation=direct with sslmode=${sslmode}`, {
      kind: "usage",
      code: "weak_sslmode",
      hint: "Use sslmode=require or stricter",
    });
  }
  switch (sslmode) {
    case "allow":
      return await either(() => openPlain(attempt), () => openProtected(attempt));
    case "prefer": {
      const link = await plainLink(attempt);
      if (!await offersTls(link.duplex)) return await logIn(attempt, link);
      closeQuietly(link.duplex);
      return await either(() => openProtected(attempt), () => openPlain(attempt));
    }
    default:
      return await openProtected(attempt);
  }
}

/** Tries the second way when the first fails for a reason that the other may not have. */
async function either<T>(first: () => Promise<T>, second: () => Promise<T>): Promise<T> {
  try {
    return await first();
  } catch (error) {
    if (!dependsOnTls(error)) throw error;
    try {
      return await second();
    } catch (other) {
      // Refused in both ways: the way that was preferred tells what is wrong.
      throw dependsOnTls(other) ? error : other;
    }
  }
}

/** Whether TLS failed, or the server's rules (pg_hba.conf) refuse a connection of this kind. */
function dependsOnTls(error: unknown): boolean {
  return error instanceof OperationError &&
    (error.code === "tls_failed" || error.code === "tls_refused" ||
      error.details["sqlstate"] === "28000");
}

async function openPlain(attempt: Attempt): Promise<Connection> {
  return await logIn(attempt, await plainLink(attempt));
}

async function openProtected(attempt: Attempt): Promise<Connection> {
  return await logIn(attempt, await protectedLink(attempt));
}

/** Opens a plain connection, which is closed when the attempt is given up. */
async function plainLink({ host, options, signal }: Attempt): Promise<Link> {
  const { dialer } = options;
  const duplex = isSocket(host)
    // The name of a socket in the abstract namespace begins with a zero byte.
    ? await dialer.unix(socketPath(host).replace(/^@/, "\0"))
    : await dialer.tcp(host.hostaddr ?? host.host, host.port);
  const close = () => closeQuietly(duplex);
  if (signal.aborted) close();
  signal.throwIfAborted();
  signal.addEventListener("abort", close, { once: true });
  return { duplex, another: plainLink };
}

async function protectedLink(attempt: Attempt): Promise<Link> {
  // Only here, since the modules below it take longer to load than a session to open.
  const { openTls } = await import("./tls.ts");
  const link = await openTls({ ...attempt, address: addressOf(attempt.host) });
  return { ...link, another: protectedLink };
}

/** Asks a server whether it takes up TLS. */
async function offersTls(duplex: Duplex): Promise<boolean> {
  await writeAll(duplex, sslRequest());
  const answer = new Uint8Array(1);
  if (await duplex.read(answer) === null) throw closedEarly();
  if (answer[0] === 0x53) return true; // S
  if (answer[0] === 0x4e) return false; // N
  throw new ProtocolError(`the request for TLS is answered with ${printable(answer[0] ?? 0)}`);
}

async function logIn(attempt: Attempt, link: Link): Promise<Connection> {
  const { host, parameters, options } = attempt;
  const { duplex } = link;
  const address = addressOf(host);
  const onNotice = (notice: ServerError) => options.onNotice?.(notice);
  try {
    const session = await login(duplex, {
      address,
      user: parameters.user,
      password: parameters.password ?? host.password,
      channelBinding: parameters.channelBinding ?? "prefer",
      requireAuth: parameters.requireAuth,
      settings: {
        database: options.database ?? parameters.database,
        application_name: parameters.applicationName,
        ...(parameters.options === undefined ? {} : { options: parameters.options }),
        ...options.settings,
        client_encoding: "UTF8",
      },
      bindingData: link.bindingData ?? (() => Promise.resolve(undefined)),
      onNotice,
    });
    return new Connection({
      ...session,
      duplex,
      address,
      tls: link.bindingData !== undefined,
      onNotice,
      cancel: () =>
        cancel({ host, parameters, options: { dialer: options.dialer } }, link, session),
    });
  } catch (error) {
    closeQuietly(duplex);
    throw error;
  }
}

function cancel(
  target: Target,
  link: Link,
  session: { readonly pid: number; readonly secret: Uint8Array },
): Promise<void> {
  return withDeadline(target, async (signal) => {
    const { duplex } = await link.another({ ...target, signal });
    try {
      await writeAll(duplex, cancelRequest(session.pid, session.secret));
      // The server closes the connection when it has passed the request on.
      while (await duplex.read(new Uint8Array(64)) !== null);
    } finally {
      closeQuietly(duplex);
    }
  });
}

/** Gives `work` the time for one host; what it has opened is closed when that is over. */
async function withDeadline<T>(
  { host, parameters, options }: Target,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  options.signal?.throwIfAborted();
  const seconds = timeoutSeconds(parameters);
  const attempt = new AbortController();
  const { signal } = attempt;
  const timer = setTimeout(() => {
    attempt.abort(connectError({
      address: addressOf(host),
      code: "connect_timeout",
      reason: `no answer within ${seconds} s`,
      retryable: true,
      hint: "Check the address, and firewalls on the way to it",
    }));
  }, seconds * 1000);
  const giveUp = () => attempt.abort(options.signal?.reason);
  options.signal?.addEventListener("abort", giveUp, { once: true });
  try {
    return await new Promise<T>((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      work(signal).then(resolve, reject);
    });
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", giveUp);
  }
}
