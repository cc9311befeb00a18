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

/** What pg_dump is started with; the connection is no part of it, nor is any secret. */
export interface DumpArguments {
  readonly args: readonly string[];
  /** What it reads, where the tables are too many for its arguments. */
  readonly filter: string | undefined;
}

/** The first major whose pg_dump reads what is dumped from a file. */
const FILTERS_SINCE = 17;

/** Bytes of arguments that every system takes, those of long environments too. */
const MUCH_BYTES = 131_072;

/** Makes the arguments. */
export function dumpArguments(facts: CallFacts): DumpArguments {
  const { options: { format, sections, jobs }, tool, compression, selection, snapshot } = facts;
  const patterns = [
    ...selection.resolved_tables.map((table) => `--table=${table}`),
    ...selection.resolved_exclude.map((table) => `--exclude-table=${table}`),
    ...selection.resolved_exclude_rows.map((table) => `--exclude-table-data=${table}`),
  ];
  const much = patterns.reduce((sum, { length }) => sum + length, 0) > MUCH_BYTES;
  const filtered = much && tool.major >= FILTERS_SINCE;
  const args = [
    `--format=${format}`,
    compressionArgument(compression, tool),
    `--snapshot=${snapshot}`,
    // A question for a password would never be answered; what is said tells how far it is.
    "--no-password",
    "--verbose",
    ...(takesAnother(facts.encoding, patterns) ? ["--encoding=UTF8"] : []),
    ...(sections === "schema" ? ["--schema-only"] : sections === "data" ? ["--data-only"] : []),
    ...(format === "directory" ? [`--jobs=${jobs}`, `--file=${facts.directory}`] : []),
    ...(filtered ? ["--filter=-"] : patterns),
    ...(selection.resolved_tables.length > 0 ? ["--strict-names"] : []),
  ];
  return { args, filter: filtered ? filterOf(selection) : undefined };
}

/** The same as the patterns, a line each (PostgreSQL documentation, "pg_dump", `--filter`). */
function filterOf(selection: Selection): string {
  const lines = (what: string, names: readonly string[]) =>
    names.map((name) =>
      // Between quotes a backslash and a line break are escaped; nothing else is.
      `${what} ${name.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}\n`
    );
  return [
    ...lines("include table", selection.resolved_tables),
    ...lines("exclude table", selection.resolved_exclude),
    ...lines("exclude table_data", selection.resolved_exclude_rows),
  ].join("");
}

/** pg_dump takes its arguments for text in the encoding that it dumps in, which is the database's. */
function takesAnother(encoding: string, texts: readonly string[]): boolean {
  return !["UTF8", "SQL_ASCII"].includes(encoding) &&
    texts.some((text) => /[^\x20-\x7e\s]/.test(text));
}
