/** A directory with migrations beside a database, for runs of the program from outside. */
import { dirname, join } from "node:path";
import { freshDatabase, type TestDatabase } from "../database.ts";
import {
  type Kind,
  type RunOptions,
  runProgram,
  type RunResult,
  startProgram,
} from "../program.ts";

/** Files by their path in the directory. */
export type FilesByPath = Readonly<Record<string, string>>;

/** A directory, removed at the end. */
export interface Directory extends AsyncDisposable {
  readonly path: string;
}

/** Makes a directory with files. */
export async function directoryWith(files: FilesByPath): Promise<Directory> {
  const path = await Deno.makeTempDir({ prefix: "observatory-cli-" });
  for (const [name, contents] of Object.entries(files)) {
    await Deno.mkdir(dirname(join(path, name)), { recursive: true });
    await Deno.writeTextFile(join(path, name), contents);
  }
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

/** A directory and a database; both are removed at the end. */
export interface Project extends AsyncDisposable {
  readonly database: TestDatabase;
  readonly directory: string;
  /** Runs the program in it, with `DATABASE_URL` set. */
  run(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Starts the program likewise. */
  start(args: readonly string[], options?: RunOptions): ReturnType<typeof startProgram>;
}

/** Makes a project for one kind of program. */
export async function project(kind: Kind, files: FilesByPath): Promise<Project> {
  const directory = await directoryWith(files);
  const database = await freshDatabase();
  const withBoth = (options: RunOptions = {}): RunOptions => ({
    kind,
    cwd: directory.path,
    ...options,
    env: { DATABASE_URL: database.url, ...options.env },
  });
  return {
    database,
    directory: directory.path,
    run: (args, options) => runProgram(args, withBoth(options)),
    start: (args, options) => startProgram(args, withBoth(options)),
    async [Symbol.asyncDispose]() {
      await Promise.all([database.drop(), directory[Symbol.asyncDispose]()]);
    },
  };
}

/**
 * Waits until a condition holds.
 *
 * @throws Error when it does not within 20 seconds
 */
export async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!await condition()) {
    if (Date.now() > deadline) throw new Error(`Gave up waiting: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
