/** A user's plugin in a worker of its own, from the host's side. */

import type { Context, HookEvent, Permissions, Result } from "../plugin.ts";
import { pathToFileURL } from "node:url";
import { blame } from "./blame.ts";
import type { CalledCommand } from "./calls.ts";
import { OBSERVATORY_COPY } from "./copies.ts";
import { type PluginDeclaration, readDeclaration, variablesOf } from "./declaration.ts";
import { type GuestCache, guestUrl } from "./guest_files.ts";
import { GUEST_LIMITS, type GuestLimits } from "./limits.ts";
import { GuestLine } from "./line.ts";
import type { PreparedPlugin } from "./prepare.ts";
import { GuestRuns } from "./runs.ts";
import { ProtocolError } from "./shapes.ts";
import { dataProblem, result as resultShape, rowPart } from "./values.ts";

/** What a guest is started with. */
export interface GuestOptions {
  /** What the plugin is called in messages until it has told its name. */
  readonly name: string;
  readonly plugin: Pick<PreparedPlugin, "entryUrl" | "directory" | "origins">;
  /** The guest's own modules are kept there too. */
  readonly cache: GuestCache;
  /** What it has declared that it needs; by default nothing. */
  readonly permissions?: Permissions;
  /** By default {@link GUEST_LIMITS}. */
  readonly limits?: Partial<GuestLimits>;
  /** Absolute paths that it may never write below: plugin directories, the cache, the program. */
  readonly locked?: readonly string[];
  /** Absolute paths that it may never read, whatever it has declared: files with secrets. */
  readonly hidden?: readonly string[];
  /** Finds a command that it runs; what is given to one of those goes no further than is declared. */
  readonly commandOf?: (name: string) => CalledCommand | undefined;
  /**
   * Told that it takes more and more memory although it was ended, which the runtime cannot always
   * do with what never pauses: the process has to end then, and to say why.
   */
  readonly runaway?: (error: Error) => void;
  /** Told what it logs while no command or hook of it runs. */
  readonly debug?: (line: string) => void;
}

/** What a command is given. */
export interface GuestInput {
  readonly flags: Readonly<Record<string, unknown>>;
  readonly args: Readonly<Record<string, unknown>>;
}

/** A plugin that has been loaded in its worker. */
export interface Guest {
  readonly declaration: PluginDeclaration;
  /** Why it was ended, when it has been: it is of no further use then. */
  readonly ended: Error | undefined;
  /**
   * Runs a command. When it gives rows, it goes on until they have been read or cancelled.
   *
   * @throws OperationError what the plugin throws; else `plugin_failed`, `plugin_hung`,
   * `plugin_memory` or `plugin_protocol`, naming the plugin and the place in its source
   * @throws the signal's reason, when the run was to end
   */
  run(command: string, input: GuestInput, context: Context): Promise<Result>;
  /** Tells what a destroying command is about to do; throws as `run` does. */
  plan(command: string, input: GuestInput, context: Context): Promise<string>;
  /** Calls a hook by its full name, such as `after:backup`; throws as `run` does. */
  hook(name: string, event: HookEvent, context: Context): Promise<void>;
  /** Ends it, whatever it does, and closes what it has opened; safe to call twice. */
  end(): Promise<void>;
}

/**
 * Starts a worker, hardens it and loads a plugin in it.
 *
 * @throws OperationError `plugin_failed` when the plugin cannot be loaded, `plugin_hung` when that
 * takes too long, `plugin_invalid` when what it declares is not valid, `plugin_incompatible` when
 * it is written for another version of the contract
 */
export async function startGuest(options: GuestOptions): Promise<Guest> {
  const { name, plugin, permissions = {} } = options;
  const limits = { ...GUEST_LIMITS, ...options.limits };
  const line = new GuestLine(openWorker(options), {
    blamed: { name, origins: plugin.origins },
    limits,
    runaway: options.runaway,
  });
  const runs = new GuestRuns(line, { ...options, permissions, limits });
  const contract = `${pathToFileURL(plugin.directory).href}/${OBSERVATORY_COPY}`;
  try {
    const json = await line.load({ entry: plugin.entryUrl, contract });
    const declaration = readDeclaration(json, name);
    line.blamed = { name: declaration.name, origins: plugin.origins };
    return guestOf({ line, runs, declaration });
  } catch (error) {
    await line.end();
    throw error;
  }
}

/** A worker with no more than is declared; everything but the network is asked of the host. */
function openWorker({ name, plugin, cache, permissions }: GuestOptions): Worker {
  const net = [...permissions?.net ?? []];
  const none = { env: false, ffi: false, import: false, run: false, sys: false, write: false };
  try {
    return new Worker(guestUrl(cache), {
      type: "module",
      deno: {
        // Where the runtime checks what is imported, the plugin's own copies are all it may.
        permissions: { ...none, read: [plugin.directory], net: net.length > 0 ? net : false },
      },
    });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw blame({ name }, "plugin_invalid", {
      message: `declares permissions that cannot be given: ${error.message}`,
    });
  }
}

function guestOf(
  { line, runs, declaration }: {
    readonly line: GuestLine;
    readonly runs: GuestRuns;
    readonly declaration: PluginDeclaration;
  },
): Guest {
  /** The host's own flags are none of the plugin's business: they may hold a password. */
  function own(command: string, { flags, args }: GuestInput): unknown {
    const declared = declaration.commands[command]?.flags ?? {};
    return {
      flags: Object.fromEntries(
        Object.entries(flags).filter(([name]) => Object.hasOwn(declared, name)),
      ),
      args,
    };
  }
  const variables = variablesOf(declaration);
  return {
    declaration,
    get ended() {
      return line.ended;
    },
    async run(name, input, context) {
      const run = await runs.begin({
        does: "run",
        name,
        input: own(name, input),
        context,
        variables,
      });
      let rows: ReadableStream | undefined;
      try {
        const given = readResult(await run.answer, line.blamed);
        const { rows: id, ...result } = given;
        if (id === undefined) return result;
        rows = line.streams.receive(id, rowPart, run.close);
        return { ...result, rows };
      } finally {
        if (rows === undefined) run.close();
      }
    },
    async plan(name, input, context) {
      const run = await runs.begin({
        does: "plan",
        name,
        input: own(name, input),
        context,
        variables,
      });
      try {
        const told = await run.answer;
        if (typeof told === "string") return told;
        throw blame(line.blamed, "plugin_failed", {
          message: `failed: the plan of "${name}" returns no text`,
        });
      } finally {
        run.close();
      }
    },
    async hook(name, input, context) {
      const run = await runs.begin({ does: "hook", name, input, context, variables });
      try {
        await run.answer;
      } finally {
        run.close();
      }
    },
    end: () => line.end(),
  };
}

function readResult(
  value: unknown,
  plugin: { readonly name: string },
): ReturnType<typeof resultShape> {
  const fail = (reason: string) =>
    blame(plugin, "plugin_failed", { message: `failed: its result ${reason}` });
  try {
    const result = resultShape(value);
    const problem = dataProblem(result.data);
    if (problem !== undefined) throw fail(problem);
    return result;
  } catch (error) {
    if (error instanceof ProtocolError) throw fail(`is not valid: ${error.message}`);
    throw error;
  }
}
