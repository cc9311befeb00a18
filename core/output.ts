/** The result on stdout, as text or as exactly one JSON object. */
import type { OutputStream } from "./host.ts";
import type { Result } from "./plugin.ts";
import type { ErrorReport } from "./errors.ts";

/** Where results and failures go. */
export interface Output {
  /** Writes the result of a command. */
  result(command: string, result: Result, warnings: readonly string[]): void;
  /** Writes a failure: under JSON on stdout; as text it is the log's to tell. */
  failure(command: string | undefined, report: ErrorReport, warnings: readonly string[]): void;
}

/** Makes the output of one run. */
export function createOutput(
  options: { stdout: OutputStream; json: boolean; redact: (text: string) => string },
): Output {
  const { stdout, json } = options;
  const print = (value: Record<string, unknown>) =>
    stdout.write(options.redact(JSON.stringify(value, jsonValue)) + "\n");
  return {
    result(command, result, warnings) {
      if (json) {
        print({
          ok: true,
          command,
          data: result.data,
          ...(result.problems === undefined ? {} : { problems: result.problems }),
          ...(warnings.length === 0 ? {} : { warnings }),
        });
      } else if (result.text !== undefined && result.text !== "") {
        const text = options.redact(result.text);
        stdout.write(text.endsWith("\n") ? text : text + "\n");
      }
    },
    failure(command, report, warnings) {
      if (!json) return;
      print({
        ok: false,
        ...(command === undefined ? {} : { command }),
        error: report,
        ...(warnings.length === 0 ? {} : { warnings }),
      });
    },
  };
}

/** JSON has no 64-bit integers that every reader keeps exactly: large ones become strings. */
function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value.toString();
  }
  if (value instanceof Uint8Array) return `\\x${hex(value)}`;
  return value;
}

/** The bytes in hexadecimal. */
function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
