/** What a plugin has other commands do for it: nothing that it may not do itself. */

import {
  type Command,
  type CommandCall,
  OperationError,
  type PathUse,
  type Permissions,
} from "../plugin.ts";
import { allowed, type FileLimits } from "./files.ts";

/** A command that can be run. */
export interface CalledCommand {
  /** Its full path, whatever alias it was found by. */
  readonly path: string;
  readonly command: Pick<Command, "flags" | "args" | "program">;
}

/** What limits a plugin's calls. */
export interface CallLimits extends FileLimits {
  readonly permissions: Permissions;
  /** Finds a command by any of its names. */
  readonly commandOf?: ((name: string) => CalledCommand | undefined) | undefined;
}

/** The commands that write plugins, or run whatever they are given. */
const OF_PLUGINS = /^plugin (?!list$)/;

/**
 * Lets a plugin run a command, or not.
 *
 * @throws OperationError of kind `refused`: `forbidden`, or `not_declared` for a path or a program
 */
export async function limitCall(
  name: string,
  call: CommandCall,
  limits: CallLimits,
): Promise<void> {
  const found = limits.commandOf?.(name);
  // That there is none is told by whoever runs it.
  if (found === undefined) return;
  const { path, command: { program, flags = {}, args = {} } } = found;
  if (OF_PLUGINS.test(path)) {
    throw refused(path, limits, { code: "forbidden", reason: "no plugin writes or loads plugins" });
  }
  if (program !== undefined) {
    // Whoever may start that may reach any file by it.
    if (limits.permissions.run?.includes(program)) return;
    throw refused(path, limits, {
      code: "not_declared",
      reason: `plugin ${limits.name} does not declare that it runs ${program}`,
      hint: `Name it in permissions.run: ${program} does whatever is given to ${path}`,
    });
  }
  const given = [
    ...pathsIn(flags, { values: call.flags ?? {}, prefix: "--" }),
    ...pathsIn(args, { values: call.args ?? {}, prefix: "" }),
  ];
  for (const { told, value, kind } of given) {
    await allowed(value, { action: `run ${path} with ${told}`, kind, limits });
  }
}

interface GivenPath {
  readonly told: string;
  readonly value: string;
  readonly kind: PathUse;
}

function pathsIn(
  declared: Readonly<Record<string, { readonly path?: PathUse }>>,
  { values, prefix }: {
    readonly values: Readonly<Record<string, unknown>>;
    readonly prefix: string;
  },
): GivenPath[] {
  return Object.entries(declared).flatMap(([name, { path: kind }]) => {
    if (kind === undefined || !Object.hasOwn(values, name)) return [];
    return [values[name]].flat().map((value) => ({
      told: `${prefix}${name}`,
      value: String(value),
      kind,
    }));
  });
}

function refused(
  path: string,
  { name }: CallLimits,
  { reason, ...options }: {
    readonly code: string;
    readonly reason: string;
    readonly hint?: string;
  },
): OperationError {
  return new OperationError(`Cannot run ${path}: ${reason}`, {
    kind: "refused",
    ...options,
    details: { command: path, plugin: name },
  });
}
