/** Backups in a directory, and runs of the program beside it. */

import { join } from "node:path";
import { type BackupFiles, backupFiles, type BackupSpec, writeFiles } from "../backup_files.ts";
import {
  type Kind,
  type Run,
  type RunOptions,
  runProgram,
  type RunResult,
  startProgram,
} from "../program.ts";
import { directoryWith } from "./project.ts";

/** A directory with `backups` in it, removed at the end. */
export interface BackupPlace extends AsyncDisposable {
  /** Where the backups are. */
  readonly path: string;
  readonly backups: readonly BackupFiles[];
  /** Runs a command whose name begins with `backup`. */
  run(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Starts one likewise. */
  start(args: readonly string[], options?: RunOptions): Promise<Run>;
}

/** Makes backups in a directory for one kind of program. */
export async function place(kind: Kind, specs: readonly BackupSpec[]): Promise<BackupPlace> {
  const directory = await directoryWith({});
  const path = join(directory.path, "backups");
  const backups = specs.map(backupFiles);
  for (const { files } of backups) await writeFiles(path, files);
  return {
    path,
    backups,
    run: (args, options) =>
      runProgram(["backup", ...args], { kind, cwd: directory.path, ...options }),
    start: (args, options) =>
      startProgram(["backup", ...args], { kind, cwd: directory.path, ...options }),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}
