/** Makes requests again that failed for a while only. */
import { mayPass } from "./s3_failure.ts";

/** How often and how fast a request is made again. */
export interface RetryLimits {
  /** How often a request is made at most. */
  readonly tries: number;
  /** Milliseconds before the second time; each further wait is twice as long, up to twenty seconds. */
  readonly backoff: number;
}

/** How a request is made again. */
export interface RetryOptions extends RetryLimits {
  readonly signal: AbortSignal | undefined;
  /** Told of each failure that is tried again. */
  readonly retried: (error: unknown) => void;
  /** Whether a failure may pass; by default as `mayPass` says. */
  readonly passes?: (error: unknown) => boolean;
}

const LONGEST_WAIT_MILLISECONDS = 20_000;

/**
 * Does something until it succeeds.
 *
 * @throws what it fails with at last, or the reason of the signal
 */
export async function persist<T>(
  work: () => Promise<T>,
  { tries, backoff, signal, retried, passes = mayPass }: RetryOptions,
): Promise<T> {
  for (let attempt = 1;; attempt++) {
    signal?.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      signal?.throwIfAborted();
      if (attempt === tries || !passes(error)) throw error;
      retried(error);
    }
    await pause(waitBefore(attempt, backoff), signal);
  }
}

/** Runs that were refused together must not come back together. */
function waitBefore(attempt: number, backoff: number): number {
  const longest = Math.min(backoff * 2 ** (attempt - 1), LONGEST_WAIT_MILLISECONDS);
  return longest * (0.5 + Math.random() / 2);
}

/** Waits; rejects with the signal's reason. */
export function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const abort = () => reject(signal?.reason);
  const timer = setTimeout(resolve, milliseconds);
  signal?.addEventListener("abort", abort);
  return promise.finally(() => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  });
}
