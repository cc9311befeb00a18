/** Seed data: files of rows and SQL, each loaded once and again when it has changed. */
import { command, definePlugin, type Flags } from "../../core/plugin.ts";

const PLACE_FLAGS = {
  "env": {
    type: "string",
    placeholder: "NAME",
    help: "The environment whose seeds are loaded beside base; by default ENVIRONMENT",
    completes: "environment",
  },
  "dir": {
    type: "string",
    placeholder: "DIRECTORY",
    help: "The directory of the seeds; by default SEEDS_DIR",
    path: "read",
    completes: "directory",
  },
} as const satisfies Flags;

const seed = command({
  summary: "Load the seed data that is new or has changed",
  description:
    "Loads the files of base and of the environment's directory, in the order of their names: " +
    ".sql, and .csv, .jsonl, .ts and .js into the table that the name gives (010_models.csv, " +
    "010_public.models.csv). --env production loads base alone, unless the seeds have a directory " +
    "production. Each file is one transaction.\n\n" +
    "A file is loaded once, and again when it has changed. Of a file of rows, those that are in " +
    "the table already are left alone the first time; when the file has changed they are set to " +
    "what it says, recognised by the primary key or else by a unique constraint. A row that " +
    "another constraint keeps out is left alone, too, and told of. Nothing is ever deleted.\n\n" +
    "A CSV file begins with a header of column names; an empty value is null, an empty value in " +
    'quotes ("") is an empty text. A JSONL file has one object in each line, all with the same ' +
    "keys. An SQL file runs as a whole; the rows of its last statement are shown.\n\n" +
    "A .ts, .js or .mjs file is a module that yields rows, in the sandbox of the plugins: import " +
    '{ defineSeed } from "observatory"; export default defineSeed({ async *rows(ctx) { yield ' +
    "{ id: 1, name: `model ${ctx.random()}` }; } }). It has ctx.random (the same numbers in every " +
    "run), ctx.env, ctx.log and ctx.config, and reaches nothing else; the seeds directory has to " +
    "be trusted as plugins' are. It is new or changed as its own file is: after a change in what " +
    "it imports use --rerun. --dry-run does not run it, and --no-plugins refuses it.",
  examples: [
    { line: "observatory seed", note: "load what is new or has changed" },
    { line: "observatory seed --env production", note: "without development and test data" },
    { line: "observatory seed --dry-run", note: "check the files and list what would be loaded" },
    { line: "observatory seed --only '*models*'", note: "consider some files only" },
    { line: "observatory seed --rerun --only 010_models.csv", note: "load a file again" },
  ],
  effect: "write",
  dryRun: true,
  flags: {
    ...PLACE_FLAGS,
    "only": {
      type: "string",
      repeatable: true,
      placeholder: "PATTERN",
      help: "Only files whose name, or path in the seeds directory, matches; * and ? may be used",
      completes: "seed",
    },
    "rerun": { type: "boolean", help: "Load files again that have not changed" },
    // As with migrate: longer than most runs, shorter than the patience of most schedulers.
    "lock-wait": {
      type: "number",
      default: 60,
      env: "OBSERVATORY_LOCK_WAIT",
      placeholder: "SECONDS",
      help: "How long to wait while another run seeds; 0 fails at once",
    },
  },
  async run(context, { flags }) {
    const { seed } = await import("./seed.ts");
    return await seed(context, {
      directory: flags.dir,
      environment: flags.env,
      only: flags.only,
      rerun: flags.rerun,
      wait: flags["lock-wait"],
    });
  },
});

const status = command({
  summary: "Show which seed files are loaded, pending or changed",
  description:
    "Nothing is changed. With --exit-code the exit code is 3 when a file is pending or " +
    "has changed since it was loaded.",
  aliases: ["seed-status"],
  examples: [
    { line: "observatory seed status", note: "show all seed files" },
    { line: "observatory seed status --env test --exit-code", note: "in CI: fail unless loaded" },
  ],
  effect: "read",
  flags: {
    ...PLACE_FLAGS,
    "exit-code": { type: "boolean", help: "End with 3 unless everything is loaded" },
  },
  async run(context, { flags }) {
    const { status } = await import("./status.ts");
    return await status(context, {
      directory: flags.dir,
      environment: flags.env,
      exitCode: flags["exit-code"],
    });
  },
});

export default definePlugin({
  name: "seed",
  api: 1,
  summary: "Seed data, each file loaded once and again when it has changed",
  commands: { "seed": seed, "seed status": status },
  completers: {
    seed: async (...asked) => await (await import("./complete.ts")).seeds(...asked),
    environment: async (...asked) => await (await import("./complete.ts")).environments(...asked),
  },
});
