/** The bucket that backups are kept in. */
import { type Context, OperationError } from "../../core/plugin.ts";
import type { RoundTrip } from "../repository/s3_round_trip.ts";
import type { Check, Finding, Subject } from "./check.ts";

/** Whether the bucket takes, gives back and removes what backups put there. */
export const s3: Check = {
  needs: "nothing",
  async run({ context }: Subject) {
    const { namesBucket, NO_BUCKET, s3Settings } = await import("../repository/s3_settings.ts");
    if (!namesBucket(context.config)) return { status: "skipped", message: NO_BUCKET };
    try {
      const { title } = s3Settings(context.config);
      return judgeRoundTrip(title, await tryBucket(context));
    } catch (error) {
      // Of kind `connection` it would be taken for the database's.
      if (!(error instanceof OperationError) || context.signal.aborted) throw error;
      const { message, hint, code, details } = error;
      return {
        status: "failed",
        message,
        ...(hint === undefined ? {} : { remedy: hint }),
        details: { ...details, code },
      };
    }
  },
};

async function tryBucket(context: Context): Promise<RoundTrip> {
  const [{ openS3Place }, { roundTrip }] = await Promise.all([
    import("../repository/s3_place.ts"),
    import("../repository/s3_round_trip.ts"),
  ]);
  const store = await openS3Place(context);
  try {
    return await roundTrip(store);
  } finally {
    store.close();
  }
}

/** The service tells whole seconds only, and an answer takes its time. */
const SKEW_LIMIT_MILLISECONDS = 5000;

/** Judges what a round trip has shown. */
export function judgeRoundTrip(title: string, trip: RoundTrip): Finding {
  const { conditional, tellsUploads, skew } = trip;
  const details = {
    conditional_writes: conditional,
    tells_uploads: tellsUploads,
    skew_ms: skew === undefined ? null : Math.round(skew),
  };
  if (skew !== undefined && Math.abs(skew) > SKEW_LIMIT_MILLISECONDS) {
    const seconds = Math.round(Math.abs(skew) / 1000);
    return {
      status: "warning",
      message: `${title} works, but its clock is ${seconds} s ${
        skew > 0 ? "ahead of" : "behind"
      } this machine's`,
      remedy: "Synchronise this machine's clock, for example with chrony",
      details,
    };
  }
  const notes = [
    ...(conditional ? [] : ["it cannot keep objects from being overwritten"]),
    ...(tellsUploads ? [] : ["it does not tell of unfinished uploads"]),
  ];
  return {
    status: "ok",
    message: [`${title} takes, gives back and removes objects`, ...notes].join("; "),
    details,
  };
}
