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
    ...givenIn(flags, { values: call.flags ?? {}, prefix: "--" }),
    ...givenIn(args, { values: call.args ?? {}, prefix: "" }),
  ];
  for (const { told, value, kind } of given) {
    if (kind !== "net") {
      await allowed(value, { action: `run ${path} with ${told}`, kind, limits });
    } else if (!reaches(limits.permissions.net ?? [], value)) {
      throw refused(`${path} with ${told} "${value}"`, limits, {
        code: "not_declared",
        reason: `plugin ${limits.name} does not declare that it reaches it`,
        hint: "Name the host in permissions.net",
      });
    }
  }
}

/** Whether the host of an address is one of those declared, by name alone or with its port. */
function reaches(net: readonly string[], address: string): boolean {
  const url = URL.parse(address);
  if (url === null) return false;
  const { hostname, protocol, port } = url;
  const usual = protocol === "http:" ? "80" : "443";
  return net.includes(hostname) || net.includes(`${hostname}:${port || usual}`);
}

interface Declared {
  readonly path?: PathUse;
  readonly url?: boolean;
  readonly named?: boolean;
}

interface GivenValue {
  readonly told: string;
  readonly value: string;
  readonly kind: PathUse | "net";
}

/** What is given of values that reach beyond the command. */
function givenIn(
  declared: Readonly<Record<string, Declared>>,
  { values, prefix }: {
    readonly values: Readonly<Record<string, unknown>>;
    readonly prefix: string;
  },
): GivenValue[] {
  return Object.entries(declared).flatMap(([name, { path, url, named }]) => {
    const kind = url === true ? "net" : path;
    if (kind === undefined || !Object.hasOwn(values, name)) return [];
    return [values[name]].flat().map(String)
      .filter((value) => named !== true || value.includes("/"))
      .map((value) => ({ told: `${prefix}${name}`, value, kind }));
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
