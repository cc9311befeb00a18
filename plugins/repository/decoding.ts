/** A dump decoded to its last byte, as a restore would, into nothing. */
import { type ClientTool, type Context, OperationError } from "../../core/plugin.ts";
import { createArchiveReader } from "./archive.ts";
import { decryptWith } from "./decryption.ts";
import { hashWhole } from "./hashing.ts";
import type { CompressionMethod, Manifest } from "./manifest.ts";
import { createPlainCheck } from "./plain_dump.ts";

/** Decodes what it is given. */
export interface Decoder {
  /** @throws OperationError what is wrong; nothing more need be given then */
  push(bytes: Uint8Array): Promise<void>;
  /** @throws OperationError what is wrong, or missing */
  end(): Promise<void>;
  /** Gives it up. */
  drop(): Promise<void>;
}

/** What is decoded, and with what. */
export interface Decoding {
  readonly manifest: Pick<Manifest, "format" | "compression" | "encryption" | "plaintext">;
  /** Secret keys; needed where the backup is encrypted. */
  readonly identities: readonly string[];
  /** Needed for archives. */
  readonly restore: ClientTool | undefined;
}

/** Makes a decoder for the one file of a backup in the custom or plain format. */
export function createDecoder(ctx: Context, decoding: Decoding): Decoder {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  let failure: { readonly error: unknown } | undefined;
  const done = decode(ctx, readable, decoding).catch(async (error: unknown) => {
    failure = { error };
    // Whoever still writes is not left waiting.
    await writer.abort(error).catch(() => {});
  });
  const settle = () => {
    if (failure !== undefined) throw failure.error;
  };
  return {
    async push(bytes) {
      settle();
      await writer.write(bytes).catch(() => {});
      settle();
    },
    async end() {
      await writer.close().catch(() => {});
      await done;
      settle();
    },
    async drop() {
      await writer.abort(new OperationError("The decoding was given up", { code: "given_up" }))
        .catch(() => {});
      await done;
    },
  };
}

async function decode(
  ctx: Context,
  stored: ReadableStream<Uint8Array>,
  { manifest, identities, restore }: Decoding,
): Promise<void> {
  const plain = manifest.encryption === null ? stored : await decryptWith(identities, stored);
  const hash = hashWhole();
  const counted = ReadableStream.from(passing(plain, (bytes) => hash.take(bytes)));
  if (manifest.format === "plain") await decodePlain(counted, manifest.compression.method);
  else await decodeArchive(ctx, counted, restore);
  const { plaintext } = manifest;
  if (plaintext === null) return;
  if (hash.size !== plaintext.size || hash.digest() !== plaintext.sha256) {
    throw new OperationError("What is decrypted is not what was dumped: its SHA-256 differs", {
      code: "bad_archive",
    });
  }
}

async function* passing(
  stream: ReadableStream<Uint8Array>,
  take: (bytes: Uint8Array) => void,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) {
    take(chunk);
    yield chunk;
  }
}

async function decodePlain(
  stream: ReadableStream<Uint8Array>,
  method: CompressionMethod,
): Promise<void> {
  const check = await createPlainCheck(method);
  try {
    for await (const chunk of stream) await check.push(chunk);
    await check.end();
  } finally {
    check.drop();
  }
}

async function decodeArchive(
  ctx: Context,
  stream: ReadableStream<Uint8Array>,
  restore: ClientTool | undefined,
): Promise<void> {
  if (restore === undefined) throw new Error("An archive is decoded by pg_restore");
  const structure = createArchiveReader();
  const stdin = ReadableStream.from(passing(stream, (bytes) => structure.push(bytes)));
  await runRestore(ctx, restore, { stdin });
  structure.end();
}

/**
 * Finds a pg_restore that understands an archive: an older one does not know what a newer pg_dump has
 * written.
 *
 * @param version of the pg_dump that wrote it, such as `15.18`
 * @throws OperationError `client_tool_missing` or `client_tool_outdated`, naming the package
 */
export async function findRestore(
  ctx: Pick<Context, "clientTool">,
  version: string,
): Promise<ClientTool> {
  return await ctx.clientTool("pg_restore", { major: Number(/^\d+/.exec(version)?.[0] ?? 0) });
}

/**
 * Decodes an archive by pg_restore, which writes the script that it would run into nothing.
 *
 * @throws OperationError `bad_archive` of what it complains about; `no_decompression` when it was
 *   built without the method
 */
export async function runRestore(
  ctx: Context,
  restore: ClientTool,
  source: { readonly stdin: ReadableStream<Uint8Array> } | { readonly path: string },
): Promise<void> {
  const program = await ctx.exec(restore.path, {
    args: ["--file=/dev/null", ...("path" in source ? [source.path] : [])],
    env: { LC_ALL: "C", LANGUAGE: "C" },
    ...("stdin" in source ? { stdin: source.stdin } : {}),
  });
  const [, complaints, exit] = await Promise.all([
    program.stdout.pipeTo(new WritableStream()),
    new Response(program.stderr).text(),
    program.exit,
  ]);
  if (exit.code === 0) return;
  const reason = complaints.trim().split("\n").map((line) => line.replace(/^pg_restore: /, ""))
    .join("; ").slice(0, 500) || `it ended with exit code ${exit.code}`;
  if (/does not support compression|not built with/.test(reason)) {
    throw new OperationError(`Cannot decode the backup by ${restore.path}: ${reason}`, {
      code: "no_decompression",
      hint:
        "Install client programs of PostgreSQL that know the method, or name them by PG_BIN_DIR",
    });
  }
  throw new OperationError(`pg_restore cannot read it: ${reason}`, { code: "bad_archive" });
}
