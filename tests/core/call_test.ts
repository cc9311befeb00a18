import assert from "assert";
import {
  command,
  type CommandCall,
  OperationError,
  type Plan,
  type Plugin,
} from "../../core/plugin.ts";
import { run } from "../../core/run.ts";
import { fakeHost, type FakeMachine } from "../../core/testing.ts";

const example = [{ line: "observatory x", note: "do it" }];

/** Commands that run each other, and hooks that note what is run. */
function plugin(events: string[] = []): Plugin {
  const outer = (path: string, input?: CommandCall) =>
    command({
      summary: "Run another",
      examples: example,
      effect: "write",
      database: "none",
      dryRun: true,
      async run(ctx) {
        const result = await ctx.run(path, input);
        return {
          data: { inner: result.data },
          ...(result.problems && { problems: result.problems }),
        };
      },
    });
  return {
    name: "calls",
    api: 1,
    summary: "Commands that run others",
    commands: {
      "inner": command({
        summary: "Tell the input",
        examples: example,
        effect: "write",
        database: "none",
        dryRun: true,
        flags: {
          "name": { type: "string", default: "nobody", help: "A name" },
          "tag": { type: "string", repeatable: true, help: "Tags" },
          "loud": { type: "boolean", help: "Loud" },
          "from": { type: "string", env: "INNER_FROM", help: "From the environment" },
        },
        args: { "what": { help: "What" }, "more": { help: "More", repeatable: true } },
        run: (ctx, { flags, args }) =>
          Promise.resolve({
            data: {
              name: flags.name,
              tag: flags.tag,
              loud: flags.loud,
              from: flags.from,
              args,
              dryRun: ctx.dryRun,
            },
            problems: flags.loud ? ["too loud"] : [],
          }),
      }),
      "dangerous": command({
        summary: "Destroy",
        examples: example,
        effect: "destroy",
        run: () => Promise.resolve({ data: "destroyed" }),
      }),
      "wet": command({
        summary: "Cannot run dry",
        examples: example,
        effect: "write",
        database: "none",
        run: () => Promise.resolve({ data: "written" }),
      }),
      "plain": outer("inner"),
      "filled": outer("inner", {
        flags: { name: "--odd", tag: ["a", "b"], loud: true },
        args: { what: "-x", more: ["1", "2"] },
      }),
      "misspelt": outer("inner", { flags: { nme: "a" } }),
      "misplaced": outer("inner", { args: { wat: "a" } }),
      "with its value": outer("inner", { flags: { "name=a": true } }),
      "with a value in front": outer("inner", { flags: { "name=a": "b" } }),
      "nowhere": outer("no such"),
      "destroys": outer("dangerous", { flags: { confirm: "llm_observatory" } }),
      "destroys other": outer("dangerous", { flags: { confirm: "other" } }),
      "destroys silently": outer("dangerous"),
      "wets": outer("wet"),
      "reads": command({
        summary: "Reads only, it says",
        examples: example,
        effect: "read",
        database: "none",
        run: async (ctx) => await ctx.run("inner"),
      }),
    },
    hooks: {
      "before:*": (_ctx, { command }) => void events.push(`before ${command}`),
      "after:*": (_ctx, { command }) => void events.push(`after ${command}`),
    },
  };
}

async function json(words: readonly string[], machine?: FakeMachine, events?: string[]) {
  const host = fakeHost(machine);
  const code = await run(["--json", ...words], host, { plugins: [plugin(events)] });
  return { code, ...JSON.parse(host.written.stdout) };
}

Deno.test("ctx.run: the command gets its defaults, and gives its result", async () => {
  const { code, data } = await json(["plain"], { env: { INNER_FROM: "there" } });
  assert.equal(code, 0);
  assert.deepEqual(data.inner, {
    name: "nobody",
    tag: [],
    loud: false,
    from: "there",
    args: { more: [] },
    dryRun: false,
  });
});

Deno.test("ctx.run: flags and arguments arrive as given, whatever they look like", async () => {
  const { code, data, problems } = await json(["filled"]);
  assert.equal(code, 3);
  assert.deepEqual(problems, ["too loud"]);
  const { name, tag, loud, args } = data.inner;
  assert.deepEqual({ name, tag, loud, args }, {
    name: "--odd",
    tag: ["a", "b"],
    loud: true,
    args: { what: "-x", more: ["1", "2"] },
  });
});

Deno.test("ctx.run: an input that the command does not take is an error of usage", async () => {
  for (
    const words of [
      ["misspelt"],
      ["misplaced"],
      ["nowhere"],
      ["with", "its", "value"],
      ["with", "a", "value", "in", "front"],
    ]
  ) {
    const { code, ok, error } = await json(words);
    assert.deepEqual([code, ok, error.kind], [2, false, "usage"], words.join(" "));
  }
});

Deno.test("ctx.run: hooks are called around both commands", async () => {
  const events: string[] = [];
  await json(["plain"], undefined, events);
  assert.deepEqual(events, ["before plain", "before inner", "after inner", "after plain"]);
});

