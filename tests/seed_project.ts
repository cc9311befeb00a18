/** A directory of seeds beside a database, and runs of the program on them in this process. */
import { join } from "node:path";
import {
  migrationProject,
  type ProjectRun,
  type ProjectRunOptions,
  type StartedRun,
} from "./migration_project.ts";
import type { TestDatabase } from "./database.ts";

/** Seeds and a database; both are removed at the end. */
export interface SeedProject extends AsyncDisposable {
  readonly database: TestDatabase;
  /** Writes files, by their path in the seeds directory. */
  write(files: Readonly<Record<string, string | Uint8Array>>): Promise<void>;
  remove(...paths: readonly string[]): Promise<void>;
  /** Runs `seed` with arguments. */
  seed(args?: readonly string[], options?: ProjectRunOptions): Promise<ProjectRun>;
  /** Runs `seed --json` with arguments, which has to succeed, and gives its data. */
  data(args?: readonly string[], options?: ProjectRunOptions): Promise<SeedData>;
  start(args?: readonly string[], options?: ProjectRunOptions): StartedRun;
}

/** What `seed --json` tells. */
export interface SeedData {
  readonly files: readonly {
    readonly file: string;
    readonly reason: string;
    readonly loaded: boolean;
    readonly inserted?: number;
    readonly updated?: number;
    readonly untouched?: number;
    readonly rows?: readonly Record<string, string | null>[];
    readonly more_rows?: number;
  }[];
}

/** Makes a project; `sql` is run in its database first. */
export async function seedProject(
  sql: string,
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<SeedProject> {
  const project = await migrationProject();
  await project.database.query(sql);
  const inSeeds = (path: string) => join("seeds", path);
  const withSeeds = (options: ProjectRunOptions = {}): ProjectRunOptions => ({
    ...options,
    env: { SEEDS_DIR: join(project.directory, "seeds"), ...options.env },
  });
  const given: SeedProject = {
    database: project.database,
    write: (files) =>
      project.write(
        Object.fromEntries(Object.entries(files).map(([path, text]) => [inSeeds(path), text])),
      ),
    remove: (...paths) => project.remove(...paths.map(inSeeds)),
    seed: (args = [], options = {}) => project.run(["seed", ...args], withSeeds(options)),
    async data(args = [], options = {}) {
      const { exit, stdout, stderr } = await given.seed([...args, "--json"], options);
      if (exit !== 0) throw new Error(`seed ${args.join(" ")} ended with ${exit}: ${stderr}`);
      return JSON.parse(stdout).data;
    },
    start: (args = [], options = {}) => project.start(["seed", ...args], withSeeds(options)),
    [Symbol.asyncDispose]: () => project[Symbol.asyncDispose](),
  };
  await given.write({ "base/.keep": "", ...files });
  return given;
}
