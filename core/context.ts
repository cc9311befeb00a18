/** The context of one run, as built-ins get it in process. */
import {
  type CommandCall,
  type Context,
  type Database,
  type DatabaseNeed,
  OperationError,
  type Plugins,
  type Result,
} from "./plugin.ts";
import type { Configuration } from "./config.ts";
import type { ClientTools } from "./client_tools.ts";
import type { Programs } from "./programs.ts";
import { pluginState } from "./plugin_state.ts";
import { ask } from "./prompt.ts";
import type { Run } from "./run.ts";
import { sleep } from "./sleep.ts";
import { TOOL } from "./version.ts";
import {
  createDatabase,
  type HeldLocks,
  type RunDatabase,
  type SharedDatabaseState,
} from "./database.ts";

/** What the context is made from. */
export interface ContextOptions {
  readonly run: Run;
  readonly configuration: Configuration;
  readonly dryRun: boolean;
  readonly readOnly: boolean;
  readonly database: DatabaseNeed;
  /** Seconds to wait for the server. */
  readonly wait: number;
  /** What the commands of this run know of the server. */
  readonly shared: SharedDatabaseState;
  /** Locks of the commands that run this one. */
  readonly inherited: HeldLocks;
  /** Takes note of the locks that this one holds. */
  readonly held: Map<string, AbortSignal>;
  /** Runs another command. */
  readonly call: (path: string, input: CommandCall) => Promise<Result>;
  /** The name of the plugin whose context it is. */
  readonly plugin: string;
  readonly plugins: Plugins;
}

/** Makes the context; `close` ends what it has opened. */
export function createContext(
  options: ContextOptions,
): { context: Context; close(): Promise<void> } {
  const { run, configuration } = options;
  const { host, log, signal } = run;
  let database: RunDatabase | undefined;
  let programs: Promise<Programs> | undefined;
  let clientTools: Promise<ClientTools> | undefined;
  const others: (() => Promise<void>)[] = [];
  const context: Context = {
    get db(): Database {
      if (options.database === "none") {
        throw new OperationError(
          "This command declares that it needs no database, so it has none",
          {
            code: "no_database",
          },
        );
      }
      return database ??= createDatabase({
        parameters: configuration.connection(),
        dialer: host.dialer,
        log,
        signal,
        readOnly: options.readOnly,
        wait: options.wait,
        now: host.now,
        shared: options.shared,
        inherited: options.inherited,
        held: options.held,
      });
    },
    async at(url, { named = "the URL" } = {}) {
      const { contextAt } = await import("./other_server.ts");
      const { plugin, wait } = options;
      const other = await contextAt(context, { run, url, named, plugin, wait });
      others.push(other.close);
      return other.context;
    },
    files: host.files,
    log,
    config: {
      get: (name) => configuration.get(name),
      secret: (name) => configuration.secret(name),
      entries: () => Promise.resolve(configuration.entries()),
      problems: () => Promise.resolve(configuration.problems.map(({ message }) => message)),
    },
    tool: TOOL,
    signal,
    dryRun: options.dryRun,
    json: run.json,
    run: (path, input = {}) => options.call(path, input),
    async exec(program, programOptions) {
      programs ??= import("./programs.ts").then(({ createPrograms }) =>
        createPrograms({
          host,
          log,
          signal,
          parameters: () => configuration.connection(),
          state: run.state,
        })
      );
      return await (await programs).exec(program, programOptions);
    },
    async clientTool(name, toolOptions) {
      clientTools ??= import("./client_tools.ts").then(({ createClientTools }) =>
        createClientTools({ host, directory: configuration.get("PG_BIN_DIR") })
      );
      return await (await clientTools).find(name, toolOptions);
    },
    plugins: options.plugins,
    state: pluginState(options.plugin, () => context.db),
    prompt: (question) => ask(run, question),
    sleep: (milliseconds) => sleep(milliseconds, signal),
    progress: (state) => run.progress.show(state),
    now: host.now,
  };
  return {
    context,
    async close() {
      await Promise.all(others.map((each) => each()));
      await (await programs)?.close();
      await database?.close();
    },
  };
}
