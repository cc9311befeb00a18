/** Seed modules: each is run in a worker of its own, as a plugin is, and gives rows as JSON lines. */
import { basename, dirname, join, resolve } from "node:path";
import {
  type Context,
  OperationError,
  type Result,
  type RowPart,
  type SeedRows,
} from "./plugin.ts";
import type { Configuration } from "./config.ts";
import type { LoadOptions } from "./loader.ts";
import type { Run } from "./run.ts";
import type { Guest } from "./sandbox/worker.ts";
import { TOOL } from "./version.ts";

/** What a seed module is run with. */
export interface SeedModuleOptions {
  readonly run: Run;
  readonly configuration: Configuration;
  readonly environment: string;
  readonly load: LoadOptions;
}

/**
 * Runs a seed module. Its worker is ended once its lines have been read, have failed or were
 * cancelled.
 *
 * @param path `DIRECTORY/FOLDER/FILE`: DIRECTORY is what a plugin directory is to a plugin
 * @throws OperationError of what is wrong with the module; so does the stream, while it is read
 */
export async function seedRows(path: string, options: SeedModuleOptions): Promise<SeedRows> {
  const { load } = options;
  let guest: Guest | undefined;
  const end = async () => {
    await guest?.end();
    load.cache.close();
  };
  try {
    guest = await start(path, options);
    const args = { file: nameOf(path), environment: options.environment };
    const result = await guest.run("rows", { flags: {}, args }, contextOf(options));
    if (result.rows === undefined) throw noSeed();
    const table = tableIn(result);
    const lines = linesOf(result.rows, end);
    return table === undefined ? { lines } : { table, lines };
  } catch (error) {
    await end();
    throw asModules(error);
  }
}

/** The folder and the file: the same wherever the directory is and however it is named. */
function nameOf(path: string): string {
  return `${basename(dirname(path))}/${basename(path)}`;
}

async function start(path: string, { run: { host }, load }: SeedModuleOptions): Promise<Guest> {
  const [{ preparePlugin }, { startGuest }] = await Promise.all([
    import("./sandbox/prepare.ts"),
    import("./sandbox/worker.ts"),
  ]);
  const given = dirname(dirname(resolve(host.cwd, path)));
  const directory = (await host.files.inspect(given))?.realPath ?? given;
  const found = { path: join(directory, nameOf(path)), directory };
  const plugin = await preparePlugin(found, load);
  const guest = await startGuest({ ...load, name: "seed", plugin, permissions: {}, locked: [] });
  const { name, commands, hooks, permissions } = guest.declaration;
  const isSeed = name === "seed" && Object.keys(commands).join() === "rows" &&
    hooks.length === 0 && Object.keys(permissions).length === 0;
  if (isSeed) return guest;
  await guest.end();
  throw noSeed();
}

function noSeed(): OperationError {
  return new OperationError("The module is no seed", {
    code: "plugin_invalid",
    hint:
      'Write: export default defineSeed({ async *rows(ctx) { … } }), imported from "observatory"',
  });
}

function tableIn({ data }: Result): string | undefined {
  const { table } = typeof data === "object" && data !== null && "table" in data
    ? data
    : { table: undefined };
  if (table === undefined || table === null) return undefined;
  if (typeof table === "string") return table;
  throw new OperationError("The module's table is not a text", { code: "plugin_invalid" });
}

/** The worker is ended even when nobody has begun to read. */
function linesOf(
  rows: ReadableStream<RowPart>,
  end: () => Promise<void>,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const reader = rows.getReader();
  const next = async (): Promise<Uint8Array | undefined> => {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return undefined;
      if (value.kind !== "rows" || value.rows.length === 0) continue;
      return encoder.encode(value.rows.map(lineOf).join(""));
    }
  };
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const chunk = await next();
        if (chunk !== undefined) return controller.enqueue(chunk);
        await end();
        controller.close();
      } catch (error) {
        await end();
        throw asModules(error);
      }
    },
    async cancel(reason) {
      try {
        await reader.cancel(reason);
      } finally {
        await end();
      }
    },
  }, { highWaterMark: 0 });
}

/** Who writes around `defineSeed` is still held to one line for each row. */
function lineOf([text, ...more]: readonly (string | null)[]): string {
  if (typeof text === "string" && more.length === 0 && !/[\n\r]/.test(text)) return `${text}\n`;
  throw noSeed();
}

/** Blames the module, where a plugin would be blamed by the name that all seeds share. */
function asModules(error: unknown): unknown {
  if (!(error instanceof OperationError) || !error.message.startsWith("Plugin seed ")) return error;
  const { message, kind, code, hint, excerpt } = error;
  return new OperationError(message.replace("Plugin seed", "The module"), {
    kind,
    code,
    ...(code === "plugin_failed" || hint === undefined ? {} : { hint }),
    ...(excerpt === undefined ? {} : { excerpt }),
    cause: error,
  });
}

/** What serves the module: the log and the settings that are no secrets, whatever it asks for. */
function contextOf({ run, configuration }: SeedModuleOptions): Context {
  const refused = () =>
    new OperationError("A seed module has the log, the configuration and random numbers alone", {
      kind: "refused",
      code: "forbidden",
    });
  const refuse = () => Promise.reject(refused());
  return {
    get db(): never {
      throw refused();
    },
    files: {
      list: refuse,
      readAll: refuse,
      readSmall: refuse,
      stream: refuse,
      create: refuse,
      save: refuse,
      rename: refuse,
      remove: refuse,
      makeDirectory: refuse,
      inspect: refuse,
    },
    log: run.log,
    config: {
      get: (name) => configuration.get(name),
      entries: () => Promise.resolve(configuration.entries()),
      problems: refuse,
    },
    tool: TOOL,
    signal: run.signal,
    dryRun: false,
    json: false,
    run: refuse,
    exec: refuse,
    clientTool: refuse,
    plugins: { list: refuse, check: refuse, contract: refuse, testing: refuse },
    state: { get: refuse, set: refuse, keys: refuse },
    prompt: refuse,
    sleep: refuse,
    progress: () => {},
    now: run.host.now,
  };
}
