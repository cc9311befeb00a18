/** The declaration of `restore`. */
import { command, type FlagValues } from "../../core/plugin.ts";
import type { RestoreFlags } from "./options.ts";

const flags = {
  "clean": {
    type: "boolean",
    help: "Drop what the backup brings before it is made again; other objects stay",
  },
  "create": {
    type: "boolean",
    help: "Create the database (DB_NAME, whatever the dump's was called) where it is absent",
  },
  "swap": {
    type: "boolean",
    help: "Restore into a new database beside the old one, compare, then swap their names",
  },
  "finish": { type: "boolean", help: "Drop the old database that --swap has kept" },
  "undo": { type: "boolean", help: "Put the old database that --swap has kept in its place again" },
  "kept": {
    type: "string",
    placeholder: "NAME",
    help: "With --undo: which of those that are kept; by default the newest",
  },
  "into": {
    type: "string",
    placeholder: "NAME",
    help: "Restore into this database; it is created where it is absent",
  },
  "plan": { type: "boolean", help: "Print what would be done, and stop" },
  "schema-only": { type: "boolean", help: "Only definitions" },
  "data-only": { type: "boolean", help: "Only rows, large objects and sequence values" },
  "tables": {
    type: "string",
    repeatable: true,
    placeholder: "PATTERN,…",
    help: "Only these tables, with their indexes, keys, sequences, triggers and privileges",
  },
  "jobs": {
    type: "number",
    placeholder: "N",
    help:
      "How many tables and indexes are restored at once; in place it is then no one transaction",
  },
  "at": {
    type: "string",
    placeholder: "TIME",
    help: "The newest full backup that is no younger than this, such as 2024-01-31T12:00Z",
  },
  "where": {
    type: "string",
    choices: ["local", "s3"],
    help: "Which copy; by default the one on this machine, if there is one",
  },
  "s3-download": { type: "boolean", help: "Take the backup from S3_BACKUP_BUCKET" },
  "endpoint-url": {
    type: "string",
    placeholder: "URL",
    help: "The S3 service instead of AWS_ENDPOINT_URL_S3",
    url: true,
  },
  "output-dir": {
    type: "string",
    placeholder: "DIR",
    help: "The directory instead of BACKUPS_DIR",
    path: "read",
    completes: "directory",
  },
  "database": {
    type: "string",
    placeholder: "NAME",
    help: "The database whose backup is meant by latest and --at; by default DB_NAME",
  },
  "identity": {
    type: "string",
    placeholder: "FILE",
    help: "The secret key of age that decrypts it",
    path: "read",
  },
  "no-owner": { type: "boolean", help: "Whoever restores owns everything" },
  "no-privileges": { type: "boolean", help: "Restore no privileges (GRANT, REVOKE)" },
  "no-tablespaces": { type: "boolean", help: "Put everything into the database's own tablespace" },
  "no-analyze": { type: "boolean", help: "Do not run ANALYZE afterwards" },
  "no-compare": {
    type: "boolean",
    help: "Do not compare the restored database with the backup's manifest",
  },
  "lock-wait": {
    type: "number",
    default: 10,
    placeholder: "SECONDS",
    help: "How long to wait for another restore, backup or migration of the database",
  },
} as const;

/** Restoring a backup. */
export const restore = command({
  summary: "Restore the database from a backup",
  description:
    "The plan is made first: what is restored, into what, what exists there, and everything that " +
    "would stop it half-way (objects in the way, roles and extensions that are missing, an older " +
    "server, rows that would be there twice). Whatever stands against it is told, and nothing " +
    "changed. The backup's bytes are compared with its manifest: before anything is touched where " +
    "they are at hand, else while they stream, in a transaction that is rolled back.\n\n" +
    "In place, a backup is restored in one transaction (not so with --jobs). --swap restores into a " +
    "new database beside the old one, compares it with the manifest, and swaps the names in a " +
    "moment; the old one is kept until --finish drops it, or --undo brings it back.\n\n" +
    "A file without a manifest (made by hand, or by the replaced system) is read to its end first. " +
    "Its format is told by its contents, whatever its name is.",
  examples: [
    { line: "observatory restore latest --plan", note: "what would be done; nothing is" },
    { line: "observatory restore latest --swap", note: "beside the old one, which is kept" },
    { line: "observatory restore --undo", note: "back to the one that was kept" },
    { line: "observatory restore --finish", note: "let go of the one that was kept" },
    { line: "observatory restore latest --into copy", note: "into another database" },
    {
      line: "observatory restore backup-file.dump --clean",
      note: "in place, replacing what is there",
    },
    {
      line: "observatory restore backup-file.dump --s3-download --create --force",
      note: "after a disaster: from the bucket, into a new database",
    },
    {
      line: "observatory restore --at 2024-01-31T12:00Z --into then",
      note: "as it was at a moment",
    },
    { line: "observatory restore latest --tables projects,models", note: "these tables alone" },
    { line: "observatory restore backup.dir --into copy --jobs 8", note: "several tables at once" },
  ],
  effect: "destroy",
  database: "server",
  dryRun: true,
  args: {
    "backup": {
      help: "The backup: a file, a directory, a key in the bucket, a backup's name, or latest",
      path: "read",
      named: true,
      completes: "dump",
    },
  },
  flags,
  async plan(context, { args, flags }) {
    const { planFor } = await import("./restore.ts");
    return await planFor(context, { name: args.backup, flags: flagsOf(flags) });
  },
  async run(context, { args, flags }) {
    const { run } = await import("./restore.ts");
    return await run(context, { name: args.backup, flags: flagsOf(flags) });
  },
});

/** What the declaration gives is what the options are read from: a misspelt flag does not compile. */
function flagsOf(values: FlagValues<typeof flags>): RestoreFlags {
  return values;
}
