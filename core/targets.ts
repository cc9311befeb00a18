/**
 * A file of targets, one database a line, of which a run works on one: whatever can start a program
 * many times with a number (an Indexed Job, `xargs -P`, a matrix) fans out over a fleet by it.
 *
 * Only the line that is chosen has to be right, so that one bad line costs one database and not the
 * run over all of them; it keeps its place, so that no other line gets another number by it.
 */
import { builtIns } from "./command_line.ts";
import { type Found, pathFrom, type TargetSource } from "./config_sources.ts";
import { CONNECTION_FLAGS } from "./global_flags.ts";
import { type Flags, OperationError } from "./plugin.ts";
import type { ConnectionString } from "./postgres/connection_string.ts";
import { SETTING_BY_NAME, SETTINGS } from "./settings.ts";
import { shown } from "./shown.ts";
import { parsedAddress, readTargetLine, type TargetLine } from "./target_line.ts";

/** Which variable gives the place where no flag does: that of Kubernetes' Indexed Jobs. */
export const INDEX_VARIABLE = "JOB_COMPLETION_INDEX";

/** What a target is chosen from. */
export interface TargetChoice {
  /** The file, as given. */
  readonly file: string;
  /** The value of `--target-index`. */
  readonly index: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** As in `ConfigurationInput`. */
  readTextFile(path: string): Promise<string | undefined>;
  fileMode?(path: string): Promise<number | undefined>;
}

interface Row {
  /** Counted from 1, blank lines and comments too. */
  readonly line: number;
  readonly text: string;
}

/**
 * Chooses one target.
 *
 * @throws OperationError of kind `usage`, when there is no such target or its line cannot be read
 */
