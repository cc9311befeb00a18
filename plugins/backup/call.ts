/** The command line of pg_dump for a backup. */
import type { ClientTool } from "../../core/plugin.ts";
import type { Selection } from "../repository/manifest.ts";
import { type Compression, compressionArgument } from "./compression.ts";
import type { BackupOptions } from "./options.ts";

/** What the arguments are made from. */
export interface CallFacts {
  readonly options: Pick<BackupOptions, "format" | "sections" | "jobs">;
  readonly tool: ClientTool;
  readonly compression: Compression;
  readonly selection: Selection;
  /** The database's encoding, such as `UTF8`. */
  readonly encoding: string;
  /** The exported snapshot. */
  readonly snapshot: string;
  /** Where a directory is written. */
  readonly directory?: string;
}

/** The arguments; the connection is no part of them, nor is any secret. */
export function dumpArguments(facts: CallFacts): string[] {
  const { options: { format, sections, jobs }, tool, compression, selection, snapshot } = facts;
  const patterns = [
    ...selection.resolved_tables.map((table) => `--table=${table}`),
    ...selection.resolved_exclude.map((table) => `--exclude-table=${table}`),
    ...selection.resolved_exclude_rows.map((table) => `--exclude-table-data=${table}`),
  ];
  return [
    `--format=${format}`,
    compressionArgument(compression, tool),
    `--snapshot=${snapshot}`,
    // A question for a password would never be answered; what is said tells how far it is.
    "--no-password",
    "--verbose",
    ...(takesAnother(facts.encoding, patterns) ? ["--encoding=UTF8"] : []),
    ...(sections === "schema" ? ["--schema-only"] : sections === "data" ? ["--data-only"] : []),
    ...(format === "directory" ? [`--jobs=${jobs}`, `--file=${facts.directory}`] : []),
    ...patterns,
    ...(selection.resolved_tables.length > 0 ? ["--strict-names"] : []),
  ];
}

/** pg_dump takes its arguments for text in the encoding that it dumps in, which is the database's. */
function takesAnother(encoding: string, texts: readonly string[]): boolean {
  return !["UTF8", "SQL_ASCII"].includes(encoding) &&
    texts.some((text) => /[^\x20-\x7e\s]/.test(text));
}
