import assert from "assert";
import {
  type Command,
  command,
  type Hook,
  type Hooks,
  OperationError,
  type Plugin,
} from "../../core/plugin.ts";
import { run } from "../../core/run.ts";
import { type FakeHost, fakeHost, type FakeMachine } from "../../core/testing.ts";

/** A plugin with one command, `work`, whose declaration is changed as wanted. */
function working(more: Partial<Command> = {}, hooks: Hooks = {}): Plugin {
  return {
    name: "worker",
    api: 1,
    summary: "Work",
    commands: {
      "work": {
        ...command({
          summary: "Work",
          examples: [{ line: "observatory work", note: "Work" }],
          effect: "read",
          database: "none",
          run: () => Promise.resolve({ data: { done: true }, text: "Done" }),
        }),
        ...more,
      },
    },
    hooks,
  };
}

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly host: FakeHost;
}

async function runWith(
  args: readonly string[],
  plugin: Plugin,
  machine: FakeMachine = {},
): Promise<Outcome> {
  const host = fakeHost(machine);
  const code = await run(args, host, { plugins: [plugin] });
  return { code, ...host.written, host };
}

/** Runs with `--json` and checks that stdout is exactly one object on one line, with the run's name. */
async function jsonOf(args: readonly string[], plugin: Plugin, machine: FakeMachine = {}) {
  const outcome = await runWith(["--json", ...args], plugin, machine);
  assert.match(outcome.stdout, /^\{[^\n]*\}\n$/);
  const { run_id: runId, ...json } = JSON.parse(outcome.stdout);
  assert.match(runId, UUID);
  return { ...outcome, json };
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

function throwing(error: unknown): () => Promise<never> {
  return () => Promise.reject(error);
}

// ---------------------------------------------------------------------------
// Results and failures
// ---------------------------------------------------------------------------

Deno.test("run: a result's text goes to stdout, and stderr stays empty", async () => {
  const { code, stdout, stderr } = await runWith(["work"], working());
  assert.deepEqual({ code, stdout, stderr }, { code: 0, stdout: "Done\n", stderr: "" });
});

Deno.test("run: as JSON a result is one object", async () => {
  const { code, json, stderr } = await jsonOf(["work"], working());
  assert.deepEqual(json, { ok: true, command: "work", data: { done: true } });
  assert.deepEqual([code, stderr], [0, ""]);
});

Deno.test("run: problems of a command that worked are exit 3, the result all the same", async () => {
  const plugin = working({
    run: () => Promise.resolve({ data: 1, text: "Looked", problems: ["one pending", "one odd"] }),
  });
  const { code, stdout, stderr } = await runWith(["work"], plugin);
  assert.deepEqual([code, stdout], [3, "Looked\n"]);
  assert.equal(stderr, "[WARNING] one pending\n[WARNING] one odd\n");
  const { json, code: jsonCode } = await jsonOf(["work"], plugin);
  assert.equal(jsonCode, 3);
  assert.deepEqual(json, {
    ok: true,
    command: "work",
    data: 1,
    problems: ["one pending", "one odd"],
  });
});

Deno.test("run: an empty list of problems is no problem", async () => {
  const plugin = working({ run: () => Promise.resolve({ data: 1, problems: [] }) });
  assert.equal((await runWith(["work"], plugin)).code, 0);
});

Deno.test("run: each kind of failure has its exit code, its line on stderr and nothing on stdout", async () => {
  const exits = { failed: 1, usage: 2, refused: 4, connection: 5, locked: 6 } as const;
  for (const [kind, exit] of Object.entries(exits)) {
    const error = new OperationError("Cannot work", {
      kind: kind as keyof typeof exits,
      hint: "Rest",
      excerpt: "  line 1\n  ^",
    });
    const { code, stdout, stderr } = await runWith(["work"], working({ run: throwing(error) }));
    assert.deepEqual([code, stdout], [exit, ""], kind);
    assert.equal(stderr, "[ERROR] Cannot work\n  line 1\n  ^\nHint: Rest\n");
  }
});

Deno.test("run: as JSON a failure is one object with its kind, code, hint, details and exit", async () => {
  const error = new OperationError("Cannot work", {
    kind: "locked",
    code: "busy",
    hint: "Rest",
    details: { pid: 1 },
  });
  const { code, json } = await jsonOf(["work"], working({ run: throwing(error) }));
  assert.equal(code, 6);
  assert.deepEqual(json, {
    ok: false,
    command: "work",
    error: {
      kind: "locked",
      code: "busy",
      message: "Cannot work",
      hint: "Rest",
      details: { pid: 1 },
      exit: 6,
    },
  });
});

Deno.test("run: each line of a failure's message has the tag", async () => {
  const plugin = working({ run: throwing(new OperationError("First\nSecond")) });
  assert.equal((await runWith(["work"], plugin)).stderr, "[ERROR] First\n[ERROR] Second\n");
});

Deno.test("run: what nobody expected is a bug: exit 70, with the stack on stderr", async () => {
  const plugin = working({ run: throwing(new TypeError("x is not a function")) });
  const { code, stdout, stderr } = await runWith(["work"], plugin);
  assert.deepEqual([code, stdout], [70, ""]);
  assert.match(stderr, /^\[ERROR\] TypeError: x is not a function\n/);
  assert.match(stderr, /^ +at .*run_test\.ts/m);
  assert.match(stderr, /^Hint: This is a bug in observatory/m);
  const { json } = await jsonOf(["work"], plugin);
  assert.deepEqual([json.ok, json.error.kind, json.error.exit], [false, "bug", 70]);
});

Deno.test("run: a command that returns nothing, or what JSON cannot hold, is a bug told once", async () => {
  const cyclic: { self?: unknown } = {};
  cyclic.self = cyclic;
  for (const result of [undefined, null, { data: cyclic }]) {
    // A plugin written without types may return anything.
    const plugin = working({ run: () => Promise.resolve(result as never) });
    const { code, json } = await jsonOf(["work"], plugin);
    assert.deepEqual([code, json.ok, json.error.kind], [70, false, "bug"]);
  }
});

Deno.test("run: warnings of a run are in the JSON too", async () => {
  const plugin = working({
    run: (ctx) => {
      ctx.log.warn("careful");
      return Promise.resolve({ data: 1 });
    },
  });
  const { json, stderr } = await jsonOf(["work"], plugin);
  assert.deepEqual(json.warnings, ["careful"]);
  assert.equal(stderr, "[WARNING] careful\n");
});

// ---------------------------------------------------------------------------
// The command line
// ---------------------------------------------------------------------------

Deno.test("run: without a terminal, progress is a line of the log every 30 seconds", async () => {
  const work = async (args: readonly string[], machine: FakeMachine = {}) => {
    const clock = { now: 1_700_000_000_000 };
    const dumping = working({
      run: (ctx) => {
        for (let second = 0; second <= 70; second++, clock.now += 1000) {
          ctx.progress({ label: "Dumping s3cr3t", done: second, total: 100, unit: "rows" });
        }
        ctx.progress(null);
        return Promise.resolve({ data: null, text: "Done" });
      },
    });
    const given = { ...machine, now: () => clock.now };
    return await runWith([...args, "work"], dumping, {
      ...given,
      env: { AWS_SECRET_ACCESS_KEY: "s3cr3t", ...machine.env },
    });
  };
  const { stdout, stderr } = await work([]);
  assert.equal(stdout, "Done\n");
  assert.equal(
    stderr,
    "[INFO] Dumping ******** · 30/100 (30 %) · 1 rows/s · 1:10 left\n" +
      "[INFO] Dumping ******** · 60/100 (60 %) · 1 rows/s · 0:40 left\n",
  );
  const json = await work(["--log-format=json"]);
  assert.deepEqual(
    json.stderr.trimEnd().split("\n").map((line) => {
      const { level, done, total, unit, command } = JSON.parse(line);
      return { level, done, total, unit, command };
    }),
    [30, 60].map((done) => ({ level: "info", done, total: 100, unit: "rows", command: "work" })),
  );
  assert.equal((await work(["--quiet"])).stderr, "");
  assert.equal((await work([], { env: { LOG_LEVEL: "warn" } })).stderr, "");
  const terminal = (await work([], { terminal: true })).stderr;
  assert.doesNotMatch(terminal, /INFO|s3cr3t/);
  assert(
    terminal.endsWith("\r\x1b[KDumping ******** · 70/100 (70 %) · 1 rows/s · 0:30 left\r\x1b[K"),
  );
});

Deno.test("run: an unknown command is exit 2 with a suggestion", async () => {
  const { code, stdout, stderr } = await runWith(["wrk"], working());
  assert.deepEqual([code, stdout], [2, ""]);
  assert.equal(stderr, '[ERROR] Unknown command "wrk"\nHint: Did you mean `observatory work`?\n');
  const { json } = await jsonOf(["wrk"], working());
  assert.deepEqual([json.ok, json.error.code, json.error.exit], [false, "unknown_command", 2]);
});

Deno.test("run: all problems of a command line are told together, and nothing is run", async () => {
  let ran = false;
  const plugin = working({
    flags: { "steps": { type: "number", help: "Steps" } },
    args: { "name": { help: "A name", required: true } },
    run: () => {
      ran = true;
      return Promise.resolve({ data: null });
    },
  });
  const args = ["work", "--steps", "x", "--stps", "--color", "blue"];
  const { code, stderr } = await runWith(args, plugin);
  assert.deepEqual([code, ran], [2, false]);
  assert.deepEqual(stderr.trim().split("\n"), [
    "[ERROR] Unknown flag --stps; did you mean --steps?",
    '[ERROR] The value "blue" of --color is not one of auto, always, never',
    '[ERROR] The value "x" of --steps is not a number',
    "[ERROR] The argument NAME is missing",
    "Hint: Run `observatory work --help` for its flags and examples",
  ]);
  const { json } = await jsonOf(args, plugin);
  assert.equal(json.error.details.problems.length, 4);
});

Deno.test("run: flags and arguments reach the command with their types", async () => {
  let given: unknown;
  const plugin = working({
    flags: {
      "steps": { type: "number", help: "Steps" },
      "dir": { type: "string", help: "Where", repeatable: true },
    },
    args: { "name": { help: "A name", required: true } },
    run: (_ctx, input) => {
      given = [input.flags["steps"], input.flags["dir"], input.args["name"]];
      return Promise.resolve({ data: null });
    },
  });
  await runWith(["work", "a", "--steps=2", "--dir", "x", "--dir", "y"], plugin);
  assert.deepEqual(given, [2, ["x", "y"], "a"]);
});

Deno.test("run: a built-in has the value of a secret setting, and it is masked when it is written", async () => {
  const { code, json } = await jsonOf(
    ["work"],
    working({
      run: ({ config, tool }) => {
        const secret = config.secret?.("AWS_SECRET_ACCESS_KEY") ?? "";
        return Promise.resolve({
          data: {
            length: secret.length,
            secret,
            none: config.secret?.("LOG_LEVEL") ?? null,
            got: config.get("AWS_SECRET_ACCESS_KEY") ?? null,
            tool,
          },
        });
      },
    }),
    { env: { AWS_SECRET_ACCESS_KEY: "aws-s3cr3t", LOG_LEVEL: "info" } },
  );
  assert.equal(code, 0);
  const { length, secret, none, got, tool } = json.data;
  assert.deepEqual({ length, none, got }, { length: 10, none: null, got: null });
  assert.doesNotMatch(secret, /s3cr3t/);
  assert.equal(tool.name, "observatory");
  assert.match(tool.version, /^\d+\.\d+\.\d+/);
});

Deno.test("run: a flag is accepted before the command's name and after it", async () => {
  for (const args of [["--json", "work"], ["work", "--json"]]) {
    assert.equal(JSON.parse((await runWith(args, working())).stdout).ok, true);
  }
});

Deno.test("run: connection flags are unknown to a command without a database", async () => {
  const { code, stderr } = await runWith(["work", "--host", "db1"], working());
  assert.equal(code, 2);
  assert.match(stderr, /Unknown flag --host/);
});

Deno.test("run: help goes to stdout with exit 0 in every form that asks for it", async () => {
  for (const args of [[], ["help"], ["--help"], ["-h"], ["help", "--quiet"], ["-q"]]) {
    const { code, stdout, stderr } = await runWith(args, working());
    assert.deepEqual([code, stderr], [0, ""], args.join(" "));
    assert.match(stdout, /^Runs a Postgres or TimescaleDB database's operations\.\n/);
  }
  for (
    const args of [
      ["work", "--help"],
      ["work", "-h"],
      ["--help", "work"],
      ["-h", "work"],
      [
        "work",
        "-qh",
      ],
      ["help", "work"],
      ["work", "--help", "--no-such-flag"],
    ]
  ) {
    const { code, stdout, stderr } = await runWith(args, working());
    assert.deepEqual([code, stderr], [0, ""], args.join(" "));
    assert.match(stdout, /^Work\.\n\nExamples:\n/, args.join(" "));
  }
});

Deno.test("run: as JSON, help is one object too", async () => {
  for (const args of [["help"], [], ["help", "exit-codes"], ["work", "--help"]]) {
    const { json, code } = await jsonOf(args, working());
    assert.deepEqual([code, json.ok, json.command], [0, true, "help"]);
    assert.equal(typeof json.data.text, "string");
  }
  const { json, code } = await jsonOf(["help", "nothing"], working());
  assert.deepEqual([code, json.ok, json.error.exit], [2, false, 2]);
});

Deno.test("run: a flag that nobody knows is exit 2 where help would be shown, too", async () => {
  for (const args of [["--jsn"], ["--jsn", "help"], ["help", "--jsn"], ["help", "work", "--jsn"]]) {
    const { code, stdout, stderr } = await runWith(args, working());
    assert.deepEqual([code, stdout], [2, ""], args.join(" "));
    assert.match(stderr, /^\[ERROR\] Unknown flag --jsn; did you mean --json\?\n/);
  }
});

Deno.test("run: the version is one line, or one object, in every form that asks for it", async () => {
  const forms = [["--version"], ["-V"], ["version"], ["-q", "version"], ["work", "--version"], [
    "work",
    "-V",
  ], ["--version", "work"]];
  for (const args of forms) {
    const { code, stdout, stderr } = await runWith(args, working());
    assert.deepEqual([code, stderr], [0, ""], args.join(" "));
    assert.match(stdout, /^observatory \d+\.\d+\.\d+ \(.*test-machine, test\)\n$/, args.join(" "));
    const { json } = await jsonOf(args, working());
    assert.deepEqual([json.ok, json.command, json.data.plugin_api], [true, "version", 1]);
  }
  assert.equal(JSON.parse((await runWith(["version", "--json"], working())).stdout).ok, true);
});

Deno.test("run: version with words that mean nothing is exit 2", async () => {
  for (const args of [["version", "--jsno"], ["version", "work"]]) {
    assert.equal((await runWith(args, working())).code, 2, args.join(" "));
  }
});

Deno.test("run: behind -- nothing decides how the run speaks", async () => {
  const plugin = working({
    args: { "words": { help: "Words", repeatable: true } },
    run: (_ctx, { args }) => Promise.resolve({ data: null, text: String(args["words"]) }),
  });
  const { code, stdout } = await runWith(["work", "--", "--json", "--help"], plugin);
  assert.deepEqual([code, stdout], [0, "--json,--help\n"]);
});

Deno.test("run: a password in the wrong place is not shown", async () => {
  const url = "postgres://app:hunter2@db1/x";
  for (
    const args of [
      [url],
      ["work", url],
      ["work", "--databse-url", url],
      [`--databse-url=${url}`],
      [
        "help",
        url,
      ],
      ["work", "--password", "hunter2"],
      ["--password=hunter2", "work"],
    ]
  ) {
    for (const json of [[], ["--json"]]) {
      const { code, stdout, stderr } = await runWith([...json, ...args], working());
      assert.equal(code, 2, args.join(" "));
      assert.doesNotMatch(stdout + stderr, /hunter2/);
    }
  }
});

// ---------------------------------------------------------------------------
// How a run speaks
// ---------------------------------------------------------------------------

const SPEAKING = working({
  run: (ctx) => {
    ctx.log.debug("d");
    ctx.log.info("i");
    ctx.log.success("s");
    ctx.log.warn("w");
    ctx.progress({ label: "Working" });
    return Promise.resolve({ data: null, text: "Done" });
  },
});

async function tagsOf(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const { stderr, stdout } = await runWith(["work", ...args], SPEAKING, { env });
  assert.equal(stdout, "Done\n");
  return [...stderr.matchAll(/^\[(\w+)\]/gm)].map(([, tag]) => tag).join(" ");
}

Deno.test("run: --quiet and --verbose decide which lines are written, whatever LOG_LEVEL says", async () => {
  assert.equal(await tagsOf([]), "INFO SUCCESS WARNING");
  assert.equal(await tagsOf(["--quiet"]), "WARNING");
  assert.equal(await tagsOf(["-q"], { LOG_LEVEL: "debug" }), "WARNING");
  assert.equal(
    await tagsOf(["--verbose"], { LOG_LEVEL: "error" }),
    "DEBUG DEBUG INFO SUCCESS WARNING",
  );
});

Deno.test("run: LOG_LEVEL decides where no flag does", async () => {
  assert.equal(await tagsOf([], { LOG_LEVEL: "debug" }), "DEBUG DEBUG INFO SUCCESS WARNING");
  assert.equal(await tagsOf([], { LOG_LEVEL: "warn" }), "WARNING");
  assert.equal(await tagsOf([], { LOG_LEVEL: "error" }), "");
});

Deno.test("run: under --log-format json each line is an object with the command and one run's id", async () => {
  for (
    const [args, env] of [[["--log-format", "json"], {}], [[], { LOG_FORMAT: "json" }]] as const
  ) {
    const { stderr } = await runWith(["work", ...args], SPEAKING, { env });
    const lines = stderr.trim().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(lines.map(({ level, message }) => [level, message]), [
      ["info", "i"],
      ["info", "s"],
      ["warn", "w"],
    ]);
    assert.deepEqual([...new Set(lines.map(({ command }) => command))], ["work"]);
    assert.equal(new Set(lines.map(({ run_id }) => run_id)).size, 1);
  }
});

Deno.test("run: under --log-format json a failure, its hint and a bug's stack are objects too", async () => {
  const failures = [new OperationError("Cannot", { hint: "Rest" }), new TypeError("bug")];
  for (const error of failures) {
    const { stderr } = await runWith(
      ["work", "--log-format=json"],
      working({ run: throwing(error) }),
    );
    for (const line of stderr.trim().split("\n")) {
      assert.equal(JSON.parse(line).level, "error");
    }
  }
  const { stderr } = await runWith(["wrk", "--log-format=json"], working());
  for (const line of stderr.trim().split("\n")) assert.equal(JSON.parse(line).level, "error");
});

Deno.test("run: colours are for terminals, and flag, NO_COLOR and FORCE_COLOR decide in that order", async () => {
  const coloured = async (
    args: string[],
    env: Readonly<Record<string, string>>,
    terminal: boolean,
  ) => {
    const { stderr } = await runWith(["work", ...args], SPEAKING, { env, terminal });
    return stderr.includes("\x1b[34m[INFO]");
  };
  assert.equal(await coloured([], {}, true), true);
  assert.equal(await coloured([], {}, false), false);
  assert.equal(await coloured([], { TERM: "dumb" }, true), false);
  assert.equal(await coloured([], { NO_COLOR: "1" }, true), false);
  assert.equal(await coloured([], { NO_COLOR: "" }, true), true);
  assert.equal(await coloured([], { FORCE_COLOR: "1" }, false), true);
  assert.equal(await coloured([], { FORCE_COLOR: "0" }, false), false);
  assert.equal(await coloured([], { FORCE_COLOR: "1", NO_COLOR: "1" }, false), false);
  assert.equal(await coloured(["--color=always"], { NO_COLOR: "1" }, false), true);
  assert.equal(await coloured(["--color", "never"], { FORCE_COLOR: "1" }, true), false);
});

Deno.test("run: progress is shown on a terminal only, and gone at the end", async () => {
  const shown = async (args: string[], terminal: boolean) => {
    const { stderr } = await runWith(["work", ...args], SPEAKING, { terminal });
    return stderr.includes("Working");
  };
  assert.equal(await shown([], true), true);
  assert.equal(await shown([], false), false);
  assert.equal(await shown(["--quiet"], true), false);
  assert.equal(await shown(["--log-format=json"], true), false);
  const { stderr } = await runWith(["work"], SPEAKING, { terminal: true });
  assert(stderr.endsWith("\r\x1b[K"));
});

Deno.test("run: secrets of the environment and of flags are masked under every writer", async () => {
  const plugin = working({
    flags: { "token": { type: "string", help: "A token", secret: true } },
    run: (ctx, { flags }) => {
      const secrets = `${flags["token"]} correct-horse-9`;
      ctx.log.warn(secrets);
      ctx.progress({ label: secrets });
      return Promise.resolve({ data: { secrets }, text: secrets, problems: [secrets] });
    },
  });
  const env = { DB_PASSWORD: "correct-horse-9" };
  for (const args of [[], ["--json"], ["--log-format=json"]]) {
    const { stdout, stderr, code } = await runWith(
      ["work", "--token", "battery-staple-7", ...args],
      {
        ...plugin,
      },
      { env, terminal: true },
    );
    assert.equal(code, 3);
    assert.doesNotMatch(stdout + stderr, /correct-horse|battery-staple/);
  }
});

Deno.test("run: a bug's message and stack do not show secrets", async () => {
  const plugin = working({ run: throwing(new Error("login with correct-horse-9")) });
  const env = { DB_PASSWORD: "correct-horse-9" };
  for (const args of [[], ["--json"]]) {
    const { stdout, stderr } = await runWith(["work", ...args], plugin, { env });
    assert.doesNotMatch(stdout + stderr, /correct-horse/);
  }
});

// ---------------------------------------------------------------------------
// The gate before what destroys
// ---------------------------------------------------------------------------

const ENV = { DB_NAME: "shop", DB_HOST: "db1" };

function destroying(): { plugin: Plugin; ran: () => number } {
  let ran = 0;
  const plugin = working({
    effect: "destroy",
    database: "database",
    dryRun: true,
    run: () => {
      ran++;
      return Promise.resolve({ data: null, text: "Destroyed" });
    },
  });
  return { plugin, ran: () => ran };
}

Deno.test("run: what destroys is refused where nobody can be asked, with the line that would pass", async () => {
  const { plugin, ran } = destroying();
  const { code, stderr } = await runWith(["work"], plugin, { env: ENV });
  assert.deepEqual([code, ran()], [4, 0]);
  assert.match(stderr, /Hint: To go on: observatory work --confirm shop\n/);
  const { json } = await jsonOf(["work"], plugin, { env: ENV });
  assert.deepEqual([json.error.kind, json.error.code], ["refused", "not_confirmed"]);
});

Deno.test("run: what destroys passes with the name given, typed, or forced outside production", async () => {
  for (
    const [args, machine] of [
      [["--confirm", "shop"], {}],
      [["--confirm=shop"], { env: { ENVIRONMENT: "production" } }],
      [["--force"], {}],
      [[], { terminal: true, input: ["shop"] }],
      [[], { terminal: true, input: ["shop"], env: { ENVIRONMENT: "production" } }],
    ] as const
  ) {
    const { plugin, ran } = destroying();
    const env = { ...ENV, ..."env" in machine ? machine.env : {} };
    const { code } = await runWith(["work", ...args], plugin, { ...machine, env });
    assert.deepEqual([code, ran()], [0, 1], args.join(" "));
  }
});

Deno.test("run: what destroys is refused for another name, no answer, or force in production", async () => {
  for (
    const [args, machine] of [
      [["--confirm", "shop2"], {}],
      [["--confirm", "shop2", "--force"], {}],
      [["--force"], { env: { ENVIRONMENT: "production" } }],
      [["--force"], { env: { ENVIRONMENT: "Production " }, terminal: true, input: ["shop"] }],
      [[], { terminal: true, input: ["yes"] }],
      [[], { terminal: true, input: [] }],
    ] as const
  ) {
    const { plugin, ran } = destroying();
    const env = { ...ENV, ..."env" in machine ? machine.env : {} };
    const { code } = await runWith(["work", ...args], plugin, { ...machine, env });
    assert.deepEqual([code, ran()], [4, 0], args.join(" "));
  }
});

Deno.test("run: under --dry-run what destroys asks nothing, and says that nothing was changed", async () => {
  const { plugin, ran } = destroying();
  const { code, stderr } = await runWith(["work", "--dry-run"], plugin, { env: ENV });
  assert.deepEqual([code, ran()], [0, 1]);
  assert.equal(stderr, "[INFO] Dry run: nothing was changed\n");
});

Deno.test("run: a signal at the question ends the run at once", async () => {
  const { plugin, ran } = destroying();
  const host = fakeHost({ env: ENV, terminal: true });
  const asking = { ...host, readLine: () => new Promise<string | null>(() => {}) };
  const code = run(["work"], asking, { plugins: [plugin] });
  while (!host.written.stderr.includes("Type the database's name")) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  host.send("SIGINT");
  assert.deepEqual([await code, ran()], [130, 0]);
});

Deno.test("run: --dry-run, --force and --confirm are unknown where they mean nothing", async () => {
  for (const flag of ["--dry-run", "--force", "--confirm"]) {
    const { code, stderr } = await runWith(["work", flag], working());
    assert.equal(code, 2);
    assert(stderr.includes(`Unknown flag ${flag}`));
  }
});

Deno.test("run: ctx.dryRun tells the command", async () => {
  for (const args of [[], ["--dry-run"]]) {
    const plugin = working({
      dryRun: true,
      run: (ctx) => Promise.resolve({ data: null, text: String(ctx.dryRun) }),
    });
    const { stdout } = await runWith(["work", ...args], plugin);
    assert.equal(stdout, `${args.length === 1}\n`);
  }
});

// ---------------------------------------------------------------------------
// Hooks
// ---------------------------------------------------------------------------

function recorder(): { hooks: Hooks; called: string[]; events: Record<string, unknown>[] } {
  const called: string[] = [];
  const events: Record<string, unknown>[] = [];
  const record: Hook = (_ctx, event) => {
    called.push(event.moment);
    events.push({ ...event });
  };
  const hooks: Hooks = {
    "before:work": record,
    "after:work": record,
    "failed:work": record,
    "always:work": record,
  };
  return { hooks, called, events };
}

Deno.test("run: hooks of a success are before, after and always, and are told the result", async () => {
  const { hooks, called, events } = recorder();
  const { code } = await runWith(["work"], working({}, hooks));
  assert.deepEqual([code, called], [0, ["before", "after", "always"]]);
  assert.deepEqual(events.map(({ result }) => result), [undefined, { done: true }, { done: true }]);
});

Deno.test("run: hooks of a failure are before, failed and always, and are told the error", async () => {
  const { hooks, called, events } = recorder();
  const error = new OperationError("Cannot work", { code: "busy" });
  const { code } = await runWith(["work"], working({ run: throwing(error) }, hooks));
  assert.deepEqual([code, called], [1, ["before", "failed", "always"]]);
  assert.deepEqual(events[1]?.["error"], { code: "busy", message: "Cannot work" });
  assert.deepEqual(events[2]?.["error"], { code: "busy", message: "Cannot work" });
});

Deno.test("run: a before hook that throws stops the operation, and the hooks are told so", async () => {
  let ran = false;
  const { hooks, called } = recorder();
  const plugin = working({
    run: () => {
      ran = true;
      return Promise.resolve({ data: null });
    },
  }, {
    ...hooks,
    "before:*": () => {
      throw new Error("not on Fridays");
    },
  });
  const { code, stderr } = await runWith(["work"], plugin);
  assert.deepEqual([code, ran, called], [1, false, ["failed", "always"]]);
  assert.equal(
    stderr,
    '[ERROR] The hook "before:*" of plugin worker failed: not on Fridays; work was not started\n',
  );
});

Deno.test("run: an after hook that throws fails the run, says that the operation succeeded, and is no failure of it", async () => {
  for (const data of [{ done: true }, undefined]) {
    const { hooks, called, events } = recorder();
    const plugin = working({ run: () => Promise.resolve({ data, text: "Done" }) }, {
      ...hooks,
      "after:*": () => {
        throw new Error("mail is down");
      },
    });
    const { code, stdout, stderr } = await runWith(["work"], plugin);
    assert.deepEqual([code, stdout, called], [1, "", ["before", "after", "always"]]);
    assert.match(stderr, /mail is down; work itself succeeded/);
    assert.equal(events[2]?.["error"], undefined);
    const { json } = await jsonOf(["work"], plugin);
    assert.deepEqual([json.ok, json.error.code], [false, "hook_failed"]);
  }
});

Deno.test("run: hooks that throw after a failure do not hide it", async () => {
  const failing = () => {
    throw new Error("mail is down");
  };
  const error = new OperationError("Cannot work", { kind: "locked" });
  const plugin = working({ run: throwing(error) }, {
    "failed:work": failing,
    "always:work": failing,
  });
  const { code, stderr } = await runWith(["work"], plugin);
  assert.equal(code, 6);
  assert.deepEqual(stderr.trim().split("\n"), [
    '[ERROR] The hook "failed:work" of plugin worker failed: mail is down; work had failed before',
    '[ERROR] The hook "always:work" of plugin worker failed: mail is down; work had failed before',
    "[ERROR] Cannot work",
  ]);
  const { json } = await jsonOf(["work"], plugin);
  assert.equal(json.error.message, "Cannot work");
});

Deno.test("run: hooks are told the command's own flags, without secrets and connection flags", async () => {
  const { hooks, events } = recorder();
  const plugin = working({
    database: "database",
    flags: {
      "steps": { type: "number", help: "Steps" },
      "token": { type: "string", help: "A token", secret: true },
    },
    args: { "name": { help: "A name" } },
    dryRun: true,
  }, hooks);
  const args = ["work", "a", "--steps=2", "--token=hunter2", "--dry-run"];
  await runWith([...args, "--database-url", "postgres://app:hunter3@db1/x"], plugin);
  assert.deepEqual(events[0], {
    moment: "before",
    command: "work",
    effect: "read",
    flags: { "steps": 2, "dry-run": true },
    args: { "name": "a" },
  });
});

Deno.test("run: what a failed hook is told has no secrets", async () => {
  const { hooks, events } = recorder();
  const error = new OperationError("login with correct-horse-9 failed");
  await runWith(["work"], working({ run: throwing(error) }, hooks), {
    env: { DB_PASSWORD: "correct-horse-9" },
  });
  assert.equal(events.length, 3);
  assert.doesNotMatch(JSON.stringify(events), /correct-horse/);
});

Deno.test("run: no hook is called when the command line is wrong or the operation is not confirmed", async () => {
  const { hooks, called } = recorder();
  await runWith(["work", "--nothing"], working({}, hooks));
  await runWith(["work"], working({ effect: "destroy", database: "database" }, hooks), {
    env: ENV,
  });
  await runWith(["work", "--help"], working({}, hooks));
  assert.deepEqual(called, []);
});

// ---------------------------------------------------------------------------
// Signals
// ---------------------------------------------------------------------------

/** Starts a run whose command waits for the signal as a well-behaved one does. */
function waiting(args: readonly string[], more: Partial<Command> = {}, hooks: Hooks = {}) {
  const host = fakeHost();
  const started = Promise.withResolvers<void>();
  const plugin = working({
    run: (ctx) => {
      started.resolve();
      return new Promise((_, reject) => {
        ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason));
      });
    },
    ...more,
  }, hooks);
  const code = run(args, host, { plugins: [plugin] });
  return { host, code, started: started.promise };
}

