/** Migrations, compatible with sqlx: the same files, the same table, the same lock. */
import { command, definePlugin } from "../../core/plugin.ts";
import { DIRECTORY_FLAG, IGNORE_MISSING_FLAG, LOCK_FLAGS } from "./flags.ts";

const migrate = command({
  summary: "Create the database if absent and apply all pending migrations",
  description:
    "Everything is checked before anything is applied: names, duplicates, missing and changed " +
    "files, broken-off migrations, and each pending file's statements. A file and its record are " +
    'committed together. A file whose very first bytes are "-- no-transaction" runs statement by ' +
    "statement instead, as CREATE INDEX CONCURRENTLY needs it.\n\n" +
    "The state is that of sqlx, so the database can go back and forth between both tools. Runs " +
    "at the same time wait for each other, and for applications that embed sqlx's migrator.",
  examples: [
    { line: "observatory migrate", note: "apply everything pending" },
    {
      line: "observatory migrate --dry-run",
      note: "check everything and list what would be applied",
    },
    { line: "observatory migrate --to 20240101000000", note: "stop after that version" },
    { line: "observatory migrate --strict", note: "in CI: refuse what is otherwise warned of" },
  ],
  effect: "write",
  database: "server",
  dryRun: true,
  flags: {
    "to": {
      type: "string",
      placeholder: "VERSION",
      help: "The last version to apply",
      completes: "migration",
    },
    ...DIRECTORY_FLAG,
    ...IGNORE_MISSING_FLAG,
    "strict": {
      type: "boolean",
      help: "Refuse migrations out of order and .sql files without a version",
    },
    ...LOCK_FLAGS,
  },
  async run(context, { flags }) {
    const { migrate } = await import("./migrate.ts");
    return await migrate(context, {
      directories: flags.dir,
      to: flags.to === undefined
        ? undefined
        : (await import("./flag_values.ts")).versionOf(flags.to, "--to"),
      ignoreMissing: flags["ignore-missing"],
      strict: flags.strict,
      wait: flags["lock-wait"],
      lock: !flags["no-lock"],
    });
  },
});

const status = command({
  summary: "Show applied and pending migrations with their checksums",
  description: "Nothing is changed, not even the bookkeeping table is made. With --exit-code the " +
    "exit code is 3 when a migration is pending, changed, missing, broken off or out of order.",
  aliases: ["migrate-status"],
  examples: [
    { line: "observatory migrate status", note: "show all migrations" },
    { line: "observatory migrate status --exit-code", note: "in CI: fail unless all are applied" },
    {
      line: "observatory migrate status --json",
      note: "the same for programs, with whole checksums",
    },
  ],
  effect: "read",
  flags: {
    ...DIRECTORY_FLAG,
    "exit-code": { type: "boolean", help: "End with 3 unless everything is applied and in order" },
  },
  async run(context, { flags }) {
    const { status } = await import("./status.ts");
    return await status(context, { directories: flags.dir, exitCode: flags["exit-code"] });
  },
});

const check = command({
  summary: "Check the migration files without a database",
  description:
    "Names, versions, encodings and statements are checked as `migrate` checks them before it " +
    "applies anything to an empty database.",
  examples: [
    { line: "observatory migrate check", note: "before a commit" },
    { line: "observatory migrate check --strict", note: "in CI" },
  ],
  effect: "read",
  database: "none",
  flags: {
    ...DIRECTORY_FLAG,
    "strict": { type: "boolean", help: "Refuse .sql files without a version" },
  },
  async run(context, { flags }) {
    const { check } = await import("./check.ts");
    return await check(context, { directories: flags.dir, strict: flags.strict });
  },
});

const rollback = command({
  summary: "Take back the last migration, or several, by their down files",
  description:
    "Everything that is to be taken back is checked first: when one of the migrations has no down " +
    "file, none is rolled back. A down file and the removal of its record are committed together.",
  aliases: ["migrate-rollback"],
  examples: [
    { line: "observatory migrate rollback", note: "take back the last one" },
    { line: "observatory migrate rollback --steps 3", note: "take back the last three" },
    { line: "observatory migrate rollback --to 20240101000000", note: "take back all above it" },
    {
      line: "observatory migrate rollback --to 0 --dry-run",
      note: "list what --to 0 would take back",
    },
  ],
  effect: "write",
  dryRun: true,
  flags: {
    "steps": { type: "number", placeholder: "N", help: "How many to take back; by default 1" },
    "to": {
      type: "string",
      placeholder: "VERSION",
      help: "Take back everything above this version; 0 means all",
      completes: "migration",
    },
    ...DIRECTORY_FLAG,
    ...IGNORE_MISSING_FLAG,
    ...LOCK_FLAGS,
  },
  async run(context, { flags }) {
    const [{ rollback }, { stepsOf, versionOf }] = await Promise.all([
      import("./rollback.ts"),
      import("./flag_values.ts"),
    ]);
    return await rollback(context, {
      directories: flags.dir,
      steps: stepsOf(flags.steps, flags.to),
      to: flags.to === undefined ? undefined : versionOf(flags.to, "--to"),
      ignoreMissing: flags["ignore-missing"],
      wait: flags["lock-wait"],
      lock: !flags["no-lock"],
    });
  },
});

