/**
 * Patterns of tables as psql and pg_dump read them (PostgreSQL documentation, "Patterns" of psql).
 * pg_dump itself says nothing of a pattern that matches no table, so they are resolved here.
 */
import { OperationError } from "../../core/plugin.ts";

/** A pattern as the server's regular expressions. */
export interface TablePattern {
  /** As it was given. */
  readonly text: string;
  /** Undefined when the pattern names no schema: the search path decides. */
  readonly schema: string | undefined;
  readonly name: string;
}

/**
 * Splits a list of patterns at its commas; those between double quotes belong to a name.
 *
 * @param list such as `projects,models,"a,b"`
 */
export function splitPatterns(list: string): string[] {
  const parts: string[] = [""];
  let quoted = false;
  for (const character of list) {
    if (character === '"') quoted = !quoted;
    if (character === "," && !quoted) parts.push("");
    else parts.push(`${parts.pop()}${character}`);
  }
  return parts.map((part) => part.trim()).filter((part) => part !== "");
}

/**
 * Reads a pattern.
 *
 * @throws OperationError of kind `usage` for one with open quotes, no name or too many dots
 */
export function readPattern(text: string): TablePattern {
  const parts = [""];
  let quoted = false;
  for (let index = 0; index < text.length; index++) {
    const character = text.charAt(index);
    let piece: string;
    if (character === '"') {
      if (!quoted || text[index + 1] !== '"') {
        quoted = !quoted;
        continue;
      }
      index++;
      piece = '"';
    } else if (quoted) piece = /[|*+?()[\]{}.^$\\]/.test(character) ? `\\${character}` : character;
    else if (character === ".") {
      parts.push("");
      continue;
    } else if (character === "*") piece = ".*";
    else if (character === "?") piece = ".";
    else if (character === "$") piece = "\\$";
    // As the server folds names: other letters than these keep their case.
    else piece = character.replace(/[A-Z]/, (letter) => letter.toLowerCase());
    parts.push(`${parts.pop()}${piece}`);
  }
  const refuse = (reason: string): never => {
    throw new OperationError(`Cannot read the pattern ${JSON.stringify(text)}: ${reason}`, {
      kind: "usage",
      code: "bad_pattern",
      hint:
        'Write TABLE or SCHEMA.TABLE, with * and ? for any characters; "…" takes them as they are',
    });
  };
  if (quoted) refuse("a double quote is open");
  if (parts.length > 2) refuse("it has more than a schema and a table");
  const [schema, name] = parts.length === 2 ? parts : [undefined, parts[0]];
  if (name === undefined || name === "" || schema === "") return refuse("a name is missing");
  const whole = (part: string) => `^(${part})$`;
  return { text, schema: schema === undefined ? undefined : whole(schema), name: whole(name) };
}
