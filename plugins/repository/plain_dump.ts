/**
 * Scripts of pg_dump and pg_dumpall, checked as they flow by: they begin and end with lines of their
 * own, and a compressed one is decompressed for them. Without its last lines something is missing.
 */
import type { Transform } from "node:stream";
import { OperationError } from "../../core/plugin.ts";
import type { CompressionMethod } from "./manifest.ts";
import { followFrames } from "./zstd.ts";

/** What a script holds: one database, or the roles and tablespaces of all of them. */
export type ScriptKind = "database" | "database cluster";

/** Checks one dump. */
export interface PlainCheck {
  /** @throws OperationError `bad_archive` where it cannot be one */
  push(bytes: Uint8Array): Promise<void>;
  /**
   * Tells that nothing more comes.
   *
   * @throws OperationError `truncated_archive` or `bad_archive`
   */
  end(): Promise<void>;
  /** Gives it up. */
  drop(): void;
}

/** How much is decompressed at a time: by the usual 16 KiB it takes twice as long. */
const PIECE_BYTES = 256 * 1024;

/** More than what precedes the first statement, and what follows the last one. */
const HEAD_BYTES = 512;
const TAIL_BYTES = 512;

/** Makes a check; a method that it cannot decompress is a mistake of the caller's. */
export async function createPlainCheck(
  method: CompressionMethod,
  kind: ScriptKind = "database",
): Promise<PlainCheck> {
  return await checkText(method, createText(kind));
}

/** What is made of a text. */
export interface Text {
  take(bytes: Uint8Array): void;
  /** @throws OperationError `bad_archive` or `truncated_archive` */
  end(): void;
}

/** Makes a check that decompresses, and gives what it finds to `text`. */
export async function checkText(method: CompressionMethod, text: Text): Promise<PlainCheck> {
  if (method === "none") {
    return {
      push: (bytes) => Promise.resolve(text.take(bytes)),
      end: () => Promise.resolve(text.end()),
      drop: () => {},
    };
  }
  const { createGunzip, createZstdDecompress } = await import("node:zlib");
  if (method === "lz4") throw new Error("A plain dump that lz4 has compressed cannot be checked");
  const decoder: Transform = method === "gzip"
    ? createGunzip({ chunkSize: PIECE_BYTES })
    : createZstdDecompress({ chunkSize: PIECE_BYTES });
  const frames = method === "zstd" ? followFrames() : undefined;
  let failure: OperationError | undefined;
  const over = new Promise<void>((resolve) => {
    decoder.on("data", (bytes: Uint8Array) => text.take(bytes));
    decoder.on("end", resolve);
    decoder.on("error", (error) => {
      failure = damaged(error.message, error);
      resolve();
    });
    decoder.on("close", resolve);
  });
  return {
    async push(bytes) {
      if (failure !== undefined) throw failure;
      frames?.push(bytes);
      // It may still be working on them when the next ones come.
      if (decoder.write(bytes.slice())) return;
      await Promise.race([over, new Promise<void>((resolve) => decoder.once("drain", resolve))]);
    },
    async end() {
      decoder.end();
      await over;
      if (failure !== undefined) throw failure;
      frames?.end();
      text.end();
    },
    drop: () => void decoder.destroy(),
  };
}

function createText(kind: ScriptKind): Text {
  let head = new Uint8Array();
  let tail = new Uint8Array();
  return {
    take(bytes) {
      if (head.length < HEAD_BYTES) head = joined(head, bytes.subarray(0, HEAD_BYTES));
      tail = bytes.length >= TAIL_BYTES
        ? bytes.slice(-TAIL_BYTES)
        : joined(tail, bytes).slice(-TAIL_BYTES);
    },
    end() {
      const decoder = new TextDecoder();
      const begin = decoder.decode(head);
      const first = `--\n-- PostgreSQL ${kind} dump\n--\n\n`;
      if (!begin.startsWith(first)) {
        if (first.startsWith(begin)) throw brokenOff(kind);
        throw damaged("it does not begin as pg_dump's scripts do");
      }
      // A row may hold such a line, but no line end before it.
      const last = `\n--\n-- PostgreSQL ${kind} dump complete\n--\n\n`;
      const [, key] = /^\\restrict (\w+)$/m.exec(begin) ?? [];
      // Since 2025 meta-commands are forbidden in between; pg_dumpall allows them before its last line.
      const after = key === undefined || kind !== "database" ? "" : `\\unrestrict ${key}\n\n`;
      if (!decoder.decode(tail).endsWith(`${last}${after}`)) throw brokenOff(kind);
    },
  };
}

function brokenOff(kind: ScriptKind): OperationError {
  return new OperationError(
    `The dump breaks off: its last line, "-- PostgreSQL ${kind} dump complete", is missing`,
    { code: "truncated_archive" },
  );
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}

function damaged(reason: string, cause?: unknown): OperationError {
  return new OperationError(`The dump is damaged: ${reason}`, { code: "bad_archive", cause });
}
