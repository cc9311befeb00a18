/** From parameters to a session: hosts in order, TLS as asked for, one error for all failures. */
import { OperationError, type ServerError } from "../plugin.ts";
import { Connection } from "./connection.ts";
import type { ConnectionParameters, HostAddress } from "./connection_parameters.ts";
import { allFailed, connectError, transportFailure } from "./errors.ts";
import { login } from "./login.ts";
import { cancelRequest } from "./messages.ts";
import { closeQuietly, type Dialer, type Duplex, writeAll } from "./transport.ts";

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
  /** Reads a certificate or key; by default from the file system. */
  readFile?(path: string): Promise<Uint8Array>;
  /** A file's permission bits; by default from the file system. */
  fileMode?(path: string): Promise<number | undefined>;
}

const DEFAULT_TIMEOUT_SECONDS = 10;

/**
 * Opens a session with the first host that gives one.
 *
 * @throws OperationError of kind `connection` that tells of every host tried; its
 *   `details.retryable` says whether waiting may help
 */
export async function connect(
  parameters: ConnectionParameters,
  options: ConnectOptions,
): Promise<Connection> {
  const failures: OperationError[] = [];
  for (const host of parameters.hosts) {
    const attempt = { host, parameters, options };
    try {
      return await withDeadline(attempt, (signal) => openSession({ ...attempt, signal }));
    } catch (error) {
      options.signal?.throwIfAborted();
      const failure = failureOf(attempt, error);
      failures.push(failure);
      // As with libpq: a server that refuses the login ends the search.
      if (FINAL.has(failure.code)) break;
    }
  }
  throw allFailed(failures);
}

const FINAL: ReadonlySet<string> = new Set(["authentication_failed", "database_missing"]);

interface Target {
  readonly host: HostAddress;
  readonly parameters: ConnectionParameters;
  readonly options: ConnectOptions;
}

interface Attempt extends Target {
  readonly signal: AbortSignal;
}

function failureOf({ host }: Target, error: unknown): OperationError {
  return error instanceof OperationError ? error : transportFailure(addressOf(host), error);
}

/** Where a host's server is, for people: `127.0.0.1:5432`, `[::1]:5432` or the socket's path. */
export function addressOf(host: HostAddress): string {
  if (isSocket(host)) return socketPath(host);
  return host.host.includes(":") ? `[${host.host}]:${host.port}` : `${host.host}:${host.port}`;
}

function isSocket({ host, hostaddr }: HostAddress): boolean {
  return hostaddr === undefined && (host.startsWith("/") || host.startsWith("@"));
}

function socketPath({ host, port }: HostAddress): string {
  return `${host}/.s.PGSQL.${port}`;
}

async function openSession(attempt: Attempt): Promise<Connection> {
  return await logIn(attempt, await dial(attempt));
}

async function logIn(attempt: Attempt, duplex: Duplex): Promise<Connection> {
  const { host, parameters, options } = attempt;
  const address = addressOf(host);
  const onNotice = (notice: ServerError) => options.onNotice?.(notice);
  const session = await login(duplex, {
    address,
    user: parameters.user,
    password: parameters.password ?? host.password,
    channelBinding: parameters.channelBinding ?? "prefer",
    requireAuth: parameters.requireAuth,
    settings: {
      database: options.database ?? parameters.database,
      application_name: parameters.applicationName,
      client_encoding: "UTF8",
      ...(parameters.options === undefined ? {} : { options: parameters.options }),
      ...options.settings,
    },
    bindingData: () => Promise.resolve(undefined),
    onNotice,
  });
  return new Connection({
    ...session,
    duplex,
    address,
    tls: false,
    onNotice,
    cancel: () =>
      withDeadline(attempt, async (signal) => {
        const other = await dial({ ...attempt, signal });
        await writeAll(other, cancelRequest(session.pid, session.secret));
        // The server closes when it has passed the request on.
        while (await other.read(new Uint8Array(64)) !== null);
        closeQuietly(other);
      }),
  });
}

/** Opens a plain connection, which is closed when the attempt is given up. */
async function dial({ host, options, signal }: Attempt): Promise<Duplex> {
  const { dialer } = options;
  const duplex = isSocket(host)
    ? await dialer.unix(socketPath(host))
    : await dialer.tcp(host.hostaddr ?? host.host, host.port);
  const close = () => closeQuietly(duplex);
  if (signal.aborted) close();
  signal.throwIfAborted();
  signal.addEventListener("abort", close, { once: true });
  return duplex;
}

/** Gives `work` the host's time; what it has opened is closed when that is over. */
async function withDeadline<T>(
  { host, parameters, options }: Target,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const seconds = parameters.connectTimeout || DEFAULT_TIMEOUT_SECONDS;
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
  options.signal?.throwIfAborted();
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
