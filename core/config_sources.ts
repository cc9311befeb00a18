/** The sources of the configuration, highest first, and what each of them says. */
import { parseEnvFile } from "./env_file.ts";
import { OperationError } from "./plugin.ts";
import type { Problem } from "./postgres/parameters.ts";
import { flagOf, SETTINGS } from "./settings.ts";

/** Where the container image keeps its defaults. */
export const DEFAULTS_FILE = "/etc/observatory/defaults.env";

/** A value with its origin, such as `.env:3`. */
export interface Found {
  readonly value: string;
  readonly origin: string;
  /** Whether the origin tells all, and no name is written there. */
  readonly whole?: boolean;
}

/** One source of settings. */
export interface Source {
  readonly kind: "flags" | "environment" | "env file" | "defaults file";
  /** The value of a name; one that is empty counts as absent. */
  get(name: string): Found | undefined;
  /** The same with what does not apply to the target of this run. */
  hidden?(name: string): Found | undefined;
}

/** One target of a file, which ranks as the flags do. */
export interface TargetSource {
  /** What lines of the log call it. */
  readonly name: string;
  /** Where it stands, such as `fleet.txt:7`. */
  readonly place: string;
  /** Which one it is, for the log. */
  readonly notice: string;
  readonly warnings: readonly string[];
  get(name: string): Found | undefined;
}

/** What the configuration is read from; nothing else is asked. */
export interface ConfigurationInput {
  /** Values given by flags, by the setting's name. */
  readonly flags: ReadonlyMap<string, string>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The text of a file, or undefined when there is none; may throw OperationError. */
  readTextFile(path: string): Promise<string | undefined>;
  /** The permission bits of a file, or undefined when there is none or no such bits. */
  fileMode?(path: string): Promise<number | undefined>;
  /** The working directory, which holds `.env`. */
  readonly cwd: string;
  /** The file to read instead of `.env`; it must be there. */
  readonly envFile?: string;
  /** The user's home directory, which may hold `.pgpass` and the like. */
  readonly home?: string;
  /** The target of this run, where it works on one of a file. */
  readonly target?: TargetSource;
}

/** What is found odd while reading, in the order found. */
export interface Findings {
  readonly problems: Problem[];
  readonly warnings: string[];
}

/** A path as seen from a directory. */
export function pathFrom(directory: string, path: string): string {
  return path.startsWith("/") ? path : `${directory.replace(/\/$/, "")}/${path}`;
}

/** Reads all sources, the files that hold secrets (`DB_PASSWORD_FILE`) included. */
export async function readSources(
  input: ConfigurationInput,
  findings: Findings,
): Promise<Source[]> {
  const flagged = (name: string) => {
    const value = input.flags.get(name);
    return value === undefined ? undefined : { value, origin: flagOf(name) };
  };
  for (const [name, value] of input.flags) {
    // A script's empty variable must not lead the run to another database.
    if (value === "") {
      findings.problems.push({ message: `${flagOf(name)} is given without a value` });
    }
  }
  const inEnvironment = (name: string) => {
    const value = input.env[name];
    return value === undefined ? undefined : { value, origin: "environment" };
  };
  const [envFile, defaultsFile] = await Promise.all([
    readFile(
      input,
      { path: input.envFile ?? ".env", required: input.envFile !== undefined },
      findings,
    ),
    readFile(input, { path: DEFAULTS_FILE, required: false }, findings),
  ]);
  const sources: Source[] = [];
  for (
    const [kind, get] of [
      ["flags", flagged],
      ["environment", inEnvironment],
      ["env file", envFile],
      ["defaults file", defaultsFile],
    ] as const
  ) {
    // What is not there is not asked for each of the settings.
    if (get !== undefined) sources.push(await withSecretFiles({ kind, get }, input, findings));
  }
  return sources;
}

type Lookup = (name: string) => Found | undefined;

async function readFile(
  input: ConfigurationInput,
  { path, required }: { path: string; required: boolean },
  findings: Findings,
): Promise<Lookup | undefined> {
  const text = await readOptional(input, pathFrom(input.cwd, path), findings);
  if (text === undefined) {
    if (required && findings.problems.every(({ message }) => !message.includes(`"${path}"`))) {
      findings.problems.push({ message: `There is no file "${path}", which --env-file names` });
    }
    return undefined;
  }
  const file = await parseEnvFile(text, path);
  findings.warnings.push(...file.warnings);
  return (name) => {
    const entry = file.values.get(name);
    return entry && { value: entry.value, origin: `${path}:${entry.line}` };
  };
}

/** Reads a file; one that is there and cannot be read is a problem, not an absence. */
async function readOptional(
  input: ConfigurationInput,
  path: string,
  findings: Findings,
): Promise<string | undefined> {
  try {
    return await input.readTextFile(path);
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    findings.problems.push({ message: error.message });
    return undefined;
  }
}

/** Lets `NAME_FILE` give the value of a secret, as container platforms hand secrets out. */
export async function withSecretFiles(
  { kind, get }: { kind: Source["kind"]; get: Lookup },
  input: ConfigurationInput,
  findings: Findings,
): Promise<Source> {
  const present: Lookup = (name) => {
    const found = get(name);
    return found === undefined || found.value === "" ? undefined : found;
  };
  const fromFiles = new Map<string, Found>();
  for (const { name } of SETTINGS.filter((setting) => setting.secret)) {
    const file = present(`${name}_FILE`);
    if (file === undefined) continue;
    const from = `${name}_FILE (${file.origin})`;
    if (present(name) !== undefined) {
      findings.problems.push({
        message: `${name} and ${name}_FILE are both set (${present(name)?.origin}, ${file.origin})`,
        hint: "Unset one of them",
      });
      continue;
    }
    const path = pathFrom(input.cwd, file.value);
    const before = findings.problems.length;
    const value = (await readOptional(input, path, findings))?.replace(/\r?\n$/, "");
    if (findings.problems.length > before) continue;
    if (value === undefined || value === "") {
      const state = value === undefined ? "does not exist" : "is empty";
      findings.problems.push({ message: `The file "${file.value}" of ${from} ${state}` });
    } else fromFiles.set(name, { value, origin: from });
  }
  return { kind, get: (name) => present(name) ?? fromFiles.get(name) };
}
