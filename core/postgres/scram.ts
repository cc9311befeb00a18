/** The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), as PostgreSQL uses it. */

/** The server's side is not what the password demands. */
export class ScramFailure extends Error {
  override name = "ScramFailure";
}

/** How the login is bound to the TLS connection below it. */
export interface ScramOptions {
  /**
   * The hash of the server's certificate, or why there is none: `none` when this
   * side cannot bind, `not-offered` when it could but the server offers nothing.
   * The server refuses the latter when it did offer, which shows that somebody
   * in between took the offer away.
   */
  readonly binding: { readonly data: Uint8Array } | "none" | "not-offered";
  /** The nonce, for tests with published values; by default a random one. */
  readonly nonce?: string;
}

/** One login. */
export interface ScramClient {
  /** The client's first message. */
  readonly first: string;
  /** Answers the server's first message with the proof. */
  respond(serverFirst: string): Promise<string>;
  /** Checks the server's final message: only who knows the password's keys can sign it. */
  verify(serverFinal: string): void;
}

const encoder = new TextEncoder();

/**
 * Begins a login.
 *
 * @throws ScramFailure from `respond` and `verify` when the server's part is wrong
 */
export function scramClient(password: string, options: ScramOptions): ScramClient {
  const { binding, nonce = randomNonce() } = options;
  const header = typeof binding === "object"
    ? "p=tls-server-end-point,,"
    : binding === "not-offered"
    ? "y,,"
    : "n,,";
  // The user is empty: the server takes the one of the startup message.
  const firstBare = `n=,r=${nonce}`;
  let signature: Uint8Array | undefined;
  return {
    first: header + firstBare,
    async respond(serverFirst) {
      const fields = attributes(serverFirst);
      const combined = fields.get("r") ?? "";
      const salt = fromBase64(fields.get("s"));
      const iterations = Number(fields.get("i"));
      if (!combined.startsWith(nonce) || combined === nonce) {
        throw new ScramFailure("the server's SCRAM nonce does not continue ours");
      }
      if (salt === undefined || !/^[1-9]\d{0,9}$/.test(fields.get("i") ?? "")) {
        throw new ScramFailure("the server's SCRAM challenge cannot be read");
      }
      const input = typeof binding === "object"
        ? new Uint8Array([...encoder.encode(header), ...binding.data])
        : encoder.encode(header);
      const withoutProof = `c=${toBase64(input)},r=${combined}`;
      const signed = encoder.encode(`${firstBare},${serverFirst},${withoutProof}`);
      const salted = await stretch(preparedPassword(password), { salt, iterations });
      const clientKey = await hmac(salted, encoder.encode("Client Key"));
      const storedKey = new Uint8Array(await crypto.subtle.digest("SHA-256", clientKey));
      const clientSignature = await hmac(storedKey, signed);
      const serverKey = await hmac(salted, encoder.encode("Server Key"));
      signature = await hmac(serverKey, signed);
      const proof = clientKey.map((byte, index) => byte ^ (clientSignature[index] ?? 0));
      return `${withoutProof},p=${toBase64(proof)}`;
    },
    verify(serverFinal) {
      const fields = attributes(serverFinal);
      const refused = fields.get("e");
      if (refused !== undefined) throw new ScramFailure(`the server ends the login: ${refused}`);
      const given = fromBase64(fields.get("v"));
      if (signature === undefined || given === undefined || !equal(signature, given)) {
        throw new ScramFailure("the server's SCRAM signature is wrong");
      }
    },
  };
}

function randomNonce(): string {
  return toBase64(crypto.getRandomValues(new Uint8Array(18)));
}

function attributes(message: string): Map<string, string> {
  return new Map(message.split(",").map((part) => [part.slice(0, 1), part.slice(2)]));
}

async function stretch(
  password: Uint8Array<ArrayBuffer>,
  options: { readonly salt: Uint8Array<ArrayBuffer>; readonly iterations: number },
): Promise<Uint8Array<ArrayBuffer>> {
  const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
  return new Uint8Array(
    await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", ...options }, key, 256),
  );
}

async function hmac(
  secret: Uint8Array<ArrayBuffer>,
  data: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", secret, algorithm, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, data));
}

/** Compares in a time that does not tell where the difference is. */
function equal(one: Uint8Array, other: Uint8Array): boolean {
  let difference = one.length ^ other.length;
  for (let at = 0; at < one.length; at++) difference |= (one[at] ?? 0) ^ (other[at] ?? 0);
  return difference === 0;
}

function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

function fromBase64(value: string | undefined): Uint8Array<ArrayBuffer> | undefined {
  if (value === undefined || value === "") return undefined;
  try {
    return Uint8Array.from(atob(value), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}

// The tables of SASLprep (RFC 4013): C.1.2 becomes a space, B.1 nothing.
const OTHER_SPACES = /[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/g;
const NOTHING = /[\u00ad\u034f\u1806\u180b-\u180d\u200c\u200d\u2060\ufe00-\ufe0f\ufeff]/g;
const PROHIBITED =
  /[\u06dd\u070f\u180e\u2028\u2029\u2061-\u2063\u206a-\u206f\ufff9-\ufffd\u0340\u0341\u200e\u200f\u202a-\u202e\u2ff0-\u2ffb]|\p{Cc}|\p{Co}|\p{Cs}|\p{Noncharacter_Code_Point}|[\u{1d173}-\u{1d17a}\u{e0001}\u{e0020}-\u{e007f}]/u;

/**
 * The password as SASLprep wants it. As in libpq, plain ASCII stays as it is, and
 * so does a password that SASLprep forbids.
 */
function preparedPassword(password: string): Uint8Array<ArrayBuffer> {
  if (/^\p{ASCII}*$/u.test(password)) return encoder.encode(password);
  const prepared = password.replace(OTHER_SPACES, " ").replace(NOTHING, "").normalize("NFKC");
  return encoder.encode(prepared === "" || PROHIBITED.test(prepared) ? password : prepared);
}
