/**
 * Pings in the manner of healthchecks.io: `URL/start` when a backup begins, `URL` or
 * `URL/EXIT-CODE` with the last lines of the log when it has ended, all of one run with the same
 * `rid` (its documentation, "Pinging API": start, exit status, run identifiers, log as the body).
 */
import type { Context } from "../../core/plugin.ts";

const TIMEOUT_MILLISECONDS = 5000;
const TRIES = 3;
const BODY_BYTES = 10_000;

/** The pings of one run; none of them throws. */
export interface Pings {
  start(): Promise<void>;
  /** @param log what was said; the last 10 kB are sent */
  end(exit: number, log: string): Promise<void>;
}

/** Makes the pings for an address. */
export function createPings(ctx: Pick<Context, "log" | "now">, address: string): Pings {
  const run = crypto.randomUUID();
  async function ping(path: string, body: string): Promise<void> {
    let reason = "";
    for (let tried = 0; tried < TRIES; tried++) {
      try {
        const answer = await fetch(urlOf(address, { path, run }), {
          method: "POST",
          body,
          // A monitor that does not answer must not hold a backup up, nor a signal.
          signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS),
        });
        await answer.body?.cancel();
        if (answer.ok) return;
        reason = `it answers ${answer.status}`;
        // What the address itself is wrong about stays so.
        if (answer.status < 500 && answer.status !== 429) break;
      } catch (error) {
        reason = error instanceof Error ? error.message : String(error);
      }
    }
    ctx.log.warn(`Cannot ping the monitor${path}: ${reason}`);
  }
  return {
    start: () => ping("/start", ""),
    end: (exit, log) => ping(exit === 0 ? "" : `/${exit}`, tail(log)),
  };
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
    : new TextDecoder().decode(bytes.subarray(-BODY_BYTES)).replace(/^�+/, "");
}
