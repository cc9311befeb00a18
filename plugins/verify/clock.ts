/** Whether this machine's clock and the server's agree. */
import type { Check, Finding, Server } from "./check.ts";

/** One look at both clocks, in milliseconds since 1970. */
export interface ClockSample {
  /** This machine's, before the question and after the answer. */
  readonly before: number;
  readonly after: number;
  /** The server's, at some time in between. */
  readonly server: number;
}

const SAMPLES = 3;
const LIMIT_MILLISECONDS = 2000;

/** The difference of the clocks, by the midpoint of the shortest round trip. */
export const clock: Check = {
  needs: "server",
  async run({ context, session }: Server) {
    const samples: ClockSample[] = [];
    for (let sample = 0; sample < SAMPLES; sample++) {
      const before = context.now();
      const { rows: [row] } = await session.query<{ now: number }>(
        "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now",
      );
      const after = context.now();
      if (row !== undefined) samples.push({ before, after, server: row.now });
    }
    return judgeClock(samples);
  },
};

/** Judges the difference; what the round trip leaves uncertain is not held against the clocks. */
export function judgeClock(samples: readonly ClockSample[]): Finding {
  const [best] = [...samples].sort((a, b) => (a.after - a.before) - (b.after - b.before));
  if (best === undefined) return { status: "skipped", message: "The server told no time" };
  const { before, after, server } = best;
  const skew = server - (before + after) / 2;
  // Clocks are read in whole milliseconds here.
  const uncertainty = (after - before) / 2 + 1;
  const details = {
    skew_ms: Math.round(skew),
    uncertainty_ms: Math.ceil(uncertainty),
  };
  if (Math.abs(skew) - uncertainty <= LIMIT_MILLISECONDS) {
    const bound = Math.ceil(Math.abs(skew) + uncertainty);
    return {
      status: "ok",
      message: `This machine's clock and the server's agree within ${bound} ms`,
      details,
    };
  }
  return {
    status: "warning",
    message: `The server's clock is ${duration(Math.abs(skew))} ${
      skew > 0 ? "ahead of" : "behind"
    } this machine's`,
    remedy: "Synchronise both clocks, for example with chrony: times of backups and schedules " +
      "are wrong otherwise, and S3 refuses requests above 15 minutes",
    details,
  };
}

function duration(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}
