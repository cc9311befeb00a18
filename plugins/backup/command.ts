/** The declaration of `backup`. */
import { command } from "../../core/plugin.ts";

/** Backing up the database. */
export const backup = command({
  summary: "Back up the database to a directory, to S3, or to both",
  description:
    "pg_dump of the server's major version writes the dump; what it writes is hashed, written and " +
    "uploaded in one pass, and counts only once pg_dump has ended well and the whole of it is " +
    "there. The last thing written is a manifest, which makes a backup of it: what has none is " +
    "never listed, restored from by name, or counted when old backups are removed.\n\n" +
    "The rows of every table are counted in the dump's own snapshot. A pattern that matches no " +
    "table is refused. Backups of a database exclude each other, and migrations.\n\n" +
    "After a good backup, old ones in the same place are removed as BACKUP_RETENTION_DAYS or " +
    "BACKUP_KEEP_… say; those in the bucket only when an S3_BACKUP_… setting says what is kept.",
  examples: [
    { line: "observatory backup", note: "custom format, compressed, in BACKUPS_DIR" },
    { line: "observatory backup --s3-upload", note: "and to S3_BACKUP_BUCKET" },
    { line: "observatory backup --format plain --compress", note: "a script, as .sql.gz" },
    { line: "observatory backup --format directory --jobs 8", note: "tables in parallel" },
    { line: 'observatory backup --tables "projects,models"', note: "these tables alone" },
    { line: "observatory backup --exclude-table logs", note: "everything else" },
    { line: "observatory backup --schema-only --format plain", note: "definitions, to read" },
    { line: "observatory backup --dry-run", note: "what would be backed up, by what, to where" },
  ],
  effect: "write",
  needs: "read",
  dryRun: true,
  flags: {
    "format": {
      type: "string",
      choices: ["custom", "plain", "directory"],
      default: "custom",
      help: "The dump's format",
    },
    "compress": { type: "boolean", help: "Compress a plain dump by gzip" },
    "compression": {
      type: "string",
      placeholder: "METHOD[:LEVEL]",
      help: "One of none, gzip, lz4, zstd; by default zstd:3 where pg_dump knows it, else gzip:1",
    },
    "jobs": {
      type: "number",
      placeholder: "N",
      help: "How many tables are dumped at once, in the directory format; by default 1",
    },
    "schema-only": { type: "boolean", help: "Only definitions" },
    "data-only": { type: "boolean", help: "Only rows, large objects and sequence values" },
    "tables": {
      type: "string",
      repeatable: true,
      placeholder: "PATTERN,…",
      help: "Only these tables, with their partitions and chunks",
    },
    "exclude-table": {
      type: "string",
      repeatable: true,
      placeholder: "PATTERN",
      help: "Not these tables; of a hypertable, not its rows",
    },
    "output-dir": {
      type: "string",
      placeholder: "DIRECTORY",
      help: "Where it is written; by default BACKUPS_DIR",
      path: "write",
      completes: "directory",
    },
    "s3-upload": { type: "boolean", help: "Upload it to S3_BACKUP_BUCKET as well" },
    "s3-only": { type: "boolean", help: "Upload it, and keep nothing on this machine" },
    "endpoint-url": {
      type: "string",
      placeholder: "URL",
      help: "An S3-compatible service; by default AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or AWS",
      url: true,
    },
    "encrypt": {
      type: "string",
      repeatable: true,
      env: "BACKUP_ENCRYPT",
      placeholder: "RECIPIENT",
      help: "Encrypt for a recipient of age (age1…); nothing in plain is written",
    },
    "globals": { type: "boolean", help: "With roles, without passwords, and tablespaces" },
    "fingerprint": {
      type: "string",
      choices: ["counts", "full", "none"],
      default: "counts",
      help: "What the manifest tells of each table: its rows, a hash of their contents, or neither",
    },
    "note": { type: "string", placeholder: "TEXT", help: "A remark for the manifest" },
    "if-locked": {
      type: "string",
      choices: ["wait", "fail", "skip"],
      default: "wait",
      help:
        "While another backup or a migration runs: wait, end with 6, or make none and end with 0",
    },
    "lock-wait": {
      type: "number",
      default: 600,
      placeholder: "SECONDS",
      help: "How long to wait for another backup or migration",
    },
    "stall-timeout": {
      type: "number",
      default: 3600,
      placeholder: "SECONDS",
      help: "Give up when pg_dump has written and said nothing for so long; 0 for never",
    },
    "no-prune": { type: "boolean", help: "Remove no old backups afterwards" },
    "ping": {
      type: "string",
      secret: true,
      env: "BACKUP_PING_URL",
      placeholder: "URL",
      help: "Report start, success and failure there, as healthchecks.io takes them",
      url: true,
    },
    "metrics-file": {
      type: "string",
      env: "BACKUP_METRICS_FILE",
      placeholder: "FILE",
      help: "Leave metrics there for the textfile collector of Prometheus",
      path: "write",
    },
  },
  async run(context, { flags }) {
    const { readOptions } = await import("./options.ts");
    const { reported } = await import("./reported.ts");
    return await reported(context, flags, async (context) => {
      const options = readOptions(flags);
      const { backup } = await import("./backup.ts");
      return await backup(context, options);
    });
  },
});
