/** The values of a connection's parts, checked and typed, with libpq's meanings. */
import type { ConnectionParameters, HostAddress } from "./connection_parameters.ts";
import type { ParameterName } from "./connection_string.ts";

/** A value with the words that tell where it comes from, such as `DATABASE_URL (.env:1)`. */
export interface GivenValue {
  readonly value: string;
  readonly from: string;
}

/** What is given, by part; empty values are left out. */
export type GivenParameters = ReadonlyMap<ParameterName, GivenValue>;

/** One thing that is wrong with the configuration. */
export interface Problem {
  /** A sentence without its final period. */
  readonly message: string;
  readonly hint?: string;
}

const CHOICES = {
  sslmode: ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
  sslnegotiation: ["postgres", "direct"],
  channel_binding: ["disable", "prefer", "require"],
  target_session_attrs: [
    "any",
    "read-write",
    "read-only",
    "primary",
    "standby",
    "prefer-standby",
  ],
} as const;

const LOGINS = ["password", "md5", "gss", "sspi", "scram-sha-256", "oauth", "none"];

/** What the built-in defaults say of a connection. */
export interface ParameterDefaults {
  /** The host where none is named, also in a list. */
  readonly host: string;
  readonly database: string;
  readonly user: string;
  readonly applicationName: string;
}

/**
 * Makes connection parameters from what is given.
 *
 * @returns the parameters, whose passwords a password file may still add to, and all problems;
 * where there are problems the parts they concern are left at their defaults
 */
export function readParameters(
  given: GivenParameters,
  defaults: ParameterDefaults,
): { parameters: ConnectionParameters; problems: Problem[] } {
  const problems: Problem[] = [];
  const text = (name: ParameterName) => given.get(name)?.value;
  const choice = <N extends keyof typeof CHOICES>(name: N) => readChoice(given, name, problems);
  const rootcert = text("sslrootcert");
  const sslmode = choice("sslmode") ?? (rootcert === "system" ? "verify-full" : "prefer");
  const sslnegotiation = choice("sslnegotiation");
  const parameters: ConnectionParameters = {
    hosts: readHosts(given, defaults.host, problems),
    database: text("dbname") ?? defaults.database,
    user: text("user") ?? defaults.user,
    ...optional("password", text("password")),
    sslmode,
    ...optional("sslrootcert", rootcert),
    ...optional("sslcert", text("sslcert")),
    ...optional("sslkey", text("sslkey")),
    ...optional("sslnegotiation", sslnegotiation),
    ...optional("channelBinding", choice("channel_binding")),
    ...optional("requireAuth", readLogins(given, problems)),
    applicationName: text("application_name") ?? text("fallback_application_name") ??
      defaults.applicationName,
    ...optional("options", text("options")),
    ...optional("connectTimeout", readTimeout(given, problems)),
    ...optional("targetSessionAttrs", choice("target_session_attrs")),
  };
  const weak = ["disable", "allow", "prefer"].includes(sslmode);
  if (sslnegotiation === "direct" && weak) {
    problems.push({
      message: `sslnegotiation=direct of ${given.get("sslnegotiation")?.from} needs sslmode ` +
        `require, verify-ca or verify-full, and it is ${sslmode}`,
    });
  }
  if (rootcert === "system" && sslmode !== "verify-full") {
    problems.push({
      message: `sslrootcert=system of ${given.get("sslrootcert")?.from} needs sslmode ` +
        `verify-full, and it is ${sslmode} by ${given.get("sslmode")?.from}`,
    });
  }
  return { parameters, problems };
}

function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  const part: { [P in K]?: V } = {};
  if (value !== undefined) part[key] = value;
  return part;
}

function readChoice<N extends keyof typeof CHOICES>(
  given: GivenParameters,
  name: N,
  problems: Problem[],
): (typeof CHOICES)[N][number] | undefined {
  const entry = given.get(name);
  if (entry === undefined) return undefined;
  const choices: readonly (typeof CHOICES)[N][number][] = CHOICES[name];
  const chosen = choices.find((choice) => choice === entry.value.trim());
  if (chosen === undefined) {
    problems.push({ message: `${name} of ${entry.from} is none of ${choices.join(", ")}` });
  }
  return chosen;
}

