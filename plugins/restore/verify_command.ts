/** The declaration of `backup verify`. */
import { command } from "../../core/plugin.ts";

/** Verifying what is stored. */
export const verify = command({
  summary: "Verify that a backup is what was written, and can be read to its end",
  description:
    "Level bytes reads every file and compares its size and SHA-256 with the manifest's. Level read " +
    "also decodes all of it, as a restore would: it decrypts, decompresses, and has pg_restore read " +
    "every byte. (`pg_restore --list` reads the table of contents alone, and calls cut dumps fine.)" +
    "\n\n" +
    "The result is kept beside the backup; `backup list` shows it, and the newest verified backup " +
    "is never removed by retention. What is found makes exit code 3.",
  examples: [
    { line: "observatory backup verify latest", note: "the newest full backup, read to its end" },
    { line: "observatory backup verify latest --where s3", note: "the copy in the bucket" },
    { line: "observatory backup verify latest --level bytes", note: "only compare hashes" },
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
    },
  },
  flags: {
    "level": {
      type: "string",
      choices: ["bytes", "read"],
      default: "read",
      help: "How thoroughly",
    },
    "identity": {
      type: "string",
      placeholder: "FILE",
      help: "The secret key of age that decrypts it",
      path: "read",
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
    const { level, identity, where, database } = flags;
    return await verifyBackup(context, {
      name: args.name,
      level,
      identity,
      where,
      directory: flags["output-dir"],
      endpointUrl: flags["endpoint-url"],
      database: database ?? context.config.get("DB_NAME") ?? "",
    });
  },
});
