/** How help texts are laid out. */

/** Help texts keep within this width. */
export const COLUMNS = 100;

/** The text with what else is to be known in brackets behind it; empty facts are left out. */
export function withFacts(text: string, facts: readonly string[]): string {
  const told = facts.filter((fact) => fact !== "");
  return told.length === 0 ? text : `${text} (${told.join("; ")})`;
}

/**
 * Rows of two columns, aligned; a first column that is too wide has its second
 * on the next line, and a second one that is too wide goes on there.
 */
export function table(rows: readonly (readonly [string, string])[], indent = 0): string {
  const width = Math.min(44, Math.max(...rows.map(([left]) => left.length)));
  const second = indent + width + 2;
  return rows.map(([left, right]) => {
    const lines = wrap(right, COLUMNS - second);
    const first = " ".repeat(indent) + left;
    const beside = left.length > width ? [first] : [first.padEnd(second) + (lines.shift() ?? "")];
    return [...beside, ...lines.map((line) => " ".repeat(second) + line)].join("\n") + "\n";
  }).join("");
}

/** Breaks paragraphs between words into lines of at most so many characters, where words allow. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (const paragraph of text.split("\n")) {
    let line = "";
    for (const word of paragraph.split(" ")) {
      if (line !== "" && line.length + 1 + word.length > columns) {
        lines.push(line);
        line = word;
      } else line = line === "" ? word : `${line} ${word}`;
    }
    lines.push(line);
  }
  return lines;
}