function readLogins(given: GivenParameters, problems: Problem[]): string | undefined {
  const entry = given.get("require_auth");
  if (entry === undefined) return undefined;
  const names = entry.value.split(",").map((name) => name.trim());
  const negated = names.filter((name) => name.startsWith("!")).length;
  const complaint = names.some((name) => !LOGINS.includes(name.replace(/^!/, "")))
    ? `names something other than ${LOGINS.join(", ")}`
    : negated !== 0 && negated !== names.length
    ? 'mixes names with and without "!"'
    : undefined;
  if (complaint === undefined) return names.join(",");
  problems.push({ message: `require_auth of ${entry.from} ${complaint}` });
  return undefined;
}

function readTimeout(given: GivenParameters, problems: Problem[]): number | undefined {
  const entry = given.get("connect_timeout");
  if (entry === undefined) return undefined;
  const seconds = entry.value.trim();
  if (/^[+-]?\d{1,9}$/.test(seconds)) return Math.max(0, Number(seconds));
  problems.push({
    message: `connect_timeout of ${entry.from} is not a whole number of seconds`,
  });
  return undefined;
}

/** Joins hosts, addresses and ports; one port serves all hosts, else there is one for each. */
function readHosts(
  given: GivenParameters,
  defaultHost: string,
  problems: Problem[],
): HostAddress[] {
  const list = (name: ParameterName) => given.get(name)?.value.split(",");
  const names = list("host");
  const addresses = list("hostaddr");
  if (names !== undefined && addresses !== undefined && names.length !== addresses.length) {
    problems.push({
      message: `${names.length} ${names.length === 1 ? "host" : "hosts"} of ` +
        `${given.get("host")?.from} cannot be matched with ${addresses.length} ` +
        `of hostaddr of ${given.get("hostaddr")?.from}`,
    });
  }
  for (const [index, name] of (names ?? []).entries()) checkHost(given, { name, index }, problems);
  const hosts = names ?? addresses ?? [""];
  const ports = readPorts(given, hosts.length, problems);
  return hosts.map((name, index) => {
    const hostaddr = addresses?.[index]?.trim();
    const host = name.trim() || hostaddr || defaultHost;
    return { host, ...optional("hostaddr", hostaddr || undefined), port: ports[index] ?? 5432 };
  });
}

function checkHost(
  given: GivenParameters,
  { name, index }: { name: string; index: number },
  problems: Problem[],
): void {
  const from = `host ${index + 1} of ${given.get("host")?.from}`;
  if (name.includes("://") || /[^@]@/.test(name)) {
    problems.push({
      message: `${from} looks like a URL or a part of one`,
      hint: "Set DATABASE_URL instead; in its password, @ is written %40",
    });
  } else if (/^[^:]+:\d+$/.test(name) && !name.startsWith("/")) {
    problems.push({ message: `${from} holds a port`, hint: "Set DB_PORT for the port" });
  } else if (/\s/.test(name.trim()) && !name.startsWith("/")) {
    problems.push({ message: `${from} holds a space` });
  }
}

function readPorts(given: GivenParameters, hosts: number, problems: Problem[]): number[] {
  const entry = given.get("port");
  if (entry === undefined) return [];
  const parts = entry.value.split(",").map((part) => part.trim());
  const ports = parts.map((part, index) => {
    const port = part === "" ? 5432 : /^\d{1,5}$/.test(part) ? Number(part) : 0;
    if (port >= 1 && port <= 65535) return port;
    const which = parts.length === 1 ? "" : `port ${index + 1} of `;
    problems.push({ message: `${which}${entry.from} is not a port from 1 to 65535` });
    return 5432;
  });
  if (ports.length === 1) return Array<number>(hosts).fill(ports[0] ?? 5432);
  if (ports.length !== hosts) {
    problems.push({
      message: `${ports.length} ports of ${entry.from} cannot be matched with ${hosts} ` +
        (hosts === 1 ? "host" : "hosts"),
    });
  }
  return ports;
}
