/** The flags that every command has. */
import type { Command, Flags, FlagValues } from "./plugin.ts";

/** Accepted before and after the command's name. */
export const GLOBAL_FLAGS = {
  "help": { type: "boolean", short: "h", help: "Show the help of the command" },
  "version": { type: "boolean", short: "V", help: "Show the version" },
  "json": { type: "boolean", help: "Print the result as one JSON object" },
  "quiet": { type: "boolean", short: "q", help: "Write only warnings and errors to stderr" },
  "verbose": { type: "boolean", help: "Write debug lines to stderr too" },
  "log-format": {
    type: "string",
    choices: ["text", "json"],
    env: "LOG_FORMAT",
    default: "text",
    help: "The form of the lines on stderr",
  },
  "color": {
    type: "string",
    choices: ["auto", "always", "never"],
    default: "auto",
    help: "Colours on stderr; auto means on a terminal, unless NO_COLOR is set",
  },
  "audit-log": {
    type: "string",
    env: "AUDIT_LOG",
    placeholder: "FILE",
    help: "Add a line to this file before and after whatever writes or destroys",
  },
  "plugin-dir": {
    type: "string",
    repeatable: true,
    placeholder: "DIR",
    help: "Load the plugins of this directory too",
    completes: "directory",
  },
  "no-plugins": { type: "boolean", help: "Load no plugins of users" },
  "env-file": {
    type: "string",
    placeholder: "FILE",
    help: "Read this file instead of .env",
    completes: "settings-file",
  },
  "targets": {
    type: "string",
    placeholder: "FILE",
    help: "Work on one target of this file, see `observatory help targets`",
    completes: "file",
  },
  "target-index": {
    type: "string",
    placeholder: "N",
    help: "Which target, counted from 0; by default $JOB_COMPLETION_INDEX",
  },
} as const satisfies Flags;

/** Accepted by every command that speaks to the database, and by `config`. */
export const CONNECTION_FLAGS = {
  "database-url": {
    type: "string",
    placeholder: "URL",
    help: "The database, as a URL or as keywords; DATABASE_URL keeps its password out of `ps`",
  },
  "host": {
    type: "string",
    placeholder: "NAME",
    help: "The server's name, address or socket directory",
  },
  "port": { type: "string", placeholder: "NUMBER", help: "The server's port" },
  "dbname": { type: "string", placeholder: "NAME", help: "The database's name" },
  "user": { type: "string", placeholder: "NAME", help: "The role to connect as" },
  "wait": {
    type: "number",
    env: "OBSERVATORY_WAIT",
    default: 60,
    placeholder: "SECONDS",
    help: "How long to wait for the server to answer; 0 tries once",
  },
} as const satisfies Flags;

/** The setting that each of these flags stands for. */
export const SETTING_OF_FLAG: Readonly<Record<string, string>> = {
  "database-url": "DATABASE_URL",
  "host": "DB_HOST",
  "port": "DB_PORT",
  "dbname": "DB_NAME",
  "user": "DB_USER",
  "audit-log": "AUDIT_LOG",
};

const DRY_RUN_FLAG = {
  "dry-run": { type: "boolean", help: "Change nothing; show what would be done" },
} as const satisfies Flags;

const DESTROY_FLAGS = {
  "force": { type: "boolean", help: "Do not ask; in production --confirm is needed too" },
  "confirm": {
    type: "string",
    placeholder: "NAME",
    help: "Confirm by the database's name, without a question",
  },
} as const satisfies Flags;

/** The values of the flags that the host itself reads. */
export type HostFlagValues = Partial<
  FlagValues<
    typeof GLOBAL_FLAGS & typeof CONNECTION_FLAGS & typeof DRY_RUN_FLAG & typeof DESTROY_FLAGS
  >
>;

/** Every flag that a command accepts, its own first. */
export function acceptedFlags(command: Command): { own: Flags; connection: Flags; global: Flags } {
  const own: Flags = {
    ...command.flags,
    ...(command.dryRun ? DRY_RUN_FLAG : {}),
    ...(command.effect === "destroy" ? DESTROY_FLAGS : {}),
  };
  return {
    own,
    connection: (command.database ?? "database") === "none" ? {} : CONNECTION_FLAGS,
    global: GLOBAL_FLAGS,
  };
}
