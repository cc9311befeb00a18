/** How psql is called, and what its end means. */
import {
  type ClientTool,
  type Context,
  OperationError,
  type ProgramExit,
} from "../../core/plugin.ts";
import type { Complaint, Complaints } from "../sql/psql_messages.ts";
import { restrictSince } from "../sql/restrict.ts";

/** psql's exit codes (PostgreSQL documentation, "psql", "Exit Status"). */
const FATAL = 1;
const CONNECTION = 2;

/** No start-up file, no question for a password, a stop at the first error, no pager. */
export const BATCH_ARGUMENTS: readonly string[] = [
  "--no-psqlrc",
  "--no-password",
  "--set=ON_ERROR_STOP=1",
  "--pset=pager=off",
];

/**
 * Makes sure that the database can be connected to, waiting for the server as every command does:
 * psql itself would not wait. The session is not kept, as psql may run for hours.
 *
 * @throws OperationError why it cannot be connected to
 */
export async function awaitDatabase(ctx: Context): Promise<void> {
  const session = await ctx.db.session({ notices: "drop" });
  await session.close();
}

/**
 * Whether somebody types: an INT is then psql's own, which cancels its statement in the server before
 * it ends. Elsewhere it is meant for the run as a whole.
 */
export async function hasTerminal(): Promise<boolean> {
  const { isatty } = await import("node:tty");
  return isatty(0);
}

/**
 * The variables that make psql's transactions read-only unless told otherwise: a guard against
 * accidents, since SQL can begin a transaction that writes.
 */
export function readOnlyVariables(ctx: Context, readOnly: boolean): Record<string, string> {
  if (!readOnly) return {};
  const options = ctx.config.get("PGOPTIONS");
  const own = "-c default_transaction_read_only=on";
  // The server lets the last one count.
  return { PGOPTIONS: options === undefined || options === "" ? own : `${options} ${own}` };
}

/** What psql was to run, for messages. */
export interface Failed {
  /** What was run, such as `"fix.sql"`. */
  readonly what: string;
  readonly exit: ProgramExit;
  readonly complaints: Complaints;
  /** What is left of the run in the database. */
  readonly left?: string;
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The error that psql's end stands for; its own exit code is among the details. */
export function failureOf({ what, exit, complaints, left, details }: Failed): OperationError {
  const lost = exit.code === CONNECTION && exit.signal === undefined;
  const complaint = (lost ? complaints.fatal : undefined) ?? complaints.last;
  const where = complaint?.file === undefined ? what : named(complaint.file);
  const position = complaint?.line === undefined ? "" : ` line ${complaint.line}:`;
  const reason = complaint?.text ?? endOf(exit);
  const hint = [hintFor(complaint), lost ? lostHint(left) : left].filter((text) => text);
  const excerpt = complaint?.more.join("\n");
  return new OperationError(`Cannot run ${where}:${position} ${reason}`, {
    kind: lost ? "connection" : "failed",
    code: lost ? "connection_lost" : "psql_failed",
    ...(hint.length === 0 ? {} : { hint: hint.join("; ") }),
    ...(excerpt ? { excerpt } : {}),
    details: {
      psql_exit: exit.code,
      ...(exit.signal === undefined ? {} : { psql_signal: exit.signal }),
      ...(complaint?.file === undefined ? {} : { file: complaint.file }),
      ...(complaint?.line === undefined ? {} : { line: complaint.line }),
      ...details,
    },
  });
}

/** How psql names its standard input in messages, and how we do. */
function named(file: string): string {
  return file === "<stdin>" ? "standard input" : `"${file}"`;
}

function endOf({ code, signal }: ProgramExit): string {
  if (signal === "SIGPIPE") return "nobody reads what psql writes any more";
  if (signal !== undefined) return `psql was ended by ${signal}`;
  if (code === CONNECTION) return "psql lost the connection to the server (its exit code 2)";
  if (code === FATAL) return "psql failed (its exit code 1)";
  return `psql ended with its exit code ${code}`;
}

function hintFor(complaint: Complaint | undefined): string | undefined {
  if (complaint === undefined) return undefined;
  if (/parameter "\w+_timeout"/.test(complaint.text)) {
    return "A setting that the server does not know is written by a pg_dump newer than the server";
  }
  return undefined;
}

/** At a lost connection nobody can say whether the last statement was still done. */
function lostHint(left: string | undefined): string | undefined {
  return left === undefined
    ? undefined
    : "Whether the last statement or COMMIT was done is not known: look before running it again";
}

/** The refusal of a plain dump that this psql is too old for. */
export function outdatedError(what: string, psql: ClientTool): OperationError {
  const { version, path } = psql;
  const since = restrictSince(psql);
  return new OperationError(
    `Cannot run ${what}: it is a dump that begins with \\restrict, which psql ${version} does not know`,
    {
      kind: "refused",
      code: "psql_outdated",
      hint:
        `Bring the package postgresql-client-${since.major} to ${since.version} or newer; do not strip the line, it keeps the dump's data from being run as commands of psql`,
      details: { found: version, path, needed: since.version },
    },
  );
}
