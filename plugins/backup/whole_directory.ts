/** Whether a dump in the directory format is whole: pg_dump's exit code is no proof. */
import { type Context, OperationError } from "../../core/plugin.ts";
import { type ArchiveFacts, createArchiveReader } from "../repository/archive.ts";

/** The table of contents. */
export const CONTENTS = "toc.dat";

/** A list of large objects: by all of them until PostgreSQL 16, of some of them since. */
const OBJECT_LIST = /^blobs(_\d+)?\.toc$/;

/**
 * Makes sure that every file is there that the table of contents and the lists of large objects tell
 * of.
 *
 * @param present the names of the files, those among them that are not in the directory any more
 * @throws OperationError `dump_incomplete`
 */
export async function requireWhole(
  ctx: Context,
  { directory, present }: { readonly directory: string; readonly present: ReadonlySet<string> },
): Promise<void> {
  const { entries } = await readContents(ctx, `${directory}/${CONTENTS}`);
  const told = entries.filter(({ hasData, file }) => hasData && file !== "");
  for (const { file } of told) requirePresent(present, file);
  for (const { file } of told.filter((entry) => OBJECT_LIST.test(entry.file))) {
    for (const object of await readObjectList(ctx, { directory, file })) {
      requirePresent(present, object);
    }
  }
}

/**
 * An error of reading a member, as what it says of the dump.
 *
 * @returns `dump_incomplete` where the member is damaged; else the error itself
 */
export function incomplete(error: unknown, member: string): unknown {
  const damaged = error instanceof OperationError && /^(bad|truncated)_archive$/.test(error.code);
  return damaged ? notWhole(`"${member}" is damaged: ${error.message}`, error) : error;
}

function notWhole(reason: string, cause?: unknown): OperationError {
  return new OperationError(`Cannot back up: pg_dump ended as if all were well, but ${reason}`, {
    code: "dump_incomplete",
    cause,
  });
}

/** The table of contents and the lists name files as they are without compression. */
function requirePresent(present: ReadonlySet<string>, file: string): void {
  if (["", ".gz", ".lz4", ".zst"].some((suffix) => present.has(`${file}${suffix}`))) return;
  throw notWhole(`"${file}" is missing`);
}

/** A line for each large object, with its number and its file; the list is never compressed. */
async function readObjectList(
  ctx: Context,
  { directory, file }: { readonly directory: string; readonly file: string },
): Promise<string[]> {
  const [bytes] = await ctx.files.readAll([`${directory}/${file}`]);
  const lines = new TextDecoder().decode(bytes).split("\n");
  // It is written only where there are large objects, and each line is ended.
  const files = lines.slice(0, -1).map((line) => /^\d+ (\S+)$/.exec(line)?.[1]);
  if (lines.at(-1) !== "" || files.length === 0 || files.includes(undefined)) {
    throw notWhole(`"${file}" breaks off`);
  }
  return files.filter((name) => name !== undefined);
}

async function readContents(ctx: Context, path: string): Promise<ArchiveFacts> {
  const reader = createArchiveReader();
  try {
    for await (const chunk of await ctx.files.stream(path)) reader.push(chunk);
    return reader.end();
  } catch (error) {
    if (!(error instanceof OperationError)) throw error;
    throw notWhole(`its table of contents cannot be read: ${error.message}`, error);
  }
}
