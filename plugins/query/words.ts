/** Words of a command line as a POSIX shell splits them, without any expansion. */
import { OperationError } from "../../core/plugin.ts";

/** What a shell would act on and we do not: taken as it stands, it would mean something else. */
const OPERATORS = "|&;<>()$`*?[\n";
const EXPANDED_IN_QUOTES = "$`";

/**
 * Splits a line into words (POSIX, "Quoting"): single quotes keep everything, double quotes all but
 * the backslash before `"`, `\`, `$` and a backtick, a backslash keeps the next character.
 *
 * @throws OperationError of kind `usage` for an open quote, and for what only a shell can do
 */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let index = 0;
  const next = () => line[index++] ?? "";
  while (index < line.length) {
    const character = next();
    if (character === " " || character === "\t") {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else if (character === "'") {
      const end = line.indexOf("'", index);
      if (end < 0) throw openQuote(line);
      word = (word ?? "") + line.slice(index, end);
      index = end + 1;
    } else if (character === '"') {
      const quoted = doubleQuoted(line, index);
      word = (word ?? "") + quoted.text;
      index = quoted.end;
    } else if (character === "\\") {
      if (index === line.length) throw openQuote(line);
      word = (word ?? "") + next();
    } else if (OPERATORS.includes(character) || ("~#".includes(character) && word === undefined)) {
      throw shellOnly(character);
    } else {
      word = (word ?? "") + character;
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}

function doubleQuoted(line: string, start: number): { text: string; end: number } {
  let text = "";
  for (let index = start; index < line.length; index++) {
    const character = line[index] ?? "";
    if (character === '"') return { text, end: index + 1 };
    if (EXPANDED_IN_QUOTES.includes(character)) throw shellOnly(character);
    const escaped = line[index + 1] ?? "";
    if (character === "\\" && escaped !== "" && '"\\$`'.includes(escaped)) {
      text += escaped;
      index++;
    } else {
      text += character;
    }
  }
  throw openQuote(line);
}

function openQuote(line: string): OperationError {
  return new OperationError(`Cannot read the script's arguments: a quote is left open in ${line}`, {
    kind: "usage",
    code: "usage",
  });
}

function shellOnly(character: string): OperationError {
  const shown = character === "\n" ? "a line break" : character;
  return new OperationError(
    `Cannot pass ${shown} to the script: its arguments are not read by a shell`,
    {
      kind: "usage",
      code: "usage",
      hint: "Put it in single quotes to pass it as it stands, or do that inside the script",
    },
  );
}
