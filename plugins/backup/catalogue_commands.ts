/** What is done with backups that exist: the commands beside `backup` itself. */
import { command, type Flag, OperationError } from "../../core/plugin.ts";
import { LEVELS } from "../repository/levels.ts";

const WHERE = {
  type: "string",
  choices: ["local", "s3"],
  help: "Only there; by default in the directory, and in the bucket when one is set",
} as const satisfies Flag;

const DIRECTORY = {
  type: "string",
  placeholder: "DIR",
  help: "The directory instead of BACKUPS_DIR",
  path: "read",
  completes: "directory",
} as const satisfies Flag;

const ENDPOINT = {
  type: "string",
  placeholder: "URL",
  help: "The address of the S3 service instead of AWS_ENDPOINT_URL_S3",
  url: true,
} as const satisfies Flag;

/** Where files are removed. */
const CHANGED_DIRECTORY = { ...DIRECTORY, path: "write" } as const satisfies Flag;

const DATABASE = {
  type: "string",
  placeholder: "NAME",
  help: "Only backups of this database",
} as const satisfies Flag;

const TARGET = {
  type: "string",
  placeholder: "NAME",
  help: "The database whose newest backup is meant; by default DB_NAME",
} as const satisfies Flag;

const list = command({
  summary: "List the backups, the newest first",
  description:
    "A backup is what has a manifest, and every file that the manifest names in its full size. What " +
    "is broken or damaged, and a manifest that cannot be read, is told as a problem and not listed; " +
    "the exit code is then 3. Dumps without a manifest, such as those of the replaced system, are " +
    "counted in the last line: they are not managed, and never removed.\n\n" +
    "The same backup in the directory and in the bucket is one line.",
  examples: [
    { line: "observatory backup list", note: "show all backups" },
    { line: "observatory backup list --where s3", note: "only those in the bucket" },
    { line: "observatory backup list --output-dir /mnt/backups", note: "in another directory" },
    { line: "observatory backup list --json", note: "the same for programs" },
  ],
  effect: "read",
  database: "none",
  flags: {
    "database": DATABASE,
    "where": WHERE,
    "output-dir": DIRECTORY,
    "endpoint-url": ENDPOINT,
  },
  async run(context, { flags }) {
    const { list } = await import("./list.ts");
    const { database, where, "output-dir": directory, "endpoint-url": endpointUrl } = flags;
    return await list(context, { database, where, directory, endpointUrl });
  },
});

const show = command({
  summary: "Show what one backup holds, and how it is restored by hand",
  description:
    "NAME is a backup's id, the name of one of its files, or a path to one. `latest` is the newest " +
    "whole backup of kind full of the database; a file of that name is ./latest. With --json the " +
    "whole manifest is in data.manifest.",
  examples: [
    { line: "observatory backup show latest", note: "the newest full backup" },
    {
      line: "observatory backup show llm_observatory_backup_20240101_120000",
      note: "one by its id",
    },
    {
      line: "observatory backup show ./backups/llm_observatory_backup_20240101_120000.dump --json",
      note: "one by its file, with its manifest",
    },
  ],
  effect: "read",
  database: "none",
  args: {
    "name": {
      help: "The backup's id, a file of it, or latest",
      required: true,
      path: "read",
      named: true,
      completes: "backup",
    },
  },
  flags: { "database": TARGET, "where": WHERE, "output-dir": DIRECTORY, "endpoint-url": ENDPOINT },
  async run(context, { args, flags }) {
    const { show } = await import("./show.ts");
    const { where, "output-dir": directory, "endpoint-url": endpointUrl } = flags;
    const database = flags.database ?? context.config.get("DB_NAME") ?? "";
    return await show(context, { name: args.name, database, where, directory, endpointUrl });
  },
});