const add = command({
  summary: "Make the files of a new migration",
  description:
    "A pair of files, one to apply and one to take back, unless --simple. The version is " +
    "the time in UTC, or one more than the last where the files are numbered like that. " +
    "Existing files are never overwritten.",
  examples: [
    { line: "observatory migrate add create users", note: "a pair of .up.sql and .down.sql" },
    {
      line: "observatory migrate add --simple backfill names",
      note: "one file, without a way back",
    },
  ],
  effect: "write",
  database: "none",
  args: {
    "name": {
      help: "What it does, in a few words; spaces become underscores",
      required: true,
      repeatable: true,
    },
  },
  flags: {
    "reversible": { type: "boolean", short: "r", help: "Make a pair of files (the default)" },
    "simple": { type: "boolean", help: "Make one file, which cannot be rolled back" },
    "sequential": { type: "boolean", short: "s", help: "Number it one above the last" },
    "timestamp": { type: "boolean", short: "t", help: "Number it by the time in UTC" },
    "dir": { ...DIRECTORY_FLAG.dir, path: "write" },
  },
  async run(context, { args, flags }) {
    const [{ add }, { oneOf }] = await Promise.all([
      import("./add.ts"),
      import("./flag_values.ts"),
    ]);
    oneOf(flags, ["reversible", "simple"]);
    oneOf(flags, ["sequential", "timestamp"]);
    return await add(context, {
      name: args.name.join(" "),
      directories: flags.dir,
      simple: flags.simple,
      numbering: flags.sequential ? "sequential" : flags.timestamp ? "timestamp" : undefined,
    });
  },
});

const resolve = command({
  summary: "Record one migration as applied or not applied, without running it",
  description: "For a migration that broke off half-way, after its rest was done or undone by " +
    "hand, and for one that cannot be rolled back by a down file.",
  examples: [
    { line: "observatory migrate resolve 42 --unapplied", note: "what it did was undone by hand" },
    { line: "observatory migrate resolve 42 --applied", note: "the rest was done by hand" },
  ],
  effect: "write",
  dryRun: true,
  args: {
    "version": { help: "The migration's version", required: true, completes: "migration" },
  },
  flags: {
    "applied": { type: "boolean", help: "Record it as applied, with its file as it is now" },
    "unapplied": { type: "boolean", help: "Remove its record" },
    ...DIRECTORY_FLAG,
    ...LOCK_FLAGS,
  },
  async run(context, { args, flags }) {
    const [{ resolve }, { exactlyOneOf, versionOf }] = await Promise.all([
      import("./resolve.ts"),
      import("./flag_values.ts"),
    ]);
    return await resolve(context, {
      version: versionOf(args.version, "VERSION"),
      state: exactlyOneOf(flags, ["applied", "unapplied"]),
      directories: flags.dir,
      wait: flags["lock-wait"],
      lock: !flags["no-lock"],
    });
  },
});

const repair = command({
  summary: "Accept applied files that were changed in their form alone",
  description:
    "Records the present checksum of an applied file when it provably differs from what " +
    "was applied only in its line ends, its final line feed or a byte order mark. Files with other " +
    "changes are left as they are, and make exit code 3, unless --force names their versions.",
  examples: [
    { line: "observatory migrate repair --dry-run", note: "show what would be accepted" },
    { line: "observatory migrate repair", note: "accept changes of form" },
    {
      line: "observatory migrate repair --force 42",
      note: "accept version 42 whatever has changed",
    },
  ],
  effect: "write",
  dryRun: true,
  flags: {
    "force": {
      type: "string",
      repeatable: true,
      placeholder: "VERSION",
      help: "Accept this version's file however it has changed",
      completes: "migration",
    },
    ...DIRECTORY_FLAG,
    ...LOCK_FLAGS,
  },
  async run(context, { flags }) {
    const [{ repair }, { versionOf }] = await Promise.all([
      import("./repair.ts"),
      import("./flag_values.ts"),
    ]);
    return await repair(context, {
      force: flags.force.map((text) => versionOf(text, "--force")),
      directories: flags.dir,
      wait: flags["lock-wait"],
      lock: !flags["no-lock"],
    });
  },
});

const baseline = command({
  summary: "Record all migrations up to a version as applied, without running them",
  description: "For a database whose schema was made otherwise: the first `migrate` after it " +
    "applies what comes after the version.",
  examples: [
    {
      line: "observatory migrate baseline 20240101000000",
      note: "the schema is that of this version",
    },
  ],
  effect: "write",
  dryRun: true,
  args: {
    "version": {
      help: "The last version that the schema holds",
      required: true,
      completes: "migration",
    },
  },
  flags: { ...DIRECTORY_FLAG, ...LOCK_FLAGS },
  async run(context, { args, flags }) {
    const [{ baseline }, { versionOf }] = await Promise.all([
      import("./baseline.ts"),
      import("./flag_values.ts"),
    ]);
    return await baseline(context, {
      version: versionOf(args.version, "VERSION"),
      directories: flags.dir,
      wait: flags["lock-wait"],
      lock: !flags["no-lock"],
    });
  },
});

export default definePlugin({
  name: "migrate",
  api: 1,
  summary: "Migrations, compatible with sqlx",
  commands: {
    "migrate": migrate,
    "migrate status": status,
    "migrate check": check,
    "migrate rollback": rollback,
    "migrate add": add,
    "migrate resolve": resolve,
    "migrate repair": repair,
    "migrate baseline": baseline,
  },
  completers: {
    migration: async (...asked) => await (await import("./complete.ts")).migrations(...asked),
  },
});
