/**
 * Takes the types out of TypeScript. They become blanks, so that every line and column stays as it
 * was; syntax that means more than types is refused.
 */

import { loadStripper, reloadStripper, type Stripper } from "./packages.ts";
import { invalidSource } from "./source_error.ts";

let stripper: Stripper | undefined;

/** What the stripper throws; it is no `Error`. */
interface StripError {
  readonly code: string;
  readonly message: string;
  /** Counted from 1. */
  readonly startLine: number;
  /** Counted from 0. */
  readonly startColumn: number;
}

/** What is refused, by the stripper's words for it: what it is called here, and what to write instead. */
const UNSUPPORTED: readonly [pattern: RegExp, reason: string, hint: string][] = [
  [
    /\benum\b/,
    "an enum is more than a type",
    "Write a const object and a union of its values: " +
    'const Color = { Red: "red" } as const; type Color = typeof Color[keyof typeof Color]',
  ],
  [
    /parameter property/,
    "a parameter property is more than a type",
    "Declare the field in the class, and assign it in the constructor",
  ],
  [
    /\b(namespace|module)\b/,
    "a namespace is more than a type",
    "Write a module of its own, or a const object",
  ],
  [
    /import equals|export assignment/,
    "`import x = …` and `export = …` are not of JavaScript",
    'Write import { x } from "./x.ts", or export default',
  ],
  [
    /angle-bracket/,
    "a type in angle brackets before a value is not supported",
    "Write `value as Type`",
  ],
];

/**
 * Takes the types out of a file. The stripper is loaded with the first call.
 *
 * @throws OperationError `plugin_invalid` with line and column
 */
export async function stripTypes(text: string, path: string): Promise<string> {
  stripper ??= await loadStripper();
  try {
    return stripper.transformSync(text, { mode: "strip-only" }).code;
  } catch (error) {
    if (error instanceof RangeError || error instanceof WebAssembly.RuntimeError) {
      stripper = await reloadStripper();
      throw invalidSource({ path, line: 1, column: 1 }, { reason: "it is nested too deeply" });
    }
    if (!isStripError(error)) throw error;
    const place = { path, line: error.startLine, column: error.startColumn + 1 };
    if (error.code !== "UnsupportedSyntax") {
      throw invalidSource(place, { reason: syntaxReason(error.message) });
    }
    const [, reason, hint] = UNSUPPORTED.find(([pattern]) => pattern.test(error.message)) ??
      [/./, error.message, "Only types can be taken out: set erasableSyntaxOnly in tsconfig.json"];
    throw invalidSource(place, { reason, hint });
  }
}

/** The parser's words, in the tool's form: no capital at the start, no period at the end. */
export function syntaxReason(message: string): string {
  const text = message.trim().replace(/\.$/, "");
  return `${text.charAt(0).toLowerCase()}${text.slice(1)}`;
}

function isStripError(error: unknown): error is StripError {
  return typeof error === "object" && error !== null && "code" in error && "message" in error &&
    "startLine" in error && typeof error.startLine === "number" &&
    "startColumn" in error && typeof error.startColumn === "number" &&
    typeof error.message === "string";
}
