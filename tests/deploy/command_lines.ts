/** The program's command lines in files that are no scripts of ours: examples, documents, units. */
import { buildCommandTree, findCommand, splitLeadingFlags } from "../../core/command_tree.ts";
import { builtIns, readCommandLine } from "../../core/command_line.ts";

const TREE = buildCommandTree(builtIns);

/** What stands before the words of a command line. */
const BEFORE = [
  /(?:^|[\s`"'(=]|run: |- )(?:\/usr\/local\/bin\/)?observatory ((?=[a-z-])[^\n]*)/gm,
  /docker compose --profile tools run --rm cli ((?=[a-z-])[^\n]*)/gm,
];

/** Words that follow the program's name in prose and tables. */
const PROSE = new Set(["observatory", "by", "and", "is", "to", "in", "of", "as", "the"]);

/** Finds the lines of a text, each as its words. */
export function linesIn(text: string): string[][] {
  const joined = text.replaceAll(/\\\n\s*/g, " ");
  return BEFORE.flatMap((pattern) => [...joined.matchAll(pattern)])
    .map(([, line = ""]) => wordsOf(line))
    .filter(([first = ""]) => first !== "" && first !== "--build-arg" && !PROSE.has(first));
}

/** The words of a line as a shell sees them, up to what is not the command's any more. */
export function wordsOf(line: string): string[] {
  const words: string[] = [];
  const word =
    /\s*(?:((?:"(?:\$\([^)]*\)\)?|[^"\\]|\\.)*"|'[^']*'|\$\{\{[^}]*\}\}|[^\s"'|;&<>()`])+)|(\S))/y;
  while (word.lastIndex < line.length) {
    const found = word.exec(line);
    const text = found?.[1];
    if (text === undefined || (text.startsWith("#") && words.length > 0)) break;
    if (/^\d$/.test(text) && /^\s*>/.test(line.slice(word.lastIndex))) break;
    words.push(text.replaceAll(/"((?:\$\([^)]*\)\)?|[^"\\]|\\.)*)"|'([^']*)'/g, "$1$2"));
  }
  return words;
}

/**
 * Reads a line as the program does.
 *
 * @returns the command's name
 * @throws OperationError when there is no such command, or it does not take these flags
 */
export function readLine(words: readonly string[]): string {
  const { rest } = splitLeadingFlags(words);
  if (rest[0] === "help" || rest[0] === "version" || words[0] === "--version") return "help";
  const { entry, words: more } = findCommand(TREE, words);
  readCommandLine(more, { entry, env: {} }).input();
  return entry.path;
}
