/** The list of the plugin files that an administrator has approved, as coreutils writes it. */

import { normalize } from "node:path";
import { OperationError } from "../plugin.ts";

/** What the list is called, in a plugin directory. */
export const SUMS_FILE = "SHA256SUMS";

/** `sha256sum FILE…`: two spaces, or an asterisk for binary mode; a backslash first when the name has escapes. */
const PLAIN = /^(?<escaped>\\?)(?<sum>[0-9a-fA-F]{64}) [ *](?<name>.+)$/;
/** `sha256sum --tag FILE…`. */
const TAGGED = /^(?<escaped>\\?)SHA256 \((?<name>.+)\) = (?<sum>[0-9a-fA-F]{64})$/;

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", "\\": "\\" };

/**
 * Reads a list of sums.
 *
 * @param path the list's file, for messages
 * @returns the sums, in lower-case hexadecimal, by file name relative to the list
 * @throws OperationError `plugin_refused` when a line is not understood, or two lines contradict each other
 */
export function parseSums(text: string, path: string): ReadonlyMap<string, string> {
  const sums = new Map<string, string>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line === "" || line.startsWith("#")) continue;
    const groups = (PLAIN.exec(line) ?? TAGGED.exec(line))?.groups;
    if (groups === undefined) throw refused("it is not a line of sha256sum", { path, index });
    const { escaped, name = "", sum = "" } = groups;
    const file = normalize(escaped === "" ? name : unescape(name));
    const known = sums.get(file);
    if (known !== undefined && known !== sum.toLowerCase()) {
      throw refused(`it contradicts an earlier one of "${file}"`, { path, index });
    }
    sums.set(file, sum.toLowerCase());
  }
  return sums;
}

function unescape(name: string): string {
  return name.replace(/\\(.)/g, (whole, letter: string) => ESCAPES[letter] ?? whole);
}

function refused(
  reason: string,
  { path, index }: { readonly path: string; readonly index: number },
): OperationError {
  return new OperationError(`Cannot read line ${index + 1} of "${path}": ${reason}`, {
    kind: "refused",
    code: "plugin_refused",
    hint: `Write the list anew, in the plugin directory: sha256sum FILE… > ${SUMS_FILE}`,
    details: { path, line: index + 1 },
  });
}
