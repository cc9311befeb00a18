/** What each shell tells of its line, and how it is answered. */
import { printable } from "../log.ts";
import type { Answer } from "./candidates.ts";
import { readBashLine, wordForBash } from "./bash_line.ts";

/** The shells that are spoken to. */
export const SHELLS = ["bash", "zsh", "fish"] as const;
/** One of them. */
export type Shell = (typeof SHELLS)[number];

/** Whether it is one of them. */
export function isShell(name: string): name is Shell {
  return SHELLS.some((shell) => shell === name);
}

/** What is asked about. */
export interface Asked {
  /** The words between the program's name and the one that is being typed, without quotes. */
  readonly words: readonly string[];
  /** That one, up to the cursor. */
  readonly current: string;
  /** In bash: of that word, what the shell puts the answer in place of. */
  readonly replaced?: string;
  /** In bash: whether that stands in quotes, which are not closed yet. */
  readonly quoted?: boolean;
}

/**
 * Reads what a shell tells: bash its line, the cursor's place in bytes and what it is going to
 * replace, since it cuts words at `=` and `:`; the others their words, without quotes.
 */
export function readAsked(shell: Shell, told: readonly string[]): Asked {
  if (shell === "bash") {
    const [line = "", point = "", replaced = ""] = told;
    return readBashLine(line, { point: Number(point), replaced });
  }
  return { words: told.slice(0, -1), current: told.at(-1) ?? "" };
}

/**
 * Writes an answer in lines. The first one tells which paths the shell offers of its own. In zsh and
 * fish what stands before each candidate in the same word follows, and what is to be typed where
 * nothing can be offered. Then come the candidates: in bash those alone that begin as the word does,
 * which the others find out by themselves, and not by the beginning alone.
 */
export function writeAnswer(
  shell: Shell,
  { asked, answer }: { readonly asked: Asked; readonly answer: Answer },
): string {
  const { paths, prefix, hint } = answer;
  // A word over several lines cannot be told, and is none that anybody types.
  const candidates = answer.candidates.filter(({ value }) => !/\p{Cc}/u.test(value));
  if (shell === "bash") {
    const { current, quoted = false, replaced = "" } = asked;
    const words = candidates.map(({ value }) => `${prefix}${value}`)
      .filter((word) => word.startsWith(current))
      .map((word) => word.slice(current.length - replaced.length))
      // Beside files bash itself puts the quotes.
      .map((word) => quoted || paths !== "none" ? word : wordForBash(word));
    return linesOf([paths, ...words]);
  }
  const lines = candidates.map(({ value, description = "" }) => {
    const told = printable(description).replaceAll(/\s+/g, " ");
    return shell === "fish"
      ? `${prefix}${value}\t${told}`
      : told === ""
      ? wordForZsh(value)
      : `${wordForZsh(value)}:${told}`;
  });
  return linesOf([paths, prefix, printable(hint).replaceAll(/\s+/g, " "), ...lines]);
}

/** A colon ends the word, and begins its description. */
function wordForZsh(word: string): string {
  return word.replaceAll(/[\\:]/g, "\\$&");
}

function linesOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}