Deno.test("ctx.run: --dry-run goes on to the other command, and forbids one that has none", async () => {
  const dry = await json(["plain", "--dry-run"]);
  assert.equal(dry.data.inner.dryRun, true);
  const wet = await json(["wets", "--dry-run"]);
  assert.deepEqual([wet.code, wet.error.code], [4, "no_dry_run"]);
  assert.equal((await json(["wets"])).data.inner, "written");
});

Deno.test("ctx.run: a command that reads runs none that writes", async () => {
  const { code, error } = await json(["reads"]);
  assert.deepEqual([code, error.code], [4, "effect_exceeded"]);
});

Deno.test("ctx.run: no confirmation is inherited, and nobody is asked for one", async () => {
  assert.equal((await json(["destroys"])).data.inner, "destroyed");
  const machine = { terminal: true, input: ["llm_observatory"] };
  for (const words of [["destroys", "silently"], ["destroys", "other"]]) {
    const { code, error } = await json(words, machine);
    assert.deepEqual([code, error.code], [4, "not_confirmed"], words.join(" "));
  }
});

/** A destroying command with a plan. */
function planned(plan: () => Promise<string | Plan>): Plugin {
  return {
    name: "planned",
    api: 1,
    summary: "Destroys as planned",
    commands: {
      "raze": command({
        summary: "Raze",
        examples: example,
        effect: "destroy",
        dryRun: true,
        plan,
        run: () => Promise.resolve({ data: null, text: "Razed" }),
      }),
    },
  };
}

Deno.test("plan: is told before the question, and what it throws stops the command", async () => {
  const told = planned(() => Promise.resolve("Razes everything"));
  const host = fakeHost({ terminal: true, input: ["llm_observatory"], env: { NO_COLOR: "1" } });
  assert.equal(await run(["raze", "--quiet"], host, { plugins: [told] }), 0);
  assert.match(host.written.stderr, /^Razes everything\nThis destroys data[\s\S]*to go on: $/);
  const refusing = planned(() => Promise.reject(new OperationError("No", { kind: "refused" })));
  const refused = fakeHost({ terminal: true, input: ["llm_observatory"], env: { NO_COLOR: "1" } });
  assert.equal(await run(["raze", "--force"], refused, { plugins: [refusing] }), 4);
  assert.deepEqual(refused.written, { stdout: "", stderr: "[ERROR] No\n" });
});

Deno.test("plan: under --dry-run it is told and nobody is asked; --quiet keeps it back where nobody is", async () => {
  const told = planned(() => Promise.resolve("Razes everything"));
  const dry = fakeHost({ terminal: true, env: { NO_COLOR: "1" } });
  assert.equal(await run(["raze", "--dry-run"], dry, { plugins: [told] }), 0);
  assert.equal(dry.written.stderr, "Razes everything\n[INFO] Dry run: nothing was changed\n");
  const quiet = fakeHost();
  assert.equal(await run(["raze", "--force", "--quiet"], quiet, { plugins: [told] }), 0);
  assert.deepEqual(quiet.written, { stdout: "Razed\n", stderr: "" });
});

Deno.test("plan: one that loses nothing is not confirmed, and one of another database by its name", async () => {
  const harmless = planned(() => Promise.resolve({ text: "", destroys: false }));
  const host = fakeHost({ env: { ENVIRONMENT: "production" } });
  assert.equal(await run(["raze"], host, { plugins: [harmless] }), 0);
  assert.deepEqual(host.written, { stdout: "Razed\n", stderr: "" });
  const elsewhere = planned(() => Promise.resolve({ text: "Razes", database: "copy" }));
  const target = fakeHost({ env: { NO_COLOR: "1" } });
  assert.equal(
    await run(["raze", "--confirm", "llm_observatory"], target, { plugins: [elsewhere] }),
    4,
  );
  assert.match(target.written.stderr, /the database is "copy"/);
  assert.equal(
    await run(["raze", "--confirm", "copy"], fakeHost(), { plugins: [elsewhere] }),
    0,
  );
});

Deno.test("call: commands that run each other without end are stopped, and so are hooks", async () => {
  let runs = 0;
  const again = command({
    summary: "Run itself",
    examples: example,
    effect: "write",
    database: "none",
    async run(ctx) {
      runs++;
      return await ctx.run("again");
    },
  });
  const plugins = [{ name: "again", api: 1, summary: "A", commands: { again } } as const];
  const endless = fakeHost();
  assert.equal(await run(["again"], endless, { plugins }), 1);
  assert.match(endless.written.stderr, /Cannot run again: 10 commands have run each other already/);
  assert.equal(runs, 11);
  const once = { ...again, run: () => Promise.resolve({ data: 1 }) };
  const hooked: Plugin = {
    name: "hooked",
    api: 1,
    summary: "H",
    commands: { once },
    hooks: { "after:once": async (ctx) => void await ctx.run("once") },
  };
  const around = fakeHost();
  assert.equal(await run(["once"], around, { plugins: [hooked] }), 1);
  const { stderr } = around.written;
  assert.match(
    stderr,
    /^\[ERROR\] The hook "after:once" of plugin hooked failed: Cannot run once: 10/,
  );
  assert.equal(stderr.match(/The hook/g)?.length, 1, stderr);
});