Deno.test("run: a signal ends the run with 128 plus its number", async () => {
  for (const [name, exit] of [["SIGHUP", 129], ["SIGINT", 130], ["SIGTERM", 143]] as const) {
    const { host, code, started } = waiting(["work"]);
    await started;
    host.send(name);
    assert.equal(await code, exit);
    assert.equal(
      host.written.stderr,
      `[WARNING] ${name} received: cancelling; a second signal ends at once\n`,
    );
    assert.equal(host.written.stdout, "");
  }
});

Deno.test("run: as JSON a signal is one object", async () => {
  const { host, code, started } = waiting(["work", "--json"]);
  await started;
  host.send("SIGTERM");
  assert.equal(await code, 143);
  const { ok, error } = JSON.parse(host.written.stdout);
  assert.deepEqual([ok, error.kind, error.code, error.exit], [false, "signal", "sigterm", 143]);
});

Deno.test("run: what fails because of the signal is told as the signal", async () => {
  const { host, code } = waiting(["work"], {
    run: (ctx) =>
      new Promise((_, reject) => {
        ctx.signal.addEventListener(
          "abort",
          () => reject(new OperationError("Cannot go on", { cause: ctx.signal.reason })),
        );
        queueMicrotask(() => host.send("SIGINT"));
      }),
  });
  assert.equal(await code, 130);
  assert.doesNotMatch(host.written.stderr, /ERROR/);
});

