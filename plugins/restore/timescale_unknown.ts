/**
 * TimescaleDB in a dump without a manifest. Neither a table of contents nor a script tells the
 * version that made it; a row of TimescaleDB's catalogue does, which comes early in its data.
 */
import { type ClientTool, type Context, OperationError } from "../../core/plugin.ts";
import type { Source } from "./source.ts";
import { type TimescaleUse, usesTimescale } from "./timescale.ts";
import { isMetadata } from "./timescale_catalogue.ts";

/** How much of a script is looked at for the extension, which precedes all tables, in bytes. */
const SCRIPT_HEAD = 1 << 20;
/** How much of it is looked at for the catalogue's rows, which precede those of users. */
const SCRIPT_ROWS = 64 << 20;

const EXTENSION =
  /^CREATE EXTENSION IF NOT EXISTS timescaledb(?: WITH SCHEMA (?:"((?:[^"]|"")+)"|([^\s";]+)))?;/m;
const VERSION = /^timescaledb_version\t([^\t\n\\]+)\t/m;

/**
 * Tells whether a dump needs TimescaleDB, and of which version; a dump without a manifest is looked
 * into.
 *
 * @param tool the pg_restore that reads an archive
 * @throws OperationError `backup_damaged`; of pg_restore's failure `restore_failed`
 */
export async function findTimescale(
  ctx: Pick<Context, "exec">,
  { source, tool }: { readonly source: Source; readonly tool: ClientTool | undefined },
): Promise<TimescaleUse | undefined> {
  const use = usesTimescale(source.archive, source.manifest);
  if (source.manifest !== null) return use;
  if (source.archive === null) return await findInScript(source);
  if (use === undefined || tool === undefined) return use;
  const told = source.archive.entries.some(isMetadata);
  return told ? { ...use, version: await readVersion(ctx, { source, tool }) } : use;
}

async function findInScript(source: Source): Promise<TimescaleUse | undefined> {
  let found: RegExpExecArray | undefined;
  const version = await search(await source.stream(), (text, read) => {
    found ??= EXTENSION.exec(text) ?? undefined;
    const most = found === undefined ? SCRIPT_HEAD : SCRIPT_ROWS;
    return VERSION.exec(text)?.[1] ?? (read > most ? null : undefined);
  });
  if (found === undefined) return undefined;
  const [, quoted, plain] = found;
  return { version, schema: quoted?.replaceAll('""', '"') ?? plain ?? null, schemaOwner: null };
}

async function readVersion(
  { exec }: Pick<Context, "exec">,
  { source, tool }: { readonly source: Source; readonly tool: ClientTool },
): Promise<string | null> {
  const isDirectory = source.contents.format === "directory";
  const program = await exec(tool.path, {
    args: [
      ...["--file=-", "--data-only", "--schema=_timescaledb_catalog", "--table=metadata"],
      ...isDirectory ? ["--", await source.path()] : [],
    ],
    env: { LC_ALL: "C", LANGUAGE: "C" },
    ...isDirectory ? {} : { stdin: await source.stream() },
  });
  const ended = program.exit.then(({ code }) => code, () => undefined);
  const said = readAll(program.stderr);
  const version = await search(program.stdout, (text) => VERSION.exec(text)?.[1]);
  if (version !== null) {
    // What follows is of no interest, and may be much.
    await program.stop();
    await Promise.all([ended, said]);
    return version;
  }
  if (await ended !== 0) {
    throw new OperationError(`Cannot read ${source.title}: ${(await said).trim()}`, {
      code: "restore_failed",
    });
  }
  return null;
}

/** Reads text until something is found in it, or is known not to be: null, as at its end. */
async function search(
  stream: ReadableStream<Uint8Array>,
  find: (text: string, read: number) => string | null | undefined,
): Promise<string | null> {
  const decoder = new TextDecoder();
  let text = "";
  let read = 0;
  // Leaving the loop cancels the stream.
  for await (const chunk of stream) {
    read += chunk.length;
    text += decoder.decode(chunk, { stream: true });
    const found = find(text, read);
    if (found !== undefined) return found;
    text = text.slice(text.lastIndexOf("\n") + 1);
  }
  return find(text, read) ?? null;
}

async function readAll(stream: ReadableStream<Uint8Array>): Promise<string> {
  return await new Response(stream).text();
}
