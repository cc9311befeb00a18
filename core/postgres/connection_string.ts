/**
 * Connection strings: the URLs and keyword strings that libpq takes (PostgreSQL
 * documentation, "Connection Strings"), and the parameters that sqlx has names
 * of its own for. Only their syntax is read here; `parameters.ts` tells whether
 * the values make sense. Messages name a part of the text and never repeat it,
 * since any part of a text that failed to parse may be the password.
 */
import { OperationError } from "../plugin.ts";
import { MASK } from "../shown.ts";

/** The parts of a connection, by libpq's keywords. */
export const PARAMETER_NAMES = [
  "host",
  "hostaddr",
  "port",
  "dbname",
  "user",
  "password",
  "passfile",
  "service",
  "servicefile",
  "sslmode",
  "sslrootcert",
  "sslcert",
  "sslkey",
  "sslnegotiation",
  "channel_binding",
  "require_auth",
  "application_name",
  "fallback_application_name",
  "options",
  "connect_timeout",
  "target_session_attrs",
] as const;

/** The name of one part of a connection. */
export type ParameterName = typeof PARAMETER_NAMES[number];

/** A connection string, taken apart. */
export interface ConnectionString {
  /** What it says, decoded; parts that are left out or empty are absent. */
  readonly values: ReadonlyMap<ParameterName, string>;
  /** Its passwords, as written and decoded. */
  readonly secrets: readonly string[];
  /** The text with its passwords masked. */
  readonly masked: string;
  readonly warnings: readonly string[];
}

// sqlx's names (its documentation of PgConnectOptions), and libpq's older one.
const ALIASES: Readonly<Record<string, ParameterName>> = {
  "ssl-mode": "sslmode",
  "ssl-root-cert": "sslrootcert",
  "ssl-ca": "sslrootcert",
  "ssl-cert": "sslcert",
  "ssl-key": "sslkey",
};

// What libpq or sqlx knows and what makes no difference here.
const WITHOUT_EFFECT = new Set([
  ...["keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"],
  ...["tcp_user_timeout", "gssencmode", "krbsrvname", "gsslib", "gssdelegation", "sslcompression"],
  ...["sslsni", "client_encoding", "statement-cache-capacity", "load_balance_hosts"],
]);

// What libpq knows and what this client cannot do.
const UNSUPPORTED = new Set([
  ...["sslcrl", "sslcrldir", "sslpassword", "sslcertmode", "requirepeer", "replication"],
  ...["ssl_min_protocol_version", "ssl_max_protocol_version", "min_protocol_version"],
  ...["max_protocol_version", "scram_client_key", "scram_server_key", "sslkeylogfile"],
  ...["oauth_issuer", "oauth_client_id", "oauth_client_secret", "oauth_scope"],
]);

const SECRET = /^(?:password|sslpassword|oauth_client_secret|scram_(?:client|server)_key)$/;

/**
 * Reads a connection string.
 *
 * @param text a URL (`postgres://…`, `postgresql://…`) or keywords (`host=… dbname=…`)
 * @param origin where the text comes from, for messages
 * @throws OperationError of kind `usage`; its message never holds any of the text
 */
export function parseConnectionString(text: string, origin: string): ConnectionString {
  const reader = new Reader(text, origin);
  const url = /^postgres(?:ql)?:\/\//i.exec(text);
  if (url !== null) readUrl(reader, url[0].length);
  else if (/^\s*[A-Za-z_][\w-]*\s*=/.test(text)) readKeywords(reader);
  else throw reader.error(...notAConnectionString(text));
  return reader.result();
}

function notAConnectionString(text: string): [reason: string, hint: string] {
  const hint = "Write postgresql://USER@HOST:PORT/DATABASE";
  if (/^jdbc:postgres/i.test(text)) {
    return ['it is a JDBC URL, which begins with "jdbc:"', `${hint}, without "jdbc:"`];
  }
  const driver = /^postgres(?:ql)?\+[a-z0-9]+:\/\//i.exec(text);
  if (driver !== null) return ["its scheme names a driver", `${hint}, without "+" and the driver`];
  const other = /^(mysql|mariadb|sqlite|mssql|sqlserver|oracle|mongodb|redis|https?|file)\b.*:/is
    .exec(text);
  if (other !== null) {
    return [`its scheme is ${other[1]?.toLowerCase()}, and only PostgreSQL is supported`, hint];
  }
  if (/^postgres(?:ql)?:/i.test(text)) return ['"//" is missing after its scheme', hint];
  return ["it is neither a postgresql:// URL nor a list of keyword=value", hint];
}

