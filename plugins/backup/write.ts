/** The dump is written: as one file from pg_dump's output, or as a directory by pg_dump itself. */
import type { Context } from "../../core/plugin.ts";
import type { Manifest, StoredFile } from "../repository/manifest.ts";
import { copies } from "../repository/chunks.ts";
import { hashedBefore } from "../repository/hashing.ts";
import { dumpArguments } from "./call.ts";
import { checkDump } from "./checking.ts";
import { type Dump, type DumpCall, startDump } from "./dump.ts";
import type { Prepared } from "./making.ts";
import { dumpSuffix } from "./options.ts";
import type { DumpMessages } from "../repository/client_messages.ts";
import type { DumpProgress } from "./progress.ts";

/** What was written. */
export interface Written {
  readonly files: readonly StoredFile[];
  readonly plaintext: Manifest["plaintext"];
}

/** A dump that is being written. */
export interface Writing {
  readonly stored: Promise<Written>;
  readonly args: readonly string[];
  readonly messages: DumpMessages;
  /** Ends it; `stored` fails with the reason. */
  stop(reason: unknown): Promise<void>;
}

/** Starts pg_dump, and writes what it gives. */
export async function writeDump(
  ctx: Context,
  prepared: Prepared,
  progress: DumpProgress,
): Promise<Writing> {
  const { options, tool, compression, selection, snapshot, name, inventory } = prepared;
  if (options.format === "directory") {
    const { writeDirectory } = await import("./write_directory.ts");
    return await writeDirectory(ctx, prepared, progress);
  }
  const { args, filter } = dumpArguments({
    options,
    tool,
    compression,
    selection,
    encoding: inventory.source.encoding,
    snapshot: snapshot.id,
  });
  const call: DumpCall = {
    tool,
    args,
    filter,
    name,
    stallTimeout: options.stallTimeout,
    listener: { table: progress.table },
  };
  const dump = await startDump(ctx, call);
  const stored = storeDump(prepared, { dump, progress, format: options.format });
  // Should nobody have begun to read what it writes.
  stored.catch(dump.stop);
  return { stored, args, messages: dump.messages, stop: dump.stop };
}

async function storeDump(
  { id, options, compression, workspace, inventory }: Prepared,
  { dump, progress, format }: {
    readonly dump: Dump;
    readonly progress: DumpProgress;
    readonly format: "custom" | "plain";
  },
): Promise<Written> {
  const { method } = compression;
  const checked = checkDump(dump.output, { format, method, took: progress.took });
  const encrypted = options.recipients.length > 0;
  const data = encrypted ? await encrypt(checked.output, options.recipients) : checked.output;
  const name = `${id}${dumpSuffix(format, compression)}${encrypted ? ".age" : ""}`;
  // Text may be larger than its table, above all where the table is compressed on the server; what
  // compresses it makes up for that, and the database's size has its indexes in it.
  const estimate = inventory.source.size * (method === "none" ? 4 : 1);
  const whole = encrypted ? undefined : hashedBefore(checked.facts);
  const file = await workspace.store(name, data, { estimate, whole });
  return { files: [file], plaintext: encrypted ? checked.facts() : null };
}

/** Encrypts what is dumped, so that it is never in plain on the disk. */
export async function encrypt(
  data: AsyncIterable<Uint8Array>,
  recipients: readonly string[],
): Promise<AsyncIterable<Uint8Array>> {
  const { encryptFor } = await import("../repository/encryption.ts");
  return await encryptFor(recipients, ReadableStream.from(copies(data)));
}
