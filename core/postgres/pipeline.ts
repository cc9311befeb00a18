/** Many steps in one round trip. */
import { DatabaseError, type OperationError, type QueryResult, type Step } from "../plugin.ts";
import type { Line } from "./line.ts";
import { extendedQuery, joined, simpleQuery } from "./messages.ts";
import { droppedReply, type Reply } from "./replies.ts";

/** Small messages are put together up to this size. */
const CHUNK_BYTES = 64 << 10;
/** A piece of this size goes by itself. */
const LARGE_PIECE_BYTES = 16 << 10;
/** How far a stream may be ahead of the server's answers. */
const UNANSWERED_STEPS = 4;
const UNANSWERED_BYTES = 1 << 20;

/**
 * Sends the steps and collects their results; see `Session.pipeline`.
 *
 * @throws DatabaseError of the first step that failed
 * @throws OperationError when the connection is lost
 */
export async function runPipeline(
  steps: readonly Step[] | ReadableStream<Step>,
  line: Line,
): Promise<QueryResult<never>[]> {
  const answers = answersOf(line);
  let thrown: { readonly error: unknown } | undefined;
  if (steps instanceof ReadableStream) thrown = await sendStream(steps, { line, answers });
  else await sendList(steps, { line, answers });
  await answers.until(() => answers.unanswered === 0);
  const results = answers.results();
  // Thrown last: an error of the server explains more.
  if (thrown !== undefined) throw thrown.error;
  return results;
}

interface Sending {
  readonly line: Line;
  readonly answers: Answers;
}

async function sendList(steps: readonly Step[], { line, answers }: Sending): Promise<void> {
  // All are made first, so that one that cannot be sent stops the others as well.
  const messages = steps.map((step) => encode(step));
  let small: Uint8Array[] = [];
  let size = 0;
  const flush = async () => {
    const chunk = joined(small);
    small = [];
    size = 0;
    await line.send(chunk);
  };
  for (const pieces of messages) {
    answers.expect(sizeOf(pieces));
    for (const piece of pieces) {
      if (piece.length >= LARGE_PIECE_BYTES) {
        if (size > 0) await flush();
        await line.send(piece);
        continue;
      }
      small.push(piece);
      size += piece.length;
      if (size >= CHUNK_BYTES) await flush();
    }
    if (answers.lost) return;
  }
  if (size > 0) await flush();
}

/** @returns what the stream or a step of it threw */
async function sendStream(
  steps: ReadableStream<Step>,
  { line, answers }: Sending,
): Promise<{ readonly error: unknown } | undefined> {
  const source = steps.getReader();
  let cancelled: Promise<void> | undefined;
  const cancel = (reason: unknown) => {
    // The source has been told; that it fails to clean up as well changes nothing here.
    cancelled ??= source.cancel(reason).catch(() => {});
  };
  // At once, since the source may be waiting for something that never comes.
  answers.onFailure = cancel;
  try {
    for (;;) {
      await answers.until(() =>
        answers.failed ||
        answers.unanswered < UNANSWERED_STEPS && answers.unansweredBytes < UNANSWERED_BYTES
      );
      if (answers.failed) return undefined;
      const { done, value } = await source.read();
      if (done || answers.failed) return undefined;
      const pieces = encode(value);
      answers.expect(sizeOf(pieces));
      for (const piece of pieces) await line.send(piece);
    }
  } catch (error) {
    cancel(error);
    return { error };
  } finally {
    await cancelled;
    source.releaseLock();
  }
}

function encode({ sql, params }: Step): Uint8Array[] {
  return params === undefined ? simpleQuery(sql) : extendedQuery(sql, params);
}

function sizeOf(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((size, piece) => size + piece.length, 0);
}

/** What is known of the answers so far. */
interface Answers {
  readonly unanswered: number;
  readonly unansweredBytes: number;
  /** Whether the connection is lost. */
  readonly lost: boolean;
  /** Whether a step has failed or the connection is lost. */
  readonly failed: boolean;
  /** Called once, with the reason, when `failed` becomes true. */
  onFailure: (reason: unknown) => void;
  /** Registers for the answer to the next step, of so many bytes. */
  expect(bytes: number): void;
  /** Waits until the condition holds; no longer than the connection does. */
  until(condition: () => boolean): Promise<void>;
  /** @throws DatabaseError of the first step that failed, or OperationError of a lost connection */
  results(): QueryResult<never>[];
}

function answersOf(line: Line): Answers {
  const replies: Reply<QueryResult<never>>[] = [];
  let answered = 0;
  let unansweredBytes = 0;
  let lost: OperationError | undefined;
  let failure: DatabaseError | undefined;
  let wake = () => {};
  const answers: Answers = {
    get unanswered() {
      return replies.length - answered;
    },
    get unansweredBytes() {
      return unansweredBytes;
    },
    get lost() {
      return lost !== undefined;
    },
    get failed() {
      return failure !== undefined || lost !== undefined;
    },
    onFailure: () => {},
    expect(bytes) {
      const reply = droppedReply();
      const step = replies.length;
      replies.push(reply);
      unansweredBytes += bytes;
      line.expect(reply, (error) => {
        const before = answers.failed;
        if (error !== undefined) lost = error;
        else if (reply.error !== undefined) {
          failure ??= new DatabaseError(reply.error, step, { completed: reply.completed });
        }
        answered += 1;
        unansweredBytes -= bytes;
        if (!before && answers.failed) answers.onFailure(lost ?? failure);
        wake();
      });
    },
    async until(condition) {
      while (lost === undefined && !condition()) {
        await new Promise<void>((resolve) => wake = resolve);
      }
    },
    results() {
      const error = lost ?? failure;
      if (error !== undefined) throw error;
      return replies.map((reply) => reply.result());
    },
  };
  return answers;
}
