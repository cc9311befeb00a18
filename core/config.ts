/**
 * The configuration of one run: every setting with its value and its origin.
 * Sources rank before names: flags, the environment, `.env` (or the file that
 * `--env-file` names), /etc/observatory/defaults.env, built-in defaults. What is
 * wrong is collected and told together, and only to those who need it: help and
 * `config` work under a configuration that cannot be connected with.
 */
import {
  type ConfigurationInput,
  type Findings,
  type Found,
  readSources,
  type Source,
  type TargetSource,
  withSecretFiles,
} from "./config_sources.ts";
import { type ConnectionConfig, readConnection } from "./connection_config.ts";
import { type ConfigEntry, OperationError } from "./plugin.ts";
import type { ConnectionParameters } from "./postgres/connection_parameters.ts";
import { parseConnectionString } from "./postgres/connection_string.ts";
import type { Problem } from "./postgres/parameters.ts";
import { MASK, shown as echo } from "./shown.ts";
import { type Setting, SETTING_BY_NAME, SETTINGS } from "./settings.ts";

export type { ConfigurationInput } from "./config_sources.ts";

/** The merged configuration. */
export interface Configuration {
  /**
   * The value in force of a setting, or of any other variable of the
   * environment, `.env` or defaults file. For the parts of the connection it is
   * what is connected with, whichever name gave it. Secrets are not given out.
   */
  get(name: string): string | undefined;
  /** The value in force of a secret, such as `AWS_SECRET_ACCESS_KEY`. */
  secret(name: string): string | undefined;
  /** Every setting that is always shown or is set, with its origin; secrets masked. */
  entries(): ConfigEntry[];
  /**
   * The parameters of the connection.
   *
   * @throws OperationError of kind `usage` that lists every problem of the configuration
   */
  connection(): ConnectionParameters;
  /**
   * Makes sure that the settings are valid; for commands that need no database.
   *
   * @throws OperationError of kind `usage` that lists every problem but those of the connection
   */
  check(): void;
  /** Everything that is wrong, the connection included. */
  readonly problems: readonly Problem[];
  /** What is odd without being wrong. */
  readonly warnings: readonly string[];
  /** Every secret value that is known, also those that other values have taken the place of. */
  secrets(): string[];
  /** Names that are no secrets, such as the role's, even where a password equals them. */
  publicNames(): string[];
  /** The target of this run, where it works on one of a file. */
  readonly target: TargetSource | undefined;
}

/** Reads and merges all sources. It never throws for what they say: see `check` and `connection`. */
export async function loadConfiguration(input: ConfigurationInput): Promise<Configuration> {
  const settings: Findings = { problems: [], warnings: [] };
  const sources = await sourcesOf(input, settings);
  const find = (name: string) => findValue(sources, name);
  const values = new Map<string, Found>();
  for (const setting of SETTINGS) {
    const found = find(setting.name);
    if (found === undefined) continue;
    const checked = checkValue(setting, found.value);
    if ("problem" in checked) {
      const message = `${setting.name} (${found.origin}) ${checked.problem}`;
      settings.problems.push({ message });
    } else values.set(setting.name, { value: checked.value, origin: found.origin });
  }
  const connecting: Findings = { problems: [], warnings: [] };
  const connection = await readConnection({ input, sources, findings: connecting });
  const problems = [...settings.problems, ...connecting.problems];
  const shown = (setting: Setting) => shownValue(setting, { values, connection });
  const configuration: Configuration = {
    get(name) {
      const setting = SETTING_BY_NAME.get(name);
      if (setting === undefined) return find(name)?.value;
      return setting.secret ? undefined : shown(setting)?.value;
    },
    secret(name) {
      const setting = SETTING_BY_NAME.get(name);
      return setting?.secret ? shown(setting)?.value : undefined;
    },
    entries: () =>
      SETTINGS.flatMap((setting): ConfigEntry[] => {
        const found = shown(setting);
        if (found === undefined && setting.quiet) return [];
        const { name, secret = false } = setting;
        const { value = null, origin = "default" } = found ?? {};
        return [{
          name,
          value: value !== null && secret ? maskOf(name, connection) : value,
          origin,
          secret,
        }];
      }),
    connection() {
      throwProblems(problems);
      return connection.parameters;
    },
    check: () => throwProblems(settings.problems),
    problems,
    warnings: [...settings.warnings, ...connecting.warnings],
    secrets: () => knownSecrets(sources, connection),
    publicNames: () => {
      const { hosts, database, user } = connection.parameters;
      return [...new Set([...hosts.map(({ host }) => host), database, user])];
    },
    target: input.target,
  };
  return configuration;
}

