/** The names of migration files, read exactly as sqlx reads them. */

/** What a migration file is for: `simple` and `up` apply, `down` reverts. */
export type MigrationKind = "simple" | "up" | "down";

/** What a file's name says. */
export interface MigrationName {
  readonly version: bigint;
  readonly kind: MigrationKind;
  /** As it stands in the bookkeeping table: underscores have become spaces. */
  readonly description: string;
}

/**
 * A name that is read, or why it is none of a migration: `ignored` by sqlx too;
 * `unversioned`, on which sqlx fails; or a version beyond 64 bits.
 */
export type ParsedName =
  | { readonly type: "migration"; readonly name: MigrationName }
  | { readonly type: "ignored" }
  | { readonly type: "unversioned" }
  | { readonly type: "version_too_large" };

const LARGEST_VERSION = 2n ** 63n - 1n;
const SMALLEST_VERSION = -(2n ** 63n);

/** The ending of each kind; `5_up.sql` is a simple one. */
const ENDING: Readonly<Record<MigrationKind, string>> = {
  simple: ".sql",
  up: ".up.sql",
  down: ".down.sql",
};
const NUMBER = /^[+-]?[0-9]+$/;
/** As many digits as a double holds exactly, whatever they are. */
const EXACT_DIGITS = 15;

/**
 * Reads a file's name by sqlx's rules: split at the first underscore, a 64-bit
 * number before it, a kind by the ending, and the ending taken off as often as
 * it stands there (`sqlx-core/src/migrate/source.rs`, 0.7.3 to 0.9.0).
 */
export function parseMigrationName(fileName: string): ParsedName {
  const split = fileName.indexOf("_");
  const rest = fileName.slice(split + 1);
  if (split === -1 || !rest.endsWith(ENDING.simple)) return { type: "ignored" };
  const kind = kindOf(rest);
  const version = parseNumber(fileName.slice(0, split));
  if (version === undefined) return { type: "unversioned" };
  if (split > EXACT_DIGITS && !isVersion(version)) return { type: "version_too_large" };
  return { type: "migration", name: new ReadName(version, kind, rest) };
}

/** The description is made when it is asked for: of a thousand applied files it seldom is. */
class ReadName implements MigrationName {
  readonly version: bigint;
  readonly kind: MigrationKind;
  readonly #rest: string;

  constructor(version: bigint, kind: MigrationKind, rest: string) {
    this.version = version;
    this.kind = kind;
    this.#rest = rest;
  }

  get description(): string {
    const ending = ENDING[this.kind];
    let description = this.#rest;
    while (description.endsWith(ending)) description = description.slice(0, -ending.length);
    return description.replaceAll("_", " ");
  }
}

function kindOf(rest: string): MigrationKind {
  return rest.endsWith(ENDING.up) ? "up" : rest.endsWith(ENDING.down) ? "down" : "simple";
}

/** Reads a version as typed; undefined when it is not a 64-bit whole number. */
export function parseVersion(text: string): bigint | undefined {
  const version = parseNumber(text);
  return version !== undefined && isVersion(version) ? version : undefined;
}

function parseNumber(text: string): bigint | undefined {
  if (!NUMBER.test(text)) return undefined;
  return text.startsWith("+") ? BigInt(text.slice(1)) : BigInt(text);
}

function isVersion(version: bigint): boolean {
  return version >= SMALLEST_VERSION && version <= LARGEST_VERSION;
}