/** A walk over the text that collects what it meets. */
class Reader {
  readonly text: string;
  readonly #origin: string;
  readonly #values = new Map<ParameterName, string>();
  readonly #secrets = new Set<string>();
  readonly #secretSpans: [start: number, end: number][] = [];
  readonly #warnings: string[] = [];
  readonly #holdsPassword: boolean;
  /** Whether any key so far was one of the known ones. */
  knowsAny = false;

  constructor(text: string, origin: string) {
    this.text = text;
    this.#origin = origin;
    this.#holdsPassword = /(?:password|secret|key)\s*=/i.test(text);
  }

  error(reason: string, hint?: string): OperationError {
    return new OperationError(`Cannot read ${this.#origin}: ${reason}`, {
      kind: "usage",
      code: "bad_connection_string",
      ...(hint === undefined ? {} : { hint }),
    });
  }

  /** Takes one parameter; its value stands at `span` of the text, in the form written there. */
  take(key: string, value: string, span: readonly [start: number, end: number]): void {
    if (SECRET.test(key)) this.#keepSecret(value, span);
    const name = ALIASES[key] ?? PARAMETER_NAMES.find((known) => known === key);
    if (name !== undefined) {
      this.knowsAny = true;
      this.#store(name, value);
    } else this.#takeOther(key, value, span);
  }

  #keepSecret(value: string, span: readonly [start: number, end: number]): void {
    this.#secretSpans.push([span[0], span[1]]);
    this.#secrets.add(value).add(this.text.slice(...span));
  }

  #store(name: ParameterName, value: string): void {
    const before = this.#values.get(name);
    // sqlx adds several options together; for all else the last one counts, as for libpq.
    if (name === "options" && before !== undefined) value = `${before} ${value}`;
    if (value === "") this.#values.delete(name);
    else this.#values.set(name, value);
  }

  #takeOther(key: string, value: string, span: readonly [start: number, end: number]): void {
    const option = /^options\[(.+)\]$/.exec(key);
    if (option !== null) {
      // The server splits its options at spaces that no backslash stands before.
      const text = `${option[1]}=${value}`.replace(/[\\\s]/g, "\\$&");
      return this.#store("options", `-c ${text}`);
    }
    if (key === "ssl" && /^(?:true|false)$/i.test(value)) {
      if (value.toLowerCase() === "false") this.#store("sslmode", "disable");
      else if (!this.#values.has("sslmode")) this.#store("sslmode", "require");
      return;
    }
    if (WITHOUT_EFFECT.has(key)) return;
    if (UNSUPPORTED.has(key)) {
      this.#warnings.push(`"${key}" of ${this.#origin} is not supported and has no effect`);
      return;
    }
    // What nobody knows may be a misspelt password.
    if (!SECRET.test(key)) this.#keepSecret(value, span);
    // Behind a password that was not encoded, what looks like a name may be a part of it.
    const shown = !this.#holdsPassword && /^[A-Za-z][\w.-]{0,40}$/.test(key) ? ` "${key}"` : "";
    this.#warnings.push(`${this.#origin} holds an unknown parameter${shown}, which has no effect`);
  }

  result(): ConnectionString {
    let masked = "";
    let end = 0;
    for (const span of this.#secretSpans.sort((a, b) => a[0] - b[0])) {
      if (span[0] === span[1]) continue;
      masked += this.text.slice(end, span[0]) + MASK;
      end = span[1];
    }
    return {
      values: this.#values,
      secrets: [...this.#secrets].filter((secret) => secret !== ""),
      masked: masked + this.text.slice(end),
      warnings: this.#warnings,
    };
  }
}

const ENCODE_HINT = 'In a URL, the characters ":/?#[]@%" and spaces of a password are written ' +
  "percent-encoded, such as %40 for @";

function readUrl(reader: Reader, start: number): void {
  const { text } = reader;
  let at = start;
  const userinfo = endOfUserinfo(text, start);
  if (userinfo !== undefined) {
    const colon = text.indexOf(":", start);
    const userEnd = colon === -1 || colon > userinfo ? userinfo : colon;
    takeDecoded(reader, "user", [start, userEnd]);
    if (userEnd < userinfo) takeDecoded(reader, "password", [userEnd + 1, userinfo]);
    at = userinfo + 1;
  }
  at = readHosts(reader, at);
  if (text[at] === "/") {
    const query = text.indexOf("?", at);
    const end = query === -1 ? text.length : query;
    takeDecoded(reader, "dbname", [at + 1, end]);
    at = end;
  }
  if (text[at] === "?") readQuery(reader, at + 1);
}

