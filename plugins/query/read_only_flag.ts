/** The flag that `sql` and `shell` share. */
import type { Flags } from "../../core/plugin.ts";

/** Makes psql's transactions read-only by default. */
export const READ_ONLY_FLAG = {
  "read-only": {
    type: "boolean",
    help: "Begin transactions read-only: a guard against accidents, which SQL can take off",
  },
} as const satisfies Flags;
