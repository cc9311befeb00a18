/** From the words of a command line to a command's input. */
import { type Arguments, type Flags, type Input, OperationError } from "./plugin.ts";
import type { CommandEntry } from "./command_tree.ts";
import { parseArguments } from "./arguments.ts";
import { acceptedFlags } from "./global_flags.ts";

/** The typed input of a command, the host's own flags included. */
export interface CommandInput extends Input<Flags, Arguments> {
  /** Values of flags declared secret. */
  readonly secrets: readonly string[];
}

/**
 * Parses and validates.
 *
 * @throws OperationError of kind `usage` that lists every problem
 */
export function readInput(
  words: readonly string[],
  { entry, env }: { entry: CommandEntry; env: Readonly<Record<string, string | undefined>> },
): CommandInput {
  const { command, path } = entry;
  const { own, connection, global } = acceptedFlags(command);
  const { flags, args, problems } = parseArguments(words, {
    flags: { ...global, ...connection, ...own },
    args: command.args ?? {},
    env,
  });
  if (problems.length > 0) {
    throw new OperationError(problems.join("\n"), {
      kind: "usage",
      code: "usage",
      hint: `Run \`observatory ${path} --help\` for its flags and examples`,
      details: { problems },
    });
  }
  const secrets = Object.entries(own).flatMap(([name, flag]) =>
    flag.secret ? [flags[name]].flat() : []
  );
  return {
    // The values are of the declared types, checked just above; the declaration's
    // inference gives them their names back inside the command.
    flags: flags as CommandInput["flags"],
    args: args as CommandInput["args"],
    secrets: secrets.filter((value) => typeof value === "string"),
  };
}
