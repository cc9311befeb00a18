/** The bytes of a source: verified by themselves, and while they flow into a restore. */
import { type Context, OperationError } from "../../core/plugin.ts";
import { passing } from "../repository/chunks.ts";
import { hashWhole, type WholeHash } from "../repository/hashing.ts";
import type { Contents } from "./contents.ts";
import { asDamage, damaged } from "./damage.ts";
import { decodeDirectory, decodeDump } from "./decode.ts";
import type { Found, FoundFile } from "./find_source.ts";
import { isLarge, readRanges } from "./ranges.ts";
import type { Archive } from "./table_of_contents.ts";
import { type Bytes, unwrap } from "./unwrap.ts";

/** A dump that was found and recognised. */
export interface Opened {
  readonly found: Found;
  readonly contents: Contents;
  readonly archive: Archive | null;
  readonly identities: () => Promise<readonly string[]>;
  /** What a dump without a manifest was when it was verified. */
  readonly verified: { sha256?: string };
}

/** The same, with how it is read. */
export interface Reading extends Opened, Way {}

/** How stored bytes are read. */
export interface Way {
  /** Is told how many have come, piece by piece. */
  readonly took?: ((bytes: number) => void) | undefined;
  /** Whether several ranges of a large file are read at a time. */
  readonly ranged?: boolean | undefined;
}

/** Reads every byte as `Source.verify` does. */
export async function verifySource(ctx: Context, opened: Opened): Promise<void> {
  const { found, contents } = opened;
  const { title, files, manifest, main } = found;
  const total = files.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  const took = (bytes: number) => {
    done += bytes;
    ctx.progress({ label: `Verifying ${title}`, done, total, unit: "bytes" });
  };
  try {
    if (manifest === null && found.directory !== null) {
      await decodeDirectory(ctx, { found, archive: opened.archive, took });
      return;
    }
    if (manifest === null) {
      opened.verified.sha256 = await decodeDump(ctx, { ...opened, took });
      return;
    }
    for (const file of files) {
      ctx.signal.throwIfAborted();
      const encrypted = file === main && contents.wrapping.includes("age");
      if (encrypted) await drain(streamOf(ctx, { ...opened, took }));
      else await drain(ReadableStream.from(checked(ctx, { found, file, took })));
    }
  } catch (error) {
    throw asDamage(error, title);
  } finally {
    ctx.progress(null);
  }
}

async function drain(stream: Bytes): Promise<void> {
  for await (const chunk of stream) void chunk;
}

/** The dump's own bytes as `Source.stream` gives them. */
export function streamOf(ctx: Context, reading: Reading): Bytes {
  const pieces = flowing(ctx, reading);
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await pieces.next();
      if (done === true) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await pieces.return(undefined);
    },
  }, { highWaterMark: 0 });
}

async function* flowing(ctx: Context, reading: Reading): AsyncGenerator<Uint8Array> {
  const { found, took, ranged, identities, verified } = reading;
  const { title, main, manifest } = found;
  const plaintext = manifest?.plaintext ?? null;
  try {
    const file = { ...main, sha256: main.sha256 ?? verified.sha256 ?? null };
    const stored = ReadableStream.from(checked(ctx, { found, file, took, ranged }));
    const hash = hashWhole();
    const decrypted = plaintext === null ? undefined : (bytes: Uint8Array) => hash.take(bytes);
    const { stream } = await unwrap(stored, { title, identities, decrypted });
    yield* passing(heldBack(stream, () => {
      if (plaintext === null) return;
      requireSame(hash, { expected: plaintext, title, name: "what is decrypted" });
    }));
  } catch (error) {
    throw asDamage(error, title);
  }
}

/** A stored file, which fails at its end when it is not what the manifest tells. */
export async function* checked(
  ctx: Context,
  { found: { store, title }, file, took, ranged = false }: Way & {
    readonly found: Found;
    readonly file: FoundFile;
  },
): AsyncGenerator<Uint8Array> {
  const hash = hashWhole();
  try {
    const chunks = ranged && isLarge(file)
      ? readRanges(store, file)
      : await store.read(file.name, { offset: 0, version: file.version });
    for await (const chunk of passing(chunks)) {
      ctx.signal.throwIfAborted();
      hash.take(chunk);
      took?.(chunk.length);
      yield chunk;
    }
  } catch (error) {
    if (!(error instanceof OperationError) || error.code !== "not_found") throw error;
    throw damaged(title, { reason: `${file.name} is missing`, cause: error });
  }
  requireSame(hash, { expected: file, title, name: file.name });
}

function requireSame(
  hash: WholeHash,
  { expected, title, name }: {
    readonly expected: { readonly size: number; readonly sha256: string | null };
    readonly title: string;
    readonly name: string;
  },
): void {
  if (hash.size !== expected.size) {
    const reason = `${name} has ${hash.size} bytes, and had ${expected.size} when it was written`;
    throw damaged(title, { reason });
  }
  if (expected.sha256 === null || hash.digest() === expected.sha256) return;
  throw damaged(title, { reason: `${name} is not what was written: its SHA-256 differs` });
}

/** Passes chunks on, the last of them when the end is known to be good. */
async function* heldBack(stream: Bytes, end: () => void): AsyncGenerator<Uint8Array> {
  let held: Uint8Array | undefined;
  for await (const chunk of stream) {
    if (chunk.length === 0) continue;
    // Its memory may be taken back when the next one is asked for.
    const next = new Uint8Array(chunk);
    if (held !== undefined) yield held;
    held = next;
  }
  end();
  if (held !== undefined) yield held;
}
