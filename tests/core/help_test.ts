import assert from "assert";
import { command, definePlugin, OperationError } from "../../core/plugin.ts";
import { buildCommandTree, findCommand } from "../../core/command_tree.ts";
import { commandHelp, help, programHelp, TOPICS, usage } from "../../core/help.ts";
import { EXIT_CODES } from "../../core/errors.ts";
import { readCommandLine } from "../../core/input.ts";
import { builtIns } from "../../plugins/mod.ts";
import { SETTINGS } from "../../core/settings.ts";

const run = () => Promise.resolve({ data: null });

const BACKUP = definePlugin({
  name: "backup",
  api: 1,
  summary: "Backups",
  commands: {
    "backup": command({
      summary: "Write a backup",
      description: "One paragraph.\n\nAnother paragraph.",
      aliases: ["save"],
      examples: [{ line: "observatory backup", note: "Write a backup of everything" }],
      flags: {
        "jobs": { type: "number", help: "How many at once", short: "j", default: 2, env: "JOBS" },
        "table": { type: "string", help: "Only this table", repeatable: true },
        "format": { type: "string", help: "The form", choices: ["custom", "plain"] },
        "compress": { type: "boolean", help: "Compress it" },
        "key": { type: "string", help: "The key", required: true, placeholder: "FILE" },
      },
      effect: "read",
      run,
    }),
    "backup list": command({
      summary: "List backups",
      examples: [{ line: "observatory backup list", note: "List them" }],
      effect: "read",
      database: "none",
      run,
    }),
    "restore": command({
      summary: "Restore a backup",
      examples: [{ line: "observatory restore latest", note: "Restore the latest" }],
      args: {
        "name": { help: "The backup", required: true },
        "part": { help: "What to restore", choices: ["schema", "data"], repeatable: true },
      },
      effect: "destroy",
      dryRun: true,
      run,
    }),
  },
});
const OTHER = definePlugin({
  name: "other",
  api: 1,
  summary: "Another",
  commands: {
    "other": command({ summary: "Do something else", examples: [], effect: "write", run }),
  },
});
const TREE = buildCommandTree([BACKUP, OTHER]);
const FROM = { tree: TREE, builtIns: [BACKUP] };

/** The text of a topic. */
async function topic(name: string): Promise<string> {
  return (await help([name], FROM)).text ?? "";
}

function helpOf(name: string): string {
  const entry = TREE.byName.get(name);
  assert(entry !== undefined);
  return commandHelp(entry, TREE);
}

function order(text: string, ...parts: readonly string[]): void {
  const places = parts.map((part) => text.indexOf(part));
  assert(!places.includes(-1), `one of ${parts.join(" | ")} is missing in:\n${text}`);
  assert.deepEqual(places, places.toSorted((a, b) => a - b), text);
}

Deno.test("commandHelp: the examples come first, then usage, description, effect and flags", () => {
  order(
    helpOf("backup"),
    "Write a backup.\n",
    "Examples:\n  observatory backup  Write a backup of everything\n",
    "Usage: observatory backup [flags]\n",
    "Also:  observatory save\n",
    "One paragraph.\n\nAnother paragraph.\n",
    "Effect: reads only",
    "Subcommands:\n  backup list  List backups\n",
    "Flags:\n",
    "Connection flags:\n",
    "Global flags:\n",
  );
});

Deno.test("commandHelp: a flag's line tells its form, help, default, variable and what it accepts", () => {
  const text = helpOf("backup");
  assert.match(text, /-j, --jobs NUMBER +How many at once \(default: 2; variable: JOBS\)\n/);
  assert.match(text, /--table TEXT +Only this table \(may be repeated\)\n/);
  assert.match(text, /--format custom\|plain +The form\n/);
  assert.match(text, /--compress +Compress it\n/);
  assert.match(text, /--key FILE +The key \(required\)\n/);
});

Deno.test("commandHelp: connection flags are left out where no database is needed", () => {
  const text = helpOf("backup list");
  assert.doesNotMatch(text, /Connection flags|--host/);
  assert.match(text, /Global flags/);
});

Deno.test("commandHelp: what destroys says so and has its flags; --dry-run where it is offered", () => {
  const text = helpOf("restore");
  assert.match(text, /Effect: destroys data/);
  for (const flag of ["--force", "--confirm NAME", "--dry-run"]) assert(text.includes(flag), flag);
  assert.doesNotMatch(helpOf("backup"), /--force|--dry-run/);
});

Deno.test("commandHelp: arguments are shown with their choices, an alias like its command", () => {
  assert.match(
    helpOf("restore"),
    /Arguments:\n {2}NAME +The backup\n {2}PART +.*\(schema, data\)\n/,
  );
  assert.equal(helpOf("save"), helpOf("backup"));
});

Deno.test("usage: brackets are around what may be left out, dots behind what may be repeated", () => {
  const entry = TREE.byName.get("restore");
  assert(entry !== undefined);
  assert.equal(usage(entry.path, entry.command), "observatory restore NAME [PART...] [flags]");
});

Deno.test("programHelp: lists examples, commands, other plugins' commands, topics and global flags", () => {
  const text = programHelp(TREE, [BACKUP]);
  order(
    text,
    "Examples:",
    "Usage: observatory COMMAND [flags]",
    "Commands:\n  backup, save  Write a backup\n",
    "Plugin commands:\n  other  Do something else\n",
    "Help topics:",
    "help exit-codes",
    "help environment",
    "Global flags:",
  );
  assert.doesNotMatch(programHelp(buildCommandTree([BACKUP]), [BACKUP]), /Plugin commands/);
});

