/** Failures of the server and of the transport below it, worded for people. */
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

/** What an error of the dialer, a socket or the protocol means. */
export interface TransportMeaning {
  /** Stable name for programs. */
  readonly code: string;
  readonly reason: string;
  readonly hint?: string;
  /** Whether waiting may help, as with a server that is not there yet. */
  readonly retryable: boolean;
}

/** Words what went wrong below the protocol, or in it. */
export function meaningOfTransport(
  thrown: unknown,
): TransportMeaning {
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
