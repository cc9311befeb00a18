/**
 * Values as JSON, from the server's text and without loss: a number wherever every reader that
 * keeps numbers as doubles gets the very value, and otherwise a string with all digits. JSON values
 * stand as they are, arrays of built-in types become arrays, and everything else is the server's
 * text in a string.
 */
import { builtInType } from "./types.ts";

/** Writes one value, given as the server's text, as JSON. */
export type JsonWriter = (text: string) => string;

/** What JSON has for each type that becomes more than a string. */
const WRITERS: Readonly<Record<string, JsonWriter>> = {
  bool: (text) => text === "t" ? "true" : "false",
  int2: asItStands,
  int4: asItStands,
  oid: asItStands,
  int8: integer,
  float4: float,
  float8: float,
  numeric,
  json: compactJson,
  jsonb: compactJson,
};

/** The element's delimiter in an array's text is a comma for all types but this one. */
const BOX = "box";

/** Finds how values of a type are written. */
export function jsonWriter(oid: number): JsonWriter {
  const type = builtInType(oid);
  if (type === undefined) return quoted;
  if (type.element === undefined) return WRITERS[type.name] ?? quoted;
  const element = jsonWriter(type.element);
  const delimiter = builtInType(type.element)?.name === BOX ? ";" : ",";
  return (text) => jsonArray(text, { element, delimiter });
}

function quoted(text: string): string {
  return JSON.stringify(text);
}

function asItStands(text: string): string {
  return text;
}

/** Any number of so many characters is kept by a double. */
const EXACT_CHARACTERS = 15;

function integer(text: string): string {
  return text.length <= EXACT_CHARACTERS || Number.isSafeInteger(Number(text))
    ? text
    : quoted(text);
}

/** The server writes as many digits as the value takes; NaN and the infinities have none. */
function float(text: string): string {
  return /[NI]/.test(text) ? quoted(text) : text;
}

/** Beyond this, doubles lose digits before they end. */
const SMALLEST = 1e-290;

function numeric(text: string): string {
  if (/[NI]/.test(text)) return quoted(text);
  if (text.length <= EXACT_CHARACTERS) return text;
  const number = Number(text);
  if (Number.isSafeInteger(number) && !text.includes(".")) return text;
  const digits = text.replace(/[-.]/g, "").replace(/^0+/, "");
  const significant = text.includes(".") || digits.endsWith("0") ? trimZeros(digits) : digits;
  if (significant === "") return text;
  const exact = significant.length <= EXACT_CHARACTERS && Number.isFinite(number) &&
    Math.abs(number) >= SMALLEST;
  return exact ? text : quoted(text);
}

function trimZeros(digits: string): string {
  let end = digits.length;
  while (digits[end - 1] === "0") end--;
  return digits.slice(0, end);
}

/** Takes out the white space between tokens, and nothing else. */
export function compactJson(text: string): string {
  if (!/\s/.test(text)) return text;
  let compact = "";
  let kept = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x22) {
      at = endOfString(text, at);
    } else if (code <= 0x20) {
      compact += text.slice(kept, at);
      kept = at + 1;
    }
  }
  return compact + text.slice(kept);
}

/** The index of the quote that ends the string beginning at an index; backslashes escape. */
function endOfString(text: string, open: number): number {
  for (let at = open + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x5c) at++;
    else if (code === 0x22) return at;
  }
  return text.length;
}

/**
 * Writes an array from its text form (PostgreSQL, "Array Input and Output Syntax"). Lower bounds
 * other than 1 stand before it; JSON has nothing like them.
 */
function jsonArray(
  text: string,
  { element, delimiter }: { readonly element: JsonWriter; readonly delimiter: string },
): string {
  let at = text.startsWith("[") ? text.indexOf("=") + 1 : 0;
  if (text[at] !== "{") return quoted(text);
  let json = "";
  while (at < text.length) {
    const character = text[at] ?? "";
    if (character === "{" || character === "}") {
      json += character === "{" ? "[" : "]";
      at++;
    } else if (character === delimiter) {
      json += ",";
      at++;
    } else if (character === '"') {
      const end = endOfString(text, at);
      json += element(text.slice(at + 1, end).replace(/\\([^])/g, "$1"));
      at = end + 1;
    } else {
      const from = at;
      while (at < text.length && text[at] !== delimiter && text[at] !== "}") at++;
      const bare = text.slice(from, at);
      json += bare === "NULL" ? "null" : element(bare);
    }
  }
  return json;
}
