/** What tests of sources of restores share. */
import assert from "assert";
import { Buffer } from "node:buffer";
import { OperationError } from "../core/plugin.ts";
import { type Source, type WantedSource, withSource } from "../plugins/restore/source.ts";
import { withContext } from "./context.ts";

/** How a source is opened. */
export interface Opening extends Partial<WantedSource> {
  readonly name: string | undefined;
  readonly env: Readonly<Record<string, string>>;
  readonly lines?: string[];
  readonly signal?: AbortSignal;
}

/** Opens a source in a run of its own, without a database. */
export async function opened<T>(
  { env, lines = [], signal, ...wanted }: Opening,
  work: (source: Source) => Promise<T>,
): Promise<T> {
  const given = { env: { PATH: Deno.env.get("PATH") ?? "", ...env }, lines };
  return await withContext(
    { ...given, ...(signal === undefined ? {} : { signal }) },
    (ctx) => withSource(ctx, { database: "none", ...wanted }, work),
  );
}

/** All bytes of a stream. */
export async function bytesOf(
  stream: ReadableStream<Uint8Array>,
): Promise<Uint8Array<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(new Uint8Array(chunk));
  return new Uint8Array(Buffer.concat(chunks));
}

/**
 * Reads a stream that must fail for damage.
 *
 * @returns how many bytes came before
 */
export async function failsDamaged(source: Source): Promise<number> {
  let came = 0;
  await assert.rejects(async () => {
    for await (const chunk of await source.stream()) came += chunk.length;
  }, isDamaged);
  return came;
}

/** Whether it is what tells damage. */
export function isDamaged(error: unknown): boolean {
  assert.ok(error instanceof OperationError, String(error));
  assert.equal(error.code, "backup_damaged", error.message);
  return true;
}
