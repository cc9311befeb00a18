/**
 * The environment that leads another program to the database of this run: libpq's variables
 * (PostgreSQL documentation, "Environment Variables" of libpq) with a URL for programs that are
 * not built on libpq, and our own variables for scripts.
 */
import type { ConnectionParameters, HostAddress } from "./postgres/connection_parameters.ts";
import { isSocket, timeoutSeconds } from "./postgres/open.ts";
import { SOCKET_DIRECTORIES } from "./postgres/password_file.ts";

/** An environment, as a program is given it. */
export type Environment = Readonly<Record<string, string>>;

/** The variables of a connection. */
export interface ConnectionEnvironment {
  readonly variables: Environment;
  /**
   * The text of a password file, to be named by `PGPASSFILE`, where the hosts have different
   * passwords: libpq takes one from the environment for all of them.
   */
  readonly passwordFile?: string;
}

/** The database's secrets, which no program gets unless it is given the connection. */
const SECRETS = ["DATABASE_URL", "DB_PASSWORD", "PGPASSWORD"];

/** Where else secrets come from; one that is set beside the secret itself is a contradiction. */
const SECRET_FILES = ["DATABASE_URL_FILE", "DB_PASSWORD_FILE"];

/**
 * What would lead libpq elsewhere, or by another way. What only narrows the choice of
 * servers down, such as `PGSSLCRL`, stays.
 */
const MISLEADING = [
  ...["PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE", "PGSERVICEFILE"],
  ...["PGSSLMODE", "PGREQUIRESSL", "PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGSSLNEGOTIATION"],
  ...["PGCHANNELBINDING", "PGREQUIREAUTH", "PGAPPNAME", "PGOPTIONS", "PGCONNECT_TIMEOUT"],
  ...["PGTARGETSESSIONATTRS", "PGLOADBALANCEHOSTS", "PGGSSENCMODE"],
  ...["DB_HOST", "DB_PORT", "DB_NAME", "DB_USER"],
];

/** An environment without the database's secrets; those of other services stay. */
export function withoutSecrets(env: Readonly<Record<string, string | undefined>>): Environment {
  return without(env, SECRETS);
}

/** An environment in which nothing leads to another database than the one given beside it. */
export function withConnection(
  env: Readonly<Record<string, string | undefined>>,
  { variables, passwordFile }: ConnectionEnvironment,
): Environment {
  const known = passwordFile !== undefined || variables["PGPASSWORD"] !== undefined;
  return {
    ...without(env, [
      ...SECRETS,
      ...SECRET_FILES,
      ...MISLEADING,
      // Without a password libpq may look for one, where this run has found none.
      ...(known ? ["PGPASSFILE"] : []),
    ]),
    ...variables,
  };
}

function without(
  env: Readonly<Record<string, string | undefined>>,
  names: readonly string[],
): Environment {
  const left: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && !names.includes(name)) left[name] = value;
  }
  return left;
}

/**
 * Puts a connection into variables. A version of libpq that does not know one of them ignores it,
 * so what is younger than the versions in use stands in no URL, where it would be an error.
 *
 * @param database another database of the server
 */
