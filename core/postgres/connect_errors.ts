/** Failures to open a session, worded for people. */
import { OperationError, type ServerError } from "../plugin.ts";
import { meaningOfTransport, type TransportMeaning } from "./errors.ts";

/** Why one attempt to connect failed; `reason` completes "Cannot connect to ADDRESS: …". */
export interface ConnectFailure extends TransportMeaning {
  /** Where to, such as `127.0.0.1:5432` or a socket's path. */
  readonly address: string;
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

/** As with libpq, a server that refuses the login ends the search for one. */
const FINAL: ReadonlySet<string> = new Set(["authentication_failed", "database_missing"]);

/** Whether no other host is to be tried after this failure. */
export function endsSearch(error: OperationError): boolean {
  return FINAL.has(error.code);
}

/** The one error that tells of every host tried. */
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
  const final = endsSearch(last);
  // A server that answered says more about what is wrong than one that was not there.
  const decisive = final
    ? last
    : errors.find((error) => error.details["sqlstate"] !== undefined) ?? last;
  return new OperationError(
    `Cannot connect to any of the ${errors.length} addresses: ${told.join("; ")}`,
    {
      kind: "connection",
      code: decisive.code,
      ...(decisive.hint === undefined ? {} : { hint: decisive.hint }),
      details: {
        ...decisive.details,
        retryable: !final && errors.some((error) => error.details["retryable"] === true),
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

/** The error of an attempt that failed below the protocol, or at it. */
export function transportFailure(address: string, thrown: unknown): OperationError {
  const failure = meaningOfTransport(thrown);
  return connectError({ address, cause: thrown, ...failure });
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
