/** How damage is told. */
import { OperationError } from "../../core/plugin.ts";

/** What tells that a backup or dump is damaged; nothing was changed by it. */
export function damaged(
  title: string,
  { reason, location, cause }: {
    readonly reason: string;
    readonly location?: string | undefined;
    readonly cause?: unknown;
  },
): OperationError {
  return new OperationError(
    `${title}${location === undefined ? "" : ` in ${location}`} is damaged: ${reason}`,
    {
      code: "backup_damaged",
      hint: "Restore another one; `observatory backup list` shows what there is",
      details: { source: title, reason },
      ...(cause === undefined ? {} : { cause }),
    },
  );
}

/** The same for what a reader has found; what says nothing about the bytes stays as it is. */
export function asDamage(error: unknown, title: string): unknown {
  const isDamage = error instanceof OperationError &&
    (error.code === "bad_archive" || error.code === "truncated_archive");
  return isDamage ? damaged(title, { reason: error.message, cause: error }) : error;
}
