/** How a failure while a file is loaded is told. */
import { type Context, DatabaseError, OperationError } from "../../core/plugin.ts";
import { FileFault, type Place } from "./fault.ts";
import type { SeedFile } from "./files.ts";
import { ModuleFault } from "./module.ts";
import { lineOf } from "./opened.ts";
import { asFault } from "./script.ts";

/** What is known beside the error. */
export interface FailureOptions {
  readonly file: SeedFile;
  /** How many files were loaded before it in this run. */
  readonly loaded: number;
}

/** Tells what went wrong with a file, with the place in it; errors of another kind stay as they are. */
export async function failureOf(
  context: Context,
  thrown: unknown,
  options: FailureOptions,
): Promise<unknown> {
  const error = asFault(thrown);
  if (error instanceof DatabaseError) return await ofServer(context, error, options);
  if (error instanceof ModuleFault) return ofModule(error, options);
  if (error instanceof FileFault) return await ofFile(context, error, options);
  if (error instanceof OperationError && error.kind === "connection") {
    return connectionBroke(error, options.file);
  }
  return error;
}

async function ofServer(
  context: Context,
  error: DatabaseError,
  { file, loaded }: FailureOptions,
): Promise<OperationError> {
  const { message, sqlstate, detail, where } = error.server;
  const place = await placeOf(context, file, error.details);
  const field = error.details["field"];
  const lines = [
    error.excerpt,
    typeof field === "string" ? `Column: ${field}` : undefined,
    detail && `Detail: ${detail}`,
    where && !/\bseed_(rows|lines)\b/.test(where) && `Context: ${where}`,
    facts(loaded),
  ];
  const hint = error.hint ?? ADVICE[sqlstate];
  return new OperationError(
    `Cannot load ${at(file, place)}: ${message} (SQLSTATE ${sqlstate})`,
    {
      code: sqlstate === CANCELLED ? "cancelled" : "seed_failed",
      excerpt: lines.filter((line) => line).join("\n"),
      ...(hint === undefined ? {} : { hint }),
      details: { file: file.path, ...place, sqlstate, server: error.server },
      cause: error,
    },
  );
}

const CANCELLED = "57014";

const ADVICE: Readonly<Record<string, string>> = {
  "23503": "Load what it refers to first: files are loaded in the order of their names",
  "40P01": "Two sessions waited for each other; run again",
  "42501": "Run as a role that may do this, or grant it the right",
  "42P01": "Run `observatory migrate` first if a migration makes it",
  "3F000": "Run `observatory migrate` first if a migration makes it",
  "55P03": "Another session holds a lock on the object; run again when it has ended",
  "57014": "The statement was cancelled, by a timeout or by hand",
};

async function ofFile(
  context: Context,
  fault: FileFault,
  { file, loaded }: FailureOptions,
): Promise<OperationError> {
  const place = await placeOf(context, file, fault.place);
  return new OperationError(`Cannot load ${at(file, place)}: ${fault.message}`, {
    code: fault.code,
    excerpt: facts(loaded),
    ...(fault.hint === undefined ? {} : { hint: fault.hint }),
    details: { ...fault.details, file: file.path, ...place },
    cause: fault,
  });
}

function ofModule(fault: ModuleFault, { file, loaded }: FailureOptions): OperationError {
  const { message, kind, code, hint, excerpt, details } = fault;
  return new OperationError(`Cannot load ${file.path}: ${message}`, {
    kind,
    code,
    excerpt: [excerpt, facts(loaded)].filter((line) => line).join("\n"),
    ...(hint === undefined ? {} : { hint }),
    details: { ...details, file: file.path },
    cause: fault,
  });
}

/** A fault as one of several findings. */
export async function findingOf(
  context: Context,
  file: SeedFile,
  fault: FileFault,
): Promise<string> {
  const place = await placeOf(context, file, fault.place);
  const hint = fault.hint === undefined ? "" : `. ${fault.hint}`;
  return `${at(file, place)}: ${fault.message}${hint}`;
}

interface ShownPlace {
  readonly line?: number;
  readonly column?: number;
}

async function placeOf(
  context: Context,
  file: SeedFile,
  rough: Readonly<Record<string, unknown>> | Place,
): Promise<ShownPlace> {
  const { line, column, ordinal, copyLine, offset }: Record<string, unknown> = { ...rough };
  if (typeof line === "number") {
    return { line, ...(typeof column === "number" ? { column } : {}) };
  }
  const found = await lineOf(context, file, {
    ...(typeof ordinal === "number" ? { ordinal } : {}),
    ...(typeof copyLine === "number" ? { copyLine } : {}),
    ...(typeof offset === "number" ? { offset } : {}),
  });
  return found === undefined ? {} : { line: found };
}

function at({ path, type }: SeedFile, { line, column }: ShownPlace): string {
  if (type === "module") return line === undefined ? path : `${path}, row ${line}`;
  return [path, line, column].filter((part) => part !== undefined).join(":");
}

function facts(loaded: number): string {
  const before = loaded === 0
    ? ""
    : loaded === 1
    ? "; the one file before it in this run is loaded"
    : `; the ${loaded} files before it in this run are loaded`;
  return `Nothing of this file was kept${before}`;
}

function connectionBroke(error: OperationError, file: SeedFile): OperationError {
  return new OperationError(`${error.message}, while "${file.path}" was being loaded`, {
    kind: error.kind,
    code: error.code,
    hint: "A file and its record are committed together or not at all; run `observatory seed` " +
      "again, which goes on from there",
    details: { ...error.details, file: file.path },
    cause: error,
  });
}
