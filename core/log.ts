/** Lines for people and log collectors, on stderr. */
import type { OutputStream } from "./host.ts";
import type { Log, Progress } from "./plugin.ts";

/** How important a line is; `success` ranks with `info`, as in the manual of the replaced system. */
export type LogLevel = "debug" | "info" | "success" | "warn" | "error";

const RANK: Readonly<Record<LogLevel, number>> = {
  debug: 0,
  info: 1,
  success: 1,
  warn: 2,
  error: 3,
};

// The tags of the replaced system's scripts; log watchers look for them.
const TAG: Readonly<Record<LogLevel, string>> = {
  debug: "[DEBUG]",
  info: "[INFO]",
  success: "[SUCCESS]",
  warn: "[WARNING]",
  error: "[ERROR]",
};

const COLOUR: Readonly<Record<LogLevel, string>> = {
  debug: "\x1b[2m",
  info: "\x1b[34m",
  success: "\x1b[32m",
  warn: "\x1b[33m",
  error: "\x1b[31m",
};

/** The level that a value of LOG_LEVEL means. */
export function logLevelOf(value: string | undefined): LogLevel {
  if (value === "trace") return "debug";
  return value === "debug" || value === "warn" || value === "error" ? value : "info";
}

/** How lines are written. */
export interface LogOptions {
  readonly stream: OutputStream;
  readonly format: "text" | "json";
  /** Lines below this level are dropped. */
  readonly level: () => LogLevel;
  readonly colour: boolean;
  /** Masks secrets; applied to every line. */
  readonly redact: (text: string) => string;
  readonly now: () => number;
  /** Names the run in JSON lines; asked for when one is written. */
  readonly runId: () => string;
  /** The command's path in JSON lines, as soon as it is known. */
  readonly command: () => string | undefined;
  /** Names the target, where this run works on one of many whose lines may be mixed. */
  readonly target?: () => string | undefined;
  /** Called before a line is written, so that a progress line can be cleared. */
  readonly beforeLine?: () => void;
}

/** The log of one run, with the error level that only the host writes. */
export interface RunLog extends Log {
  error(message: string): void;
  /**
   * Lines without a tag, such as those that explain the error line before them: plain as text, a
   * line of their own as JSON. The level, by default `error`, tells whether they are written.
   */
  note(message: string, level?: LogLevel): void;
  /** Tells the run's name, which lines of text are without. */
  runStarts(): void;
  /** How far an operation is, as information; its numbers are members of their own as JSON. */
  progress(message: string, state: Progress): void;
  /** Warnings written so far, for the JSON result. */
  readonly warnings: readonly string[];
}

/** Makes the log of one run. */
export function createLog(options: LogOptions): RunLog {
  const warnings: string[] = [];
  const write = (
    level: LogLevel,
    message: string,
    more: Readonly<Record<string, unknown>> = {},
  ) => {
    const text = printable(options.redact(message));
    if (level === "warn") warnings.push(text);
    if (RANK[level] < RANK[options.level()]) return;
    options.beforeLine?.();
    options.stream.write(
      options.format === "json"
        ? jsonLine(options, level, { message: text, ...more })
        : textLine(options, level, text),
    );
  };
  return {
    debug: (message) => write("debug", message),
    info: (message) => write("info", message),
    success: (message) => write("success", message),
    warn: (message) => write("warn", message),
    error: (message) => write("error", message),
    note(message, level = "error") {
      if (options.format === "json") return write(level, message);
      if (RANK[level] < RANK[options.level()]) return;
      options.beforeLine?.();
      options.stream.write(printable(options.redact(message)) + "\n");
    },
    runStarts() {
      if (options.format === "json" || options.level() !== "debug") return;
      write("debug", `Run ${options.runId()}`);
    },
    progress: (message, { done, total, unit }) => write("info", message, { done, total, unit }),
    redact: (text) => printable(options.redact(text)),
    warnings,
  };
}

/**
 * Text without control characters: messages hold what servers and file names
 * say, and none of it may steer the terminal. Line ends and tabs stay.
 */
export function printable(text: string): string {
  // deno-lint-ignore no-control-regex -- control characters are what is looked for
  return text.replaceAll("\r\n", "\n").replace(/[\0-\x08\x0b-\x1f\x7f-\x9f]/g, escapeOf);
}

function escapeOf(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
}

function textLine(options: LogOptions, level: LogLevel, message: string): string {
  const tag = options.colour ? `${COLOUR[level]}${TAG[level]}\x1b[0m` : TAG[level];
  const target = options.target?.();
  return `${tag} ${target === undefined ? "" : `${target}: `}${message}\n`;
}

function jsonLine(
  options: LogOptions,
  level: LogLevel,
  members: Readonly<Record<string, unknown>>,
): string {
  const command = options.command();
  const target = options.target?.();
  return JSON.stringify({
    time: new Date(options.now()).toISOString(),
    // Collectors know no level of that name.
    level: level === "success" ? "info" : level,
    ...members,
    ...(command === undefined ? {} : { command }),
    ...(target === undefined ? {} : { target }),
    run_id: options.runId(),
  }) + "\n";
}