const prune = command({
  summary: "Remove the backups that no rule keeps",
  description:
    "Each rule keeps what it keeps, and what none keeps is removed. Days, ISO weeks, months and years " +
    "are those of UTC; the newest backup of each is kept. They are counted over those that hold a " +
    "backup, and while there are fewer than asked for, the oldest backup is kept too. --keep-within " +
    "and --retention-days are measured from the newest backup, not from now: where backups stop, " +
    "none is removed.\n\n" +
    "Backups of one cluster, database and kind stand for each other: a dump of the schema or of some " +
    "tables never takes the place of a full one. No rule removes the newest whole backup, the newest " +
    "that is verified at each level, or one of the newest --min-keep. What is broken, damaged or from " +
    "the future is not counted, and not removed either.\n\n" +
    "Without a flag that says what is kept, the settings do: BACKUP_KEEP_…, or else " +
    "BACKUP_RETENTION_DAYS; for the bucket S3_BACKUP_KEEP_…, or else S3_BACKUP_RETENTION_DAYS. They " +
    "also hold after each `backup`. With 0 days nothing is removed without being asked for. An empty " +
    "policy is refused.",
  examples: [
    {
      line: "observatory backup prune --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --dry-run",
      note: "tell for each backup what would become of it, and why",
    },
    { line: "observatory backup prune --retention-days 30", note: "keep the last 30 days" },
    {
      line: "observatory backup prune --keep-within 6m --where s3",
      note: "in the bucket, keep half a year",
    },
    { line: "observatory backup prune", note: "keep what the settings say" },
  ],
  effect: "write",
  database: "none",
  dryRun: true,
  flags: {
    "keep-last": { type: "number", help: "Keep so many of the newest" },
    "keep-daily": { type: "number", help: "Keep the newest of so many days" },
    "keep-weekly": { type: "number", help: "Keep the newest of so many ISO weeks" },
    "keep-monthly": { type: "number", help: "Keep the newest of so many months" },
    "keep-yearly": { type: "number", help: "Keep the newest of so many years" },
    "keep-within": {
      type: "string",
      placeholder: "TIME",
      help: "Keep those so long before the newest, such as 12h, 30d, 2w, 6m (months) or 1y",
    },
    "retention-days": {
      type: "number",
      placeholder: "DAYS",
      help: "Keep those so many days before the newest",
    },
    "min-keep": {
      type: "number",
      help: "Keep so many of the newest whatever the rules say; by default 3",
    },
    "database": DATABASE,
    "where": {
      type: "string",
      choices: ["local", "s3"],
      default: "local",
      help: "Which place is pruned",
    },
    "output-dir": CHANGED_DIRECTORY,
    "endpoint-url": ENDPOINT,
  },
  async run(context, { flags }) {
    const { prune } = await import("./prune_command.ts");
    const { where, database, "output-dir": directory, "endpoint-url": endpointUrl } = flags;
    return await prune(context, { where, database, directory, endpointUrl, flags });
  },
});

const status = command({
  summary: "Tell whether the newest full backup is new enough",
  description:
    "One line, for monitors: the exit code is 3 when the newest whole backup of kind full of the " +
    "database is older than --max-age, or there is none. With --verified the newest that is verified " +
    "counts, at LEVEL or above: bytes (the default), read, restore, compare or assert.",
  examples: [
    { line: "observatory backup status --max-age 26h", note: "for a backup each day" },
    {
      line: "observatory backup status --max-age 8d --verified restore",
      note: "one that was restored within the last week",
    },
    { line: "observatory backup status --max-age 26h --where s3", note: "only in the bucket" },
  ],
  effect: "read",
  database: "none",
  args: { "level": { choices: LEVELS, help: "With --verified, the least level" } },
  flags: {
    "max-age": {
      type: "string",
      placeholder: "TIME",
      help: "How old it may be, such as 26h or 8d; by default any age",
    },
    "verified": { type: "boolean", help: "Count only what is verified" },
    "database": TARGET,
    "where": WHERE,
    "output-dir": DIRECTORY,
    "endpoint-url": ENDPOINT,
  },
  async run(context, { args, flags }) {
    const { status } = await import("./status.ts");
    const {
      where,
      verified,
      "max-age": maxAge,
      "output-dir": directory,
      "endpoint-url": endpointUrl,
    } = flags;
    if (args.level !== undefined && !verified) {
      throw new OperationError(`Give --verified before the level "${args.level}"`, {
        kind: "usage",
        code: "usage",
      });
    }
    return await status(context, {
      database: flags.database ?? context.config.get("DB_NAME") ?? "",
      maxAge,
      level: verified ? args.level ?? "bytes" : undefined,
      where,
      directory,
      endpointUrl,
    });
  },
});

const gc = command({
  summary: "Remove what broken-off backups and removals have left",
  description:
    "Removed are the files of a backup that was never finished, and uploads to the bucket that were " +
    "never ended, when nothing of them was written for a day; what a removal has left at once. What " +
    "has a manifest is not touched, and neither is what this program did not write.",
  examples: [
    { line: "observatory backup gc --dry-run", note: "tell what is left over, and from when" },
    { line: "observatory backup gc", note: "remove it, here and in the bucket" },
  ],
  effect: "write",
  database: "none",
  dryRun: true,
  flags: { "where": WHERE, "output-dir": CHANGED_DIRECTORY, "endpoint-url": ENDPOINT },
  async run(context, { flags }) {
    const { gc } = await import("./gc.ts");
    const { where, "output-dir": directory, "endpoint-url": endpointUrl } = flags;
    return await gc(context, { where, directory, endpointUrl });
  },
});

/** The commands by their full paths. */
export const catalogueCommands = {
  "backup list": list,
  "backup show": show,
  "backup prune": prune,
  "backup status": status,
  "backup gc": gc,
};
