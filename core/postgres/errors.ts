/** Failures of the server and of the way to it, worded for people. */
import { OperationError, type ServerError } from "../plugin.ts";
import { cString, ProtocolError } from "./message_reader.ts";

/** Reads an ErrorResponse or NoticeResponse. */
export function readServerError(bytes: Uint8Array, start: number, end: number): ServerError {
  const fields = new Map<string, string>();
  for (let at = start; at < end && bytes[at] !== 0;) {
    const { value, next } = cString(bytes, at + 1, end);
    fields.set(String.fromCharCode(bytes[at] ?? 0), value);
    at = next;
  }
  const number = (field: string) => {
    const value = Number(fields.get(field));
    return Number.isInteger(value) && value > 0 ? value : undefined;
  };
  return withoutUndefined({
    // V is S in English; servers before 9.6 do not send it.
    severity: fields.get("V") ?? fields.get("S") ?? "ERROR",
    sqlstate: fields.get("C") ?? "XX000",
    message: fields.get("M") ?? "the server reports an error without a message",
    detail: fields.get("D"),
    hint: fields.get("H"),
    position: number("P"),
    internalPosition: number("p"),
    internalQuery: fields.get("q"),
    where: fields.get("W"),
    schema: fields.get("s"),
    table: fields.get("t"),
    column: fields.get("c"),
    constraint: fields.get("n"),
  });
}

type Defined<T> =
  & { [K in keyof T as undefined extends T[K] ? never : K]: T[K] }
  & { [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined> };

function withoutUndefined<T extends object>(fields: T): Defined<T> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined),
  ) as Defined<T>;
}

/** Whether the server closes the connection after this error. */
export function endsConnection(error: ServerError): boolean {
  return error.severity === "FATAL" || error.severity === "PANIC";
}

/** Why one attempt to connect failed. */
export interface ConnectFailure {
  /** Where to, such as `127.0.0.1:5432` or a socket's path. */
  readonly address: string;
  /** Stable name for programs. */
  readonly code: string;
  /** Completes the sentence "Cannot connect to ADDRESS: …". */
  readonly reason: string;
  readonly hint?: string;
  /** Whether waiting may help, as with a server that is starting. */
  readonly retryable: boolean;
  readonly server?: ServerError;
  readonly cause?: unknown;
}

