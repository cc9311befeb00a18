/**
 * Plain dumps, checked as they flow by: pg_dump's begin and end with lines of their own, and a
 * compressed one is decompressed for them. Without the last line something is missing.
 */
import type { Transform } from "node:stream";
import { OperationError } from "../../core/plugin.ts";
import type { CompressionMethod } from "./manifest.ts";

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

const LAST_LINE = "-- PostgreSQL database dump complete";
const FIRST_LINE = "-- PostgreSQL database dump";
/** `\unrestrict` and empty lines follow the last line. */
const TAIL_BYTES = 1024;
const HEAD_BYTES = 256;

/** Makes a check; a method that it cannot decompress is a mistake of the caller's. */
export async function createPlainCheck(method: CompressionMethod): Promise<PlainCheck> {
  const text = createText();
  if (method === "none") {
    return {
      push: (bytes) => Promise.resolve(text.take(bytes)),
      end: () => Promise.resolve(text.end()),
      drop: () => {},
    };
  }
  const { createGunzip, createZstdDecompress } = await import("node:zlib");
  if (method === "lz4") throw new Error("A plain dump that lz4 has compressed cannot be checked");
  const decoder: Transform = method === "gzip" ? createGunzip() : createZstdDecompress();
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
      if (decoder.write(bytes)) return;
      await Promise.race([over, new Promise<void>((resolve) => decoder.once("drain", resolve))]);
    },
    async end() {
      decoder.end();
      await over;
      if (failure !== undefined) throw failure;
      text.end();
    },
    drop: () => void decoder.destroy(),
  };
}

function createText(): { take(bytes: Uint8Array): void; end(): void } {
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
      if (!decoder.decode(head).includes(FIRST_LINE)) {
        throw damaged("it does not begin as pg_dump's scripts do");
      }
      if (decoder.decode(tail).includes(LAST_LINE)) return;
      throw new OperationError(`The dump breaks off: its last line, "${LAST_LINE}", is missing`, {
        code: "truncated_archive",
      });
    },
  };
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
