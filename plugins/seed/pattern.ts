/** Patterns as shells have them, for `--only`. */

/**
 * Makes a test of a pattern: `*` stands for anything but a slash, `**` for anything, `?` for one
 * character and `[a-c]` for one of several.
 */
export function matcherOf(pattern: string): (text: string) => boolean {
  let source = "";
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at] ?? "";
    const end = character === "[" ? pattern.indexOf("]", at + 2) : -1;
    if (character === "*" && pattern[at + 1] === "*") {
      source += ".*";
      at++;
    } else if (character === "*") source += "[^/]*";
    else if (character === "?") source += "[^/]";
    else if (end > 0) {
      source += oneOf(pattern.slice(at + 1, end));
      at = end;
    } else source += escaped(character);
  }
  const expression = new RegExp(`^${source}$`, "su");
  return (text) => expression.test(text);
}

function oneOf(members: string): string {
  const negated = /^[!^]/.test(members);
  const inner = (negated ? members.slice(1) : members).replace(/[\\\]\[^]/g, "\\$&");
  const descending = [...members.matchAll(/(.)-(.)/gsu)].some(([, low = "", high = ""]) =>
    low > high
  );
  return descending ? [...`[${members}]`].map(escaped).join("") : `[${negated ? "^" : ""}${inner}]`;
}

function escaped(character: string): string {
  return /[\\^$.*+?()[\]{}|/]/.test(character) ? `\\${character}` : character;
}