/** The error of one failed attempt to connect. */
export function connectError(failure: ConnectFailure): OperationError {
  const { address, code, reason, hint, retryable, server, cause } = failure;
  return new OperationError(`Cannot connect to ${address}: ${reason}`, {
    kind: "connection",
    code,
    ...(hint === undefined ? {} : { hint }),
    details: {
      address,
      reason,
      retryable,
      ...(server === undefined ? {} : { sqlstate: server.sqlstate, server }),
    },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** The one error that tells of every address tried. */
export function allFailed(errors: readonly OperationError[]): OperationError {
  const last = errors.at(-1);
  if (last === undefined) {
    return new OperationError("Cannot connect: no server address is given", {
      kind: "usage",
      code: "no_address",
    });
  }
  if (errors.length === 1) return last;
  const told = errors.map((error) => `${error.details["address"]}: ${error.details["reason"]}`);
  const retryable = errors.some((error) => error.details["retryable"] === true);
  // A server that answered says more about what is wrong than one that was not there.
  const decisive = errors.find((error) => error.details["sqlstate"] !== undefined) ?? last;
  return new OperationError(
    `Cannot connect to any of the ${errors.length} addresses: ${told.join("; ")}`,
    {
      kind: "connection",
      code: decisive.code,
      ...(decisive.hint === undefined ? {} : { hint: decisive.hint }),
      details: {
        ...decisive.details,
        retryable,
        attempts: errors.map((error) => ({ code: error.code, ...error.details })),
      },
    },
  );
}

/** What the server's refusal of a login means. */
export function loginRefused(address: string, server: ServerError): OperationError {
  return connectError({ address, server, reason: server.message, ...meaningOf(server) });
}

function meaningOf(
  server: ServerError,
): Pick<ConnectFailure, "code" | "hint" | "retryable"> {
  switch (server.sqlstate) {
    case "57P03":
      return {
        code: "server_starting",
        retryable: true,
        hint: server.detail ?? "Wait until the server has started",
      };
    case "57P01":
    case "57P02":
      return {
        code: "server_stopping",
        retryable: true,
        hint: "The server is being stopped; wait until it is back",
      };
    case "53300":
      return {
        code: "too_many_connections",
        retryable: true,
        hint: "Close other connections, or raise max_connections or the role's or database's limit",
      };
    case "28P01":
      return {
        code: "authentication_failed",
        retryable: false,
        hint: "Check the user and the password",
      };
    case "28000":
      return {
        code: "authentication_failed",
        retryable: false,
        hint: server.hint ??
          "Check the user, and what the server's pg_hba.conf allows from this address",
      };
    case "3D000":
      return {
        code: "database_missing",
        retryable: false,
        hint: "Check the database's name, or create it",
      };
    default:
      return {
        code: "login_refused",
        retryable: false,
        ...(server.hint === undefined ? {} : { hint: server.hint }),
      };
  }
}

/** Words what went wrong below the protocol: the dialer's, the socket's and TLS's errors. */
export function transportFailure(address: string, thrown: unknown): OperationError {
  const failure = meaningOfTransport(thrown);
  return connectError({ address, cause: thrown, ...failure });
}

function meaningOfTransport(
  thrown: unknown,
): Pick<ConnectFailure, "code" | "reason" | "hint" | "retryable"> {
  if (thrown instanceof ProtocolError) {
    return {
      code: "protocol_error",
      reason: `what answers does not speak PostgreSQL's protocol: ${thrown.message}`,
      retryable: false,
      hint: "Check the port: another service may listen there",
    };
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  switch (reasonOf(thrown, message)) {
    case "refused":
      return {
        code: "connection_refused",
        reason: "connection refused",
        retryable: true,
        hint: "Check that the server runs and listens on this address",
      };
    case "reset":
      return {
        code: "connection_reset",
        reason: "the connection was reset",
        retryable: true,
        hint: "Check that a PostgreSQL server listens there; it may be starting or stopping",
      };
    case "no-socket":
      return {
        code: "socket_not_found",
        reason: "there is no such socket",
        retryable: true,
        hint: "Check that the server runs, and its unix_socket_directories and port",
      };
    case "no-host":
      return {
        code: "host_not_found",
        reason: "the host name cannot be resolved",
        retryable: true,
        hint: "Check the host's name",
      };
    case "timeout":
      return {
        code: "connect_timeout",
        reason: "no answer in time",
        retryable: true,
        hint: "Check the address, and firewalls on the way to it",
      };
    case "unreachable":
      return {
        code: "host_unreachable",
        reason: "the host cannot be reached",
        retryable: true,
        hint: "Check the address and the network",
      };
    case "denied":
      return {
        code: "permission_denied",
        reason: "permission is denied",
        retryable: false,
        hint: "Check the permissions of the socket and its directory",
      };
    default:
      return { code: "connection_failed", reason: message, retryable: false };
  }
}

function reasonOf(thrown: unknown, message: string): string {
  const name = thrown instanceof Error ? thrown.name : "";
  const code = thrown instanceof Error && "code" in thrown ? String(thrown.code) : "";
  const is = (pattern: RegExp) => pattern.test(code) || pattern.test(name);
  // A name that cannot be resolved comes under various names, one of them NotFound.
  if (/failed to lookup address|getaddrinfo/i.test(message) || is(/^(ENOTFOUND|EAI_\w+)$/)) {
    return "no-host";
  }
  if (is(/^(ConnectionRefused|ECONNREFUSED)$/)) return "refused";
  if (is(/^(ConnectionReset|ConnectionAborted|BrokenPipe|ECONNRESET|EPIPE|ECONNABORTED)$/)) {
    return "reset";
  }
  if (is(/^(UnexpectedEof)$/)) return "reset";
  if (is(/^(NotFound|ENOENT)$/)) return "no-socket";
  if (is(/^(TimedOut|ETIMEDOUT)$/)) return "timeout";
  if (is(/^(HostUnreachable|NetworkUnreachable|AddrNotAvailable)$|^E(HOST|NET)UNREACH$/)) {
    return "unreachable";
  }
  if (/host (is )?unreachable|network (is )?unreachable|no route to host/i.test(message)) {
    return "unreachable";
  }
  if (is(/^(PermissionDenied|EACCES|EPERM)$/)) return "denied";
  return "other";
}

/** The error of a handshake that failed, or of a certificate that is not accepted. */
export function tlsFailure(address: string, thrown: unknown): OperationError {
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return connectError({
    address,
    code: "tls_failed",
    reason: `TLS cannot be set up: ${reason}`,
    retryable: false,
    hint: "Check sslmode, sslrootcert and the host's name against the server's certificate",
    ...(thrown instanceof Error ? { cause: thrown } : {}),
  });
}

/** A session that ended without having been asked to. */
export function connectionLost(address: string, reason: {
  /** The last words of the server, when it had any. */
  readonly server?: ServerError | undefined;
  readonly thrown?: unknown;
}): OperationError {
  const { server, thrown } = reason;
  const told = server !== undefined
    ? `${server.message} (SQLSTATE ${server.sqlstate})`
    : thrown === undefined
    ? "the server closed it without a word"
    : thrown instanceof ProtocolError
    ? `the server does not follow the protocol: ${thrown.message}`
    : meaningOfTransport(thrown).reason;
  return new OperationError(`The connection to ${address} was lost: ${told}`, {
    kind: "connection",
    code: server === undefined && thrown instanceof ProtocolError
      ? "protocol_error"
      : "connection_lost",
    hint: "See the server's log for the reason; what was not committed has been rolled back",
    details: {
      address,
      ...(server === undefined ? {} : { sqlstate: server.sqlstate, server }),
    },
    ...(thrown === undefined ? {} : { cause: thrown }),
  });
}

/** The error of work on a session that has been closed on purpose. */
export function connectionClosed(address: string): OperationError {
  return new OperationError(`The connection to ${address} is closed`, {
    kind: "connection",
    code: "connection_closed",
    details: { address },
  });
}
