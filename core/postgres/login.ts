/** The start of a session: the startup message, the login, the server's first words. */
import type { ServerError } from "../plugin.ts";
import { authenticate } from "./auth.ts";
import { loginRefused } from "./connect_errors.ts";
import { readServerError } from "./errors.ts";
import { cString, int32, MessageReader, printable, ProtocolError } from "./message_reader.ts";
import { FROM_SERVER, startupMessage } from "./messages.ts";
import { closedEarly, type Duplex, writeAll } from "./transport.ts";

/** What a session is started with. */
export interface LoginOptions {
  /** Where to, for messages. */
  readonly address: string;
  readonly user: string;
  readonly password: string | undefined;
  readonly channelBinding: "disable" | "prefer" | "require";
  readonly requireAuth: string | undefined;
  /** The settings of the startup message, without the user. */
  readonly settings: Readonly<Record<string, string>>;
  /** The hash that binds the login to TLS; undefined without TLS. */
  bindingData(): Promise<Uint8Array | undefined>;
  onNotice(notice: ServerError): void;
}

/** A session that is ready for its first statement. */
export interface LoggedIn {
  readonly reader: MessageReader;
  readonly pid: number;
  /** What a request to cancel has to know. */
  readonly secret: Uint8Array;
  readonly parameters: Map<string, string>;
}

/**
 * Logs in on a connection just opened.
 *
 * @throws OperationError of kind `connection` when the server refuses
 * @throws ProtocolError when what answers is no PostgreSQL server
 */
export async function login(duplex: Duplex, options: LoginOptions): Promise<LoggedIn> {
  const reader = new MessageReader(duplex);
  const parameters = new Map<string, string>();
  let pid = 0;
  let secret: Uint8Array = new Uint8Array();
  await writeAll(duplex, startupMessage({ user: options.user, ...options.settings }));

  /** The next message that is no notice, and belongs to none of the kinds handled here. */
  async function next() {
    for (;;) {
      const message = await reader.next();
      if (message === null) throw closedEarly();
      const { type, body } = message;
      switch (type) {
        case FROM_SERVER.errorResponse:
          throw loginRefused(options.address, readServerError(body, 0, body.length));
        case FROM_SERVER.noticeResponse:
          options.onNotice(readServerError(body, 0, body.length));
          break;
        case FROM_SERVER.negotiateProtocolVersion:
          // The server speaks an older minor version than asked for. 3.0 is the oldest
          // there is, so nothing that is used here is missing.
          break;
        case FROM_SERVER.parameterStatus: {
          const name = cString(body, 0, body.length);
          parameters.set(name.value, cString(body, name.next, body.length).value);
          break;
        }
        default:
          return message;
      }
    }
  }

  await authenticate({
    send: (bytes) => writeAll(duplex, bytes),
    async next() {
      const { type, body } = await next();
      if (type !== FROM_SERVER.authentication) throw unexpected(type);
      return body;
    },
  }, options);

  for (;;) {
    const { type, body } = await next();
    if (type === FROM_SERVER.readyForQuery) break;
    if (type !== FROM_SERVER.backendKeyData || body.length < 8) throw unexpected(type);
    pid = int32(body, 0);
    secret = body.slice(4);
  }
  reader.loggedIn();
  return { reader, pid, secret, parameters };
}

function unexpected(type: number): ProtocolError {
  return new ProtocolError(`a message of type ${printable(type)} is not expected in a login`);
}