Deno.test("run: a bug stays a bug after a signal", async () => {
  const { host, code } = waiting(["work"], {
    run: (ctx) =>
      new Promise((_, reject) => {
        ctx.signal.addEventListener("abort", () => reject(new TypeError("x is undefined")));
        queueMicrotask(() => host.send("SIGINT"));
      }),
  });
  assert.equal(await code, 70);
});

Deno.test("run: a signal during a hook ends the run as the signal", async () => {
  const { host, code } = waiting(["work"], {}, {
    "before:work": (ctx) =>
      new Promise((_, reject) => {
        ctx.signal.addEventListener("abort", () => reject(ctx.signal.reason));
        queueMicrotask(() => host.send("SIGHUP"));
      }),
  });
  assert.equal(await code, 129);
});

Deno.test("run: a second signal ends the process at once, with one object as JSON", async () => {
  for (const json of [[], ["--json"]]) {
    const running = Promise.withResolvers<void>();
    const stubborn = Promise.withResolvers<never>();
    const { host, code } = waiting(["work", ...json], {
      run: () => {
        running.resolve();
        return stubborn.promise;
      },
    });
    await running.promise;
    host.send("SIGINT");
    assert.equal(host.exited.code, undefined);
    // The fake host cannot end the process, so its exit throws.
    assert.throws(() => host.send("SIGTERM"), /exit\(143\)/);
    assert.equal(host.exited.code, 143);
    if (json.length === 0) assert.equal(host.written.stdout, "");
    else assert.equal(JSON.parse(host.written.stdout).error.exit, 143);
    stubborn.reject(new Error("the process would have ended"));
    await code;
  }
});

