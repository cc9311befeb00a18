/** A seed module, opened: its rows as the lines of a JSONL file. */
import { type Context, OperationError, type SeedRows } from "../../core/plugin.ts";
import { FileFault } from "./fault.ts";
import type { SeedFile } from "./files.ts";
import { readJsonLines } from "./jsonl.ts";
import type { OpenedRows } from "./opened.ts";
import { checksumOf, type SourceOptions } from "./source.ts";

/** Something wrong with a module; its message completes "Cannot load FILE: …". */
export class ModuleFault extends OperationError {
  override name = "ModuleFault";
}

/**
 * Runs a module; it goes on as its rows are read.
 *
 * @throws ModuleFault when it cannot be run; its data throws of what goes wrong later
 */
export async function openModule(
  context: Context,
  file: SeedFile,
  { environment = "", label }: SourceOptions,
): Promise<OpenedRows> {
  // Of the file before it is run: what is changed meanwhile is loaded again the next time.
  const checksum = await checksumOf(context, file);
  const { table, lines } = await start(context, file, environment);
  const chunks = chunksOf(context, lines, label);
  const close = async () => void await chunks.return(undefined);
  try {
    const { columns, line, rest } = await readJsonLines(chunks, { unit: "row" });
    return { columns, line, table, data: rest, checksum: () => checksum, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function start(
  context: Context,
  file: SeedFile,
  environment: string,
): Promise<SeedRows> {
  const { plugins } = context;
  if (plugins.seedRows === undefined) {
    throw new FileFault("modules are not run here", { code: "plugins_off" });
  }
  try {
    return await plugins.seedRows(file.path, { environment });
  } catch (error) {
    throw faultOf(error, context);
  }
}

async function* chunksOf(
  context: Context,
  lines: ReadableStream<Uint8Array>,
  label: string | undefined,
): AsyncGenerator<Uint8Array> {
  let done = 0;
  try {
    for await (const chunk of lines) {
      done += chunk.length;
      if (label !== undefined) context.progress({ label, done, unit: "bytes" });
      yield chunk;
    }
  } catch (error) {
    throw faultOf(error, context);
  }
}

function faultOf(error: unknown, { signal }: Context): unknown {
  if (!(error instanceof OperationError) || signal.aborted) return error;
  const { message, kind, code, hint, excerpt, details } = error;
  return new ModuleFault(message.replace(/^[A-Z](?=[a-z ])/, (first) => first.toLowerCase()), {
    kind,
    code,
    ...(hint === undefined ? {} : { hint }),
    ...(excerpt === undefined ? {} : { excerpt }),
    details,
    cause: error,
  });
}
