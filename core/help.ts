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
import { acceptedFlags, CONNECTION_FLAGS, GLOBAL_FLAGS } from "./global_flags.ts";
import { EXIT_CODES } from "./errors.ts";
import { SETTINGS } from "./settings.ts";

const PROGRAM = "observatory";

/** Help texts keep within this width. */
const COLUMNS = 100;

/** Topics of `observatory help TOPIC`, each with its text. */
export const TOPICS: Readonly<Record<string, { readonly summary: string; text(): string }>> = {
  "exit-codes": {
    summary: "What each exit code means",
    text: () =>
      table(EXIT_CODES.map(({ code, meaning }) => [code, meaning])) +
      "\nUnknown codes mean failure.\n",
  },
  "environment": {
    summary: "The variables read, with their defaults",
    text: () =>
      "A flag beats the environment, which beats .env, which beats /etc/observatory/defaults.env.\n" +
      "`observatory config` shows each value and where it comes from.\n\n" +
      table(SETTINGS.map(({ name, summary, lower, default: value }) => [
        name,
        withFacts(summary, [
          lower === undefined ? "" : `or ${lower}`,
          value === undefined ? "" : `default: ${value}`,
        ]),
      ])) +
      "\nRead from the environment alone:\n\n" +
      table([
        ...Object.values({ ...GLOBAL_FLAGS, ...CONNECTION_FLAGS }).flatMap((
          flag: Flag,
        ): [string, string][] =>
          flag.env === undefined
            ? []
            : [[flag.env, withFacts(flag.help, [`default: ${flag.default}`])]]
        ),
        ["NO_COLOR", "Without colours, when it is not empty"],
        ["FORCE_COLOR", "With colours even where there is no terminal, unless it is 0"],
      ]) +
      "\nFurther variables of a command stand in its --help.\n",
  },
  "targets": {
    summary: "One run of many over a fleet: --targets FILE",
    text: () =>
      "--targets FILE works on one database of a file that has one a line: a name, the address and\n" +
      "settings. The name and the settings may be left out.\n\n" +
      "  # fleet.txt\n" +
      "  orders   postgres://backup@db1/orders         S3_BACKUP_PREFIX=orders/\n" +
      "  billing  host=db2 dbname=billing user=backup  BACKUPS_DIR='/srv/billing backups'\n" +
      "  ledger   DATABASE_URL_FILE=/run/secrets/ledger\n\n" +
      "--target-index N says which, counted from 0; without it $JOB_COMPLETION_INDEX does, which\n" +
      "Kubernetes sets in an Indexed Job. `observatory config --targets FILE --target-index N` shows\n" +
      "what comes of it. A target ranks as the flags do. What the environment, .env and the defaults\n" +
      "file say of where a database is does not apply to it; a role, passwords and all else do.\n\n" +
      "Keep passwords in a password file (PGPASSFILE) or in files of their own (DATABASE_URL_FILE,\n" +
      "DB_PASSWORD_FILE). Lines of the log begin with the target's name, and --json has it.\n\n" +
      "  seq 0 49 | xargs -P 8 -I {} observatory backup --targets fleet.txt --target-index {}\n",
  },
};

/**
 * What `help`, `help COMMAND` and `help TOPIC` show.
 *
 * @param words what follows `help`, without flags
 * @throws OperationError of kind `usage` when there is neither such a command nor such a topic
 */
export function help(
  words: readonly string[],
  { tree, builtIns }: { tree: CommandTree; builtIns: readonly Plugin[] },
): Result {
  const name = words.join(" ");
  const text = Object.hasOwn(TOPICS, name)
    ? TOPICS[name]?.text()
    : words.length === 0 || name === "help" || name === "version"
    ? programHelp(tree, builtIns)
    : commandHelp(findExplained(tree, words), tree);
  return { data: { text }, text: text ?? "" };
}

/** The command to explain; a misspelt topic is suggested as one. */
function findExplained(tree: CommandTree, words: readonly string[]): CommandEntry {
  try {
    return findCommand(tree, words).entry;
  } catch (error) {
    const near = suggest(words.join(" "), Object.keys(TOPICS));
    if (near === undefined || !(error instanceof OperationError)) throw error;
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
    table(Object.entries(TOPICS).map(([name, { summary }]) => [`help ${name}`, summary]), 2),
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

/** The text with what else is to be known in brackets behind it; empty facts are left out. */
function withFacts(text: string, facts: readonly string[]): string {
  const told = facts.filter((fact) => fact !== "");
  return told.length === 0 ? text : `${text} (${told.join("; ")})`;
}

/**
 * Rows of two columns, aligned; a first column that is too wide has its second
 * on the next line, and a second one that is too wide goes on there.
 */
function table(rows: readonly (readonly [string, string])[], indent = 0): string {
  const width = Math.min(44, Math.max(...rows.map(([left]) => left.length)));
  const second = indent + width + 2;
  return rows.map(([left, right]) => {
    const lines = wrap(right, COLUMNS - second);
    const first = " ".repeat(indent) + left;
    const beside = left.length > width ? [first] : [first.padEnd(second) + (lines.shift() ?? "")];
    return [...beside, ...lines.map((line) => " ".repeat(second) + line)].join("\n") + "\n";
  }).join("");
}

/** Breaks paragraphs between words into lines of at most so many characters, where words allow. */
function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (const paragraph of text.split("\n")) {
    let line = "";
    for (const word of paragraph.split(" ")) {
      if (line !== "" && line.length + 1 + word.length > columns) {
        lines.push(line);
        line = word;
      } else line = line === "" ? word : `${line} ${word}`;
    }
    lines.push(line);
  }
  return lines;
}
