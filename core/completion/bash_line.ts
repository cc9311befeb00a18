/** A line of bash as it is typed: cut into words without their quotes. */
import type { Asked } from "./shells.ts";

/** Where words end, outside quotes. */
const SPACE = /\s/;
/** Where another command begins. */
const SEPARATOR = /[;&|()]/;
const ASSIGNMENT = /^[A-Za-z_]\w*=/;

/**
 * Reads a line of bash.
 *
 * @param line the line from the program's name on
 * @param options.point where the cursor is, in bytes
 * @param options.replaced as typed, what bash puts an answer in place of: the end of the last word
 */
export function readBashLine(
  line: string,
  { point, replaced }: { readonly point: number; readonly replaced: string },
): Asked {
  const bytes = new TextEncoder().encode(line);
  const { words, quote } = readWords(new TextDecoder().decode(bytes.subarray(0, point)));
  while (words.length > 1 && ASSIGNMENT.test(words[0] ?? "")) words.shift();
  const current = words.length > 1 ? words.at(-1) ?? "" : "";
  const end = readWords(replaced, quote).words.at(-1) ?? "";
  return {
    words: words.slice(1, -1),
    current,
    replaced: current.endsWith(end) ? end : current,
    quoted: quote !== "",
  };
}

/** A word that bash reads as it stands. */
export function wordForBash(word: string): string {
  return word.replaceAll(/[^\p{L}\p{N}\p{M}_@%+=:,./-]/gu, "\\$&");
}

type Quote = "" | "'" | '"' | "$'";

/** Reads words; the last one may be empty, or its quotes open. */
function readWords(text: string, opened: Quote = ""): { words: string[]; quote: Quote } {
  let words: string[] = [];
  let word = "";
  let begun = false;
  let quote: Quote = opened;
  for (let index = 0; index < text.length; index++) {
    const character = text[index] ?? "";
    const next = text[index + 1] ?? "";
    if (quote !== "") {
      if (character === (quote === '"' ? '"' : "'")) quote = "";
      else if (character === "\\" && isEscaped(next, quote)) {
        word += next;
        index++;
      } else word += character;
    } else if (character === "\\" && next === "\n") {
      // The line goes on in the next one.
      index++;
    } else if (SPACE.test(character) || SEPARATOR.test(character)) {
      if (begun) words.push(word);
      if (SEPARATOR.test(character)) words = [];
      word = "";
      begun = false;
    } else {
      begun = true;
      if (character === "'" || character === '"') quote = character;
      else if (character === "$" && next === "'") {
        quote = "$'";
        index++;
      } else if (character === "\\") {
        word += next;
        index++;
      } else word += character;
    }
  }
  return { words: [...words, word], quote };
}

/** Whether a backslash before it is none of the text, inside quotes. */
function isEscaped(character: string, quote: Quote): boolean {
  return quote === "$'" || quote === '"' && /[$`"\\]/.test(character);
}
