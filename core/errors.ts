/**
 * How a run ends: every failure becomes one report, and every report one exit
 * code. The table here is the one that `observatory help exit-codes` prints.
 */
import { DatabaseError, type ErrorKind, OperationError } from "./plugin.ts";
import { ENDING_SIGNALS, type EndingSignal } from "./host.ts";

/** Exit codes with their meaning, in the order shown. */
export const EXIT_CODES: readonly { readonly code: string; readonly meaning: string }[] = [
  { code: "0", meaning: "The operation succeeded" },
  { code: "1", meaning: "The operation failed" },
  { code: "2", meaning: "The command line or the configuration is wrong; nothing was done" },
  {
    code: "3",
    meaning: "The operation worked and found problems, such as pending migrations or a mismatch",
  },
  {
    code: "4",
    meaning: "The operation was refused: a confirmation is missing or a guard stands against it",
  },
  { code: "5", meaning: "The database server cannot be reached, or it rejects the login" },
  { code: "6", meaning: "Another run holds the lock" },
  { code: "70", meaning: "A bug in observatory" },
  { code: "128+n", meaning: "Signal n ended the run: 129 for HUP, 130 for INT, 143 for TERM" },
];

/** The exit code of a run that found problems. */
export const EXIT_PROBLEMS = 3;
/** The exit code of a bug. */
export const EXIT_BUG = 70;

const EXIT_BY_KIND: Readonly<Record<ErrorKind, number>> = {
  failed: 1,
  usage: 2,
  refused: 4,
  connection: 5,
  locked: 6,
};

/** Why a run was ended by a signal; the reason of the context's abort signal. */
export class SignalError extends Error {
  override name = "SignalError";
  readonly signal: EndingSignal;
  /** 128 plus the signal's number. */
  readonly exit: number;

  constructor(signal: EndingSignal) {
    super(`Ended by ${signal}`);
    this.signal = signal;
    this.exit = 128 + ENDING_SIGNALS[signal];
  }
}

/** A failure as it is shown, in text or JSON. */
export interface ErrorReport {
  readonly kind: ErrorKind | "bug" | "signal";
  readonly code: string;
  readonly message: string;
  readonly hint?: string;
  /** Lines shown below the message, such as a statement with a caret. */
  readonly excerpt?: string;
  readonly details?: Readonly<Record<string, unknown>>;
  /** The process's exit code. */
  readonly exit: number;
}

/** Turns whatever was thrown into a report; what is not an expected failure is a bug. */
export function reportOf(thrown: unknown): ErrorReport {
  if (thrown instanceof SignalError) {
    return {
      kind: "signal",
      code: thrown.signal.toLowerCase(),
      message: thrown.message,
      exit: thrown.exit,
    };
  }
  if (thrown instanceof OperationError) {
    return {
      kind: thrown.kind,
      code: thrown.code,
      message: thrown instanceof DatabaseError ? databaseMessage(thrown) : thrown.message,
      ...(thrown.hint === undefined ? {} : { hint: thrown.hint }),
      ...(thrown.excerpt === undefined ? {} : { excerpt: thrown.excerpt }),
      ...(Object.keys(thrown.details).length === 0 ? {} : { details: thrown.details }),
      exit: EXIT_BY_KIND[thrown.kind],
    };
  }
  const error = thrown instanceof Error ? thrown : new Error(textOf(thrown));
  return {
    kind: "bug",
    code: "bug",
    message: `${error.name}: ${error.message}`,
    hint: "This is a bug in observatory; please report it with the lines below",
    ...(error.stack === undefined ? {} : { excerpt: error.stack }),
    exit: EXIT_BUG,
  };
}

/** The report that a run ends with: what fails once a signal has come fails because of it, but a bug stays one. */
export function finalReport(thrown: unknown, signal: AbortSignal): ErrorReport {
  const report = reportOf(thrown);
  if (!signal.aborted || report.kind === "signal" || report.kind === "bug") return report;
  return reportOf(signal.reason);
}

function textOf(thrown: unknown): string {
  try {
    return `Something other than an error was thrown: ${String(thrown)}`;
  } catch {
    // An object without a prototype has no text.
    return "Something other than an error was thrown";
  }
}

/** A server error that no plugin has worded is told with its SQLSTATE and detail. */
function databaseMessage(error: DatabaseError): string {
  const { message, sqlstate, detail } = error.server;
  if (error.message !== message) return error.message;
  return `The server reports: ${message} (SQLSTATE ${sqlstate})${
    detail === undefined ? "" : `: ${detail}`
  }`;
}
