/** From the sources of the configuration to the parameters of the connection. */
import type { ConfigurationInput, Findings, Source } from "./config_sources.ts";
import { pathFrom } from "./config_sources.ts";
import {
  findDisagreements,
  type Layer,
  layersOf,
  mergeLayers,
  nameWithOrigin,
  readUrl,
  type UrlInForce,
} from "./connection_layers.ts";
import { OperationError } from "./plugin.ts";
import type { ConnectionParameters } from "./postgres/connection_parameters.ts";
import type { ParameterName } from "./postgres/connection_string.ts";
import { type GivenValue, readParameters } from "./postgres/parameters.ts";
import { SETTING_BY_NAME } from "./settings.ts";

/** The connection with the origin of each of its parts. */
export interface ConnectionConfig {
  readonly parameters: ConnectionParameters;
  /** What is in force, by part; parts at their built-in default are absent. */
  readonly given: ReadonlyMap<ParameterName, GivenValue>;
  readonly url: UrlInForce | undefined;
  /** Passwords that a password file or service file gave. */
  readonly secrets: readonly string[];
}

/** Gathers the connection's parameters; what is wrong goes to `findings`. */
export async function readConnection(
  { input, sources, findings }: {
    input: ConfigurationInput;
    sources: readonly Source[];
    findings: Findings;
  },
): Promise<ConnectionConfig> {
  const url = readUrl(sources, findings);
  const layers = layersOf(sources, url);
  await addService(layers, { input, findings });
  const unreadable = url !== undefined && url.parsed === undefined;
  if (input.target !== undefined && !unreadable) {
    const { findOpen } = await import("./target_layer.ts");
    findOpen({ target: input.target, sources, layers }, findings);
  }
  const disagree = findDisagreements(layers, findings);
  // Sources that disagree are not mixed: what else is wrong is looked for in the URL alone.
  const given = mergeLayers(disagree ? layers.filter(({ kind }) => kind === "url") : layers);
  const secrets = layers.flatMap((layer) => layer.values.get("password")?.value ?? []);
  if (url?.parsed !== undefined) await fillUrl(given, { url, input });
  await addCertificates(given, input);
  const { parameters, problems } = readParameters(given, {
    host: SETTING_BY_NAME.get("DB_HOST")?.default ?? "localhost",
    database: SETTING_BY_NAME.get("DB_NAME")?.default ?? "postgres",
    user: SETTING_BY_NAME.get("DB_USER")?.default ?? "postgres",
    applicationName: SETTING_BY_NAME.get("PGAPPNAME")?.default ?? "observatory",
  });
  findings.problems.push(...problems);
  const passwords = await readPasswordFile(layers, { parameters, input, findings });
  if (passwords.found[0] !== undefined) given.set("password", passwords.found[0]);
  return {
    parameters: passwords.parameters,
    given,
    url,
    secrets: [...secrets, ...passwords.found.map(({ value }) => value)],
  };
}

/** What a URL leaves out and nobody else says: see `connection_layers.ts`. */
async function fillUrl(
  given: Map<ParameterName, GivenValue>,
  { url, input }: { url: UrlInForce; input: ConfigurationInput },
): Promise<void> {
  const from = nameWithOrigin("DATABASE_URL", url.found);
  if (!given.has("dbname")) {
    const user = given.get("user")?.value ?? SETTING_BY_NAME.get("DB_USER")?.default ?? "postgres";
    given.set("dbname", { value: user, from: `${from}, which names the user only` });
  }
  if (given.has("host") || given.has("hostaddr") || input.fileMode === undefined) return;
  const { SOCKET_DIRECTORIES } = await import("./postgres/password_file.ts");
  const port = given.get("port")?.value ?? "5432";
  for (const directory of SOCKET_DIRECTORIES) {
    if (!await isThere(input, `${directory}/.s.PGSQL.${port}`)) continue;
    given.set("host", { value: directory, from: `${from}, which names no host` });
    return;
  }
}

