/** Starting anew: the database dropped, made again as it was, migrated and seeded. */
import { command, definePlugin } from "../../core/plugin.ts";

const reset = command({
  summary: "Drop the database, create it as it was, migrate and seed it",
  description:
    "All data is lost. The new database gets the owner, encoding, locale, tablespace, connection " +
    "limit, settings, privileges and comment of the old one. It is made ready before the old one " +
    "is dropped, and the migration files are checked, so that what would fail there loses " +
    "nothing. System databases and templates are refused, and so is a database that cannot be " +
    "dropped: one with replication slots, subscriptions or prepared transactions.",
  examples: [
    { line: "observatory reset", note: "ask for the database's name first" },
    { line: "observatory reset --dry-run", note: "show what would be lost and done" },
    { line: "observatory reset --force", note: "do not ask; in production --confirm is needed" },
    { line: "observatory reset --force --no-seed", note: "leave it empty after migrating" },
    { line: "observatory reset --backup-first", note: "back it up before anything is dropped" },
    { line: "observatory reset --confirm llm_observatory", note: "in scripts: name what is meant" },
  ],
  effect: "destroy",
  database: "server",
  dryRun: true,
  flags: {
    "backup-first": {
      type: "boolean",
      help: "Make a full backup in BACKUPS_DIR first; without it nothing is dropped",
    },
    "no-seed": { type: "boolean", help: "Load no seeds" },
    "env": {
      type: "string",
      placeholder: "NAME",
      help: "The environment whose seeds are loaded; by default ENVIRONMENT",
      completes: "environment",
    },
    "lock-wait": {
      type: "number",
      default: 10,
      placeholder: "SECONDS",
      help: "How long to wait for another reset of the same database",
    },
  },
  async plan(context, { flags }) {
    const { plan } = await import("./plan.ts");
    return await plan(context, optionsOf(flags));
  },
  async run(context, { flags }) {
    const { reset } = await import("./reset.ts");
    return await reset(context, optionsOf(flags));
  },
});

function optionsOf(
  flags: {
    "backup-first": boolean;
    "no-seed": boolean;
    "env": string | undefined;
    "lock-wait": number;
  },
) {
  return {
    backupFirst: flags["backup-first"],
    seed: !flags["no-seed"],
    env: flags.env,
    wait: flags["lock-wait"],
  };
}

export default definePlugin({
  name: "reset",
  api: 1,
  summary: "Start anew",
  commands: { "reset": reset },
});
