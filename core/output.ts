/** The result on stdout, as text or as exactly one JSON object. */
import type { OutputStream } from "./host.ts";
import type { Result, RowFormat, RowPart } from "./plugin.ts";
import type { ErrorReport } from "./errors.ts";

/** Where results and failures go. */
export interface Output {
  /** Writes the result of a command; with rows, resolves when the last one is written. */
  result(command: string, result: Result, warnings: readonly string[]): void | Promise<void>;
  /** Writes a failure: under JSON on stdout; as text it is the log's to tell. */
  failure(command: string | undefined, report: ErrorReport, warnings: readonly string[]): void;
}

/** How the output of a run is made. */
export interface OutputOptions {
  readonly stdout: OutputStream;
  readonly json: boolean;
  readonly redact: (text: string) => string;
  /** Names the target, where this run works on one of many. */
  readonly target?: () => string | undefined;
  /** The run's name; asked for when it is written. */
  readonly runId: () => string;
  /** Told of what rows look different for than expected; by default nobody is. */
  readonly warn?: (message: string) => void;
}

/** Makes the output of one run. */
export function createOutput(options: OutputOptions): Output {
  const { stdout, json, redact, runId, warn = () => {} } = options;
  let told = false;
  /** Writes and ends what has been begun of the one object, so that further members may follow. */
  let endRows: (() => string) | undefined;
  function ofTarget(): { target?: string } {
    const target = options.target?.();
    return target === undefined ? {} : { target };
  }
  function print(members: Record<string, unknown>): void {
    // Strings are masked one by one: a secret such as 5432 must not tear the JSON.
    const all = { ...members, run_id: runId() };
    const text = JSON.stringify(all, (_key, value) => jsonValue(value, redact));
    const begun = endRows?.();
    told = true;
    endRows = undefined;
    stdout.write(begun === undefined ? `${text}\n` : `${begun}${text.slice(1)}\n`);
  }
  async function printRows(
    rows: ReadableStream<RowPart>,
    { command, rest }: { command: string; rest: () => Record<string, unknown> },
  ): Promise<void> {
    const { Waiting, writeRows } = await import("./rows/stream.ts");
    const { envelopeWriter } = await import("./rows/envelope.ts");
    const writer = envelopeWriter(command);
    const waiting = new Waiting((text) => {
      // Nothing follows the end, and nothing is tried again on a stream that does not take it.
      if (told && endRows === undefined) return;
      told = true;
      endRows = undefined;
      stdout.write(text);
      endRows = end;
    });
    function end(): string {
      waiting.flush();
      return writer.close();
    }
    await writeRows(rows, { writer, waiting });
    endRows = end;
    print(rest());
  }
  async function writeRowsAs(format: RowFormat, rows: ReadableStream<RowPart>): Promise<void> {
    const { Waiting, writeRows, writerOf } = await import("./rows/stream.ts");
    const waiting = new Waiting((text) => stdout.write(text));
    await writeRows(rows, { writer: writerOf(format, warn), waiting });
  }
  function printOrWrite(result: Result, members: Record<string, unknown>): void {
    if (json) {
      print(members);
    } else if (result.text !== undefined && result.text !== "") {
      const text = redact(result.text);
      stdout.write(text.endsWith("\n") ? text : text + "\n");
    }
  }
  return {
    result(command, result, warnings) {
      const rest = () => ({
        ...ofTarget(),
        data: result.data ?? null,
        ...(result.problems === undefined ? {} : { problems: result.problems }),
        ...(warnings.length === 0 ? {} : { warnings }),
      });
      const { rows, format = "table" } = result;
      if (rows === undefined) return printOrWrite(result, { ok: true, command, ...rest() });
      return json
        ? printRows(rows, { command, rest: () => ({ ok: true, ...rest() }) })
        : writeRowsAs(format, rows);
    },
    failure(command, report, warnings) {
      // A failure after the result, in the clean-up, is told on stderr alone.
      if (!json || told && endRows === undefined) return;
      print({
        ok: false,
        // It stands at the beginning of what has been begun.
        ...(command === undefined || endRows !== undefined ? {} : { command }),
        ...ofTarget(),
        error: report,
        ...(warnings.length === 0 ? {} : { warnings }),
      });
    },
  };
}

/** What JSON has no form for, in one; masks secrets. */
function jsonValue(value: unknown, redact: (text: string) => string): unknown {
  if (typeof value === "string") return redact(value);
  if (typeof value === "bigint") {
    // JSON has no 64-bit integers that every reader keeps exactly: large ones become strings.
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value.toString();
  }
  if (value instanceof Uint8Array) return `\\x${value.toHex()}`;
  if (value instanceof Map) return Object.fromEntries(value);
  if (value instanceof Set) return [...value];
  return value;
}
