/** From the words of a command line to a command's input. */
import { type Arguments, type Command, type Flags, type Input, OperationError } from "./plugin.ts";
import type { CommandEntry } from "./command_tree.ts";
import { parseArguments } from "./arguments.ts";
import {
  acceptedFlags,
  CONNECTION_FLAGS,
  GLOBAL_FLAGS,
  type HostFlagValues,
} from "./global_flags.ts";

/** The typed input of a command. */
export interface CommandInput extends Input<Flags, Arguments> {
  /** The values of the host's own flags, which are among `flags` too. */
  readonly hostFlags: HostFlagValues;
  /** What hooks may know: the command's own flags, without secrets. */
  readonly hookFlags: Readonly<Record<string, unknown>>;
  /** Values of flags declared secret. */
  readonly secrets: readonly string[];
}

/** A parsed command line, valid or not. */
export interface CommandLine {
  /** Whether `--help` or `--version` is asked for, which nothing wrong stands against. */
  readonly asks: "help" | "version" | undefined;
  /** Flags that are given on the line or have a default; what is wrong with them is told by `input`. */
  readonly flags: Readonly<Record<string, unknown>>;
  /**
   * The input.
   *
   * @throws OperationError of kind `usage` that lists every problem
   */
  input(): CommandInput;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Parses what follows the command's name, and the flags before it. */
export function readCommandLine(
  words: readonly string[],
  { entry, env }: { entry: CommandEntry; env: Environment },
): CommandLine {
  const { command, path } = entry;
  const { own, connection, global } = acceptedFlags(command);
  const { flags, args, problems } = parseArguments(words, {
    flags: { ...global, ...connection, ...own },
    args: command.args ?? {},
    env,
  });
  return {
    asks: flags["help"] === true ? "help" : flags["version"] === true ? "version" : undefined,
    flags,
    input() {
      requireNone(problems, `Run \`observatory ${path} --help\` for its flags and examples`);
      const declared = Object.entries(own);
      return {
        // The values are of the declared types, since no problem was found; the
        // declaration's inference gives them their names back inside the command.
        flags: flags as CommandInput["flags"],
        args: args as CommandInput["args"],
        hostFlags: flags as HostFlagValues,
        hookFlags: Object.fromEntries(
          declared.filter(([, flag]) => !flag.secret).map(([name]) => [name, flags[name]]),
        ),
        secrets: declared.flatMap(([name, flag]) => flag.secret ? [flags[name]].flat() : [])
          .filter((value) => value !== undefined).map(String),
      };
    },
  };
}

/** The variables that a command's flags take their values from, by the configuration's ranks. */
export function flagVariables(
  command: Command,
  variable: (name: string) => string | undefined,
): Environment {
  const { own, connection, global } = acceptedFlags(command);
  const names = Object.values({ ...global, ...connection, ...own }).flatMap(({ env }) => env ?? []);
  return Object.fromEntries(names.map((name) => [name, variable(name)]));
}

/**
 * Reads what follows `help` or `version`, which belong to no plugin.
 *
 * @param words the words of the line without that name
 * @returns the topic's words, for `help`
 * @throws OperationError of kind `usage` that lists every problem
 */
export function readPlainWords(
  words: readonly string[],
  { name, env }: { name: "help" | "version"; env: Environment },
): string[] {
  const { args, problems } = parseArguments(words, {
    flags: { ...GLOBAL_FLAGS, ...CONNECTION_FLAGS },
    args: name === "help" ? { "topic": { help: "What to explain", repeatable: true } } : {},
    env,
  });
  requireNone(problems, "Run `observatory help` for the list of commands");
  return [args["topic"] ?? []].flat().map(String);
}

function requireNone(problems: readonly string[], hint: string): void {
  if (problems.length === 0) return;
  throw new OperationError(problems.join("\n"), {
    kind: "usage",
    code: "usage",
    hint,
    details: { problems },
  });
}
