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
  const { stdout, json, redact } = options;
  let told = false;
  const print = (value: Record<string, unknown>) => {
    // Strings are masked one by one: a secret such as 5432 must not tear the JSON.
    const text = JSON.stringify(value, (_key, value) => jsonValue(value, redact));
    told = true;
    stdout.write(text + "\n");
  };
  return {
    result(command, result, warnings) {
      if (json) {
        print({
          ok: true,
          command,
          data: result.data ?? null,
          ...(result.problems === undefined ? {} : { problems: result.problems }),
          ...(warnings.length === 0 ? {} : { warnings }),
        });
      } else if (result.text !== undefined && result.text !== "") {
        const text = redact(result.text);
        stdout.write(text.endsWith("\n") ? text : text + "\n");
      }
    },
    failure(command, report, warnings) {
      // A failure after the result, in the clean-up, is told on stderr alone.
      if (!json || told) return;
      print({
        ok: false,
        ...(command === undefined ? {} : { command }),
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