async function sourcesOf(input: ConfigurationInput, findings: Findings): Promise<Source[]> {
  const sources = await readSources(input, findings);
  const { target } = input;
  if (target === undefined) return sources;
  const { withTarget } = await import("./target_layer.ts");
  findings.warnings.push(...target.warnings);
  const get = (name: string) => target.get(name);
  const source = await withSecretFiles({ kind: "flags", get }, input, findings);
  return withTarget(sources, { target, source }, findings);
}

function findValue(sources: readonly Source[], name: string): Found | undefined {
  const setting = SETTING_BY_NAME.get(name);
  const lower = setting?.name === name ? setting.lower : undefined;
  for (const source of sources) {
    const found = source.get(name);
    if (found !== undefined) return found;
    const under = lower === undefined ? undefined : source.get(lower);
    if (under !== undefined) return { value: under.value, origin: `${lower} (${under.origin})` };
  }
  return undefined;
}

/** The value in force with its origin; undefined where there is none. */
function shownValue(
  setting: Setting,
  { values, connection }: {
    values: ReadonlyMap<string, Found>;
    connection: ConnectionConfig;
  },
): Found | undefined {
  const { name, parameter } = setting;
  if (parameter === undefined) return values.get(name) ?? defaultOf(setting);
  const given = connection.given.get(parameter);
  if (given === undefined) return defaultOf(setting);
  // `.env:3` where the setting's own name gave the value, the other name with its origin otherwise.
  const origin = given.from.startsWith(`${name} (`)
    ? given.from.slice(name.length + 2, -1)
    : given.from;
  return { value: given.value, origin };
}

function defaultOf(setting: Setting): Found | undefined {
  return setting.default === undefined ? undefined : { value: setting.default, origin: "default" };
}

function checkValue(setting: Setting, value: string): { value: string } | { problem: string } {
  const { range, choices, spellings } = setting;
  const trimmed = value.trim();
  if (range !== undefined) {
    const [minimum, maximum] = range;
    const number = /^\d{1,10}$/.test(trimmed) ? Number(trimmed) : NaN;
    return number >= minimum && number <= maximum
      ? { value: String(number) }
      : { problem: `is not a whole number from ${minimum} to ${maximum}: ${echo(value)}` };
  }
  const meant = spellings?.[trimmed.toLowerCase()];
  if (meant !== undefined) return { value: meant };
  if (choices === undefined) return { value: spellings === undefined ? value : trimmed };
  const choice = choices.find((known) => known === trimmed.toLowerCase());
  return choice === undefined
    ? { problem: `is none of ${choices.join(", ")}: ${echo(value)}` }
    : { value: choice };
}

function maskOf(name: string, connection: ConnectionConfig): string {
  return name === "DATABASE_URL" ? connection.url?.parsed?.masked ?? MASK : MASK;
}

function throwProblems(problems: readonly Problem[]): void {
  const [first, ...more] = problems;
  if (first === undefined) return;
  const hints = [...new Set(problems.flatMap(({ hint }) => hint ?? []))];
  throw new OperationError(
    more.length === 0
      ? `The configuration is not valid: ${first.message}`
      : ["The configuration is not valid:", ...problems.map(({ message }) => message)].join("\n"),
    {
      kind: "usage",
      code: "bad_configuration",
      hint: [...hints, "`observatory config` shows every value with its origin"].join("; "),
      details: { problems: problems.map(({ message }) => message) },
    },
  );
}

function knownSecrets(sources: readonly Source[], connection: ConnectionConfig): string[] {
  const secrets = new Set(connection.secrets);
  for (const source of sources) {
    for (const { name, secret, lower } of SETTINGS) {
      if (!secret) continue;
      for (const variable of lower === undefined ? [name] : [name, lower]) {
        const value = (source.hidden ?? source.get)(variable)?.value;
        if (value === undefined) continue;
        if (name !== "DATABASE_URL") secrets.add(value);
        else for (const password of passwordsOf(value)) secrets.add(password);
      }
    }
  }
  return [...secrets].filter((secret) => secret !== "");
}

/** The passwords of a connection string as `DATABASE_URL` holds one; of one that cannot be read, whatever may be one. */
export function passwordsOf(text: string): readonly string[] {
  try {
    return parseConnectionString(text.trim(), "DATABASE_URL").secrets;
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    const userinfo = /:\/\/[^:@]*:(.*)@/s.exec(text)?.[1];
    return userinfo === undefined ? [text] : [text, userinfo];
  }
}
