/** What psql writes on stderr: notices that are passed on as they come, and the error that ended it. */
import type { Log } from "../../core/plugin.ts";

/** One message of psql or the server, with the lines that belong to it. */
export interface Complaint {
  /** The file as psql was told of it, where there is one. */
  readonly file?: string;
  /** 1-based line on which the statement ends. */
  readonly line?: number;
  readonly severity: string;
  readonly text: string;
  /** The first line as psql wrote it. */
  readonly whole: string;
  /** What follows: the failing line with a caret, details, hints. */
  readonly more: readonly string[];
}

/** The errors that psql ended with. */
export interface Complaints {
  readonly last?: Complaint;
  /** Why the server ended the connection, where it said so. */
  readonly fatal?: Complaint;
}

/** How psql's stderr is read. */
export interface ReadingOptions {
  readonly log: Log;
  /** Whether the first line that names no severity is an error: with `-c` psql words some like that. */
  readonly bareErrors?: boolean;
}

// The server's names and psql's own. A translated one counts as an error until another follows.
const NOTICES: ReadonlySet<string> = new Set(["NOTICE", "INFO", "LOG", "DEBUG", "info"]);
const WARNINGS: ReadonlySet<string> = new Set(["WARNING", "warning"]);
const CONTINUING: ReadonlySet<string> = new Set(
  ["DETAIL", "HINT", "CONTEXT", "QUERY", "STATEMENT", "LOCATION", "detail", "hint"],
);

/** `psql:FILE:LINE: SEVERITY:  text`, and `psql: error: text` of psql itself. */
const LOCATED = /^psql:(?:(.+?):(\d+):)? (?:(\p{L}+): +)?(.*)$/u;
const PLAIN = /^(\p{Lu}+): {2}(.*)$/u;

/**
 * Reads psql's stderr to its end. Notices and warnings go to the log as they come. An error is kept,
 * since psql stops at it; one that psql did not stop at becomes a warning.
 */
export async function readComplaints(
  stderr: ReadableStream<Uint8Array>,
  { log, bareErrors = false }: ReadingOptions,
): Promise<Complaints> {
  let errors: OpenComplaint[] = [];
  // Whatever a program that psql runs may say is not to be lost under --quiet.
  let tell: ((line: string) => void) | undefined;
  function begin(error: Omit<OpenComplaint, "more">): void {
    // What follows the end of the connection explains it.
    if (errors.at(-1)?.severity !== "FATAL") {
      errors.forEach((each) => tellOf(each, log));
      errors = [];
    }
    const more: string[] = [];
    errors.push({ ...error, more });
    tell = (line) => void more.push(line);
  }
  for await (const line of lines(stderr)) {
    const message = parse(line);
    if (message.severity === undefined) {
      const { text, whole } = message;
      if (tell === undefined && bareErrors) begin({ severity: "error", text, whole });
      else (tell ?? log.warn)(text);
    } else if (NOTICES.has(message.severity) || WARNINGS.has(message.severity)) {
      tell = WARNINGS.has(message.severity) ? log.warn : log.info;
      tell(line);
    } else {
      begin({ ...message, severity: message.severity });
    }
  }
  const fatal = errors.find(({ severity }) => severity === "FATAL");
  const last = errors.at(-1);
  return { ...(last === undefined ? {} : { last }), ...(fatal === undefined ? {} : { fatal }) };
}

interface OpenComplaint extends Complaint {
  readonly more: string[];
}

/** Tells of the errors after all, when psql ended well in spite of them. */
export function tellIgnored({ last, fatal }: Complaints, log: Log): void {
  for (const each of new Set([fatal, last])) if (each !== undefined) tellOf(each, log);
}

function tellOf({ whole, more }: Complaint, log: Log): void {
  for (const line of [whole, ...more]) log.warn(line);
}

interface Message extends Omit<Complaint, "severity" | "more"> {
  /** Without one, the line continues what was said before. */
  readonly severity?: string;
}

function parse(whole: string): Message {
  const located = LOCATED.exec(whole);
  const [, file, line, severity, text = ""] = located ?? [];
  const [named, rest] = located === null ? PLAIN.exec(whole)?.slice(1) ?? [] : [severity, text];
  if (named === undefined) return { text: located === null ? whole : text, whole };
  if (CONTINUING.has(named)) return { text: `${named}:  ${rest}`, whole };
  const place = file === undefined ? {} : { file, line: Number(line) };
  return { ...place, severity: named, text: rest ?? "", whole };
}

/** A line that never ends is cut there. */
const LINE_CHARACTERS = 64 * 1024;

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts;
    if (rest.length > LINE_CHARACTERS) {
      yield rest;
      rest = "";
    }
  }
  rest += decoder.decode();
  if (rest !== "") yield rest;
}
