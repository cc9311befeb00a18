/** The password file (PostgreSQL documentation, "The Password File"). */

/** Whom a password is looked for; a socket in the usual directory is `localhost`. */
export interface Login {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
}

/** Where servers usually have their socket: Debian's directory first, then PostgreSQL's own. */
export const SOCKET_DIRECTORIES = ["/var/run/postgresql", "/run/postgresql", "/tmp"] as const;

/**
 * Looks a login up in a password file's text: the first line that matches
 * counts, `*` matches everything, and a backslash takes `:` and `\` as they are.
 *
 * @returns the password with the number of its line, or undefined
 */
export function findPassword(
  text: string,
  login: Login,
): { password: string; line: number } | undefined {
  const isUsualSocket = SOCKET_DIRECTORIES.some((directory) => directory === login.host);
  const wanted = [
    isUsualSocket ? "localhost" : login.host,
    String(login.port),
    login.database,
    login.user,
  ];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.startsWith("#")) continue;
    const fields =
      /^((?:[^:\\]|\\[^])*):((?:[^:\\]|\\[^])*):((?:[^:\\]|\\[^])*):((?:[^:\\]|\\[^])*):/
        .exec(line);
    if (fields === null) continue;
    const matches = wanted.every((value, field) => {
      const pattern = fields[field + 1] ?? "";
      return pattern === "*" || unescape(pattern) === value;
    });
    if (matches) return { password: unescape(line.slice(fields[0].length)), line: index + 1 };
  }
  return undefined;
}

function unescape(field: string): string {
  return field.replace(/\\([^])/g, "$1");
}

/**
 * Tells why a password file is not to be used, by its permission bits: as for
 * libpq, nobody but its owner may have access.
 *
 * @returns the warning, or undefined when the file is private
 */
export function accessProblem(path: string, mode: number | undefined): string | undefined {
  if (mode === undefined || (mode & 0o077) === 0) return undefined;
  return `The password file "${path}" is ignored: others than its owner have access; ` +
    `run chmod 600 on it`;
}
