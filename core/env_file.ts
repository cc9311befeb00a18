/**
 * Files of settings, such as `.env`. The values are read by `dotenv`, which
 * expands nothing: `$` stays as it is. Only where each name stands, and what
 * `dotenv` passes over in silence, is found out here.
 */

/** A value of a file. */
export interface FileValue {
  readonly value: string;
  /** The line its name stands on, from 1. */
  readonly line: number;
}

/** What a file says. */
export interface EnvFile {
  readonly values: ReadonlyMap<string, FileValue>;
  /** What is odd about it; no warning repeats any of the text but names. */
  readonly warnings: readonly string[];
}

/**
 * Reads a file of settings: `NAME=value`, values in quotes of either kind or
 * back-ticks may span lines, `#` begins a comment, `export` is passed over.
 *
 * @param text the whole file
 * @param label what the file is called in warnings
 */
export async function parseEnvFile(text: string, label: string): Promise<EnvFile> {
  const { lines, warnings } = findNames(text.replace(/\r\n?/g, "\n"), label);
  const values = new Map<string, FileValue>();
  if (lines.size > 0) {
    const { parse } = await import("dotenv");
    const parsed = parse(text);
    for (const [name, line] of lines) {
      const value = parsed[name];
      if (value !== undefined) values.set(name, { value, line });
    }
  }
  return { values, warnings };
}

const NAME = /^[^\S\n]*\uFEFF?\s*(?:export\s+)?([\w.-]+)(?:[^\S\n]*=|:[^\S\n]+)/;

/** Finds the line of each name; a name that stands twice counts where it stands last. */
function findNames(
  text: string,
  label: string,
): { lines: Map<string, number>; warnings: string[] } {
  const lines = new Map<string, number>();
  const warnings: string[] = [];
  const rows = text.split("\n");
  for (let index = 0; index < rows.length; index++) {
    const row = rows[index] ?? "";
    const line = index + 1;
    if (/^[\s\uFEFF]*(?:#|$)/.test(row)) continue;
    const name = NAME.exec(row);
    if (name === null) {
      warnings.push(`Line ${line} of "${label}" is not NAME=value and is passed over`);
      continue;
    }
    const key = name[1] ?? "";
    const before = lines.get(key);
    if (before !== undefined) {
      warnings.push(`"${label}" sets ${key} twice: line ${line} counts, not line ${before}`);
    }
    lines.set(key, line);
    const rest = row.slice(name[0].length);
    const written = rest.trimStart();
    const quote = /^['"`]/.exec(written)?.[0];
    if (quote === undefined) {
      // Only the first "#" ends the value; after a space it is a comment that was meant as one.
      if (/^(?:[^#]*[^#\s])?#/.test(rest)) {
        warnings.push(
          `The value of ${key} in line ${line} of "${label}" ends before "#"; ` +
            `put it in quotes if "#" belongs to it`,
        );
      }
      continue;
    }
    const end = endOfQuoted([written, ...rows.slice(index + 1)].join("\n"), quote);
    if (end === undefined) {
      warnings.push(
        `The value of ${key} in line ${line} of "${label}" begins with a quote that does not end it`,
      );
    } else index += end;
  }
  return { lines, warnings };
}

/** How many lines below its first a quoted value ends; undefined when it does not. */
function endOfQuoted(text: string, quote: string): number | undefined {
  const value = new RegExp(
    `^${quote}(?:\\\\${quote}|[^${quote}])*${quote}(?=\\s*(?:#.*)?(?:\n|$))`,
  );
  const match = value.exec(text);
  return match === null ? undefined : match[0].split("\n").length - 1;
}
