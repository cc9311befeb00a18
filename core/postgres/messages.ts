/**
 * The messages this client sends. Each function returns the bytes in pieces,
 * so that a large statement is passed on as it is and never copied.
 */
import { OperationError, type SqlParameter } from "../plugin.ts";
import { encodeParameter, parameterType } from "./values.ts";

/** The types of the server's messages that are told apart here, as character codes. */
export const FROM_SERVER = {
  authentication: 0x52, // R
  backendKeyData: 0x4b, // K
  bindComplete: 0x32, // 2
  closeComplete: 0x33, // 3
  commandComplete: 0x43, // C
  copyBothResponse: 0x57, // W
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyInResponse: 0x47, // G
  copyOutResponse: 0x48, // H
  dataRow: 0x44, // D
  emptyQueryResponse: 0x49, // I
  errorResponse: 0x45, // E
  negotiateProtocolVersion: 0x76, // v
  noData: 0x6e, // n
  noticeResponse: 0x4e, // N
  notificationResponse: 0x41, // A
  parameterDescription: 0x74, // t
  parameterStatus: 0x53, // S
  parseComplete: 0x31, // 1
  portalSuspended: 0x73, // s
  readyForQuery: 0x5a, // Z
  rowDescription: 0x54, // T
} as const;

const encoder = new TextEncoder();
const ZERO = new Uint8Array(1);
/** Statements up to this many bytes are copied next to their header: one write is cheaper then. */
const COPIED_BYTES = 16 << 10;
/** A server takes no message of 1 GiB or more. */
const LARGEST_STATEMENT = 0x3fffffff - 16;

/** Protocol 3.0, which every supported server speaks. */
const PROTOCOL_VERSION = 3 << 16;
const SSL_REQUEST = 80877103;
const CANCEL_REQUEST = 80877102;

/** The request to start a session with these settings, `user` and `database` among them. */
export function startupMessage(settings: Readonly<Record<string, string>>): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (const [name, value] of Object.entries(settings)) {
    pieces.push(zeroTerminated(name, "setting name"), zeroTerminated(value, `setting "${name}"`));
  }
  return untyped(PROTOCOL_VERSION, ...pieces, ZERO);
}

/** The question whether the server takes up TLS. */
export function sslRequest(): Uint8Array {
  return untyped(SSL_REQUEST);
}

/** The request, on a connection of its own, to cancel what the process `pid` runs. */
export function cancelRequest(pid: number, secret: Uint8Array): Uint8Array {
  return untyped(CANCEL_REQUEST, numbers(4, pid), secret);
}

/** The password, or what is made of it. */
export function passwordMessage(password: string): Uint8Array {
  return typed("p", zeroTerminated(password, "password"));
}

/** The choice of a SASL mechanism with the client's first words. */
export function saslInitialResponse(mechanism: string, first: string): Uint8Array {
  const response = encoder.encode(first);
  return typed("p", zeroTerminated(mechanism, "mechanism"), numbers(4, response.length), response);
}

/** The client's further words in SASL. */
export function saslResponse(words: string): Uint8Array {
  return typed("p", encoder.encode(words));
}

/** The orderly end of a session. */
export function terminateMessage(): Uint8Array {
  return typed("X");
}

/**
 * A simple query, which may hold several statements.
 *
 * @throws OperationError `statement_invalid` when the text holds a zero byte or is too large
 */
export function simpleQuery(sql: string | Uint8Array): Uint8Array[] {
  const body = statementOf(sql);
  const header = new Uint8Array(5);
  header[0] = 0x51; // Q
  new DataView(header.buffer).setInt32(1, 5 + body.length);
  const refusal = refusedCopy(body);
  return body.length <= COPIED_BYTES
    ? [joined([header, body, ZERO, ...refusal])]
    : [header, body, joined([ZERO, ...refusal])];
}

/**
 * One statement with parameters, to its end in one go: parsed, bound, described,
 * executed, synchronised. All results come as text.
 *
 * @throws OperationError `statement_invalid` when the text holds a zero byte or is too large
 */
export function extendedQuery(
  sql: string | Uint8Array,
  params: readonly SqlParameter[],
): Uint8Array[] {
  const body = statementOf(sql);
  if (params.length > 65535) {
    throw new OperationError(
      `Cannot send a statement with ${params.length} parameters: 65535 is the most`,
      { code: "statement_invalid" },
    );
  }
  const values = params.map(encodeParameter);
  const types = params.map((param) => numbers(4, parameterType(param)));
  const parse = typed("P", ZERO, body, ZERO, numbers(2, params.length), ...types);
  const bind = typed(
    "B",
    ZERO,
    ZERO,
    numbers(2, params.length),
    ...params.map((param) => numbers(2, param instanceof Uint8Array ? 1 : 0)),
    numbers(2, params.length),
    ...values.flatMap((value) =>
      value === null ? [numbers(4, -1)] : [numbers(4, value.length), value]
    ),
    numbers(2, 0),
  );
  return [joined([
    parse,
    bind,
    typed("D", encoder.encode("P\0")),
    typed("E", ZERO, numbers(4, 0)),
    ...refusedCopy(body),
    syncMessage(),
  ])];
}

