/** Questions on the terminal. */
import { printable } from "./log.ts";
import type { Run } from "./run.ts";

/**
 * Asks for a line.
 *
 * @returns the line without its end; null at the end of input, and where nobody can be asked
 * @throws the signal's reason when a signal comes instead of an answer
 */
export async function ask(
  { host, progress, signal }: Pick<Run, "host" | "progress" | "signal">,
  question: string,
): Promise<string | null> {
  if (!host.interactive) return null;
  signal.throwIfAborted();
  progress.clear();
  host.stderr.write(printable(question));
  return await endable(host.readLine(), signal);
}

/** Waits for what no signal can end, but no longer than until the signal. */
function endable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const end = () => reject(signal.reason);
    signal.addEventListener("abort", end, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", end));
  });
}
