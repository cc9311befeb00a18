/** How a failure while a file is applied or rolled back is told. */
import { DatabaseError, OperationError } from "../../core/plugin.ts";
import type { MigrationFile } from "./files.ts";
import { locate, type SentText } from "../sql/location.ts";

/** Which part of the work failed. */
export type FailedPart = "begin" | "file" | "record" | "commit";

/** What is known of a failure. */
export interface FailureOptions {
  readonly file: MigrationFile;
  readonly part: FailedPart;
  /** The text that failed, when it was the file's. */
  readonly sent?: SentText | undefined;
  /** What became of the file's changes; sentences without a final period. */
  readonly facts: readonly string[];
  readonly hint?: string | undefined;
}

/** Tells what the server reported, with the place in the file. */
export function failure(error: DatabaseError, options: FailureOptions): OperationError {
  const { file, part, sent } = options;
  const { message, sqlstate, detail, where, hint } = error.server;
  const place = sent === undefined ? undefined : locate(error, sent);
  const action = file.kind === "down" ? "roll back" : "apply";
  const at = place === undefined ? file.path : `${file.path}:${place.line}:${place.column}`;
  const lines = [
    place?.excerpt,
    detail && `Detail: ${detail}`,
    where && `Context: ${where}`,
    ...options.facts,
  ];
  const advice = options.hint ?? hint ?? adviceFor(sqlstate, part);
  return new OperationError(
    `Cannot ${action} ${at}: ${PART[part]}${message} (SQLSTATE ${sqlstate})`,
    {
      code: sqlstate === CANCELLED ? "cancelled" : "migration_failed",
      excerpt: lines.filter((line) => line).join("\n"),
      ...(advice === undefined ? {} : { hint: advice }),
      details: {
        file: file.path,
        version: String(file.version),
        ...(place === undefined ? {} : { line: place.line, column: place.column }),
        sqlstate,
        server: error.server,
      },
      cause: error,
    },
  );
}

const CANCELLED = "57014";

const PART: Readonly<Record<FailedPart, string>> = {
  begin: "its transaction cannot begin: ",
  file: "",
  record: "it cannot be recorded: ",
  commit: "its transaction cannot be committed: ",
};

function adviceFor(sqlstate: string, part: FailedPart): string | undefined {
  if (part === "record") return RECORD_ADVICE[sqlstate];
  return ADVICE[sqlstate];
}

const RECORD_ADVICE: Readonly<Record<string, string>> = {
  "23505": "Another tool that takes no lock, such as sqlx-cli, has applied it meanwhile; run again",
  "25006": "The file makes its transaction read-only; the record must be written in it too",
  "42501": "The file changes the role of the session; add RESET ROLE at its end",
};

const ADVICE: Readonly<Record<string, string>> = {
  "25001":
    'Make "-- no-transaction" the very first bytes of the file, so that its statements run one by one',
  "40P01": "Two sessions waited for each other; run again",
  "42501": "Run as a role that may do this, or grant it the right",
  "42P07": "If the object was made by hand, remove it, or record the migration as applied with " +
    "`observatory migrate baseline`",
  "55P03": "Another session holds a lock on the object; run again when it has ended",
  "55P04":
    "PostgreSQL lets a new enum value be used only after its commit; use it in the next migration",
  "57014": "The statement was cancelled, by a timeout or by hand",
};

/** Tells that the connection broke while a transaction was under way. */
export function connectionBroke(error: OperationError, file: MigrationFile): OperationError {
  const action = file.kind === "down" ? "rolled back" : "applied";
  return new OperationError(`${error.message}, while "${file.path}" was being ${action}`, {
    kind: error.kind,
    code: error.code,
    hint: "The file and its record are committed together or not at all; " +
      "`observatory migrate status` tells which, and running again goes on from there",
    details: { ...error.details, file: file.path, version: String(file.version) },
    cause: error,
  });
}

/** Whether the connection broke, so that it is not known what became of the last statement. */
export function isConnectionLoss(error: unknown): error is OperationError {
  return error instanceof OperationError && !(error instanceof DatabaseError) &&
    error.kind === "connection";
}
