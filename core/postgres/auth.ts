/** The login: what the server asks for and what is answered. */
import { OperationError } from "../plugin.ts";
import { connectError } from "./connect_errors.ts";
import { cString, int32, ProtocolError, text } from "./message_reader.ts";
import { passwordMessage, saslInitialResponse, saslResponse } from "./messages.ts";
import { scramClient, ScramFailure } from "./scram.ts";

/** What a login is made with. */
export interface Credentials {
  /** Where to, for messages. */
  readonly address: string;
  readonly user: string;
  readonly password: string | undefined;
  readonly channelBinding: "disable" | "prefer" | "require";
  /** The methods accepted, as libpq's require_auth writes them; undefined accepts all. */
  readonly requireAuth: string | undefined;
  /** The hash that binds SCRAM to the TLS connection; undefined without TLS. */
  bindingData(): Promise<Uint8Array | undefined>;
}

/** The talk with the server during the login. */
export interface Talk {
  send(bytes: Uint8Array): Promise<void>;
  /** The body of the server's next authentication message; an error of the server rejects. */
  next(): Promise<Uint8Array>;
}

const REQUEST = {
  ok: 0,
  kerberos5: 2,
  cleartext: 3,
  md5: 5,
  gss: 7,
  gssContinue: 8,
  sspi: 9,
  sasl: 10,
  saslContinue: 11,
  saslFinal: 12,
} as const;

/**
 * Answers the server's requests until it lets us in.
 *
 * @throws OperationError of kind `connection` when a method is not accepted, known or answerable
 */
export async function authenticate(talk: Talk, credentials: Credentials): Promise<void> {
  let proven = false;
  for (;;) {
    const body = await talk.next();
    if (body.length < 4) throw new ProtocolError("a request to authenticate is too short");
    switch (int32(body, 0)) {
      case REQUEST.ok:
        if (!proven) accept("none", credentials);
        return;
      case REQUEST.cleartext:
        accept("password", credentials);
        await talk.send(passwordMessage(passwordOf(credentials)));
        break;
      case REQUEST.md5:
        accept("md5", credentials);
        await talk.send(passwordMessage(await md5Proof(credentials, body.subarray(4, 8))));
        break;
      case REQUEST.sasl:
        accept("scram-sha-256", credentials);
        await scram(talk, credentials, body);
        break;
      case REQUEST.gss:
      case REQUEST.gssContinue:
      case REQUEST.sspi:
      case REQUEST.kerberos5:
        throw unsupported(credentials, "Kerberos (GSSAPI or SSPI)");
      default:
        throw unsupported(credentials, `method ${int32(body, 0)}`);
    }
    proven = true;
  }
}

/** Refuses a method that the settings exclude, before anything is revealed to the server. */
function accept(method: string, credentials: Credentials): void {
  const { address, channelBinding, requireAuth } = credentials;
  if (channelBinding === "require" && method !== "scram-sha-256") {
    throw refusal(address, {
      reason: `channel binding is required, and the server does not ask for it (${method})`,
      hint: "Use a role with a SCRAM password over TLS, or another channel_binding",
    });
  }
  if (requireAuth === undefined || requireAuth.trim() === "") return;
  const listed = requireAuth.split(",").map((name) => name.trim());
  const negated = listed.every((name) => name.startsWith("!"));
  const accepted = negated ? !listed.includes(`!${method}`) : listed.includes(method);
  if (!accepted) {
    throw refusal(address, {
      reason: method === "none"
        ? `the server asks for no authentication, but "${requireAuth}" is required`
        : `the server asks for authentication by ${method}, but "${requireAuth}" is required`,
      hint: "Check the server's pg_hba.conf, or change require_auth",
    });
  }
}

function refusal(
  address: string,
  told: { readonly reason: string; readonly hint: string },
): OperationError {
  return connectError({ address, code: "authentication_failed", retryable: false, ...told });
}

function unsupported({ address }: Credentials, method: string): OperationError {
  return refusal(address, {
    reason: `the server asks for authentication by ${method}, which is not supported`,
    hint: "Allow scram-sha-256 for this role in the server's pg_hba.conf",
  });
}

function passwordOf({ address, password }: Credentials): string {
  if (password === undefined || password === "") {
    throw refusal(address, {
      reason: "the server asks for a password and none is given",
      hint: "Set DB_PASSWORD or PGPASSWORD, put it into DATABASE_URL, or use a password file",
    });
  }
  return password;
}

async function md5Proof(credentials: Credentials, salt: Uint8Array): Promise<string> {
  const password = passwordOf(credentials);
  const { createHash } = await import("node:crypto");
  const inner = createHash("md5").update(password).update(credentials.user).digest("hex");
  return "md5" + createHash("md5").update(inner).update(salt).digest("hex");
}

async function scram(talk: Talk, credentials: Credentials, body: Uint8Array): Promise<void> {
  const { address, channelBinding } = credentials;
  const mechanisms: string[] = [];
  for (let at = 4; at < body.length && body[at] !== 0;) {
    const { value, next } = cString(body, at, body.length);
    mechanisms.push(value);
    at = next;
  }
  const binding = channelBinding === "disable" ? undefined : await credentials.bindingData();
  const bound = binding !== undefined && mechanisms.includes("SCRAM-SHA-256-PLUS");
  if (channelBinding === "require" && !bound) {
    throw refusal(address, {
      reason: binding === undefined
        ? "channel binding is required, which needs TLS and a certificate with a known hash"
        : "channel binding is required, and the server does not offer it",
      hint: "Use sslmode=require or stricter, or another channel_binding",
    });
  }
  if (!bound && !mechanisms.includes("SCRAM-SHA-256")) {
    throw unsupported(credentials, mechanisms.join(" or ") || "SASL without a mechanism");
  }
  const client = scramClient(passwordOf(credentials), {
    binding: bound ? { data: binding } : binding === undefined ? "none" : "not-offered",
  });
  await talk.send(saslInitialResponse(
    bound ? "SCRAM-SHA-256-PLUS" : "SCRAM-SHA-256",
    client.first,
  ));
  try {
    await talk.send(
      saslResponse(await client.respond(await saslWords(talk, REQUEST.saslContinue))),
    );
    client.verify(await saslWords(talk, REQUEST.saslFinal));
  } catch (error) {
    if (!(error instanceof ScramFailure)) throw error;
    throw refusal(address, {
      reason: error.message,
      hint: "What answers there does not know the password: it may not be the server meant",
    });
  }
}

async function saslWords(talk: Talk, expected: number): Promise<string> {
  const body = await talk.next();
  if (int32(body, 0) !== expected) {
    throw new ProtocolError("the server leaves the order of the SCRAM login");
  }
  return text(body, 4, body.length);
}
