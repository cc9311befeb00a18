/** The declaration of `backup verify`. */
import { command, OperationError } from "../../core/plugin.ts";
import { LEVELS } from "../repository/levels.ts";

/** Verifying what is stored. */
export const verify = command({
  summary: "Verify that a backup is what was written, can be read, and can be restored",
  description:
    "Each level includes the ones before it. Level bytes reads every file and compares its size and " +
    "SHA-256 with the manifest's. Level read also decodes all of it, as a restore would: it decrypts, " +
    "decompresses, and has pg_restore read every byte. (`pg_restore --list` reads the table of " +
    "contents alone, and calls cut dumps fine.) Level restore restores it into a scratch database, " +
    "level compare compares that with the manifest: rows and fingerprints of every table, sequences, " +
    "extensions, hypertables with their chunks, large objects and migrations. Level assert runs " +
    "verify.sql of SCRIPTS_DIR, or the file of --assert, there: each statement must give a row, and " +
    "each of its boolean columns must be true in every row." +
    "\n\n" +
    "Scratch databases are made on the server that --on names, and never on another one; without " +
    "--on in a throw-away server on this machine, on no network and gone afterwards, which takes the " +
    "programs of a PostgreSQL server of the dumped one's version or newer. Its data are put in " +
    "TMPDIR, else in /var/tmp or /tmp, where there is room for all tables." +
    "\n\n" +
    "The result is kept beside the backup; `backup list` shows it, and the newest verified backup " +
    "is never removed by retention. What is found makes exit code 3. What cannot be verified, for " +
    "want of a server or a key, says nothing about the backup: nothing is kept then.",
  examples: [
    { line: "observatory backup verify latest", note: "the newest full backup, read to its end" },
    { line: "observatory backup verify latest --where s3", note: "the copy in the bucket" },
    { line: "observatory backup verify latest --level bytes", note: "only compare hashes" },
    {
      line: "observatory backup verify latest --level compare",
      note: "restored into a throw-away server, and compared",
    },
    {
      line: "observatory backup verify latest --level restore --on postgres://trial@spare/postgres",
      note: "restored into a scratch database of another server",
    },
    {
      line: "observatory backup verify latest --assert ./must-hold.sql",
      note: "and every row of these queries true",
    },
    {
      line: "observatory backup verify latest --identity key.txt",
      note: "one that is encrypted by age",
    },
  ],
  effect: "read",
  database: "none",
  args: {
    "name": {
      help: "The backup: its id, one of its files, or latest",
      required: true,
      path: "read",
      named: true,
      completes: "backup",
    },
  },
  flags: {
    "level": {
      type: "string",
      choices: LEVELS,
      default: "read",
      help: "How thoroughly",
    },
    "identity": {
      type: "string",
      placeholder: "FILE",
      help: "The secret key of age that decrypts it",
      path: "read",
    },
    "on": {
      type: "string",
      placeholder: "URL",
      help: "A server for scratch databases, instead of a throw-away one",
      env: "BACKUP_VERIFY_URL",
      secret: true,
      url: true,
    },
    "assert": {
      type: "string",
      placeholder: "FILE",
      help: "The queries whose rows must all be true; means --level assert",
      path: "read",
    },
    "jobs": {
      type: "number",
      placeholder: "N",
      short: "j",
      default: 1,
      help: "How many tables and indexes are restored at once",
    },
    "where": {
      type: "string",
      choices: ["local", "s3"],
      help: "Which copy; by default the one on this machine, if there is one",
    },
    "output-dir": {
      type: "string",
      placeholder: "DIR",
      help: "The directory instead of BACKUPS_DIR",
      path: "read",
      completes: "directory",
    },
    "endpoint-url": {
      type: "string",
      placeholder: "URL",
      help: "The S3 service instead of AWS_ENDPOINT_URL_S3",
      url: true,
    },
    "database": {
      type: "string",
      placeholder: "NAME",
      help: "The database whose newest backup is meant by latest; by default DB_NAME",
    },
  },
  async run(context, { args, flags }) {
    const { verifyBackup } = await import("./verify.ts");
    const { identity, where, database, on, assert, jobs } = flags;
    if (!Number.isInteger(jobs) || jobs < 1) {
      throw new OperationError(`--jobs is not a number from 1: ${jobs}`, {
        kind: "usage",
        code: "usage",
      });
    }
    return await verifyBackup(context, {
      name: args.name,
      level: assert === undefined ? flags.level : "assert",
      identity,
      on,
      assert,
      jobs,
      where,
      directory: flags["output-dir"],
      endpointUrl: flags["endpoint-url"],
      database: database ?? context.config.get("DB_NAME") ?? "",
    });
  },
});
