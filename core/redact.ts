/**
 * Masks secrets under every writer, by their known values.
 *
 * A value that anybody could guess from the rest of the output hides nothing by
 * being masked there and garbles what is written: the usual password `postgres`
 * is also a role, a database and a URL's scheme. Values that are public names,
 * or shorter than three characters, are therefore masked only where a password
 * stands: between ":" and "@", or after "password" and "=" or ":". Values
 * shorter than eight characters are masked as whole words, longer ones
 * everywhere. All are also found in their percent-encoded form, as strings of
 * JSON and as literals of SQL.
 *
 * A secret is found within one text: writers hand over whole lines.
 */
import { MASK } from "./shown.ts";

/** Masks what it was told of. */
export interface Redactor {
  /** Makes a value known as a secret; an empty one is ignored. */
  add(secret: string): void;
  /** Makes a value known as a public name, such as a role's; see the top of the file. */
  addPublicName(name: string): void;
  /** The text with every known secret masked. */
  text(text: string): string;
}

// Public without being told: what every installation and every text of ours holds.
const PUBLIC_NAMES = [
  ...["postgres", "postgresql", "timescaledb", "timescale", "observatory", "llm_observatory"],
  ...["localhost", "public", "password", "database", "true", "false", "null"],
];

const WHOLE_WORD_BELOW = 8;
const POSITION_ONLY_BELOW = 3;

/** Makes a redactor that knows no secret yet. */
export function createRedactor(): Redactor {
  const secrets = new Set<string>();
  const publicNames = new Set(PUBLIC_NAMES);
  let pattern: RegExp | undefined;
  let current = true;
  const change = (set: Set<string>, value: string) => {
    if (value === "" || set.has(value)) return;
    set.add(value);
    current = false;
  };
  return {
    add: (secret) => change(secrets, secret),
    addPublicName: (name) => change(publicNames, name),
    text(text) {
      if (!current) {
        pattern = compile(secrets, publicNames);
        current = true;
      }
      return pattern === undefined ? text : text.replace(pattern, MASK);
    },
  };
}

/** One pattern for all secrets, longest first, so that no part of a longer one is left over. */
function compile(
  secrets: ReadonlySet<string>,
  publicNames: ReadonlySet<string>,
): RegExp | undefined {
  const forms = new Map<string, string>();
  for (const secret of secrets) {
    const weak = secret.length < POSITION_ONLY_BELOW || publicNames.has(secret);
    for (const form of formsOf(secret)) {
      const literal = form.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");
      forms.set(form, weak ? inPosition(literal) : atBoundaries(form, literal));
    }
  }
  const alternatives = [...forms].sort(([a], [b]) => b.length - a.length).map(([, source]) =>
    source
  );
  return alternatives.length === 0 ? undefined : new RegExp(alternatives.join("|"), "g");
}

/** The ways in which a secret may be written. */
function formsOf(secret: string): string[] {
  const encoded = percentEncode(secret);
  return [
    secret,
    encoded,
    encoded.replace(/%[0-9A-F]{2}/g, (token) => token.toLowerCase()),
    JSON.stringify(secret).slice(1, -1),
    secret.replaceAll("'", "''"),
    secret.replace(/['\\]/g, "\\$&"),
  ];
}

/** Lone surrogates cannot be encoded; such a value has no percent-encoded form. */
function percentEncode(text: string): string {
  return text.isWellFormed() ? encodeURIComponent(text) : text;
}

/** The value comes first in the pattern, so that texts without it are passed over quickly. */
function inPosition(literal: string): string {
  const userinfo = `${literal}(?=@)(?<=://[^\\s:/@]*:${literal})`;
  const named = `(?<=(?:password|PASSWORD|passwd)["']?\\s*[=:]\\s*["']?${literal})`;
  return `${userinfo}|${literal}(?![\\w-])${named}`;
}

function atBoundaries(form: string, literal: string): string {
  if (form.length >= WHOLE_WORD_BELOW) return literal;
  const before = /^\w/.test(form) ? "(?<!\\w)" : "";
  const after = /\w$/.test(form) ? "(?!\\w)" : "";
  return `${before}${literal}${after}`;
}
