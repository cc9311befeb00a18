/** How lists are written for people. */

/** Lines with the cells of each column below each other. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [headings, ...rows.map((cells) => cells.map(printable))];
  const widths = headings.map((_, column) =>
    Math.max(...all.map((cells) => cells[column]?.length ?? 0))
  );
  return all.map((cells) =>
    cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()
  );
}

/** One line without control characters: what stands in a manifest must not steer the terminal. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, " ");
}

/** A number with its noun, such as `1 backup` or `3 backups`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
