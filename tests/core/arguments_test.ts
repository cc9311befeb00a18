import assert from "assert";
import type { Arguments, Flags } from "../../core/plugin.ts";
import { parseArguments } from "../../core/arguments.ts";

const FLAGS = {
  "steps": { type: "number", help: "How many", short: "n" },
  "to": { type: "string", help: "Up to" },
  "dir": { type: "string", help: "Where", repeatable: true },
  "simple": { type: "boolean", help: "Without a way back", short: "s" },
  "check": { type: "boolean", help: "Check first", default: true },
  "order": { type: "string", help: "Which order", choices: ["strict", "loose"] },
} satisfies Flags;

interface Case {
  readonly flags?: Flags;
  readonly args?: Arguments;
  readonly env?: Readonly<Record<string, string>>;
  readonly lenient?: boolean;
}

function parse(
  words: readonly string[],
  { flags = FLAGS, args = {}, env = {}, lenient }: Case = {},
) {
  return parseArguments(words, { flags, args, env, ...(lenient ? { lenient } : {}) });
}

function problems(words: readonly string[], options: Case = {}) {
  return parse(words, options).problems;
}

Deno.test("parseArguments: without any word, flags have their defaults and switches are off", () => {
  assert.deepEqual(parse([]), {
    flags: {
      steps: undefined,
      to: undefined,
      dir: [],
      simple: false,
      check: true,
      order: undefined,
    },
    args: {},
    problems: [],
  });
});

Deno.test("parseArguments: values stand behind a space or an equals sign, short flags also joined", () => {
  for (const words of [["--steps", "3"], ["--steps=3"], ["-n", "3"], ["-n3"], ["-sn", "3"]]) {
    const { flags, problems } = parse(words);
    assert.deepEqual(problems, [], words.join(" "));
    assert.equal(flags["steps"], 3, words.join(" "));
  }
});

Deno.test("parseArguments: --no-NAME turns a switch off, and the last of several wins", () => {
  assert.equal(parse(["--no-check"]).flags["check"], false);
  assert.equal(parse(["--no-check", "--check"]).flags["check"], true);
  assert.equal(parse(["--check", "--no-check"]).flags["check"], false);
});

Deno.test("parseArguments: a declared flag whose own name begins with no- is itself", () => {
  const flags: Flags = { "no-lock": { type: "boolean", help: "Take no lock" } };
  assert.equal(parse(["--no-lock"], { flags }).flags["no-lock"], true);
  assert.equal(parse(["--no-no-lock"], { flags }).flags["no-lock"], false);
});

Deno.test("parseArguments: a declared no-NAME beside NAME is not its negation", () => {
  const flags: Flags = {
    "lock": { type: "boolean", help: "Take the lock", default: true },
    "no-lock": { type: "boolean", help: "Take no lock" },
  };
  const { flags: values, problems } = parse(["--no-lock"], { flags });
  assert.deepEqual(problems, []);
  assert.deepEqual(values, { "lock": true, "no-lock": true });
});

Deno.test("parseArguments: a repeatable flag is a list in the order given", () => {
  assert.deepEqual(parse(["--dir", "a", "--dir=b"]).flags["dir"], ["a", "b"]);
});

Deno.test("parseArguments: a repeatable flag's default stands for an absent list only", () => {
  const flags: Flags = {
    dir: { type: "string", help: "Where", repeatable: true, default: "here" },
  };
  assert.deepEqual(parse([], { flags }).flags["dir"], ["here"]);
  assert.deepEqual(parse(["--dir", "there"], { flags }).flags["dir"], ["there"]);
});

Deno.test("parseArguments: all problems are found at once", () => {
  assert.deepEqual(
    problems(["--step", "x", "--steps=many", "--order", "stric", "--to"], {
      flags: { ...FLAGS, "name": { type: "string", help: "A name", required: true } },
      args: { "file": { help: "A file", required: true } },
    }),
    [
      "Unknown flag --step; did you mean --steps?",
      "The flag --to needs a value",
      'The value "many" of --steps is not a number',
      'The value "stric" of --order is not one of strict, loose; did you mean "strict"?',
      "The flag --name is missing",
    ],
  );
});

Deno.test("parseArguments: a flag given twice is a problem unless it is a switch or repeatable", () => {
  assert.deepEqual(problems(["--to", "1", "--to", "2"]), ["The flag --to is given 2 times"]);
  assert.deepEqual(problems(["-s", "-s", "--dir", "a", "--dir", "b"]), []);
});

