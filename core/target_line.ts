/**
 * One line of a file of targets: a name, the address of the database, and settings, in this order
 * and separated by blanks; all but the address may be left out.
 *
 *     orders   postgres://backup@db1/orders            S3_BACKUP_PREFIX=orders/
 *     billing  host=db2 dbname=billing user=backup     BACKUPS_DIR='/srv/billing backups'
 *     ledger   DATABASE_URL_FILE=/run/secrets/ledger   # a comment
 *
 * Quotes are those of libpq's keyword strings: `'` around what holds blanks, and a backslash before
 * `'` and before a backslash. No message repeats a value: any of them may hold a password.
 */
import { type ConnectionString, parseConnectionString } from "./postgres/connection_string.ts";
import { OperationError } from "./plugin.ts";
import { shown } from "./shown.ts";
import { suggest } from "./suggest.ts";

/** A line taken apart. */
export interface TargetLine {
  readonly name: string | undefined;
  /** The connection string, as `DATABASE_URL` would hold it. */
  readonly address: string | undefined;
  readonly settings: ReadonlyMap<string, string>;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;
const VARIABLE = /^[A-Z][A-Z0-9_]*$/;

const BLANKS = /\s*/y;
const QUOTED = /'((?:[^'\\]|\\.)*)'(?=\s|$)/y;
const PAIR = /([A-Za-z_][\w-]*)=('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*|)(?=\s|$)/y;
const BARE = /\S+/y;

/**
 * Takes a line apart.
 *
 * @param known the variables that may be set
 * @throws OperationError of kind `usage`, with `place` in its message
 */
export function readTargetLine(
  text: string,
  { place, known }: { place: string; known: ReadonlySet<string> },
): TargetLine {
  const fail = (reason: string, hint?: string) =>
    new OperationError(`Cannot read ${place}: ${reason}`, {
      kind: "usage",
      code: "bad_target",
      ...(hint === undefined ? {} : { hint }),
    });
  let name: string | undefined;
  let address: string | undefined;
  const keywords: string[] = [];
  const settings = new Map<string, string>();
  let word = 0;
  for (let at = after(BLANKS, text, 0); at < text.length && text[at] !== "#";) {
    word++;
    const url = /^'?postgres(?:ql)?:\/\//i.test(text.slice(at));
    const pair = url ? null : matchAt(PAIR, text, at);
    const quoted = matchAt(QUOTED, text, at);
    const found = pair ?? quoted ?? matchAt(BARE, text, at);
    const [whole = "", key = "", value = ""] = found ?? [];
    if (pair !== null) {
      if (value.startsWith('"')) {
        throw fail(`the value of ${key} begins with a double quote`, "Quote it with '…'");
      }
      if (!VARIABLE.test(key)) keywords.push(whole);
      else if (settings.has(key)) throw fail(`it sets ${key} twice`);
      else if (known.has(key)) settings.set(key, unquoted(value));
      else {
        const near = suggest(key, known);
        throw fail(
          `${key} is no setting${near === undefined ? "" : `; did you mean ${near}?`}`,
        );
      }
    } else if (quoted !== null || whole.includes(":")) {
      if (address !== undefined) throw fail("it has two addresses");
      address = quoted === null ? whole : unescaped(key);
    } else if (/['"=]/.test(whole)) {
      throw fail(
        `word ${word} is not NAME=value, or a quote in it does not end`,
        "Write '…' around a value that holds blanks, and a backslash before ' and \\",
      );
    } else if (word > 1) {
      throw fail(
        `word ${word} is neither an address nor NAME=value`,
        "A line is a name, an address and settings: " +
          "orders postgres://backup@db1/orders S3_BACKUP_PREFIX=orders/",
      );
    } else if (!NAME.test(whole)) {
      throw fail(`its name ${shown(whole)} is not of letters, digits, ".", "_" and "-"`);
    } else name = whole;
    at = after(BLANKS, text, at + whole.length);
  }
  if (keywords.length > 0) {
    if (address !== undefined) throw fail("it has two addresses");
    address = keywords.join(" ");
  }
  const other = ["DATABASE_URL", "DATABASE_URL_FILE"].find((each) => settings.has(each));
  if (address !== undefined && other !== undefined) {
    throw fail(`it has an address, and sets ${other} too`);
  }
  return { name, address: address ?? settings.get("DATABASE_URL"), settings };
}

/** The address taken apart; undefined where there is none, or it cannot be read. */
export function parsedAddress({ address }: TargetLine): ConnectionString | undefined {
  if (address === undefined) return undefined;
  try {
    return parseConnectionString(address.trim(), "the address");
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    return undefined;
  }
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

function after(pattern: RegExp, text: string, at: number): number {
  return at + (matchAt(pattern, text, at)?.[0].length ?? 0);
}

function unquoted(value: string): string {
  return unescaped(value.startsWith("'") ? value.slice(1, -1) : value);
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, "$1");
}
