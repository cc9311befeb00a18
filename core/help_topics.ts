/** The texts of `observatory help TOPIC`, loaded when one is asked for. */
import type { Flag } from "./plugin.ts";
import { EXIT_CODES } from "./errors.ts";
import { CONNECTION_FLAGS, GLOBAL_FLAGS } from "./global_flags.ts";
import type { TopicName } from "./help.ts";
import { COLUMNS, table, withFacts, wrap } from "./help_layout.ts";
import { SETTINGS } from "./settings.ts";

/** The text of a topic. */
export async function topicText(name: TopicName): Promise<string> {
  if (name === "licenses") return await (await import("./licenses.ts")).licensesText();
  return TEXTS[name]();
}

const TEXTS: Readonly<Record<Exclude<TopicName, "licenses">, () => string>> = {
  "exit-codes": () =>
    table(EXIT_CODES.map(({ code, meaning }) => [code, meaning])) +
    "\nUnknown codes mean failure.\n",

  "environment": () =>
    "A flag beats the environment, which beats .env, which beats /etc/observatory/defaults.env.\n" +
    "`observatory config` shows each value and where it comes from.\n\n" +
    table(SETTINGS.map(({ name, summary, lower, default: value }) => [
      name,
      withFacts(summary, [
        lower === undefined ? "" : `or ${lower}`,
        value === undefined ? "" : `default: ${value}`,
      ]),
    ])) +
    "\nRead from the environment alone:\n\n" +
    table([
      ...Object.values({ ...GLOBAL_FLAGS, ...CONNECTION_FLAGS }).flatMap((
        flag: Flag,
      ): [string, string][] =>
        // What is a setting too is told above.
        flag.env === undefined || SETTINGS.some(({ name }) => name === flag.env)
          ? []
          : [[flag.env, withFacts(flag.help, [`default: ${flag.default}`])]]
      ),
      ["JOB_COMPLETION_INDEX", "Which target of --targets, where --target-index does not say"],
      ["NO_COLOR", "Without colours, when it is not empty"],
      ["FORCE_COLOR", "With colours even where there is no terminal, unless it is 0"],
    ]) +
    "\nFurther variables of a command stand in its --help.\n",

  "configuration": () =>
    page(
      "A value is looked for in this order, and the first one found counts:",
      [
        ["1. flags", "--host db1, and the line of a file that --targets names"],
        ["2. the environment", "DB_HOST=db1 observatory migrate"],
        ["3. .env", "of the working directory, or the file that --env-file names"],
        ["4. defaults", "/etc/observatory/defaults.env, as the container image has it"],
        ["5. built in", "`observatory help environment` lists them"],
      ],
      "Within one of them DATABASE_URL comes before DB_HOST and the like, and these before PGHOST " +
        "and what else libpq knows. Where a DATABASE_URL disagrees with a DB_HOST, DB_PORT or " +
        "DB_NAME of a higher place, the run ends with 2 and names both: one of them is meant for " +
        "another database.",
      "In .env nothing is expanded: a $ in a password is a $. An empty value counts as absent.",
      "A secret may stand in a file of its own: DB_PASSWORD_FILE=/run/secrets/db, and likewise " +
        "for every secret. Passwords are also looked for in ~/.pgpass. No secret is ever put into " +
        "the arguments of a program, where every user of the machine could read it.",
      "ENVIRONMENT=production asks for stricter confirmation: --force alone destroys nothing there.",
      [
        ["observatory config", "every value, where it comes from, and what is wrong"],
        ["observatory verify", "whether it works"],
      ],
    ),

  "targets": () =>
    "--targets FILE works on one database of a file that has one a line: a name, the address and\n" +
    "settings. The name and the settings may be left out.\n\n" +
    "  # fleet.txt\n" +
    "  orders   postgres://backup@db1/orders         S3_BACKUP_PREFIX=orders/\n" +
    "  billing  host=db2 dbname=billing user=backup  BACKUPS_DIR='/srv/billing backups'\n" +
    "  ledger   DATABASE_URL_FILE=/run/secrets/ledger\n\n" +
    "--target-index N says which, counted from 0; without it $JOB_COMPLETION_INDEX does, which\n" +
    "Kubernetes sets in an Indexed Job. `observatory config --targets FILE --target-index N` shows\n" +
    "what comes of it. A target ranks as the flags do. What the environment, .env and the defaults\n" +
    "file say of where a database is does not apply to it; a role, passwords and all else do.\n\n" +
    "Keep passwords in a password file (PGPASSFILE) or in files of their own (DATABASE_URL_FILE,\n" +
    "DB_PASSWORD_FILE). Lines of the log begin with the target's name, and --json has it.\n\n" +
    "  seq 0 49 | xargs -P 8 -I {} observatory backup --targets fleet.txt --target-index {}\n",

  "backups": () =>
    page(
      "A backup is what has a manifest. It is written last, when every byte is in its place, so " +
        "that a run that breaks off leaves no backup instead of half of one. Dumps made by hand " +
        "or by another program are not managed: not listed, not counted, never removed.",
      [
        ["observatory backup --s3-upload", "here and in the bucket, in one pass"],
        ["observatory backup list", "what there is, whether it is verified, and where"],
        ["observatory backup verify latest", "every byte read, and decoded as a restore would"],
        ["observatory backup verify latest --level compare", "restored somewhere, and compared"],
        ["observatory backup status --max-age 26h", "for a monitor: 3 when it is too old"],
        ["observatory backup prune --dry-run", "what would be removed, and why"],
      ],
      "Retention: after a good backup old ones in the same directory are removed, as " +
        "BACKUP_RETENTION_DAYS (30) or the BACKUP_KEEP_… settings say; in the bucket only when an " +
        "S3_BACKUP_… setting says what is kept there. Time is measured from the newest backup: where " +
        "backups stop, none is removed. The newest whole backup, the newest verified one and the " +
        "last three (BACKUP_MIN_KEEP) stay whatever is said.",
      "Encryption: --encrypt age1… or BACKUP_ENCRYPT. Nothing in plain is written anywhere then, and " +
        "who loses the key loses the backups.",
      "A backup holds one database. Roles come with --globals, without their passwords.",
    ),

  "restores": () =>
    page(
      "A restore makes its plan first, and refuses with 4 what would stop it half-way. Nothing has " +
        "been changed then. --plan prints the plan and stops.",
      [
        ["observatory restore latest --plan", "what would be done, and what stands against it"],
        ["observatory restore latest --swap", "beside the old database, which is kept"],
        ["observatory restore --undo", "back to the one that was kept"],
        ["observatory restore --finish", "let go of it"],
        ["observatory restore latest --into copy", "into another database"],
        ["observatory restore FILE --clean", "in place, replacing what the backup brings"],
        ["observatory restore FILE --s3-download --create", "after a disaster: a new database"],
      ],
      "In place it is one transaction: it is all there, or as before. With --jobs it is faster, and " +
        "no longer one transaction.",
      "What loses data is confirmed: by the database's name, typed or given by --confirm, or by " +
        "--force where ENVIRONMENT is not production. A new or an empty database loses nothing.",
      "`latest` is the newest whole full backup of DB_NAME; a file of that name is ./latest. --at " +
        "2024-01-31T12:00Z is the newest one of that moment or before.",
      "`observatory backup show NAME` ends with the lines that restore a backup without this program.",
    ),

  "plugins": () =>
    page(
      "One TypeScript or JavaScript file in PLUGINS_DIR is a command of its own, with flags, help, " +
        "JSON and exit codes, or a hook around any operation. It needs neither Node nor Deno.",
      [
        ["observatory plugin new NAME", "write one that works, with its test"],
        ["observatory plugin check FILE", "what it declares, or what is wrong with it"],
        ["observatory plugin list", "which there are, and why one is not used"],
        ["observatory plugin run NAME COMMAND", "a command whose name is taken"],
        ["observatory plugin sums", "approve the files: SHA256SUMS in that directory"],
      ],
      "Plugins are looked for in /etc/observatory/plugins, in PLUGINS_DIR and in what --plugin-dir " +
        "names. A file that others may write to is refused. --no-plugins leaves all of them out.",
      "A plugin runs in a sandbox and gets what it declares: hosts, files, programs. Programs that " +
        "it starts are free, and so is the SQL of a superuser. While a plugin is broken, what " +
        "destroys refuses to run, since it may be the guard that was to stop it.",
    ),

  "json": () =>
    page(
      "With --json a command writes exactly one object to stdout; everything else is on stderr.",
      [
        ['"ok"', "true, or false when it failed"],
        ['"command"', "the command's full name, such as migrate status"],
        ['"data"', "the result; what is in it is the command's own"],
        ['"problems"', "what was found wrong while the command worked: the exit code is 3"],
        ['"warnings"', "what was warned of"],
        ['"error"', "of a failure: kind, code, message, hint, details, exit"],
        ['"run_id"', "the run's name, the same in its log and in the audit"],
      ],
      "`error.code` is a stable name such as lock_timeout, to be decided by; messages may change. Bytes " +
        "are hexadecimal behind \\x, and whole numbers that a double cannot hold are strings.",
      "`observatory exec --json` streams its rows as `results` in the one object. --format csv, json " +
        "and ndjson write rows alone.",
      "--log-format json (or LOG_FORMAT=json) makes each line on stderr an object with time, level, " +
        "message, command and run_id.",
      "JSON Schemas of all of it are in docs/schema/.",
    ),
};

type Block = string | readonly (readonly [string, string])[];

/** Paragraphs, and tables between them. */
function page(...blocks: readonly Block[]): string {
  return blocks.map((block) =>
    typeof block === "string" ? `${wrap(block, COLUMNS).join("\n")}\n` : table(block, 2)
  ).join("\n");
}
