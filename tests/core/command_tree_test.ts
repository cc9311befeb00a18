import assert from "assert";
import { type Command, command, OperationError, type Plugin } from "../../core/plugin.ts";
import { buildCommandTree, findCommand, splitLeadingFlags } from "../../core/command_tree.ts";

function leaf(more: Partial<Command> = {}): Command {
  return {
    ...command({
      summary: "Do it",
      examples: [{ line: "observatory do", note: "Do it" }],
      effect: "read",
      run: () => Promise.resolve({ data: null }),
    }),
    ...more,
  };
}

function plugin(name: string, commands: Readonly<Record<string, Command>>): Plugin {
  return { name, api: 1, summary: name, commands };
}

const TREE = buildCommandTree([
  plugin("migrate", {
    "migrate": leaf(),
    "migrate status": leaf({ aliases: ["migrate-status"] }),
    "migrate add": leaf({ args: { "name": { help: "The name", required: true } } }),
  }),
  plugin("backup", {
    "backup list": leaf(),
    "backup show": leaf(),
  }),
  plugin("exec", { "exec": leaf({ args: { "sql": { help: "SQL", verbatim: true } } }) }),
]);

function found(...words: string[]) {
  const { entry, words: rest } = findCommand(TREE, words);
  return [entry.path, rest];
}

function refusal(...words: string[]): OperationError {
  try {
    findCommand(TREE, words);
  } catch (error) {
    assert(error instanceof OperationError);
    assert.equal(error.kind, "usage");
    assert.equal(error.code, "unknown_command");
    return error;
  }
  throw new assert.AssertionError({ message: `"${words.join(" ")}" was found` });
}

Deno.test("buildCommandTree: keeps the commands in the order of their declaration", () => {
  assert.deepEqual(TREE.entries.map(({ path }) => path), [
    "migrate",
    "migrate status",
    "migrate add",
    "backup list",
    "backup show",
    "exec",
  ]);
});

Deno.test("buildCommandTree: two declarations of one name are a mistake that names both plugins", () => {
  for (
    const [first, second] of [
      [{ "a": leaf() }, { "a": leaf() }],
      [{ "a": leaf() }, { "b": leaf({ aliases: ["a"] }) }],
      [{ "b": leaf({ aliases: ["a"] }) }, { "a": leaf() }],
    ] as const
  ) {
    assert.throws(
      () => buildCommandTree([plugin("one", first), plugin("two", second)]),
      /"a" is declared by plugin one and by two/,
    );
  }
});

Deno.test("findCommand: the longest path wins, and what follows is left for parsing", () => {
  assert.deepEqual(found("migrate"), ["migrate", []]);
  assert.deepEqual(found("migrate", "status", "--json"), ["migrate status", ["--json"]]);
  assert.deepEqual(found("migrate", "add", "status"), ["migrate add", ["status"]]);
  assert.deepEqual(found("migrate", "--dry-run"), ["migrate", ["--dry-run"]]);
});

Deno.test("findCommand: an alias leads to the command of its path", () => {
  assert.deepEqual(found("migrate-status", "-q"), ["migrate status", ["-q"]]);
});

Deno.test("findCommand: flags before the name are parsed with those after it", () => {
  assert.deepEqual(found("--json", "--host", "migrate", "migrate", "-q"), [
    "migrate",
    ["--json", "--host", "migrate", "-q"],
  ]);
  assert.deepEqual(found("--host=migrate", "exec", "x"), ["exec", ["--host=migrate", "x"]]);
});

Deno.test("findCommand: words after -- belong to the command even when they begin with a dash", () => {
  assert.deepEqual(found("exec", "--", "--json"), ["exec", ["--", "--json"]]);
});

Deno.test("findCommand: a misspelt command is suggested", () => {
  const error = refusal("migrat");
  assert.equal(error.message, 'Unknown command "migrat"');
  assert.equal(error.hint, "Did you mean `observatory migrate`?");
  assert.equal(refusal("hlep").hint, "Did you mean `observatory help`?");
  assert.equal(refusal("verson").hint, "Did you mean `observatory version`?");
});

Deno.test("findCommand: a misspelt subcommand is no argument of a command that takes none", () => {
  const error = refusal("migrate", "staus");
  assert.equal(error.message, 'Unknown command "migrate staus"');
  assert.equal(error.hint, "Did you mean `observatory migrate status`?");
});

Deno.test("findCommand: the name of a family alone is told what belongs to it", () => {
  const error = refusal("backup");
  assert.equal(error.message, 'Unknown command "backup"');
  assert.equal(error.hint, "Its commands are: backup list, backup show");
  assert.equal(refusal("backup", "lst").hint, "Did you mean `observatory backup list`?");
  assert.equal(
    refusal("backup", "everything").hint,
    "Its commands are: backup list, backup show",
  );
});

Deno.test("findCommand: what is like nothing is sent to the list of commands", () => {
  assert.equal(refusal("quokka").hint, "Run `observatory help` for the list of commands");
  assert.equal(refusal("constructor").hint, "Run `observatory help` for the list of commands");
});

Deno.test("findCommand: a database's URL in the place of a command is not shown", () => {
  const error = refusal("postgres://app:hunter2@db1/x");
  assert.doesNotMatch(`${error.message} ${error.hint}`, /hunter2/);
  assert.doesNotMatch(refusal("migrate", "postgres://app:hunter2@db1/x").message, /hunter2/);
});

Deno.test("splitLeadingFlags: a flag's value is not the command's name", () => {
  assert.deepEqual(splitLeadingFlags(["--wait", "5", "-q", "migrate", "--json"]), {
    leading: ["--wait", "5", "-q"],
    rest: ["migrate", "--json"],
  });
  assert.deepEqual(splitLeadingFlags(["--json"]), { leading: ["--json"], rest: [] });
  assert.deepEqual(splitLeadingFlags([]), { leading: [], rest: [] });
});

Deno.test("splitLeadingFlags: -- ends the flags", () => {
  assert.deepEqual(splitLeadingFlags(["-q", "--", "--version"]), {
    leading: ["-q"],
    rest: ["--version"],
  });
});