Deno.test("parseArguments: a switch takes no value", () => {
  assert.deepEqual(problems(["--simple=yes"]), ["The flag --simple takes no value"]);
  assert.deepEqual(problems(["--no-simple=yes"]), ["The flag --no-simple takes no value"]);
});

Deno.test("parseArguments: only finite numbers are numbers", () => {
  for (const text of ["", " ", "1x", "Infinity", "NaN", "--"]) {
    assert.equal(problems([`--steps=${text}`]).length, 1, JSON.stringify(text));
  }
  for (const [text, value] of [["-1", -1], ["0", 0], ["2.5", 2.5], ["1e3", 1000]] as const) {
    assert.equal(parse([`--steps=${text}`]).flags["steps"], value);
  }
});

Deno.test("parseArguments: a flag's value may begin with a dash, but a known flag is no value", () => {
  assert.equal(parse(["--steps", "-1"]).flags["steps"], -1);
  assert.equal(parse(["--to", "-x"]).flags["to"], "-x");
  assert.equal(parse(["--to=--simple"]).flags["to"], "--simple");
  for (const word of ["--simple", "--no-check", "--steps=3", "-s"]) {
    assert.deepEqual(problems(["--to", word]), ["The flag --to needs a value"], word);
  }
});

Deno.test("parseArguments: names that every object has are unknown flags like others", () => {
  for (const name of ["constructor", "toString", "__proto__", "hasOwnProperty", "no-constructor"]) {
    assert.deepEqual(problems([`--${name}`]), [`Unknown flag --${name}`]);
    assert.deepEqual(problems([`--${name}=1`]), [`Unknown flag --${name}`]);
  }
});

Deno.test("parseArguments: what may be the value of an unknown flag is not reported beside it", () => {
  assert.deepEqual(problems(["--password", "hunter2", "stray"]), [
    "Unknown flag --password",
    'Unexpected argument "stray"',
  ]);
  const args: Arguments = { "name": { help: "A name", required: true } };
  assert.deepEqual(parse(["--smple", "a"], { args }).args, { name: "a" });
});

Deno.test("parseArguments: an unknown short flag in a group is named alone", () => {
  assert.deepEqual(problems(["-sx"]), ["Unknown flag -x"]);
});

Deno.test("parseArguments: after -- nothing is a flag", () => {
  const { args, flags, problems } = parse(["--", "--simple"], {
    args: { "word": { help: "A word" } },
  });
  assert.deepEqual({ args, problems }, { args: { word: "--simple" }, problems: [] });
  assert.equal(flags["simple"], false);
});

Deno.test("parseArguments: a variable gives the value when the flag is absent or its text is empty", () => {
  const flags: Flags = {
    "wait": { type: "number", help: "Seconds", env: "WAIT", default: 60 },
    "dry": { type: "boolean", help: "Only look", env: "DRY" },
    "dir": { type: "string", help: "Where", env: "DIR", repeatable: true },
  };
  const env = { WAIT: "5", DRY: "Yes", DIR: "a" };
  assert.deepEqual(parse([], { flags, env }).flags, { wait: 5, dry: true, dir: ["a"] });
  assert.deepEqual(parse(["--wait=7", "--no-dry", "--dir=b"], { flags, env }).flags, {
    wait: 7,
    dry: false,
    dir: ["b"],
  });
  assert.deepEqual(parse([], { flags, env: { WAIT: "", DRY: "off", DIR: "" } }).flags, {
    wait: 60,
    dry: false,
    dir: [],
  });
});

Deno.test("parseArguments: what is wrong with a variable names the variable", () => {
  const flags: Flags = {
    "wait": { type: "number", help: "Seconds", env: "WAIT" },
    "dry": { type: "boolean", help: "Only look", env: "DRY" },
  };
  assert.deepEqual(problems([], { flags, env: { WAIT: "soon", DRY: "perhaps" } }), [
    'The value "soon" of the variable WAIT is not a number',
    'The value "perhaps" of the variable DRY is neither true nor false',
  ]);
});

Deno.test("parseArguments: a required flag is satisfied by its variable", () => {
  const flags: Flags = { "key": { type: "string", help: "A key", env: "KEY", required: true } };
  assert.deepEqual(problems([], { flags, env: { KEY: "k" } }), []);
  assert.deepEqual(problems([], { flags }), ["The flag --key is missing"]);
});

Deno.test("parseArguments: a required value that is wrong is one problem, not two", () => {
  const flags: Flags = { "count": { type: "number", help: "How many", required: true } };
  assert.deepEqual(problems(["--count", "x"], { flags }), [
    'The value "x" of --count is not a number',
  ]);
});