export async function chooseTarget(choice: TargetChoice): Promise<TargetSource> {
  const { file, cwd } = choice;
  if (file === "") throw usage("--targets is given without a value");
  const path = pathFrom(cwd, file);
  const text = await choice.readTextFile(path);
  if (text === undefined) throw usage(`There is no file "${file}", which --targets names`);
  const rows: Row[] = text.replace(/^\uFEFF/, "").split(/\r\n|\n|\r/)
    .map((text, index) => ({ line: index + 1, text }))
    .filter(({ text }) => !/^\s*(?:#|$)/.test(text));
  const index = readIndex(choice, rows.length);
  const row = rows[index];
  if (row === undefined) {
    throw usage(`Cannot choose target ${index} of "${file}": ${countOf(rows.length)}`);
  }
  const known = knownVariables();
  const place = `${file}:${row.line}`;
  const line = readTargetLine(row.text, { place, known });
  if (!namesDatabase(line)) {
    throw usage(
      `Cannot read ${place}: it names no database`,
      "Write its address: postgres://USER@HOST/DATABASE or host=HOST dbname=DATABASE",
    );
  }
  const others = rows.map((each) => readable(each, file, known));
  const parsed = parsedAddress(line);
  const secret = others.some((other) => other !== undefined && holdsPassword(other));
  const { settings, address } = line;
  const bare = address !== undefined && !settings.has("DATABASE_URL");
  return {
    name: line.name ?? keyOf(line, parsed) ?? place,
    place,
    notice: `Target ${index}, at ${place}`,
    warnings: [
      ...duplicates(others, { rows, index, file }),
      ...(secret ? await openToOthers(choice, path) : []),
    ],
    get(name): Found | undefined {
      if (name === "DATABASE_URL" && bare) {
        return { value: address, origin: place, whole: true };
      }
      const value = settings.get(name);
      return value === undefined ? undefined : { value, origin: place };
    },
  };
}

function usage(message: string, hint?: string): OperationError {
  return new OperationError(message, {
    kind: "usage",
    code: "bad_target",
    ...(hint === undefined ? {} : { hint }),
  });
}

function countOf(count: number): string {
  return count === 0
    ? "it has no targets"
    : count === 1
    ? "it has one target, 0"
    : `it has ${count} targets, 0 to ${count - 1}`;
}

function readIndex({ file, index, env }: TargetChoice, count: number): number {
  const fromFlag = index !== undefined;
  const text = index ?? env[INDEX_VARIABLE] ?? "";
  if (text === "" && !fromFlag) {
    throw usage(
      `Cannot choose a target of "${file}": neither --target-index nor ${INDEX_VARIABLE} is ` +
        `given, and ${countOf(count)}`,
    );
  }
  if (/^\d{1,9}$/.test(text)) return Number(text);
  const name = fromFlag ? "--target-index" : `the variable ${INDEX_VARIABLE}`;
  throw usage(`The value ${shown(text)} of ${name} is no place of a target: they count from 0`);
}

/** The settings, and the variables that flags of commands take their values from. */
function knownVariables(): ReadonlySet<string> {
  const commands = builtIns.flatMap((plugin) => Object.values(plugin.commands ?? {}));
  const declared: Flags[] = [CONNECTION_FLAGS, ...commands.map((command) => command.flags ?? {})];
  return new Set([
    ...SETTING_BY_NAME.keys(),
    ...SETTINGS.flatMap(({ name, secret }) => secret ? [`${name}_FILE`] : []),
    ...declared.flatMap((flags) => Object.values(flags).flatMap(({ env }) => env ?? [])),
  ]);
}

/** The names of settings that say where a database is. */
export const NAMING: readonly string[] = [
  ...["DATABASE_URL", "DATABASE_URL_FILE", "DB_HOST", "PGHOST", "PGHOSTADDR", "DB_PORT", "PGPORT"],
  ...["DB_NAME", "PGDATABASE", "PGSERVICE"],
];

function namesDatabase({ address, settings }: TargetLine): boolean {
  return address !== undefined || NAMING.some((name) => settings.has(name));
}

function readable(
  { line, text }: Row,
  file: string,
  known: ReadonlySet<string>,
): TargetLine | undefined {
  try {
    return readTargetLine(text, { place: `${file}:${line}`, known });
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    // It is told by the run that works on it.
    return undefined;
  }
}

/** The database in one word, such as `db1:5432/orders`, by which two lines are compared. */
function keyOf(line: TargetLine, parsed = parsedAddress(line)): string | undefined {
  const part = (name: Parameters<ConnectionString["values"]["get"]>[0], ...others: string[]) =>
    parsed?.values.get(name) ??
      others.map((other) => line.settings.get(other)).find((text) => text);
  const service = part("service", "PGSERVICE");
  const host = part("host", "DB_HOST", "PGHOST") ?? part("hostaddr", "PGHOSTADDR");
  const database = part("dbname", "DB_NAME", "PGDATABASE");
  if (service !== undefined) return `service=${service}${database ? `/${database}` : ""}`;
  if (host === undefined || database === undefined) return undefined;
  return `${host.toLowerCase()}:${part("port", "DB_PORT", "PGPORT") ?? "5432"}/${database}`;
}

function duplicates(
  lines: readonly (TargetLine | undefined)[],
  { rows, index, file }: { rows: readonly Row[]; index: number; file: string },
): string[] {
  const own = lines[index];
  if (own === undefined) return [];
  const key = keyOf(own);
  const warnings: string[] = [];
  for (const [place, other] of lines.entries()) {
    if (other === undefined || place === index) continue;
    const both = `${file}:${rows[Math.min(place, index)]?.line} and ` +
      `${file}:${rows[Math.max(place, index)]?.line}`;
    if (key !== undefined && keyOf(other) === key) {
      warnings.push(`${both} are the same database, ${key}`);
    } else if (own.name !== undefined && other.name === own.name) {
      warnings.push(`${both} have the same name, ${own.name}`);
    }
  }
  return warnings;
}

function holdsPassword(line: TargetLine): boolean {
  const secret = SETTINGS.some(({ name, lower, secret }) =>
    secret && name !== "DATABASE_URL" &&
    (line.settings.has(name) || (lower !== undefined && line.settings.has(lower)))
  );
  return secret || (parsedAddress(line)?.secrets.length ?? 0) > 0;
}

async function openToOthers({ file, fileMode }: TargetChoice, path: string): Promise<string[]> {
  const mode = await fileMode?.(path);
  return mode === undefined || (mode & 0o077) === 0 ? [] : [
    `"${file}" holds passwords, and others than its owner have access: run chmod 600 on it, or ` +
    `keep them in a password file (PGPASSFILE)`,
  ];
}
