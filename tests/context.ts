/** The context that a built-in has, of a run in this process: for tests of what commands are made of. */
import { command, type Context, definePlugin } from "../core/plugin.ts";
import { type Host, systemHost } from "../core/host.ts";
import { run } from "../core/run.ts";

/** What the run is made with. */
export interface ContextOptions {
  /** The target; without it there is none. */
  readonly database?: { readonly url: string };
  readonly env?: Readonly<Record<string, string>>;
  /** Takes the lines of the log as they come. */
  readonly lines?: string[];
  readonly effect?: "read" | "write";
  /** Ends the run. */
  readonly signal?: AbortSignal;
}

/**
 * Runs work with a context over this machine: real files, programs, and the database.
 *
 * @throws whatever the work throws
 */
export async function withContext<T>(
  options: ContextOptions,
  work: (context: Context) => Promise<T>,
): Promise<T> {
  const { database, env = {}, lines = [], effect = "write", signal } = options;
  let ended: { readonly value: T } | { readonly error: unknown } | undefined;
  const plugin = definePlugin({
    name: "test",
    api: 1,
    summary: "Hands its context out",
    commands: {
      "test": command({
        summary: "Hand the context out",
        examples: [],
        effect,
        database: database === undefined ? "none" : "database",
        async run(context) {
          try {
            ended = { value: await work(context) };
          } catch (error) {
            ended = { error };
          }
          return { data: null };
        },
      }),
    },
  });
  const host: Host = {
    ...systemHost(),
    env: {
      ...database === undefined ? {} : { DATABASE_URL: database.url },
      OBSERVATORY_WAIT: "5",
      ...env,
    },
    stdout: { write: () => {}, isTerminal: false, columns: () => 80 },
    stderr: {
      write: (text) => void lines.push(...text.trimEnd().split("\n")),
      isTerminal: false,
      columns: () => 80,
    },
    interactive: false,
    readLine: () => Promise.resolve(null),
    onSignal(handler) {
      const end = () => handler("SIGTERM");
      signal?.addEventListener("abort", end, { once: true });
      return () => signal?.removeEventListener("abort", end);
    },
    onUnhandled: () => () => {},
    exit(code) {
      throw new Error(`The run was ended at once with ${code}: ${lines.join("\n")}`);
    },
  };
  await run(["test"], host, { plugins: [plugin] });
  if (ended === undefined) throw new Error(`The run ended before its work: ${lines.join("\n")}`);
  if ("error" in ended) throw ended.error;
  return ended.value;
}