Deno.test("parseArguments: leniently, nothing is missing", () => {
  const flags: Flags = { "key": { type: "string", help: "A key", required: true } };
  const args: Arguments = { "file": { help: "A file", required: true } };
  assert.deepEqual(problems([], { flags, args, lenient: true }), []);
  assert.equal(problems([], { flags, args }).length, 2);
});

Deno.test("parseArguments: arguments are assigned in the order of their declaration", () => {
  const args: Arguments = {
    "name": { help: "A name", required: true },
    "count": { type: "number", help: "How many" },
    "rest": { help: "The rest", repeatable: true },
  };
  assert.deepEqual(parse(["a", "--simple", "2", "b", "c"], { args }).args, {
    name: "a",
    count: 2,
    rest: ["b", "c"],
  });
  assert.deepEqual(parse(["a"], { args }).args, { name: "a", count: undefined, rest: [] });
});

Deno.test("parseArguments: missing, wrong and unexpected arguments are named", () => {
  const args: Arguments = {
    "kind": { help: "A kind", choices: ["up", "down"], required: true },
    "count": { type: "number", help: "How many", required: true },
  };
  assert.deepEqual(problems([], { args }), [
    "The argument KIND is missing",
    "The argument COUNT is missing",
  ]);
  assert.deepEqual(problems(["dwn", "x", "y"], { args }), [
    'The value "dwn" of KIND is not one of up, down; did you mean "down"?',
    'The value "x" of COUNT is not a number',
    'Unexpected argument "y"',
  ]);
});

Deno.test("parseArguments: a secret's text is never shown, however wrong it is", () => {
  const flags: Flags = {
    "pin": { type: "number", help: "A number to keep", secret: true, env: "PIN" },
    "key": { type: "string", help: "One of these", secret: true, choices: ["a", "b"] },
  };
  const found = [
    ...problems(["--pin", "hunter2", "--key", "hunter3"], { flags }),
    ...problems([], { flags, env: { PIN: "hunter2" } }),
  ];
  assert.equal(found.length, 3);
  assert.doesNotMatch(found.join("\n"), /hunter/);
});

Deno.test("parseArguments: a URL in the wrong place is shown without its password", () => {
  const url = "postgres://app:hunter2@db1:5432/x?sslpassword=hunter3";
  const found = [
    ...problems([url]),
    ...problems(["--databse-url", url]),
    ...problems([`--steps=${url}`]),
    ...problems([url], { args: { "kind": { help: "A kind", choices: ["up"] } } }),
    ...problems(["host=db1 user=app password='hunter 2'"]),
    ...problems(["host=db1 password = hunter2"]),
  ];
  assert.equal(found.length, 6);
  assert.doesNotMatch(found.join("\n"), /hunter/);
});

// exec's first argument is SQL, whatever it looks like.
const SQL = {
  flags: {
    "json": { type: "boolean", help: "As JSON" },
    "quiet": { type: "boolean", help: "Less", short: "q" },
    "format": { type: "string", help: "The form", short: "f" },
  },
  args: { "sql": { help: "The statement", required: true, verbatim: true } },
} satisfies Case;

Deno.test("parseArguments: a verbatim argument may begin with dashes", () => {
  for (const sql of ["-- only a comment", "--\nSELECT 1", "-1", "--x", "--formats=x", "SELECT 1"]) {
    const { args, problems } = parse(["--json", sql, "--format=csv"], SQL);
    assert.deepEqual({ args, problems }, { args: { sql }, problems: [] }, sql);
  }
});

Deno.test("parseArguments: flags before a verbatim argument keep their values", () => {
  const { args, flags, problems } = parse(["--format", "csv", "-q", "-- c"], SQL);
  assert.deepEqual(problems, []);
  assert.deepEqual({ args, flags }, {
    args: { sql: "-- c" },
    flags: { json: false, quiet: true, format: "csv" },
  });
});

Deno.test("parseArguments: after a verbatim argument, unknown flags are told as ever", () => {
  assert.deepEqual(problems(["-- c", "--jsn"], SQL), [
    "Unknown flag --jsn; did you mean --json?",
  ]);
});

Deno.test("parseArguments: -- before a verbatim argument is left out", () => {
  assert.deepEqual(parse(["--", "-- c"], SQL).args, { sql: "-- c" });
});

Deno.test("parseArguments: an absent verbatim argument is missing even where flags are given", () => {
  assert.deepEqual(problems(["--json"], SQL), ["The argument SQL is missing"]);
});
