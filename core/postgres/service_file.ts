/** The connection service file (PostgreSQL documentation, "The Connection Service File"). */
import { OperationError } from "../plugin.ts";
import { PARAMETER_NAMES, type ParameterName } from "./connection_string.ts";

/**
 * Reads one section of a service file; values reach to the end of their line.
 *
 * @param path the file's name for messages
 * @returns the section's parameters with their lines, or undefined when there is no such section
 * @throws OperationError of kind `usage` for a line that libpq rejects too; it does not repeat it
 */
export function findService(
  text: string,
  { service, path }: { service: string; path: string },
): Map<ParameterName, { value: string; line: number }> | undefined {
  let found: Map<ParameterName, { value: string; line: number }> | undefined;
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    if (line.startsWith("[")) {
      if (found !== undefined) break;
      if (line === `[${service}]`) found = new Map();
      continue;
    }
    if (found === undefined) continue;
    const equals = line.indexOf("=");
    const key = line.slice(0, equals);
    const name = PARAMETER_NAMES.find((known) => known === key);
    const fail = (reason: string) =>
      new OperationError(`Cannot read line ${index + 1} of "${path}": ${reason}`, {
        kind: "usage",
        code: "bad_service_file",
      });
    if (line.startsWith("ldap:")) throw fail("looking services up by LDAP is not supported");
    if (equals === -1) throw fail('there is no "="');
    if (name === "service" || name === "servicefile") throw fail("a service cannot name another");
    // What libpq knows beyond these makes no difference here.
    if (name === undefined) continue;
    const value = line.slice(equals + 1);
    if (value !== "" && !found.has(name)) found.set(name, { value, line: index + 1 });
  }
  return found;
}
