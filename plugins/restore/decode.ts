/** Dumps without a manifest, decoded to their end: nothing else tells whether they are whole. */
import { type Context, OperationError } from "../../core/plugin.ts";
import { createArchiveReader } from "../repository/archive.ts";
import { findRestore, runRestore } from "../repository/decoding.ts";
import { hashWhole } from "../repository/hashing.ts";
import { createMemberCheck } from "../repository/member.ts";
import { createPlainCheck } from "../repository/plain_dump.ts";
import { pathIn } from "./find_dump.ts";
import type { Found } from "./find_source.ts";
import { checked, type Reading } from "./read_source.ts";
import type { Archive } from "./table_of_contents.ts";
import { createTarCheck } from "./tar.ts";
import { type Bytes, unwrap } from "./unwrap.ts";

/**
 * Decodes a dump that is one file.
 *
 * @returns the SHA-256 of what is stored, in lower-case hexadecimal digits
 * @throws OperationError `bad_archive` or `truncated_archive`, or `backup_damaged`
 */
export async function decodeDump(ctx: Context, reading: Reading): Promise<string> {
  const { found, identities, archive, contents: { format } } = reading;
  const { title, main } = found;
  const hash = hashWhole();
  const stored = ReadableStream.from(
    hashed(checked(ctx, { found, file: main, took: reading.took })),
  );
  async function* hashed(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      hash.take(chunk);
      yield chunk;
    }
  }
  const { stream } = await unwrap(stored, { title, identities });
  if (format === "plain") await decodeScript(stream);
  else await decodeArchive(ctx, { stream, archive, format });
  return hash.digest();
}

const HEAD = "--\n-- PostgreSQL database dump\n--\n\n";

/** What pg_dump wrote has a last line that tells; of other SQL nothing does. */
async function decodeScript(stream: Bytes): Promise<void> {
  const check = await createPlainCheck("none");
  let begin = "";
  for await (const chunk of stream) {
    if (begin.length < HEAD.length) {
      begin = (begin + new TextDecoder("latin1").decode(chunk.subarray(0, HEAD.length)))
        .slice(0, HEAD.length);
    }
    await check.push(chunk);
  }
  if (begin === HEAD) await check.end();
  check.drop();
}

async function decodeArchive(
  ctx: Context,
  { stream, archive, format }: {
    readonly stream: Bytes;
    readonly archive: Archive | null;
    readonly format: "custom" | "directory" | "tar";
  },
): Promise<void> {
  const structure = format === "tar" ? createTarCheck(archive) : createArchiveReader();
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const decoding = runRestore(ctx, await findRestore(ctx, archive?.dumpVersion ?? ""), {
    stdin: readable,
  });
  // It is awaited when all has been read.
  decoding.catch(() => {});
  const writer = writable.getWriter();
  let reads = true;
  try {
    for await (const chunk of stream) {
      structure.push(chunk);
      // pg_restore may have enough before the end, which is read all the same.
      if (reads) await writer.write(new Uint8Array(chunk)).catch(() => reads = false);
    }
    // Of a tar that is cut, pg_restore looks for the rest for ever.
    structure.end();
    await writer.close().catch(() => {});
    await decoding;
  } catch (error) {
    await writer.abort(error).catch(() => {});
    await decoding.catch(() => {});
    throw error;
  }
}

/** A dump in the directory format, on this machine. */
export async function decodeDirectory(
  ctx: Context,
  { found, archive, took }: {
    readonly found: Found;
    readonly archive: Archive | null;
    readonly took?: (bytes: number) => void;
  },
): Promise<void> {
  const { store, files, directory } = found;
  const prefix = `${directory}/`;
  const there = new Set(files.map(({ name }) => name));
  for (const { hasData, file, kind, tag } of archive?.entries ?? []) {
    if (
      hasData && file !== "" &&
      !["", ".gz", ".zst", ".lz4"].some((end) => there.has(prefix + file + end))
    ) {
      throw new OperationError(`The archive breaks off: ${file} of ${kind} ${tag} is missing`, {
        code: "truncated_archive",
      });
    }
  }
  for (const file of files) {
    const check = await createMemberCheck(file.name.slice(prefix.length));
    try {
      for await (const chunk of checked(ctx, { found, file, took })) await check.push(chunk);
      await check.end();
    } finally {
      check.drop();
    }
  }
  // What is in a bucket is decoded when it has been downloaded.
  if (store.kind !== "local" || directory === null) return;
  await runRestore(ctx, await findRestore(ctx, archive?.dumpVersion ?? ""), {
    path: pathIn(store, directory),
  });
}
