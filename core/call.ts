/** A command that another command runs: its input, and what it may not do. */
import { type Arguments, type CommandCall, type Effect, OperationError } from "./plugin.ts";
import type { CommandEntry } from "./command_tree.ts";
import { shown } from "./shown.ts";

/** The command that runs another one. */
export interface Caller {
  readonly path: string;
  readonly effect: Effect;
  readonly dryRun: boolean;
  /** How many commands run each other around it. */
  readonly depth: number;
}

/** Commands that may run each other: more than any use of it, and few enough for the server. */
const DEEPEST = 10;

/**
 * The words of a command line that stands for the call, so that both are checked alike.
 *
 * @throws OperationError when the caller's own effect or `--dry-run` forbids the call, or commands
 * run each other without end
 */
export function wordsOfCall(call: CommandCall, entry: CommandEntry, caller: Caller): string[] {
  const { command, path } = entry;
  if (caller.depth >= DEEPEST) {
    throw new OperationError(
      `Cannot run ${path}: ${DEEPEST} commands have run each other already, or hooks around them`,
      { code: "calls_too_deep", hint: `Look at what ${caller.path} runs, and at its hooks` },
    );
  }
  if (caller.effect === "read" && command.effect !== "read") {
    throw new OperationError(`Cannot run ${path}: ${caller.path} declares that it only reads`, {
      kind: "refused",
      code: "effect_exceeded",
      hint: `Declare the effect of ${caller.path} as ${command.effect}`,
    });
  }
  if (caller.dryRun && command.effect !== "read" && command.dryRun !== true) {
    throw new OperationError(`Cannot run ${path} under --dry-run: it does not offer that`, {
      kind: "refused",
      code: "no_dry_run",
    });
  }
  return [
    ...Object.entries(call.flags ?? {}).flatMap(([name, value]) => flagWords(name, value)),
    ...(caller.dryRun && command.dryRun === true ? ["--dry-run"] : []),
    "--",
    ...argumentWords(call.args ?? {}, command.args ?? {}),
  ];
}

function flagWords(
  name: string,
  value: string | number | boolean | readonly string[],
): string[] {
  // As a word it would be another flag with a value, which nobody has looked at.
  if (name.includes("=")) {
    throw new OperationError(`Unknown flag ${shown(`--${name}`)}`, {
      kind: "usage",
      code: "usage",
    });
  }
  if (typeof value === "boolean") return value ? [`--${name}`] : [];
  return (Array.isArray(value) ? value : [value]).map((each) => `--${name}=${each}`);
}

function argumentWords(given: NonNullable<CommandCall["args"]>, declared: Arguments): string[] {
  const unknown = Object.keys(given).find((name) => declared[name] === undefined);
  if (unknown !== undefined) {
    throw new OperationError(`Unknown argument ${shown(unknown)}`, {
      kind: "usage",
      code: "usage",
      hint: `Its arguments are: ${Object.keys(declared).join(", ") || "none"}`,
    });
  }
  return Object.keys(declared).flatMap((name) => given[name] ?? []).map(String);
}
