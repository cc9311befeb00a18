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

/** The endings that decide the kind, the more special ones first; `5_up.sql` is a simple one. */
const ENDINGS: readonly (readonly [ending: string, kind: MigrationKind])[] = [
  [".up.sql", "up"],
  [".down.sql", "down"],
  [".sql", "simple"],
];

/**
 * Reads a file's name by sqlx's rules: split at the first underscore, a 64-bit
 * number before it, a kind by the ending, and the ending taken off as often as
 * it stands there (`sqlx-core/src/migrate/source.rs`, 0.7.3 to 0.9.0).
 */
export function parseMigrationName(fileName: string): ParsedName {
  const split = fileName.indexOf("_");
  const rest = fileName.slice(split + 1);
  const found = ENDINGS.find(([ending]) => rest.endsWith(ending));
  if (split === -1 || found === undefined) return { type: "ignored" };
  const [ending, kind] = found;
  const version = parseNumber(fileName.slice(0, split));
  if (version === undefined) return { type: "unversioned" };
  if (!isVersion(version)) return { type: "version_too_large" };
  let description = rest;
  while (description.endsWith(ending)) description = description.slice(0, -ending.length);
  return {
    type: "migration",
    name: { version, kind, description: description.replaceAll("_", " ") },
  };
}

/** Reads a version as typed; undefined when it is not a 64-bit whole number. */
export function parseVersion(text: string): bigint | undefined {
  const version = parseNumber(text);
  return version !== undefined && isVersion(version) ? version : undefined;
}

function parseNumber(text: string): bigint | undefined {
  if (!/^[+-]?[0-9]+$/.test(text)) return undefined;
  return text.startsWith("-") ? -BigInt(text.slice(1)) : BigInt(text.replace("+", ""));
}

function isVersion(version: bigint): boolean {
  return version >= SMALLEST_VERSION && version <= LARGEST_VERSION;
}
