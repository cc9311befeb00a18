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
  findDisagreements(layers, findings);
  await addService(layers, { input, findings });
  const given = mergeLayers(layers);
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
  const passwords = await readPasswordFiles(layers, { parameters, input, findings });
  const first = passwords.found[0];
  if (first !== undefined) given.set("password", first);
  else if (passwords.explicit !== undefined) given.set("password", passwords.explicit);
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
  const from = nameWithOrigin("DATABASE_URL", url.found.origin);
  if (!given.has("dbname")) {
    const user = given.get("user")?.value ?? SETTING_BY_NAME.get("DB_USER")?.default ?? "postgres";
    given.set("dbname", { value: user, from: `${from}, which names the user only` });
  }
  if (given.has("host") || given.has("hostaddr") || input.fileMode === undefined) return;
  const { SOCKET_DIRECTORIES } = await import("./postgres/password_file.ts");
  const port = given.get("port")?.value ?? "5432";
  for (const directory of SOCKET_DIRECTORIES) {
    if (await input.fileMode(`${directory}/.s.PGSQL.${port}`) === undefined) continue;
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
  if (await input.fileMode(directory) === undefined) return;
  const add = async (name: "sslrootcert" | "sslcert" | "sslkey", file: string) => {
    const path = `${directory}/${file}`;
    if (given.has(name) || await input.fileMode?.(path) === undefined) return;
    given.set(name, { value: path, from: directory });
  };
  if (["require", "verify-ca", "verify-full"].includes(mode)) await add("sslrootcert", "root.crt");
  await add("sslcert", "postgresql.crt");
  if (given.get("sslcert")?.from === directory) await add("sslkey", "postgresql.key");
}

interface Passwords {
  readonly parameters: ConnectionParameters;
  /** The password that is set as such, for hosts that no password file knows. */
  readonly explicit: GivenValue | undefined;
  readonly found: readonly GivenValue[];
}

/**
 * Settles the password. Within one source a password that is set comes before a
 * password file, as for libpq; a password file that a source names comes before
 * the passwords of lower sources, and ~/.pgpass comes last.
 */
async function readPasswordFiles(
  layers: readonly Layer[],
  { parameters, input, findings }: {
    parameters: ConnectionParameters;
    input: ConfigurationInput;
    findings: Findings;
  },
): Promise<Passwords> {
  const setting = layers.find((layer) => layer.values.has("password"));
  const explicit = setting?.values.get("password");
  const named = layers.find((layer) => layer.values.has("passfile"));
  const path = named === undefined
    ? input.home && `${input.home}/.pgpass`
    : pathFrom(input.cwd, named.values.get("passfile")?.value ?? "");
  const outranked = setting !== undefined && (named === undefined || setting.rank <= named.rank);
  if (path === undefined || path === "" || outranked) return { parameters, explicit, found: [] };
  let text: string | undefined;
  try {
    text = await input.readTextFile(path);
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    findings.warnings.push(`${error.message}; the password file is ignored`);
  }
  if (text === undefined) {
    return { parameters, explicit, found: [] };
  }
  const { accessProblem, findPassword } = await import("./postgres/password_file.ts");
  const complaint = accessProblem(path, await input.fileMode?.(path));
  if (complaint !== undefined) {
    findings.warnings.push(complaint);
    return { parameters, explicit, found: [] };
  }
  const found: GivenValue[] = [];
  const hosts = parameters.hosts.map((address) => {
    const match = findPassword(text, { ...address, ...parameters });
    if (match === undefined) return address;
    found.push({ value: match.password, from: `${path}:${match.line}` });
    return { ...address, password: match.password };
  });
  return { parameters: { ...parameters, hosts }, explicit, found };
}
