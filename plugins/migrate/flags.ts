/** Flags that several of the commands have. */
import type { Flags } from "../../core/plugin.ts";

/** Where the migration files are. */
export const DIRECTORY_FLAG = {
  "dir": {
    type: "string",
    repeatable: true,
    placeholder: "DIRECTORY",
    help: "Where the migration files are; by default MIGRATIONS_DIR",
    path: "read",
    completes: "directory",
  },
} as const satisfies Flags;

/** How the lock is taken. */
export const LOCK_FLAGS = {
  // A minute is longer than most migrations and shorter than the patience of most schedulers.
  "lock-wait": {
    type: "number",
    default: 60,
    env: "OBSERVATORY_LOCK_WAIT",
    placeholder: "SECONDS",
    help: "How long to wait while another run migrates; 0 fails at once",
  },
  "no-lock": {
    type: "boolean",
    help: "Take no lock, as behind a transaction pooler; nothing else may migrate meanwhile",
  },
} as const satisfies Flags;

/** Going on without the files of applied migrations. */
export const IGNORE_MISSING_FLAG = {
  "ignore-missing": {
    type: "boolean",
    help: "Go on when files of applied migrations are missing",
  },
} as const satisfies Flags;
