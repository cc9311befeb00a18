/** The first levels of a verification: whether the stored bytes are right, and can be read to their end. */
import { type ClientTool, type Context, OperationError } from "../../core/plugin.ts";
import { createDecoder, type Decoder, findRestore, runRestore } from "../repository/decoding.ts";
import { readIdentities } from "../repository/decryption.ts";
import { hashWhole } from "../repository/hashing.ts";
import type { Manifest, StoredFile } from "../repository/manifest.ts";
import type { Store } from "../repository/store.ts";

/** What is read. */
export interface Subject {
  readonly store: Store;
  readonly manifest: Manifest;
  readonly identities: readonly string[];
  /** Undefined where no archive is read. */
  readonly restore: ClientTool | undefined;
  /** Whether the bytes are also decoded. */
  readonly decodes: boolean;
}

/**
 * What a backup is read with.
 *
 * @throws OperationError `no_identity` of kind `usage` for an encrypted one, or without a pg_restore
 */
export async function subjectOf(
  ctx: Context,
  { store, manifest, decodes, identity }: Pick<Subject, "store" | "manifest" | "decodes"> & {
    /** A file with secret keys of age. */
    readonly identity: string | undefined;
  },
): Promise<Subject> {
  return {
    store,
    manifest,
    decodes,
    identities: decodes ? await identitiesFor(ctx, { identity, manifest }) : [],
    restore: decodes ? await restoreFor(ctx, manifest) : undefined,
  };
}

async function identitiesFor(
  ctx: Context,
  { identity, manifest: { encryption, id } }: {
    readonly identity: string | undefined;
    readonly manifest: Manifest;
  },
): Promise<string[]> {
  if (encryption === null) return [];
  if (identity !== undefined) return await readIdentities(ctx, identity);
  throw new OperationError(`Cannot read ${id}: it is encrypted`, {
    kind: "usage",
    code: "no_identity",
    hint: "Give the file with the secret key by --identity; --level bytes needs none",
  });
}

async function restoreFor(
  ctx: Context,
  { format, client }: Manifest,
): Promise<ClientTool | undefined> {
  return format === "plain" ? undefined : await findRestore(ctx, client.version);
}

/** Reads all files, each once, and tells what is wrong with them. */
export async function examineBytes(ctx: Context, subject: Subject): Promise<string[]> {
  const { manifest, store, decodes } = subject;
  const findings: string[] = [];
  const total = manifest.files.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  const took = (bytes: number) => {
    done += bytes;
    ctx.progress({ label: `Verifying ${manifest.id}`, done, total, unit: "bytes" });
  };
  // What is no file, such as a pipe, is listed as none, and must not be waited for.
  const present = new Set((await store.list(manifest.id)).map(({ name }) => name));
  for (const file of manifest.files) {
    ctx.signal.throwIfAborted();
    if (!present.has(file.name)) {
      findings.push(`${file.name} is missing`);
      continue;
    }
    const decoder = decodes ? decoderFor(ctx, subject, file) : undefined;
    findings.push(...await examineFile(store, { file, decoder, took }));
  }
  if (decodes && manifest.format === "directory" && findings.length === 0) {
    findings.push(...await examineDirectory(ctx, subject));
  }
  return findings;
}

function decoderFor(ctx: Context, subject: Subject, file: StoredFile): Decoder | undefined {
  const { manifest, identities, restore } = subject;
  if (manifest.format === "directory" || file.name === manifest.globals) return undefined;
  return createDecoder(ctx, { manifest, identities, restore });
}

async function examineFile(
  store: Store,
  { file, decoder, took }: {
    readonly file: StoredFile;
    readonly decoder: Decoder | undefined;
    readonly took: (bytes: number) => void;
  },
): Promise<string[]> {
  const hash = hashWhole();
  let wrong: string | undefined;
  const decode = async (step: () => Promise<void>) => {
    if (wrong !== undefined) return;
    try {
      await step();
    } catch (error) {
      wrong = findingOf(error);
    }
  };
  try {
    const stream = await opened(store, file);
    if (stream === undefined) return [`${file.name} is missing`];
    for await (const chunk of stream) {
      hash.take(chunk);
      took(chunk.length);
      await decode(async () => await decoder?.push(chunk));
    }
    await decode(async () => await decoder?.end());
  } finally {
    await decoder?.drop();
  }
  const findings: string[] = [];
  if (hash.size !== file.size) {
    findings.push(`${file.name} has ${hash.size} bytes, and had ${file.size} when it was written`);
  } else if (hash.digest() !== file.sha256) {
    findings.push(`${file.name} is not what was written: its SHA-256 differs`);
  }
  return [...findings, ...wrong === undefined ? [] : [`${file.name}: ${wrong}`]];
}

async function opened(
  store: Store,
  { name }: StoredFile,
): Promise<ReadableStream<Uint8Array> | undefined> {
  try {
    return await store.read(name);
  } catch (error) {
    if (error instanceof OperationError && error.code === "not_found") return undefined;
    throw error;
  }
}

/** What a failure says about the backup; what says nothing about it is thrown. */
function findingOf(error: unknown): string {
  const damage = error instanceof OperationError &&
    (error.code === "bad_archive" || error.code === "truncated_archive");
  if (!damage) throw error;
  return error.message;
}

/** A directory is read as a whole, by pg_restore, which needs it on this machine. */
async function examineDirectory(
  ctx: Context,
  { store, manifest, restore }: Subject,
): Promise<string[]> {
  if (restore === undefined) throw new Error("A directory is read by pg_restore");
  const name = `${manifest.id}.dir`;
  const local = store.kind === "local" ? `${store.title}/${name}` : undefined;
  const path = local ?? await download(ctx, { store, manifest });
  try {
    await runRestore(ctx, restore, { path });
    return [];
  } catch (error) {
    return [`${name}: ${findingOf(error)}`];
  } finally {
    if (local === undefined) await ctx.files.remove(path);
  }
}

async function download(
  ctx: Context,
  { store, manifest }: Pick<Subject, "store" | "manifest">,
): Promise<string> {
  const parent = ctx.config.get("BACKUPS_DIR") ?? "./backups";
  // A name that `backup gc` takes for what a run has left.
  const path = `${parent}/${manifest.id}.dir.partial`;
  await ctx.files.makeDirectory(path, { private: true });
  try {
    for (const file of manifest.files) {
      if (file.name === manifest.globals) continue;
      const member = file.name.slice(file.name.indexOf("/") + 1);
      await ctx.files.save(`${path}/${member}`, await store.read(file.name), { private: true });
    }
  } catch (error) {
    await ctx.files.remove(path);
    throw error;
  }
  return path;
}
