/** The files that a command is about, and whether they are to be loaded. */
import { type Context, OperationError } from "../../core/plugin.ts";
import {
  type Environment,
  environmentOf,
  listSeedFiles,
  type SeedFile,
  seedsDirectory,
} from "./files.ts";
import type { Ledger } from "./ledger.ts";
import { checksumOf } from "./source.ts";

/** Why a file is loaded, or not. */
export type Reason = "new" | "changed" | "rerun" | "unchanged";

/** A run's files, and where they come from. */
export interface Wanted {
  readonly files: readonly SeedFile[];
  readonly directory: string;
  readonly environment: Environment;
}

/** Finds the files that a command is about. */
export async function wantedFiles(
  context: Context,
  options: {
    readonly directory: string | undefined;
    readonly environment: string | undefined;
    readonly only: readonly string[];
  },
): Promise<Wanted> {
  const directory = seedsDirectory(context, options.directory);
  const environment = environmentOf(context, options.environment);
  const files = await listSeedFiles(context, { directory, environment, only: options.only });
  return { files, directory, environment };
}

/** Tells whether a file is to be loaded, and why. */
export async function reasonFor(
  context: Context,
  file: SeedFile,
  { ledger, rerun }: { readonly ledger: Ledger; readonly rerun: boolean },
): Promise<Reason> {
  const entry = ledger.entries.get(file.name);
  if (entry === undefined) return "new";
  if (await checksumOf(context, file) !== entry.checksum) return "changed";
  return rerun ? "rerun" : "unchanged";
}

/** Adds what to do about a database that is missing. */
export async function withAdvice<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof OperationError) || error.code !== "database_missing") throw error;
    throw new OperationError(error.message, {
      kind: error.kind,
      code: error.code,
      hint: "`observatory migrate` creates the database and its tables; run it first",
      details: error.details,
      cause: error,
    });
  }
}