export function connectionEnvironment(
  parameters: ConnectionParameters,
  database = parameters.database,
): ConnectionEnvironment {
  const { hosts, user } = parameters;
  const target = { ...parameters, database };
  const passwords = new Set(hosts.map((host) => passwordOf(target, host)));
  const [password] = passwords.size === 1 ? passwords : [];
  const list = (part: (host: HostAddress) => string) => hosts.map(part).join(",");
  const names = list(({ host }) => host);
  const ports = list(({ port }) => String(port));
  const numeric = hosts.some(({ hostaddr }) => hostaddr !== undefined);
  const variables = given({
    PGHOST: names,
    PGHOSTADDR: numeric ? list(({ hostaddr }) => hostaddr ?? "") : undefined,
    PGPORT: ports,
    PGDATABASE: database,
    PGUSER: user,
    PGPASSWORD: password,
    PGSSLMODE: parameters.sslmode,
    PGSSLROOTCERT: parameters.sslrootcert,
    PGSSLCERT: parameters.sslcert,
    PGSSLKEY: parameters.sslkey,
    PGSSLNEGOTIATION: parameters.sslnegotiation,
    PGCHANNELBINDING: parameters.channelBinding,
    PGREQUIREAUTH: parameters.requireAuth,
    // What this run never does, libpq would try first where the user has a ticket.
    PGGSSENCMODE: "disable",
    PGAPPNAME: parameters.applicationName,
    PGOPTIONS: parameters.options,
    PGCONNECT_TIMEOUT: String(timeoutSeconds(parameters)),
    PGTARGETSESSIONATTRS: parameters.targetSessionAttrs,
    DB_HOST: names,
    DB_PORT: ports,
    DB_NAME: database,
    DB_USER: user,
    DB_PASSWORD: password,
    DATABASE_URL: urlOf(target),
  });
  return passwords.size === 1 ? { variables } : { variables, passwordFile: passwordFile(target) };
}

function given(all: Readonly<Record<string, string | undefined>>): Environment {
  return without(all, []);
}

function passwordOf(parameters: ConnectionParameters, host: HostAddress): string | undefined {
  return parameters.password ?? host.password;
}

/**
 * The connection as a URL, without its password: scripts write `psql "$DATABASE_URL"`, and every
 * user of the machine can read what stands on a command line. libpq, and the drivers that follow
 * it, take the password from `PGPASSWORD`. Sockets stand behind the "?", where more programs
 * understand them.
 */
function urlOf(parameters: ConnectionParameters): string {
  const { hosts, database, user } = parameters;
  const encode = encodeURIComponent;
  const list = (part: (host: HostAddress) => string) => hosts.map(part).join(",");
  const sockets = hosts.some((host) => host.host.startsWith("/") || host.host.startsWith("@"));
  const query = given({
    host: sockets ? list(({ host }) => host) : undefined,
    port: sockets ? list(({ port }) => String(port)) : undefined,
    hostaddr: hosts.some((host) => host.hostaddr !== undefined)
      ? list(({ hostaddr }) => hostaddr ?? "")
      : undefined,
    sslmode: parameters.sslmode === "prefer" ? undefined : parameters.sslmode,
    sslrootcert: parameters.sslrootcert,
    sslcert: parameters.sslcert,
    sslkey: parameters.sslkey,
    channel_binding: parameters.channelBinding === "require" ? "require" : undefined,
    options: parameters.options,
    connect_timeout: parameters.connectTimeout ? String(parameters.connectTimeout) : undefined,
    target_session_attrs: parameters.targetSessionAttrs,
  });
  const words = Object.entries(query).map(([name, value]) => `${name}=${encode(value)}`);
  return `postgresql://${encode(user)}@` +
    (sockets ? "" : list(authority)) + `/${encode(database)}` +
    (words.length === 0 ? "" : `?${words.join("&")}`);
}

function authority({ host, port }: HostAddress): string {
  return host.includes(":")
    ? `[${host.replaceAll("%", "%25")}]:${port}`
    : `${encodeURIComponent(host)}:${port}`;
}

/** One line for each host that has a password. */
function passwordFile(parameters: ConnectionParameters): string {
  const { hosts, database, user } = parameters;
  const escape = (text: string) => text.replace(/[:\\]/g, "\\$&");
  return hosts.flatMap((host) => {
    const password = passwordOf(parameters, host);
    if (password === undefined) return [];
    // The socket in the directory that libpq was built with is called by this name there.
    const usual = isSocket(host) && SOCKET_DIRECTORIES.some((each) => each === host.host);
    const names = usual ? [host.host, "localhost"] : [host.host];
    return names.map((name) =>
      [name, String(host.port), database, user, password].map(escape).join(":") + "\n"
    );
  }).join("");
}
