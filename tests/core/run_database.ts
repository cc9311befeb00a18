/** The database of a run over a real server, for tests. */
import { createDatabase, type RunDatabase } from "../../core/database.ts";
import { systemHost } from "../../core/host.ts";
import { createLog } from "../../core/log.ts";
import type { ConnectionParameters } from "../../core/postgres/connection_parameters.ts";
import type { Dialer } from "../../core/postgres/transport.ts";

/** What is meant, and how. */
export interface Given {
  readonly host: string;
  readonly port: number;
  readonly name: string;
  readonly readOnly?: boolean;
  /** Seconds; by default the server is tried once. */
  readonly wait?: number;
  readonly signal?: AbortSignal;
  readonly parameters?: Partial<ConnectionParameters>;
  readonly dialer?: Dialer;
  /** The clock by which waiting is measured; by default the real one. */
  readonly now?: () => number;
}

/** A database as a run has it, closed at the end of the test, with the lines it logged. */
export interface TestRunDatabase extends RunDatabase, AsyncDisposable {
  readonly lines: readonly string[];
}

/** Makes the database of a run. */
export function runDatabase(given: Given): TestRunDatabase {
  const lines: string[] = [];
  const log = createLog({
    stream: {
      write: (text) => void lines.push(text.trimEnd()),
      isTerminal: false,
      columns: () => 80,
    },
    format: "text",
    level: () => "debug",
    colour: false,
    redact: (text) => text,
    now: () => Date.now(),
    runId: () => "test",
    command: () => undefined,
  });
  const database = createDatabase({
    parameters: {
      hosts: [{ host: given.host, port: given.port }],
      database: given.name,
      user: "postgres",
      sslmode: "disable",
      applicationName: "observatory",
      ...given.parameters,
    },
    dialer: given.dialer ?? systemHost().dialer,
    log,
    signal: given.signal ?? new AbortController().signal,
    readOnly: given.readOnly ?? false,
    wait: given.wait ?? 0,
    now: given.now ?? (() => Date.now()),
  });
  return { ...database, lines, [Symbol.asyncDispose]: () => database.close() };
}

/**
 * Waits until a condition holds.
 *
 * @throws Error when it does not within 20 seconds
 */
export async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!await condition()) {
    if (Date.now() > deadline) throw new Error(`Gave up waiting: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