/**
 * Where the "@" after user and password stands. libpq ends them at the first
 * "@" before a "/"; a further "@" in what would then be the host belongs to a
 * password that was not encoded, as sqlx reads it: no host's name holds one.
 */
function endOfUserinfo(text: string, start: number): number | undefined {
  const first = text.slice(start).search(/[@/]/) + start;
  if (text[first] !== "@") return undefined;
  const hostsEnd = text.slice(first).search(/[/?]/);
  return text.slice(0, hostsEnd === -1 ? text.length : first + hostsEnd).lastIndexOf("@");
}

/** Reads `host:port,[::1]:port`; libpq keeps both as lists joined with commas. */
function readHosts(reader: Reader, start: number): number {
  const { text } = reader;
  const hosts: string[] = [];
  const ports: string[] = [];
  let at = start;
  for (;;) {
    const number = hosts.length + 1;
    let host: RegExpExecArray | null;
    if (text[at] === "[") {
      host = /^\[([^\]]*)\]/.exec(text.slice(at));
      if (host === null) throw reader.error(`the "[" of host ${number} has no "]"`);
      if (host[1] === "") throw reader.error(`the address of host ${number} is empty`);
    } else host = /^([^:/?,]*)/.exec(text.slice(at));
    at += host?.[0].length ?? 0;
    hosts.push(host?.[1] ?? "");
    const port = /^:([^/?,]*)/.exec(text.slice(at));
    at += port?.[0].length ?? 0;
    ports.push(port?.[1] ?? "");
    if (!/^\d*$/.test(ports.at(-1) ?? "")) {
      throw reader.error(`the port of host ${number} is not a number`, ENCODE_HINT);
    }
    if (text[at] !== ",") break;
    at++;
  }
  if (at < text.length && text[at] !== "/" && text[at] !== "?") {
    throw reader.error(`host ${hosts.length} is followed by neither ":" nor "/"`, ENCODE_HINT);
  }
  const decode = (part: string, what: string) => decodePercent(reader, part, what);
  if (hosts.some((host) => host !== "")) {
    reader.take("host", decode(hosts.join(","), "the host"), [start, at]);
  }
  if (ports.some((port) => port !== "")) reader.take("port", ports.join(","), [start, at]);
  return at;
}

function readQuery(reader: Reader, start: number): void {
  let at = start;
  let number = 0;
  for (const piece of reader.text.slice(start).split("&")) {
    const from = at;
    at += piece.length + 1;
    if (piece === "") continue;
    number++;
    const equals = piece.indexOf("=");
    if (equals === -1) throw reader.error(`parameter ${number} has no "="`, ENCODE_HINT);
    const key = decodePercent(reader, piece.slice(0, equals), `the name of parameter ${number}`);
    const value = decodePercent(reader, piece.slice(equals + 1), `parameter ${number}`);
    reader.take(key, value, [from + equals + 1, from + piece.length]);
  }
}

function takeDecoded(reader: Reader, name: ParameterName, span: [number, number]): void {
  reader.take(name, decodePercent(reader, reader.text.slice(...span), `the ${name}`), span);
}

function decodePercent(reader: Reader, text: string, what: string): string {
  if (!text.includes("%")) return text;
  if (/%(?![0-9a-f]{2})/i.test(text)) {
    throw reader.error(`${what} holds a "%" without two hexadecimal digits`, ENCODE_HINT);
  }
  if (text.includes("%00")) throw reader.error(`${what} holds a zero byte`);
  try {
    return decodeURIComponent(text);
  } catch {
    throw reader.error(`${what} is not UTF-8 when decoded`);
  }
}

function readKeywords(reader: Reader): void {
  const { text } = reader;
  // A name, "=" and a value: in quotes, or up to a space; a backslash takes the next character.
  const pair =
    /\s*([^\s=]+)\s*=\s*(?:'((?:[^'\\]|\\[^])*)'|((?:[^\s\\']|\\[^])(?:[^\s\\]|\\[^])*)?)/y;
  let number = 0;
  while (text.slice(pair.lastIndex).trim() !== "") {
    number++;
    const start = pair.lastIndex;
    const match = pair.exec(text);
    if (match === null) throw reader.error(`keyword ${number} is not followed by "="`);
    const [whole, key = "", quoted, plain = ""] = match;
    const written = quoted ?? plain;
    const end = start + whole.length - (quoted === undefined ? 0 : 1);
    if (quoted === undefined && plain === "" && text[pair.lastIndex] === "'") {
      throw reader.error(`the value of keyword ${number} has no closing quote`);
    }
    reader.take(key, written.replace(/\\([^])/g, "$1"), [end - written.length, end]);
  }
  if (!reader.knowsAny) throw reader.error("it holds no keyword that is known");
}
