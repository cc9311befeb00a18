/** Plugins in real workers, with a context made by the test. */

import { join } from "node:path";
import { systemHost } from "../../core/host.ts";
import type { Context, Database, Permissions } from "../../core/plugin.ts";
import type { GuestLimits } from "../../core/sandbox/limits.ts";
import { type Guest, startGuest } from "../../core/sandbox/worker.ts";
import { withPlugins } from "./plugin_bench.ts";

/** A plugin's source with the given commands; `body` is the text of an object literal. */
export function pluginWith(body: string): string {
  return `
import { definePlugin, command, OperationError, DatabaseError } from "observatory";
const work = (run, more = {}) =>
  command({ summary: "Work", examples: [], effect: "write", run, ...more });
export default definePlugin({ name: "guest", api: 1, summary: "A guest", ${body} });
`;
}

/** How a guest is started. */
export interface Given {
  readonly limits?: Partial<GuestLimits>;
  readonly permissions?: Permissions;
  readonly hidden?: readonly string[];
  /** Further files beside the plugin's. */
  readonly files?: Readonly<Record<string, string>>;
}

/** Runs `work` with a plugin that was loaded in its worker. */
export async function withGuest(
  source: string,
  work: (guest: Guest, path: string) => Promise<void>,
  { files = {}, ...given }: Given = {},
): Promise<void> {
  await withPlugins({ "guest.js": source, ...files }, async ({ path, cache, prepare }) => {
    const plugin = await prepare("guest.js");
    const guest = await startGuest({ name: "guest.js", plugin, cache, locked: [path], ...given });
    try {
      await work(guest, join(path, "guest.js"));
    } finally {
      await guest.end();
    }
  });
}

/** A context over the real machine, with what the test gives; what it logs is kept. */
export function contextWith(
  given: Partial<Context> = {},
): { readonly context: Context; readonly lines: string[]; readonly progress: unknown[] } {
  const lines: string[] = [];
  const progress: unknown[] = [];
  const at = (level: string) => (text: string) => void lines.push(`${level}: ${text}`);
  const absent = (): never => {
    throw new Error("The test gives no such thing");
  };
  const context: Context = {
    get db(): Database {
      return absent();
    },
    files: systemHost().files,
    log: { debug: at("debug"), info: at("info"), success: at("success"), warn: at("warn") },
    config: {
      get: (name) => ({ LOG_LEVEL: "info", DB_PASSWORD: "s3cr3t", HOOK_URL: "there" })[name],
      entries: () =>
        Promise.resolve([
          { name: "LOG_LEVEL", value: "info", origin: "default", secret: false },
          { name: "DB_PASSWORD", value: "********", origin: ".env:1", secret: true },
        ]),
      problems: () => Promise.resolve(["one"]),
    },
    tool: { name: "observatory", version: "1.2.3" },
    signal: new AbortController().signal,
    dryRun: false,
    json: false,
    run: absent,
    exec: absent,
    clientTool: absent,
    plugins: { list: absent, check: absent, contract: absent, testing: absent },
    state: { get: absent, set: absent, keys: absent },
    prompt: absent,
    sleep: absent,
    progress: (state) => void progress.push(state),
    now: () => Date.now(),
  };
  return {
    context: Object.create(context, Object.getOwnPropertyDescriptors(given)),
    lines,
    progress,
  };
}

/** Runs one command of the guest and gives its data. */
export async function dataOf(
  guest: Guest,
  command: string,
  context: Context = contextWith().context,
): Promise<unknown> {
  return (await guest.run(command, { flags: {}, args: {} }, context)).data;
}

/** What a promise fails with. */
export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    (value) => {
      throw new Error(`It did not fail, but gave ${Deno.inspect(value)}`);
    },
    (error: unknown) => error,
  );
}
