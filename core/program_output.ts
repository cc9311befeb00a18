/** What a program writes, as the stream that whoever started it reads. */
import type { SpawnedProgram } from "./host.ts";

/** How an output is read. */
export interface ProgramOutputOptions {
  /** Aborted when the run is to end. */
  readonly signal: AbortSignal;
  /** Settles when the program is over; the stream fails with what this rejects with. */
  readonly over: Promise<unknown>;
  /** See `SpawnedProgram`; asked for once a program turns out to write much. */
  readonly widen?: SpawnedProgram["widen"];
}

/** Bytes of a usual pipe, and of what is read at a time by who has no buffer of their own. */
const PIPE_BYTES = 65_536;
/** A program that has written so many bytes may write many more. */
const MUCH_BYTES = 262_144;
/** How long a pipe is left alone to fill, in milliseconds; it must not become full meanwhile. */
const REST = { usual: 1, wide: 3 };

/**
 * Makes the stream. It fails when the program is ended with the run: else what it had written until
 * then would look complete. A byte stream, where the host's is one: who has a buffer of their own is
 * read into that. Nothing is read before it is asked for.
 */
export function programOutput(
  stream: ReadableStream<Uint8Array>,
  options: ProgramOutputOptions,
): ReadableStream<Uint8Array> {
  const { signal, over } = options;
  const reader = bytesReader(stream);
  if (reader === undefined) return chunksOf(stream.getReader(), options);
  const rest = createRest(options.widen);
  return new ReadableStream({
    type: "bytes",
    autoAllocateChunkSize: PIPE_BYTES,
    start: (controller) => failWith(over, { controller, reader }),
    async pull(controller) {
      const request = controller.byobRequest;
      const { buffer, byteOffset, byteLength } = request?.view ?? new Uint8Array();
      await rest.before();
      const { done, value } = await reader.read(new Uint8Array(buffer, byteOffset, byteLength));
      if (done) {
        signal.throwIfAborted();
        controller.close();
      }
      if (value === undefined) return;
      rest.after(value.length, byteLength);
      request?.respondWithNewView(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
}

function chunksOf(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  { signal, over }: ProgramOutputOptions,
): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start: (controller) => failWith(over, { controller, reader }),
    async pull(controller) {
      const { done, value } = await reader.read();
      if (!done) return controller.enqueue(value);
      signal.throwIfAborted();
      controller.close();
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
}

function failWith(
  over: Promise<unknown>,
  { controller, reader }: {
    readonly controller: { error(reason: unknown): void };
    readonly reader: ReadableStreamGenericReader;
  },
): void {
  over.catch((error) => {
    controller.error(error);
    // What it had started itself may keep the stream open.
    reader.cancel().catch(() => {});
  });
}

/** Undefined for a stream that is no byte stream. */
function bytesReader(stream: ReadableStream<Uint8Array>): ReadableStreamBYOBReader | undefined {
  try {
    return stream.getReader({ mode: "byob" });
  } catch (error) {
    if (error instanceof TypeError && !stream.locked) return undefined;
    throw error;
  }
}

/**
 * Waits between reads of a program that writes much. One that compresses writes 4 KiB at a time. Left
 * alone for a moment the pipe fills, and a few large reads take a fraction of what many small ones do.
 */
function createRest(widen: SpawnedProgram["widen"] = () => false): {
  before(): Promise<void>;
  /** @param asked how many bytes there was room for */
  after(count: number, asked: number): void;
} {
  let total = 0;
  let wide: boolean | undefined;
  let emptied = false;
  let last = 0;
  return {
    async before() {
      if (!emptied) return;
      // The time that was taken for what was read before counts.
      const left = (wide ? REST.wide : REST.usual) - (performance.now() - last);
      if (left > 0) await new Promise((resolve) => setTimeout(resolve, left));
    },
    after(count, asked) {
      total += count;
      if (wide === undefined && total >= MUCH_BYTES) wide = widen();
      // A usual pipe is as good as full with half of it, and its program waits soon.
      emptied = wide === undefined ? false : count < (wide ? asked : PIPE_BYTES / 2);
      last = performance.now();
    },
  };
}
