/** An answer that is passed on as a stream, no faster than it is read. */
import type { Line, Receiver } from "./line.ts";

/** How an answer is streamed. */
export interface StreamOptions {
  /** Ends the stream at once, with its reason; the statement is cancelled. */
  readonly signal?: AbortSignal | undefined;
  /** What is done when the answer is complete, before the stream ends; what it throws fails it. */
  readonly after?: (() => Promise<void>) | undefined;
}

/** An answer under way. */
export interface Streamed<T> {
  readonly stream: ReadableStream<T>;
  /** Resolves when the connection is free again, or lost. */
  readonly answered: Promise<void>;
  /** Resolves when `after` is done, too; neither waits for what was received to be read. */
  readonly finished: Promise<void>;
}

/** A question whose answer is streamed. */
export interface Question<T> {
  readonly message: readonly Uint8Array[];
  /** Makes the parts from the server's messages. */
  collect(outlet: Outlet<T>): PartCollector;
}

/** Makes parts of an answer, and tells at its end what was wrong with it. */
export interface PartCollector extends Receiver {
  failure(): Error | undefined;
}

/** Received and not yet read: the server is read no further above this. */
const MOST_BYTES = 128 << 10;
/** What a part takes beside its contents. */
const PART_BYTES = 256;
/** How often a statement is cancelled: a request that is on its way too early meets none. */
const CANCEL_MILLISECONDS = 250;

/** Parts on their way from the server to whoever reads them. */
export class Outlet<T> {
  readonly #parts: { readonly part: T; readonly bytes: number }[] = [];
  #bytes = 0;
  #open = true;
  #ended: { readonly failure: unknown } | undefined;
  #wake = () => {};
  #resume = () => {};

  /** Whether anybody still wants parts. */
  get open(): boolean {
    return this.#open;
  }

  /** Hands on a part that holds about so many bytes. */
  put(part: T, bytes: number): void {
    if (!this.#open) return;
    this.#parts.push({ part, bytes });
    this.#bytes += bytes + PART_BYTES;
    this.#wake();
  }

  /** What to wait for before more is put in; undefined while there is room. */
  room(): Promise<void> | undefined {
    if (this.#bytes < MOST_BYTES || this.#ended !== undefined) return undefined;
    return new Promise((resolve) => this.#resume = resolve);
  }

  /**
   * Waits for the next part; undefined at the end.
   *
   * @throws what the answer failed with, when all parts before that have been taken
   */
  async take(): Promise<T | undefined> {
    for (;;) {
      const next = this.#parts.shift();
      if (next !== undefined) {
        this.#bytes -= next.bytes + PART_BYTES;
        if (this.#bytes < MOST_BYTES) this.#resume();
        return next.part;
      }
      if (this.#ended?.failure !== undefined) throw this.#ended.failure;
      if (this.#ended !== undefined || !this.#open) return undefined;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  /** No more comes, because of a failure or not; the first end counts. */
  end(failure?: unknown): void {
    this.#ended ??= { failure };
    this.#wake();
    this.#resume();
  }

  /** Nobody wants parts any more, those that wait included. */
  drop(): void {
    this.#open = false;
    this.#parts.length = 0;
    this.#bytes = 0;
    this.#wake();
    this.#resume();
  }
}

/**
 * Asks, and passes the answer on. When the stream is cancelled or the signal aborted, the statement
 * is cancelled in the server and the rest of its answer dropped, so that the connection can go on.
 */
export function streamAnswer<T>(
  question: Question<T>,
  { line, signal, after }: StreamOptions & { readonly line: Line },
): Streamed<T> {
  signal?.throwIfAborted();
  const outlet = new Outlet<T>();
  const collector = question.collect(outlet);
  const asked = ask(question.message, {
    line,
    receive(type, bytes, start, end) {
      collector.receive(type, bytes, start, end);
      return outlet.room();
    },
  });
  let cancelling: Promise<void> | undefined;
  function giveUp(): void {
    outlet.drop();
    if (!asked.complete) cancelling ??= cancelUntilAnswered(asked, line);
  }
  function abort(): void {
    outlet.end(signal?.reason);
    giveUp();
  }
  signal?.addEventListener("abort", abort, { once: true });

  const answered = asked.answer.then(async (lost) => {
    if (lost !== undefined) outlet.end(lost);
    // A request that is still on its way would meet the next statement.
    await cancelling;
  });
  const finished = answered.then(async () => {
    let failure: unknown = collector.failure();
    try {
      await after?.();
    } catch (error) {
      failure ??= error;
    }
    signal?.removeEventListener("abort", abort);
    outlet.end(failure);
  });
  const stream = new ReadableStream<T>({
    async pull(controller) {
      const part = await outlet.take();
      if (part !== undefined) controller.enqueue(part);
      else if (outlet.open) controller.close();
    },
    async cancel() {
      giveUp();
      await finished;
    },
  }, { highWaterMark: 0 });
  return { stream, answered, finished };
}

/** A question that has been sent. */
interface Asked {
  readonly complete: boolean;
  /** The reason when the answer will never be complete. */
  readonly answer: Promise<Error | undefined>;
}

function ask(
  message: readonly Uint8Array[],
  { line, receive }: Receiver & { readonly line: Line },
): Asked {
  let complete = false;
  const answer = new Promise<Error | undefined>((resolve) => {
    line.expect({ receive }, (lost) => {
      complete = true;
      resolve(lost);
    });
  });
  const sent = (async () => {
    for (const piece of message) await line.send(piece);
  })();
  return {
    get complete() {
      return complete;
    },
    answer: Promise.all([answer, sent]).then(([lost]) => lost),
  };
}

async function cancelUntilAnswered(asked: Asked, line: Line): Promise<void> {
  while (!asked.complete) {
    // That it cannot be asked changes nothing: the answer is read to its end in any case.
    await line.cancel().catch(() => {});
    let timer: ReturnType<typeof setTimeout> | undefined;
    const later = new Promise<void>((resolve) => timer = setTimeout(resolve, CANCEL_MILLISECONDS));
    await Promise.race([asked.answer, later]);
    clearTimeout(timer);
  }
}