/**
 * One statement without parameters that may ask for data: nothing of what comes next is sent ahead,
 * neither data nor the synchronisation that ends it.
 *
 * @throws OperationError `statement_invalid` when the text holds a zero byte or is too large
 */
export function copyQuery(sql: string): Uint8Array {
  return joined([
    typed("P", ZERO, statementOf(sql), ZERO, numbers(2, 0)),
    typed("B", ZERO, ZERO, numbers(2, 0), numbers(2, 0), numbers(2, 0)),
    typed("E", ZERO, numbers(4, 0)),
    typed("H"),
  ]);
}

/** Makes a message of data for a copy by writing its header over its first five bytes. */
export function fillCopyHeader(message: Uint8Array): void {
  message[0] = 0x64; // d
  new DataView(message.buffer, message.byteOffset).setInt32(1, message.length - 1);
}

/** The end of the data for a copy. */
export function copyDone(): Uint8Array {
  return typed("c");
}

/** The data for a copy breaks off: nothing of it is to be kept. */
export function copyFail(reason: string): Uint8Array {
  return typed("f", zeroTerminated(reason, "message"));
}

/** The end of what belongs together in the extended protocol, also after an error. */
export function syncMessage(): Uint8Array {
  return typed("S");
}

function statementOf(sql: string | Uint8Array): Uint8Array {
  const body = typeof sql === "string" ? encoder.encode(sql) : sql;
  checkStatement(body);
  return body;
}

function checkStatement(body: Uint8Array): void {
  if (body.length > LARGEST_STATEMENT) {
    throw new OperationError(
      `Cannot send a statement of ${body.length} bytes: a server takes less than 1 GiB at once`,
      { code: "statement_invalid", hint: "Split it into several statements" },
    );
  }
  const zero = body.indexOf(0);
  if (zero !== -1) {
    throw new OperationError(
      `Cannot send the statement: byte ${zero + 1} is zero, which SQL text cannot hold`,
      { code: "statement_invalid", hint: "Check that the text is UTF-8, not UTF-16 or binary" },
    );
  }
}

/**
 * What follows a statement that could be `COPY … FROM STDIN`: a message that ends
 * the copy before it begins. A server that expects no data ignores it. It has to
 * be sent ahead, since a server that waits for data takes the next statement of a
 * pipeline for a broken protocol and drops the connection.
 */
function refusedCopy(body: Uint8Array): Uint8Array[] {
  return mentionsStdin(body) ? [copyFail("this client sends no data for COPY FROM STDIN")] : [];
}

/** Whether the letters "stdin" occur, in any case: only then can a statement ask for data. */
export function mentionsStdin(body: Uint8Array): boolean {
  // Looks at every fifth byte at most: how far it is safe to skip depends on the letter there.
  for (let at = 4; at < body.length;) {
    const letter = (body[at] ?? 0) | 0x20;
    if (letter === 0x6e) { // n
      if (
        ((body[at - 1] ?? 0) | 0x20) === 0x69 && ((body[at - 2] ?? 0) | 0x20) === 0x64 &&
        ((body[at - 3] ?? 0) | 0x20) === 0x74 && ((body[at - 4] ?? 0) | 0x20) === 0x73
      ) return true;
      at += 5;
    } else if (letter === 0x69) at += 1; // i
    else if (letter === 0x64) at += 2; // d
    else if (letter === 0x74) at += 3; // t
    else if (letter === 0x73) at += 4; // s
    else at += 5;
  }
  return false;
}

function typed(type: string, ...pieces: Uint8Array[]): Uint8Array {
  const header = new Uint8Array(5);
  header[0] = type.charCodeAt(0);
  let length = 4;
  for (const piece of pieces) length += piece.length;
  new DataView(header.buffer).setInt32(1, length);
  return joined([header, ...pieces]);
}

function untyped(code: number, ...pieces: Uint8Array[]): Uint8Array {
  let length = 8;
  for (const piece of pieces) length += piece.length;
  return joined([numbers(4, length), numbers(4, code), ...pieces]);
}

function numbers(size: 2 | 4, value: number): Uint8Array {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  if (size === 2) view.setUint16(0, value);
  else view.setInt32(0, value);
  return bytes;
}

function zeroTerminated(value: string, what: string): Uint8Array {
  if (value.includes("\0")) {
    throw new OperationError(`Cannot send the ${what}: it holds a zero character`, {
      kind: "usage",
      code: "zero_character",
    });
  }
  return encoder.encode(`${value}\0`);
}

/** Puts pieces together into one. */
export function joined(pieces: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const piece of pieces) length += piece.length;
  const all = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