Deno.test("run: signals are no longer listened for when the run has ended", async () => {
  const { host } = await runWith(["work"], working());
  host.send("SIGINT");
  host.send("SIGINT");
  assert.equal(host.exited.code, undefined);
  assert.equal(host.written.stderr, "");
});

// ---------------------------------------------------------------------------
// Configuration and the context
// ---------------------------------------------------------------------------

Deno.test("run: a configuration that is not valid is exit 2 with all its problems", async () => {
  const env = { LOG_LEVEL: "loud", BACKUP_RETENTION_DAYS: "many" };
  const { code, stderr } = await runWith(["work"], working(), { env });
  assert.equal(code, 2);
  assert.match(stderr, /LOG_LEVEL/);
  assert.match(stderr, /BACKUP_RETENTION_DAYS/);
});

Deno.test("run: what writes is not begun under a connection that cannot be meant", async () => {
  for (const [effect, exit, ran] of [["write", 2, false], ["read", 0, true]] as const) {
    let began = false;
    const plugin = working({
      effect,
      database: "database",
      run: () => {
        began = true;
        return Promise.resolve({ data: null });
      },
    });
    const { code } = await runWith(["work"], plugin, { env: { DB_PORT: "http" } });
    assert.deepEqual([code, began], [exit, ran], effect);
  }
});

