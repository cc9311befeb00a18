/** What the names of seed files say: how they are loaded, and into which table. */
import { identifier } from "../sql/names.ts";

/** How a file is loaded. */
export type SeedType = "sql" | "csv" | "jsonl" | "module";

/** What a name in a seeds directory stands for. */
export type NameKind = SeedType | "lookalike" | "other";

/** Names that were most likely meant to be loaded: another case, a relative or a packed form. */
const LOOKALIKE = /^[^.#].*\.(sql|csv|tsv|json|jsonl|ndjson)(\.(gz|bz2|xz|zst|lz4|zip))?$/i;

/** Modules, but for what they share, their tests and types: as with plugins. */
const MODULE = /^(?![_.])(?!.*_test\.)(?!.*\.d\.ts$).+\.(?:ts|js|mjs)$/;

/** Tells a name's kind; hidden files, editors' backups and documents are `other`. */
export function kindOfName(name: string): NameKind {
  if (name.startsWith(".")) return "other";
  const [, extension] = /\.(sql|csv|jsonl)$/.exec(name) ?? [];
  if (extension === "sql" || extension === "csv" || extension === "jsonl") return extension;
  if (MODULE.test(name)) return "module";
  return LOOKALIKE.test(name) ? "lookalike" : "other";
}

/** A table as a file's name gives it: in exactly this case. */
export interface NamedTable {
  /** Undefined where the search path decides. */
  readonly schema: string | undefined;
  readonly table: string;
}

/**
 * Reads the table from a file's name: `010_models.csv`, `models.csv` and `010_public.models.csv`.
 *
 * @returns undefined when the name gives none
 */
export function tableOfName(name: string): NamedTable | undefined {
  return tableNamed(name.replace(/\.[^.]*$/, "").replace(/^\d+_(?=.)/, ""));
}

/**
 * Reads a table that is named by itself: `models` or `public.models`.
 *
 * @returns undefined when it is no such name
 */
export function tableNamed(name: string): NamedTable | undefined {
  const parts = name.split(".");
  if (parts.length > 2 || parts.includes("")) return undefined;
  const [first = "", second] = parts;
  return second === undefined
    ? { schema: undefined, table: first }
    : { schema: first, table: second };
}

/** Names as a list for SQL. */
export function quotedList(names: readonly string[]): string {
  return names.map(identifier).join(", ");
}

/** Sorts by the bytes of UTF-8, as every tool in the C locale does. */
export function compareBytes(a: string, b: string): number {
  const encoder = new TextEncoder();
  const [first, second] = [encoder.encode(a), encoder.encode(b)];
  for (let at = 0; at < first.length && at < second.length; at++) {
    const difference = (first[at] ?? 0) - (second[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return first.length - second.length;
}
