/** A file of rows, opened: the columns that it names, and what is sent of it. */
import type { Context } from "../../core/plugin.ts";
import { findEndRecord, findRecord, readHeader } from "./csv.ts";
import { FileFault, type Place } from "./fault.ts";
import type { SeedFile } from "./files.ts";
import { findObjectLine, readJsonLines } from "./jsonl.ts";
import { openModule } from "./module.ts";
import { type NamedTable, tableNamed, tableOfName } from "./names.ts";
import { lineOfOffset, openSource, type Reading, type SourceOptions } from "./source.ts";

/** A file of rows. */
export interface OpenedRows {
  readonly columns: readonly string[];
  /** The table that a module names. */
  readonly table?: string | undefined;
  /** The line that names the columns. */
  readonly line: number;
  /** What is sent; for a CSV file all after the header. */
  readonly data: AsyncGenerator<Uint8Array>;
  /** The SHA-256 of the whole file in hexadecimal, once it has been read to its end. */
  checksum(): string;
  /** Ends the reading; safe to call twice. */
  close(): Promise<void>;
}

/**
 * Opens a file of rows.
 *
 * @throws FileFault of what is wrong with its beginning; `data` throws of what is wrong with the rest
 */
export async function openRows(
  context: Context,
  file: SeedFile,
  options: SourceOptions = {},
): Promise<OpenedRows> {
  if (file.type === "module") return await openModule(context, file, options);
  const source = await openSource(context, file, options);
  const { checksum, close } = source;
  try {
    if (file.type === "jsonl") {
      const { columns, line, rest } = await readJsonLines(source.chunks);
      return { columns, line, data: rest, checksum, close };
    }
    const { columns, rest } = await readHeader(source.chunks);
    return { columns, line: 1, data: rest, checksum, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * The table that a file's name gives, unless a module names another.
 *
 * @throws FileFault `file_name`
 */
export function tableOf({ fileName }: SeedFile, given?: string): NamedTable {
  const named = given === undefined ? tableOfName(fileName) : tableNamed(given);
  if (named !== undefined) return named;
  if (given !== undefined) {
    throw new FileFault(`"${given}" is no table`, {
      code: "file_name",
      hint: 'Name it like "table" or "schema.table"',
    });
  }
  throw new FileFault("its name gives no table", {
    code: "file_name",
    hint: "Name it like 010_table.csv or 010_schema.table.csv",
  });
}

/** Finds the line of a place, of a module the row, by reading the file once more; undefined when it is not there. */
export async function lineOf(
  context: Reading,
  file: SeedFile,
  { line, ordinal, copyLine, offset }: Place,
): Promise<number | undefined> {
  if (
    line !== undefined || ordinal === undefined && copyLine === undefined && offset === undefined
  ) {
    return line;
  }
  // The rows of a module are its lines.
  if (file.type === "module") return ordinal ?? copyLine;
  if (offset !== undefined) return await lineOfOffset(context, file, offset);
  const { chunks } = await openSource(context, file, { unchecked: true });
  if (file.type === "jsonl") {
    return ordinal === undefined ? copyLine : await findObjectLine(chunks, ordinal);
  }
  const record = await findRecord(
    chunks,
    (each) => each.ordinal > 0 && (each.ordinal === ordinal || each.copyLine === copyLine),
  );
  return record?.line;
}

/** Finds a CSV file's record that would end the data; undefined where it stands in quotes. */
export async function lineOfEnd(context: Reading, file: SeedFile): Promise<number | undefined> {
  const { chunks } = await openSource(context, file, { unchecked: true });
  return await findEndRecord(chunks);
}