Deno.test("run: a command without a database has none, and says so", async () => {
  const plugin = working({ run: async (ctx) => ({ data: await ctx.db.query("SELECT 1") }) });
  const { code, stderr } = await runWith(["work"], plugin);
  assert.equal(code, 1);
  assert.match(stderr, /needs no database, so it has none/);
});

Deno.test("run: the context gives the configuration without secrets, the files and the clock", async () => {
  const plugin = working({
    run: async (ctx) => ({
      data: {
        name: ctx.config.get("DB_NAME"),
        password: ctx.config.get("DB_PASSWORD"),
        shown: (await ctx.config.entries()).find(({ name }) => name === "DB_PASSWORD")?.value,
        files: (await ctx.files.list("migrations")).map(({ name }) => name),
        now: ctx.now(),
      },
    }),
  });
  const { json } = await jsonOf(["work"], plugin, {
    env: { DB_NAME: "shop", DB_PASSWORD: "correct-horse-9" },
    files: { "migrations/1_a.sql": "" },
    now: () => 5,
  });
  assert.equal(json.data.password, undefined);
  assert.doesNotMatch(json.data.shown, /correct/);
  assert.deepEqual([json.data.name, json.data.files, json.data.now], ["shop", ["1_a.sql"], 5]);
});

Deno.test("run: a .env file beside is read, and the environment wins over it", async () => {
  const plugin = working({
    run: (ctx) =>
      Promise.resolve({
        data: [ctx.config.get("DB_NAME"), ctx.config.get("DB_HOST"), ctx.config.get("DB_USER")],
      }),
  });
  const files = {
    "/work/.env": "DB_NAME=shop\nDB_HOST=db1\n",
    "/work/other.env": "DB_USER=app\n",
  };
  const { json } = await jsonOf(["work"], plugin, { files, env: { DB_HOST: "db2" } });
  assert.deepEqual(json.data, ["shop", "db2", "postgres"]);
  const other = await jsonOf(["work", "--env-file", "other.env"], plugin, { files });
  assert.deepEqual(other.json.data, ["llm_observatory", "localhost", "app"]);
});

Deno.test("run: an --env-file that is not there is exit 2", async () => {
  const { code, stderr } = await runWith(["work", "--env-file", "missing.env"], working());
  assert.equal(code, 2);
  assert.match(stderr, /missing\.env/);
});

Deno.test("run: a server that refuses connections is exit 5 at once under --wait 0, or less", async () => {
  const plugin = working({
    database: "database",
    run: async (ctx) => ({ data: (await ctx.db.query("SELECT 1")).rows }),
  });
  for (const wait of ["--wait=0", "--wait=-5"]) {
    const { code, stderr, json } = await jsonOf(["work", wait], plugin);
    assert.equal(code, 5);
    assert.deepEqual([json.error.kind, json.error.code], ["connection", "connection_refused"]);
    assert.match(stderr, /Waiting for database to be ready\.\.\./);
    assert.match(stderr, /Hint: /);
    assert.doesNotMatch(stderr, /waited/);
  }
});
