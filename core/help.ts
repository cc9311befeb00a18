/** Help texts, rendered from the declarations: examples first. */
import {
  type Argument,
  type Command,
  type Flag,
  type Flags,
  OperationError,
  type Plugin,
  type Result,
} from "./plugin.ts";
import { type CommandEntry, type CommandTree, findCommand } from "./command_tree.ts";
import { suggest } from "./suggest.ts";
import { acceptedFlags, GLOBAL_FLAGS } from "./global_flags.ts";
import { COLUMNS, table, withFacts, wrap } from "./help_layout.ts";

const PROGRAM = "observatory";

/** Topics of `observatory help TOPIC`; their texts are in `help_topics.ts`. */
export const TOPICS = {
  "exit-codes": "What each exit code means",
  "configuration": "Where values come from, and which one counts",
  "environment": "The variables read, with their defaults",
  "targets": "One run of many over a fleet: --targets FILE",
  "backups": "What a backup is, how it is proven, and what is kept",
  "restores": "In place, beside, and back again",
  "plugins": "Commands and hooks of your own",
  "json": "What programs can read",
  "licenses": "What this program is made of, and under which terms",
} as const;

/** The name of a topic. */
export type TopicName = keyof typeof TOPICS;

function isTopic(name: string): name is TopicName {
  return Object.hasOwn(TOPICS, name);
}

/**
 * What `help`, `help COMMAND` and `help TOPIC` show.
 *
 * @param words what follows `help`, without flags
 * @throws OperationError of kind `usage` when there is neither such a command nor such a topic
 */
export async function help(
  words: readonly string[],
  { tree, builtIns }: { tree: CommandTree; builtIns: readonly Plugin[] },
): Promise<Result> {
  const name = words.join(" ");
  const text = isTopic(name)
    ? await (await import("./help_topics.ts")).topicText(name)
    : words.length === 0 || name === "help" || name === "version"
    ? programHelp(tree, builtIns)
    : commandHelp(findExplained(tree, words), tree);
  return { data: { text }, text };
}

/** The command to explain; what is nearer to a topic is suggested as one. */
function findExplained(tree: CommandTree, words: readonly string[]): CommandEntry {
  try {
    return findCommand(tree, words).entry;
  } catch (error) {
    const near = suggest(words.join(" "), [...tree.byName.keys(), ...Object.keys(TOPICS)]);
    if (near === undefined || !isTopic(near) || !(error instanceof OperationError)) throw error;
    const { message, kind, code } = error;
    throw new OperationError(message, {
      kind,
      code,
      hint: `Did you mean \`${PROGRAM} help ${near}\`?`,
    });
  }
}

/** The help of the program as a whole. */
export function programHelp(tree: CommandTree, builtIns: readonly Plugin[]): string {
  const lines = [
    "Runs a Postgres or TimescaleDB database's operations.",
    "",
    "Examples:",
    table([
      [`${PROGRAM} migrate`, "Create the database if absent and apply all pending migrations"],
      [`${PROGRAM} migrate status`, "Show what is applied and what is pending"],
      [`${PROGRAM} config`, "Show every setting and where it comes from"],
    ], 2),
    `Usage: ${PROGRAM} COMMAND [flags]`,
    "",
    "Commands:",
    commandTable(tree.entries.filter((entry) => builtIns.includes(entry.plugin))),
  ];
  const others = tree.entries.filter((entry) => !builtIns.includes(entry.plugin));
  if (others.length > 0) lines.push("Plugin commands:", commandTable(others));
  lines.push(
    "Help topics:",
    table(Object.entries(TOPICS).map(([name, summary]) => [`help ${name}`, summary]), 2),
    "Global flags:",
    flagTable(GLOBAL_FLAGS),
    `Run \`${PROGRAM} COMMAND --help\` for the flags of a command.`,
  );
  return lines.join("\n") + "\n";
}

function commandTable(entries: readonly CommandEntry[]): string {
  return table(
    entries.map(({ path, command }) => [
      [path, ...command.aliases ?? []].join(", "),
      command.summary,
    ]),
    2,
  );
}

/** The help of one command. */
export function commandHelp({ path, command }: CommandEntry, tree: CommandTree): string {
  const { own, connection, global } = acceptedFlags(command);
  const lines = [
    `${command.summary}.`,
    "",
    "Examples:",
    table(command.examples.map(({ line, note }) => [line, note]), 2),
    `Usage: ${usage(path, command)}`,
  ];
  if (command.aliases?.length) {
    lines.push(`Also:  ${command.aliases.map((name) => `${PROGRAM} ${name}`).join(", ")}`);
  }
  lines.push("");
  if (command.description !== undefined) {
    lines.push(...wrap(command.description.trim(), COLUMNS), "");
  }
  lines.push(EFFECT_NOTE[command.effect], "");
  const subcommands = tree.entries.filter((entry) => entry.path.startsWith(`${path} `));
  if (subcommands.length > 0) lines.push("Subcommands:", commandTable(subcommands));
  if (Object.keys(command.args ?? {}).length > 0) {
    lines.push("Arguments:", argumentTable(command.args ?? {}));
  }
  if (Object.keys(own).length > 0) lines.push("Flags:", flagTable(own));
  if (Object.keys(connection).length > 0) lines.push("Connection flags:", flagTable(connection));
  lines.push("Global flags:", flagTable(global));
  return lines.join("\n").trimEnd() + "\n";
}

const EFFECT_NOTE = {
  read: "Effect: reads only; its database sessions are read-only.",
  write: "Effect: writes.",
  destroy: "Effect: destroys data; asks for the database's name first.",
} as const;

/** One line: the command with its arguments, as typed. */
export function usage(path: string, command: Command): string {
  const args = Object.entries(command.args ?? {}).map(([name, argument]) => {
    const text = name.toUpperCase() + (argument.repeatable ? "..." : "");
    return argument.required ? text : `[${text}]`;
  });
  return [PROGRAM, path, ...args, "[flags]"].join(" ");
}

function argumentTable(args: Readonly<Record<string, Argument>>): string {
  return table(
    Object.entries(args).map(([name, argument]) => [
      name.toUpperCase(),
      argument.choices === undefined
        ? argument.help
        : `${argument.help} (${argument.choices.join(", ")})`,
    ]),
    2,
  );
}

function flagTable(flags: Flags): string {
  return table(
    Object.entries(flags).map(([name, flag]) => {
      const short = flag.short === undefined ? "" : `-${flag.short}, `;
      return [`${short}--${name}${placeholder(flag)}`, flagNote(flag)];
    }),
    2,
  );
}

function placeholder(flag: Flag): string {
  if (flag.type === "boolean") return "";
  return ` ${
    flag.placeholder ?? flag.choices?.join("|") ?? (flag.type === "number" ? "NUMBER" : "TEXT")
  }`;
}

function flagNote(flag: Flag): string {
  const facts = [
    flag.required ? "required" : "",
    flag.repeatable ? "may be repeated" : "",
    flag.default === undefined || flag.default === false ? "" : `default: ${flag.default}`,
    flag.env === undefined ? "" : `variable: ${flag.env}`,
  ];
  return withFacts(flag.help, facts);
}
