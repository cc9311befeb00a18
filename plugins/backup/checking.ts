/** A dump's bytes on their way: counted, hashed, checked for being whole, and encrypted. */
import { OperationError } from "../../core/plugin.ts";
import { createArchiveReader } from "../repository/archive.ts";
import { hashWhole } from "../repository/hashing.ts";
import type { BackupFormat, CompressionMethod } from "../repository/manifest.ts";
import { createPlainCheck, type ScriptKind } from "../repository/plain_dump.ts";

/** A dump that is passed on. */
export interface Checked {
  /** Fails where pg_dump's output does, and at its end unless it was whole. */
  readonly output: AsyncIterable<Uint8Array>;
  /** What pg_dump wrote, when the output has ended. */
  facts(): { readonly size: number; readonly sha256: string };
}

/**
 * Looks at what pg_dump writes while it is passed on. An exit code of 0 is no proof: an archive has
 * to hold every block that its table of contents names, and a script its last line.
 *
 * @param took is told of every piece's size
 */
export function checkDump(
  output: AsyncIterable<Uint8Array>,
  { format, method, took = () => {}, script = "database" }: {
    readonly format: Exclude<BackupFormat, "directory">;
    readonly method: CompressionMethod;
    readonly took?: (bytes: number) => void;
    /** What a plain dump is a script of. */
    readonly script?: ScriptKind;
  },
): Checked {
  const whole = hashWhole();
  let digest: string | undefined;
  async function* passing(): AsyncGenerator<Uint8Array> {
    const check = await (format === "custom" ? archiveCheck() : createPlainCheck(method, script));
    try {
      for await (const chunk of output) {
        whole.take(chunk);
        took(chunk.length);
        await check.push(chunk);
        yield chunk;
      }
      await check.end();
    } catch (error) {
      if (!(error instanceof OperationError) || !DAMAGED.has(error.code)) throw error;
      throw new OperationError(
        `Cannot back up: ${
          script === "database" ? "pg_dump" : "pg_dumpall"
        } ended as if all were ` +
          `well, but ${lowered(error.message)}`,
        { code: "dump_incomplete", cause: error },
      );
    } finally {
      check.drop();
    }
    digest = whole.digest();
  }
  return {
    output: passing(),
    facts() {
      if (digest === undefined) throw new Error("The dump has not ended");
      return { size: whole.size, sha256: digest };
    },
  };
}

const DAMAGED: ReadonlySet<string> = new Set(["bad_archive", "truncated_archive"]);

function archiveCheck(): Awaited<ReturnType<typeof createPlainCheck>> {
  const reader = createArchiveReader();
  return {
    push: (bytes) => Promise.resolve(reader.push(bytes)),
    end: () => {
      reader.end();
      return Promise.resolve();
    },
    drop: () => {},
  };
}

function lowered(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
