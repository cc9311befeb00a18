/** The commands of all plugins under their full paths: looked up, or suggested. */
import { type Command, type Flags, OperationError, type Plugin } from "./plugin.ts";
import { CONNECTION_FLAGS, GLOBAL_FLAGS } from "./global_flags.ts";
import { shown } from "./shown.ts";
import { suggest } from "./suggest.ts";

/** One command with its place. */
export interface CommandEntry {
  /** The full path, such as `migrate status`. */
  readonly path: string;
  readonly plugin: Plugin;
  readonly command: Command;
}

/** Commands by path; aliases lead to the same entry. */
export interface CommandTree {
  readonly entries: readonly CommandEntry[];
  /** Entries by path and by alias. */
  readonly byName: ReadonlyMap<string, CommandEntry>;
}

/** What a command line asks for: an entry, the words after its name, and those before it. */
export interface FoundCommand {
  readonly entry: CommandEntry;
  /** The words to parse: flags given before the name, then all that follows it. */
  readonly words: readonly string[];
}

/**
 * Builds the tree.
 *
 * @throws Error when two built-ins declare one name: a mistake in the program
 */
export function buildCommandTree(plugins: readonly Plugin[]): CommandTree {
  const entries: CommandEntry[] = [];
  const byName = new Map<string, CommandEntry>();
  for (const plugin of plugins) {
    for (const [path, command] of Object.entries(plugin.commands ?? {})) {
      const entry: CommandEntry = { path, plugin, command };
      entries.push(entry);
      for (const name of [path, ...command.aliases ?? []]) {
        const taken = byName.get(name);
        if (taken !== undefined) {
          throw new Error(
            `"${name}" is declared by plugin ${taken.plugin.name} and by ${plugin.name}`,
          );
        }
        byName.set(name, entry);
      }
    }
  }
  return { entries, byName };
}

/** The flags that may stand before a command's name. */
export const LEADING_FLAGS: Flags = { ...GLOBAL_FLAGS, ...CONNECTION_FLAGS };

/** Splits a command line into the flags before the command's name, and the rest. */
export function splitLeadingFlags(words: readonly string[]): { leading: string[]; rest: string[] } {
  let index = 0;
  while (index < words.length) {
    const word = words[index] ?? "";
    if (!word.startsWith("-") || word === "-") break;
    index++;
    if (word === "--") break;
    const flag = Object.entries(LEADING_FLAGS).find(([name, flag]) =>
      word === `--${name}` || ("short" in flag && word === `-${flag.short}`)
    )?.[1];
    if (flag !== undefined && flag.type !== "boolean") index++;
  }
  return {
    leading: words.slice(0, index).filter((word) => word !== "--"),
    rest: words.slice(index),
  };
}

/**
 * Finds the command that a command line names; the longest path wins, so that
 * `migrate status` is not `migrate` with an argument.
 *
 * @throws OperationError of kind `usage`, with a suggestion, when there is none
 */
export function findCommand(tree: CommandTree, words: readonly string[]): FoundCommand {
  const { leading, rest } = splitLeadingFlags(words);
  const names: string[] = [];
  for (const word of rest) {
    if (word.startsWith("-") || names.length === 3) break;
    names.push(word);
  }
  for (let length = names.length; length > 0; length--) {
    const entry = tree.byName.get(names.slice(0, length).join(" "));
    if (entry === undefined) continue;
    const takesArguments = Object.keys(entry.command.args ?? {}).length > 0;
    // `migrate staus` is a misspelt subcommand, not an argument that migrate does not take.
    if (length < names.length && !takesArguments && hasSubcommands(tree, entry.path)) {
      throw unknownCommand(tree, names.slice(0, length + 1).join(" "));
    }
    return { entry, words: [...leading, ...rest.slice(length)] };
  }
  throw unknownCommand(
    tree,
    names.slice(0, hasSubcommands(tree, names[0] ?? "") ? 2 : 1).join(" ") || rest[0] || "",
  );
}

function hasSubcommands(tree: CommandTree, path: string): boolean {
  return tree.entries.some((entry) => entry.path.startsWith(`${path} `));
}

function unknownCommand(tree: CommandTree, name: string): OperationError {
  return new OperationError(`Unknown command ${shown(name)}`, {
    kind: "usage",
    code: "unknown_command",
    hint: hintFor(tree, name),
  });
}

function hintFor(tree: CommandTree, name: string): string {
  const near = suggest(name, [...tree.byName.keys(), "help", "version"]);
  if (near !== undefined) return `Did you mean \`observatory ${near}\`?`;
  const [family = ""] = name.split(" ");
  const members = tree.entries.filter(({ path }) => path.startsWith(`${family} `));
  return members.length === 0
    ? "Run `observatory help` for the list of commands"
    : `Its commands are: ${members.map(({ path }) => path).join(", ")}`;
}
