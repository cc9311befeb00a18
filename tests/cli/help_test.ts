import assert from "assert";
import { buildCommandTree, findCommand } from "../../core/command_tree.ts";
import { readCommandLine } from "../../core/input.ts";
import { builtIns } from "../../plugins/mod.ts";
import { forEachKind, runProgram } from "../program.ts";

const TREE = buildCommandTree(builtIns);

/** Splits a line as a POSIX shell does, as far as examples need it. */
function words(line: string): string[] {
  return [...line.matchAll(/(?:'[^']*'|"[^"]*"|[^\s'"])+/g)].map(([word]) =>
    word.replaceAll(/'([^']*)'|"([^"]*)"/g, "$1$2")
  );
}

/** The program's own part of a line: without what is set for it, and what its output is for. */
function callIn(line: string): string {
  return line.replace(/^(\w+=\S* )+/, "").replace(/^source <\((.*)\)$/, "$1")
    .replace(/ [>|] .*$/, "");
}

for (const { path, command } of TREE.entries) {
  Deno.test(`observatory ${path}: has examples, each a line that its command accepts`, () => {
    assert(command.examples.length > 0);
    for (const { line, note } of command.examples) {
      const [name, ...args] = words(callIn(line));
      assert.equal(name, "observatory", line);
      const found = findCommand(TREE, args);
      assert.equal(found.entry.path, path, line);
      // What stands behind a plugin's command is the plugin's to accept.
      if (path !== "plugin run") {
        readCommandLine(found.words, { entry: found.entry, env: {} }).input();
      }
      assert.match(note, /^\S.*[^.]$/, line);
    }
  });

  Deno.test(`observatory ${path}: its texts are sentences of one line, without a final period`, () => {
    const flags = Object.values(command.flags ?? {});
    const args = Object.values(command.args ?? {});
    for (const text of [command.summary, ...[...flags, ...args].map(({ help }) => help)]) {
      assert.match(text, /^[A-Z"].*[^.]$/);
    }
  });
}

forEachKind("--version: is one line with the build, the machine and the runtime", async (kind) => {
  for (const args of [["--version"], ["-V"], ["version"]]) {
    const { code, stdout, stderr } = await runProgram(args, { kind });
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(
      stdout,
      /^observatory \d+\.\d+\.\d+ \((from sources|[0-9a-f]{7,}(-modified)?, \d{4}-\d\d-\d\d|unknown, \S+), \w+-\w+, deno \d+\.\d+\.\d+\)\n$/,
    );
  }
  const { stdout } = await runProgram(["--version", "--json"], { kind });
  const { ok, data } = JSON.parse(stdout);
  assert.deepEqual([ok, data.plugin_api], [true, 1]);
  assert.match(data.runtime, /^deno /);
});

forEachKind("help: shows examples first, then every command", async (kind) => {
  const { code, stdout, stderr } = await runProgram(["help"], { kind });
  assert.deepEqual([code, stderr], [0, ""]);
  assert(stdout.indexOf("Examples:") < stdout.indexOf("Usage:"));
  for (const { path } of TREE.entries) assert.match(stdout, new RegExp(`^  ${path}\\b`, "m"));
  assert.equal((await runProgram([], { kind })).stdout, stdout);
});

forEachKind("help TOPIC: exit codes and variables are listed", async (kind) => {
  const codes = await runProgram(["help", "exit-codes"], { kind });
  assert.equal(codes.code, 0);
  for (const code of ["0", "1", "2", "3", "4", "5", "6", "70", "128+n"]) {
    assert(codes.stdout.split("\n").some((line) => line.startsWith(`${code} `)), code);
  }
  const environment = await runProgram(["help", "environment"], { kind });
  assert.equal(environment.code, 0);
  for (const name of ["DATABASE_URL", "DB_HOST", "MIGRATIONS_DIR", "RUST_LOG"]) {
    assert(environment.stdout.includes(`\n${name} `), name);
  }
});

forEachKind("COMMAND --help: shows the examples of every command first", async (kind) => {
  await Promise.all(TREE.entries.map(async ({ path, command }) => {
    const { code, stdout, stderr } = await runProgram([...path.split(" "), "--help"], { kind });
    assert.deepEqual([code, stderr], [0, ""], path);
    assert(stdout.startsWith(`${command.summary}.\n\nExamples:\n`), stdout);
    for (const { line } of command.examples) assert(stdout.includes(line));
    for (const line of stdout.split("\n")) assert(line.length <= 100, line);
  }));
});

forEachKind("an unknown command: is exit 2 with a suggestion, on stderr alone", async (kind) => {
  const { code, stdout, stderr } = await runProgram(["migrat", "--dry-run"], { kind });
  assert.deepEqual([code, stdout], [2, ""]);
  assert.equal(
    stderr,
    '[ERROR] Unknown command "migrat"\nHint: Did you mean `observatory migrate`?\n',
  );
});

forEachKind("a wrong command line: tells all its problems at once, exit 2", async (kind) => {
  const { code, stdout, stderr } = await runProgram(
    ["migrate", "--dry-rn", "--wait", "soon", "extra"],
    { kind },
  );
  assert.deepEqual([code, stdout], [2, ""]);
  assert.deepEqual(stderr.trimEnd().split("\n"), [
    "[ERROR] Unknown flag --dry-rn; did you mean --dry-run?",
    '[ERROR] The value "soon" of --wait is not a number',
    '[ERROR] Unexpected argument "extra"',
    "Hint: Run `observatory migrate --help` for its flags and examples",
  ]);
});

forEachKind("help licenses: tells of all that is in the program", async (kind) => {
  const { code, stdout, stderr } = await runProgram(["help", "licenses"], { kind });
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^observatory is licensed under the Apache License, Version 2\.0/);
  if (kind === "sources") return assert.match(stdout, /`deno task licenses`/);
  // The runtime; packages of every pack, what they depend on, and what is left to the runtime.
  const parts = [
    ...["Deno's runtime", "V8", "acorn", "amaro", "dotenv", "age-encryption", "@noble/ciphers"],
    ...["@aws-sdk/client-s3", "@smithy/core", "bowser"],
  ];
  for (const part of parts) assert.match(stdout, new RegExp(`^ *${part}[ :(]`, "m"), part);
  // And nothing that only the build and the tests take.
  assert.doesNotMatch(stdout, /^ +(typescript|pg|ajv|fast-check|fauxqs) \d/m);
  // Texts, each once.
  for (
    const text of [
      "Apache License\n +Version 2.0",
      "Permission is hereby granted",
      "Redistribution and use",
    ]
  ) {
    assert.match(stdout, new RegExp(text));
  }
  assert.equal(stdout.match(/APPENDIX: How to apply the Apache License/g)?.length! < 10, true);
});
