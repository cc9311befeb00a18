/**
 * Pings in the manner of healthchecks.io: `URL/start` when a backup begins, `URL` or
 * `URL/EXIT-CODE` with the last lines of the log when it has ended, all of one run with the same
 * `rid` (its documentation, "Pinging API": start, exit status, run identifiers, log as the body).
 */
import type { Context } from "../../core/plugin.ts";

const TIMEOUT_MILLISECONDS = 5000;
const TRIES = 3;
const BODY_BYTES = 10_000;
const START = "/start";

/** The pings of one run; none of them throws. */
export interface Pings {
  start(): Promise<void>;
  /** @param log what was said; the last 10 kB are sent */
  end(exit: number, log: string): Promise<void>;
}

/** Makes the pings for an address. */
export function createPings(
  ctx: Pick<Context, "log" | "signal">,
  address: string,
  { timeout = TIMEOUT_MILLISECONDS }: { readonly timeout?: number } = {},
): Pings {
  const run = crypto.randomUUID();
  async function ping(path: string, body: string): Promise<void> {
    let reason = "";
    for (let tried = 0; tried < TRIES; tried++) {
      // What ends the run must not be held up: the start is told no more, and the end once.
      if (ctx.signal.aborted && (tried > 0 || path === START)) return;
      try {
        const answer = await fetch(urlOf(address, { path, run }), {
          method: "POST",
          body,
          signal: AbortSignal.any([
            AbortSignal.timeout(timeout),
            ...path === START ? [ctx.signal] : [],
          ]),
        });
        await answer.body?.cancel();
        if (answer.ok) return;
        reason = `it answers ${answer.status}`;
        // What the address itself is wrong about stays so.
        if (answer.status < 500 && answer.status !== 429) break;
      } catch (error) {
        reason = reasonOf(error, timeout);
      }
    }
    ctx.log.warn(`Cannot ping the monitor${path}: ${reason}`);
  }
  return {
    start: () => ping(START, ""),
    end: (exit, log) => ping(exit === 0 ? "" : `/${exit}`, tail(log)),
  };
}

/** The address is a secret: whoever knows it can tell the monitor that all is well. */
function reasonOf(error: unknown, timeout: number): string {
  if (!(error instanceof Error)) return "it cannot be reached";
  if (error.name === "TimeoutError") return `it has not answered within ${timeout / 1000} s`;
  return error.message.replace(/ for url \(\S+\)/, "").replaceAll(/\bhttps?:\S+/g, "its address");
}

function urlOf(address: string, { path, run }: { path: string; run: string }): URL {
  const url = new URL(address);
  url.pathname = `${url.pathname.replace(/\/$/, "")}${path}`;
  url.searchParams.set("rid", run);
  return url;
}

function tail(text: string): string {
  const bytes = new TextEncoder().encode(text);
  return bytes.length <= BODY_BYTES
    ? text
    : new TextDecoder().decode(bytes.subarray(-BODY_BYTES)).replace(/^\uFFFD+/, "");
}