/** Puts the section of the service that is named below DB_* of the source that names it. */
async function addService(
  layers: Layer[],
  { input, findings }: { input: ConfigurationInput; findings: Findings },
): Promise<void> {
  const naming = layers.find((layer) => layer.values.has("service"));
  const service = naming?.values.get("service");
  if (naming === undefined || service === undefined) return;
  const { findService } = await import("./postgres/service_file.ts");
  const named = layers.map((layer) => layer.values.get("servicefile")).find((file) => file);
  const system = input.env["PGSYSCONFDIR"] || "/etc/postgresql-common";
  const home = input.home === undefined ? [] : [`${input.home}/.pg_service.conf`];
  const paths = [
    ...(named === undefined ? home : [pathFrom(input.cwd, named.value)]),
    `${system}/pg_service.conf`,
  ];
  try {
    for (const path of paths) {
      const text = await input.readTextFile(path);
      const section = text && findService(text, { service: service.value, path });
      if (!section) continue;
      const values = [...section].map(([name, { value, line }]) =>
        [name, { value, from: `${path}:${line}` }] as const
      );
      const at = layers.findIndex((layer) => layer.kind === "libpq" && layer.rank === naming.rank);
      const { rank, source } = naming;
      layers.splice(at, 0, { kind: "service", rank, source, values: new Map(values) });
      return;
    }
    findings.problems.push({
      message: `There is no service "${service.value}", which ${service.from} names, in ` +
        paths.join(" or "),
    });
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    findings.problems.push({ message: error.message });
  }
}

/** The files that libpq takes from ~/.postgresql when they are there. */
async function addCertificates(
  given: Map<ParameterName, GivenValue>,
  input: ConfigurationInput,
): Promise<void> {
  const mode = given.get("sslmode")?.value ?? "prefer";
  if (input.home === undefined || input.fileMode === undefined || mode === "disable") return;
  const directory = `${input.home}/.postgresql`;
  if (!await isThere(input, directory)) return;
  const add = async (name: "sslrootcert" | "sslcert" | "sslkey", file: string) => {
    const path = `${directory}/${file}`;
    if (given.has(name) || !await isThere(input, path)) return;
    given.set(name, { value: path, from: directory });
  };
  if (["require", "verify-ca", "verify-full"].includes(mode)) await add("sslrootcert", "root.crt");
  await add("sslcert", "postgresql.crt");
  if (given.get("sslcert")?.from === directory) await add("sslkey", "postgresql.key");
}

/** Whether a file that nobody named is there; what this user may not look at is not there for it. */
async function isThere(input: ConfigurationInput, path: string): Promise<boolean> {
  try {
    return await input.fileMode?.(path) !== undefined;
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    return false;
  }
}

interface Passwords {
  readonly parameters: ConnectionParameters;
  /** What the password file gave, one for each host that it knows. */
  readonly found: readonly GivenValue[];
}

/**
 * Settles the password. Within one source a password that is set comes before a
 * password file, as for libpq; a password file that a source names comes before
 * the passwords of lower sources, and ~/.pgpass comes last. Once a password file
 * knows one of the hosts, each host has its own password.
 */
async function readPasswordFile(
  layers: readonly Layer[],
  { parameters, input, findings }: {
    parameters: ConnectionParameters;
    input: ConfigurationInput;
    findings: Findings;
  },
): Promise<Passwords> {
  const setting = layers.find((layer) => layer.values.has("password"));
  const named = layers.find((layer) => layer.values.has("passfile"));
  const outranked = setting !== undefined && (named === undefined || setting.rank <= named.rank);
  const path = named === undefined
    ? input.home && `${input.home}/.pgpass`
    : pathFrom(input.cwd, named.values.get("passfile")?.value ?? "");
  const unchanged = { parameters, found: [] };
  if (path === undefined || path === "" || outranked) return unchanged;
  let text: string | undefined;
  try {
    text = await input.readTextFile(path);
  } catch (error) {
    // As for libpq, whose warning is ours: the server may ask for no password at all.
    if (!(error instanceof OperationError)) throw error;
    findings.warnings.push(`${error.message}; the password file is ignored`);
  }
  if (text === undefined) return unchanged;
  const { accessProblem, findPassword } = await import("./postgres/password_file.ts");
  const complaint = accessProblem(path, await input.fileMode?.(path));
  if (complaint !== undefined) {
    findings.warnings.push(complaint);
    return unchanged;
  }
  const found: GivenValue[] = [];
  const { password: otherwise, ...rest } = parameters;
  const hosts = parameters.hosts.map((address) => {
    const { database, user } = parameters;
    const match = findPassword(text, { ...address, database, user });
    if (match !== undefined) found.push({ value: match.password, from: `${path}:${match.line}` });
    const password = match?.password ?? otherwise;
    return password === undefined ? address : { ...address, password };
  });
  return found.length === 0 ? unchanged : { parameters: { ...rest, hosts }, found };
}
