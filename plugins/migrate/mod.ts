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
    "to": { type: "string", placeholder: "VERSION", help: "The last version to apply" },
    ...DIRECTORY_FLAG,
    ...IGNORE_MISSING_FLAG,
    "strict": {
      type: "boolean",
      help: "Refuse migrations out of order and .sql files without a version",
    },
    ...LOCK_FLAGS,
  },
  async run(context, { flags }) {
    const [{ migrate }, { versionOf }] = await Promise.all([
      import("./migrate.ts"),
      import("./source.ts"),
    ]);
    return await migrate(context, {
      directories: flags.dir,
      to: flags.to === undefined ? undefined : versionOf(flags.to, "--to"),
      ignoreMissing: flags["ignore-missing"],
      strict: flags.strict,
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
  },
});
