/** What the client of S3 throws, as facts. */
import { ConnectionLoss } from "./http_connection.ts";

/** A failure of a request. */
export interface Failure {
  /** The service's name for it, such as `NoSuchKey`; empty when it named none. */
  readonly code: string;
  /** The status of the answer; undefined when none came. */
  readonly status: number | undefined;
  /** What broke the connection; undefined when an answer came. */
  readonly loss: ConnectionLoss | undefined;
  /** What the service told, in one line. */
  readonly message: string;
  /** Where the bucket really is, as the service told. */
  readonly region: string | undefined;
  /** Whether this machine's clock was found wrong by it, so that the next request is signed by the service's. */
  readonly clockCorrected: boolean;
}

/** What was sent arrived as something else. */
export class Mismatch extends Error {
  override name = "Mismatch";
}

/** Names that clients give to answers without a name. */
const NAMELESS = /^(Unknown(Error)?|\d+|Error|S3ServiceException|SyntaxError|TypeError)$/;

/** Reads what was thrown; undefined when it is no failure of a request. */
export function failureOf(error: unknown): Failure | undefined {
  if (error instanceof ConnectionLoss) {
    return {
      code: "",
      status: undefined,
      loss: error,
      message: error.message,
      region: undefined,
      clockCorrected: false,
    };
  }
  if (!(error instanceof Error)) return undefined;
  const status = statusOf(error);
  if (status === undefined && !lacksCredentials(error.name)) return undefined;
  return {
    code: NAMELESS.test(error.name) ? "" : error.name,
    status,
    loss: undefined,
    message: error.message.replaceAll(/\s+/g, " ").trim(),
    region: regionOf(error),
    clockCorrected: member(member(error, "$metadata"), "clockSkewCorrected") === true,
  };
}

/** Whether a failure of that name means that no credentials were found. */
export function lacksCredentials(name: string): boolean {
  return /^(Credentials|Token)?ProviderError$/.test(name);
}

function statusOf(error: Error): number | undefined {
  const metadata = member(error, "$metadata");
  const status = member(metadata, "httpStatusCode") ?? member(answerOf(error), "statusCode");
  return typeof status === "number" ? status : undefined;
}

function regionOf(error: Error): string | undefined {
  const header = member(member(answerOf(error), "headers"), "x-amz-bucket-region");
  const told = /expecting '([a-z0-9-]+)'/.exec(error.message)?.[1];
  const region = header ?? member(error, "Region") ?? told;
  return typeof region === "string" ? region : undefined;
}

function answerOf(error: Error): unknown {
  return member(error, "$response");
}

function member(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && name in value
    ? Reflect.get(value, name)
    : undefined;
}

/** Refusals for a while: the same request may succeed later. */
const PASSING: ReadonlySet<string> = new Set([
  "ConditionalRequestConflict",
  "InternalError",
  "OperationAborted",
  "RequestTimeout",
  "RequestTimeTooSkewed",
  "ServiceUnavailable",
  "SlowDown",
  "Throttling",
  "ThrottlingException",
  "TooManyRequests",
  // What was sent has not arrived as it was sent.
  "BadDigest",
  "XAmzContentSHA256Mismatch",
]);

/** What no time mends. */
const LASTING: ReadonlySet<string> = new Set(["NotImplemented"]);

/**
 * Whether the same request may succeed when it is made again: after a lost connection, an answer that
 * is cut or makes no sense, a server's own failure, and after a clock was found wrong, since requests
 * are then signed by the server's.
 */
export function mayPass(error: unknown): boolean {
  if (error instanceof Mismatch) return true;
  const failure = failureOf(error);
  if (failure === undefined) return false;
  const { code, status = 0, loss, clockCorrected } = failure;
  if (loss !== undefined) return loss.loss !== "untrusted";
  if (PASSING.has(code)) return true;
  // The answer to a HEAD has no name for it.
  if (status === 403 && code === "" && clockCorrected) return true;
  return !LASTING.has(code) && (status >= 500 && status !== 501 || status === 408 ||
    status === 429 || status === 200 || status === 206);
}