Deno.test("help: without words it is the program's, with a command's name that command's", async () => {
  assert.equal((await help([], FROM)).text, programHelp(TREE, [BACKUP]));
  assert.equal((await help(["help"], FROM)).text, programHelp(TREE, [BACKUP]));
  assert.equal((await help(["version"], FROM)).text, programHelp(TREE, [BACKUP]));
  assert.equal((await help(["backup"], FROM)).text, helpOf("backup"));
  assert.equal((await help(["backup", "list"], FROM)).text, helpOf("backup list"));
  assert.equal((await help(["save"], FROM)).text, helpOf("backup"));
});

Deno.test("help: the data for programs is the same text", async () => {
  const { data, text } = await help(["backup"], FROM);
  assert.deepEqual(data, { text });
});

Deno.test("help: the topic exit-codes is the table of all codes", async () => {
  const text = await topic("exit-codes");
  for (const { code, meaning } of EXIT_CODES) {
    assert(text.split("\n").some((line) => line.startsWith(`${code} `) && line.endsWith(meaning)));
  }
});

Deno.test("help: the topic environment names every setting with its default", async () => {
  // Each setting is told on lines of its own, of which the first begins with its name.
  const told = (await topic("environment")).split(/\n(?=\S)/);
  for (const { name, default: value } of SETTINGS) {
    const lines = told.find((lines) => lines.startsWith(`${name} `));
    assert(lines !== undefined, name);
    const text = lines.replaceAll(/\s+/g, " ");
    if (value !== undefined) assert(text.trim().endsWith(`default: ${value})`), text);
  }
});

Deno.test("help: the topic environment names libpq's names and the variables of flags, too", async () => {
  const text = await topic("environment");
  for (
    const name of [
      "PGHOST",
      "PGPASSWORD",
      "OBSERVATORY_WAIT",
      "LOG_FORMAT",
      "NO_COLOR",
      "FORCE_COLOR",
    ]
  ) assert.match(text, new RegExp(`\\b${name}\\b`));
});

Deno.test("help: what is neither a command nor a topic is a usage error with a suggestion", async () => {
  const hints: [string[], string | RegExp][] = [
    [["backpu"], "Did you mean `observatory backup`?"],
    [["exit-code"], "Did you mean `observatory help exit-codes`?"],
    [["enviroment"], "Did you mean `observatory help environment`?"],
    [["licences"], "Did you mean `observatory help licenses`?"],
    [["constructor"], /observatory help/],
    [["toString"], /observatory help/],
  ];
  for (const [words, hint] of hints) {
    await assert.rejects(help(words, FROM), (error) => {
      assert(error instanceof OperationError);
      assert.equal(error.kind, "usage");
      assert.match(
        error.hint ?? "",
        hint instanceof RegExp ? hint : new RegExp(RegExp.escape(hint)),
      );
      return true;
    });
  }
});

Deno.test("help: every topic has a summary, and a text that ends with a line end", async () => {
  for (const [name, summary] of Object.entries(TOPICS)) {
    assert.match(summary, /^[A-Z].*[^.]$/, name);
    const text = await topic(name);
    assert.match(text, /\S\n$/, name);
    assert.doesNotMatch(text, / $/m, name);
    for (const line of text.split("\n")) assert(line.length <= 100, line);
  }
});

Deno.test("help: no topic is called as a built-in command is, which help would not find then", () => {
  const names = [...buildCommandTree(builtIns).byName.keys(), "help", "version"];
  assert.deepEqual(Object.keys(TOPICS).filter((name) => names.includes(name)), []);
});

Deno.test("help: what the topics tell to type is what there is", async () => {
  const tree = buildCommandTree(builtIns);
  const lines = (await Promise.all(Object.keys(TOPICS).map(topic))).join("\n")
    .matchAll(/(?:^ {2}|`)(observatory [^`]*?)(?:`|$| {2,})/gm);
  let count = 0;
  for (const [, line = ""] of lines) {
    const [, ...words] = line.split(" ");
    if (["help", "--version"].includes(words[0] ?? "")) continue;
    const { entry, words: rest } = findCommand(tree, words);
    try {
      readCommandLine(rest, { entry, env: {} }).input();
    } catch (error) {
      // In a sentence a line may be named without its argument.
      assert.match(String(error), /The argument \w+ is missing$/, line);
    }
    count++;
  }
  assert(count > 20);
});

Deno.test("commandHelp: long texts are broken between words and keep their place", () => {
  const words = "word ".repeat(60).trim();
  const tree = buildCommandTree([{
    name: "long",
    api: 1,
    summary: "Long",
    commands: {
      "long": command({
        summary: "Do it",
        description: `${words}\n\n${words}`,
        examples: [{ line: `observatory long ${"x".repeat(40)}`, note: words }],
        flags: { "flag": { type: "boolean", help: words } },
        effect: "read",
        run,
      }),
    },
  }]);
  const [entry] = tree.entries;
  assert(entry !== undefined);
  const lines = commandHelp(entry, tree).split("\n");
  assert(lines.every((line) => line.length <= 100), lines.join("\n"));
  assert(lines.some((line) => line.startsWith("  --flag ") && line.endsWith(" word")));
  const flag = lines.findIndex((line) => line.startsWith("  --flag "));
  assert.match(lines[flag + 1] ?? "", /^ {10}(word ?)+$/);
  const example = lines.findIndex((line) => line.startsWith("  observatory long"));
  assert.match(lines[example + 1] ?? "", /^ {48}(word ?)+$/);
  assert.equal(lines.join(" ").match(/\bword\b/g)?.length, 240);
});

Deno.test("help: no line ends with spaces", () => {
  const texts = [
    programHelp(TREE, [BACKUP]),
    ...TREE.entries.map((entry) => commandHelp(entry, TREE)),
  ];
  for (const text of texts) assert.doesNotMatch(text, / $/m);
});
