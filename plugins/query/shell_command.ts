/** The declaration of `shell`. */
import { command } from "../../core/plugin.ts";
import { READ_ONLY_FLAG } from "./read_only_flag.ts";

/** Opens psql, or runs one thing in it. */
export const shell = command({
  summary: "Open psql on the database, or run SQL or a script",
  description:
    "On a terminal it is psql as you know it: history, completion, \\ commands, your psqlrc; " +
    "Ctrl-C cancels the running statement. Where stdin is no terminal, psql reads it and goes on " +
    "after errors; `observatory sql -` stops at the first one.\n\n" +
    "-c runs SQL and stops at an error. When its text begins with a path, it runs an executable " +
    "script in SCRIPTS_DIR with DATABASE_URL and libpq's variables set; further words are its " +
    "arguments, quoted as for a shell, with nothing expanded. The password is in PGPASSWORD. " +
    "--read-only guards against accidents; `observatory exec --read-only` enforces it.",
  examples: [
    { line: "observatory shell", note: "open psql" },
    { line: "observatory shell --read-only", note: "look around without changing by accident" },
    { line: "observatory shell -c '\\dt+'", note: "run one command of psql or SQL" },
    { line: "observatory shell -c ./scripts/report.sh", note: "run a script of SCRIPTS_DIR" },
  ],
  effect: "write",
  needs: "given",
  program: "psql",
  flags: {
    "command": {
      type: "string",
      short: "c",
      placeholder: "SQL|PATH",
      sql: true,
      help: "Run SQL, or a script of SCRIPTS_DIR with its arguments",
    },
    ...READ_ONLY_FLAG,
  },
  async run(ctx, { flags }) {
    const { shell } = await import("./shell.ts");
    return await shell(ctx, { command: flags.command, readOnly: flags["read-only"] });
  },
});
