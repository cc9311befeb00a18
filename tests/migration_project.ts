/** A project with migrations and a database of its own, and runs of the program on it in this process. */

import { dirname, join } from "node:path";
import { ENDING_SIGNALS, type EndingSignal, type Host, systemHost } from "../core/host.ts";
import { run } from "../core/run.ts";
import type { ServerAddress } from "../tasks/server.ts";
import { requireDescribed } from "./schemas.ts";
import {
  freshDatabase,
  openDatabase,
  sharedServer,
  type TestDatabase,
  uniqueName,
} from "./database.ts";

/** A directory beside a database; both are removed at the end. */
export interface MigrationProject extends AsyncDisposable {
  readonly database: TestDatabase;
  readonly directory: string;
  /** Writes files, by their path in the project. */
  write(files: Readonly<Record<string, string | Uint8Array>>): Promise<void>;
  remove(...paths: readonly string[]): Promise<void>;
  /** Runs the program to its end. */
  run(args: readonly string[], options?: ProjectRunOptions): Promise<ProjectRun>;
  /** Starts a run, for tests that look at it while it is under way. */
  start(args: readonly string[], options?: ProjectRunOptions): StartedRun;
}

/** How a run is made. */
export interface ProjectRunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Changes the host, to inject faults. */
  readonly host?: (host: Host) => Host;
}

/** A run that may still be under way. */
export interface StartedRun {
  readonly ended: Promise<ProjectRun>;
  /** What it has written to stderr so far. */
  readonly stderr: string;
  /** Sends it a signal. */
  send(signal: EndingSignal): void;
}

/** What a run left. */
export interface ProjectRun {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How a project is made. */
export interface ProjectOptions {
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** Whether the database is left to be made by the program. */
  readonly withoutDatabase?: boolean;
  /** By default the shared one. */
  readonly server?: ServerAddress;
}

/** Makes a project. */
export async function migrationProject(options: ProjectOptions = {}): Promise<MigrationProject> {
  const directory = await Deno.makeTempDir({ prefix: "observatory-project-" });
  const server = options.server ?? await sharedServer();
  const database = options.withoutDatabase
    ? openDatabase(server, uniqueName("migrate"))
    : await freshDatabase({ server, prefix: "migrate" });
  const project: MigrationProject = {
    database,
    directory,
    async write(files) {
      for (const [path, contents] of Object.entries(files)) {
        const whole = join(directory, path);
        await Deno.mkdir(dirname(whole), { recursive: true });
        await Deno.writeFile(
          whole,
          typeof contents === "string" ? new TextEncoder().encode(contents) : contents,
        );
      }
    },
    async remove(...paths) {
      for (const path of paths) await Deno.remove(join(directory, path));
    },
    run: (args, runOptions) => project.start(args, runOptions).ended,
    start: (args, runOptions) => startRun(project, { args, ...runOptions }),
    async [Symbol.asyncDispose]() {
      await database.drop();
      await Deno.remove(directory, { recursive: true });
    },
  };
  await project.write({ "migrations/.keep": "", ...options.files });
  return project;
}

function startRun(
  project: MigrationProject,
  { args, env, host }: ProjectRunOptions & { readonly args: readonly string[] },
): StartedRun {
  const written = { stdout: "", stderr: "" };
  const handlers = new Set<(signal: EndingSignal) => void>();
  const stream = (name: keyof typeof written) => ({
    write: (text: string) => void (written[name] += text),
    isTerminal: false,
    columns: () => 80,
  });
  const plain: Host = {
    ...systemHost(),
    env: {
      DATABASE_URL: project.database.url,
      MIGRATIONS_DIR: join(project.directory, "migrations"),
      SEEDS_DIR: join(project.directory, "seeds"),
      BACKUPS_DIR: join(project.directory, "backups"),
      OBSERVATORY_WAIT: "5",
      ...env,
    },
    cwd: project.directory,
    stdout: stream("stdout"),
    stderr: stream("stderr"),
    interactive: false,
    readLine: () => Promise.resolve(null),
    onSignal(handler) {
      handlers.add(handler);
      return () => void handlers.delete(handler);
    },
    onUnhandled: () => () => {},
    exit(code) {
      throw new Error(`The run was ended at once with ${code}: ${written.stderr}`);
    },
  };
  return {
    ended: run(args, host?.(plain) ?? plain).then((exit) => {
      requireDescribed({ args, env: env ?? {}, ...written });
      return { exit, ...written };
    }),
    get stderr() {
      return written.stderr;
    },
    send(signal) {
      if (!(signal in ENDING_SIGNALS)) throw new Error(`${signal} does not end a run`);
      handlers.forEach((handler) => handler(signal));
    },
  };
}

/** Looks again and again until there is something other than undefined or false. */
export async function until<T>(look: () => Promise<T | undefined | false>): Promise<T> {
  for (let attempt = 0; attempt < 600; attempt++) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error("What was waited for has not come in 15 s");
}
