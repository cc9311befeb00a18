/** What the audit tells of one command: who ran what, where and when, and what came of it. */
import type { Argument, Command, Effect, Flag } from "../plugin.ts";
import type { Configuration } from "../config.ts";
import type { ErrorReport } from "../errors.ts";
import { acceptedFlags } from "../global_flags.ts";
import type { Host } from "../host.ts";
import type { CommandInput } from "../input.ts";
import { MASK } from "../shown.ts";
import { VERSION } from "../version.ts";
import { withoutLiterals } from "./sql_text.ts";

/** A command that was begun, or refused; its members are the table's columns. */
export interface AuditRecord {
  readonly run_id: string;
  /** The command's full path, such as `migrate rollback`. */
  readonly command: string;
  /** The command that ran it; null for the one of the command line. */
  readonly parent: string | null;
  readonly effect: Effect;
  /** Its arguments and those of its own flags that are not as they are by default. */
  readonly arguments: readonly string[];
  readonly os_user: string;
  /** Who became that user by sudo. */
  readonly sudo_user: string | null;
  readonly host: string;
  readonly pid: number;
  readonly db_host: string | null;
  readonly db_port: number | null;
  readonly db_name: string | null;
  readonly db_user: string | null;
  readonly tool_version: string;
  readonly started_at: string;
}

/** How it ended. */
export interface AuditOutcome {
  readonly result: AuditResult;
  /** The exit code of the run, or the one that a run of this command alone would have had. */
  readonly exit_code: number;
  /** A failure's stable name, such as `not_confirmed`. */
  readonly error_code: string | null;
  /** False where the command says that it has found nothing to do. */
  readonly changed: boolean;
  readonly duration_ms: number;
}

/** What came of a command. */
export type AuditResult = "succeeded" | "problems" | "failed" | "refused" | "interrupted";

/** The result by the report of a failure. */
export function resultOf({ kind }: Pick<ErrorReport, "kind">): AuditResult {
  return kind === "refused" ? "refused" : kind === "signal" ? "interrupted" : "failed";
}

/** What a record is made from. */
export interface RecordFacts {
  readonly command: Command;
  readonly path: string;
  readonly parent: string | undefined;
  readonly input: Pick<CommandInput, "flags" | "args">;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** Where it is not the configured one. */
  readonly database: string | undefined;
}

/** Makes a record. */
export async function recordOf(
  facts: RecordFacts,
  { host, configuration, runId, redact }: {
    readonly host: Host;
    readonly configuration: Configuration;
    readonly runId: string;
    readonly redact: (text: string) => string;
  },
): Promise<AuditRecord> {
  const { command, path, parent, startedAt } = facts;
  const { user, hostname, pid } = await host.identity();
  const connection = command.database === "none" ? undefined : configuration.connection();
  const [server] = connection?.hosts ?? [];
  return {
    run_id: runId,
    command: path,
    parent: parent ?? null,
    effect: command.effect,
    arguments: wordsOf(facts).map(redact),
    os_user: user,
    sudo_user: host.env["SUDO_USER"] || null,
    host: hostname,
    pid,
    db_host: server?.host ?? null,
    db_port: server?.port ?? null,
    db_name: connection === undefined ? null : facts.database ?? connection.database,
    db_user: connection?.user ?? null,
    tool_version: VERSION,
    started_at: new Date(startedAt).toISOString(),
  };
}

/** The record in one line for people. */
export function lineOf(record: AuditRecord, outcome: AuditOutcome): string {
  const { command, os_user, sudo_user, host, db_host, db_port, db_name, db_user, run_id } = record;
  const who = sudo_user === null ? os_user : `${os_user} (sudo by ${sudo_user})`;
  const where = db_name === null
    ? ""
    : ` of "${db_name}" on ${db_host}:${db_port} as role "${db_user}"`;
  const { result, exit_code, duration_ms } = outcome;
  return `Audit: ${command}${where} by ${who} on ${host}: ${result} (exit code ${exit_code}, ` +
    `${duration_ms} ms, run ${run_id})`;
}

/** Characters that are kept of one value, and values that are kept of one command. */
const LONGEST = 2000;
const MOST = 200;

function wordsOf({ command, input }: RecordFacts): string[] {
  const { own } = acceptedFlags(command);
  const words = [
    ...Object.entries(command.args ?? {}).flatMap(([name, argument]) =>
      valuesOf(input.args[name]).map((value) => written(value, argument))
    ),
    ...Object.entries(own).flatMap(([name, flag]) => flagWords(name, flag, input.flags[name])),
  ];
  return words.length <= MOST
    ? words
    : [...words.slice(0, MOST), `… and ${words.length - MOST} more`];
}

function flagWords(name: string, flag: Flag, value: unknown): string[] {
  if (value === (flag.default ?? false)) return [];
  if (flag.type === "boolean") return [value === false ? `--no-${name}` : `--${name}`];
  return valuesOf(value).map((each) => `--${name}=${flag.secret ? MASK : written(each, flag)}`);
}

function valuesOf(value: unknown): string[] {
  return value === undefined ? [] : [value].flat().map(String);
}

function written(value: string, { sql = false }: Pick<Flag | Argument, "sql">): string {
  // The server takes neither halves of characters nor NUL.
  const text = (sql ? withoutLiterals(value) : withoutPasswords(value)).toWellFormed()
    .replaceAll("\0", "");
  return text.length > LONGEST ? `${text.slice(0, LONGEST).toWellFormed()}…` : text;
}

/** What is a password by its place; those that are known are masked by their values. */
function withoutPasswords(text: string): string {
  return text
    .replace(/(:\/\/[^\s:/@]*:)[^\s@]*@/g, `$1${MASK}@`)
    .replace(/((?:passw(?:or)?d|pwd|secret|token|api_?key)\w*["']?\s*[=:]\s*)\S+/gi, `$1${MASK}`);
}
