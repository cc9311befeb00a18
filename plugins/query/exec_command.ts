/** The declaration of `exec`. */
import { command } from "../../core/plugin.ts";

/** Runs SQL given on the command line. */
export const exec = command({
  summary: "Run SQL and show what it gives",
  description:
    "Several statements run as one transaction, unless they control transactions themselves, and " +
    "each result is shown. A statement that no transaction takes, such as VACUUM, stands alone. " +
    "Notices of the server go to stderr.\n\n" +
    "Any number of rows is written as they come. A table shows NULL as `NULL`; its columns " +
    "begin as wide as its first 1,000 rows need. CSV has NULL as nothing and an empty text as " +
    '""; an empty line stands between several results. ' +
    "JSON is one array for each result, NDJSON one object for each row: " +
    "numbers that a double cannot hold are strings, arrays of built-in types are arrays, JSON " +
    "stands as it is, and all other values are the server's text. --json has the rows as arrays " +
    "in `results`.\n\n" +
    "--read-only is enforced: each statement runs in a read-only transaction of its own.",
  examples: [
    { line: "observatory exec 'SELECT COUNT(*) FROM projects;'", note: "show a table" },
    {
      line: "observatory exec 'TABLE projects' --format csv",
      note: "export rows",
    },
    {
      line: "observatory exec --read-only 'SELECT current_user, session_user;'",
      note: "look, and change nothing",
    },
    { line: "observatory exec 'SELECT version();' --json", note: "one object for programs" },
  ],
  effect: "write",
  needs: "given",
  args: {
    "sql": {
      help: "One or several statements, also when they begin with `--`",
      required: true,
      verbatim: true,
      sql: true,
    },
  },
  flags: {
    "format": {
      type: "string",
      choices: ["table", "csv", "json", "ndjson"],
      help: "How rows are written; by default as a table",
    },
    "read-only": {
      type: "boolean",
      help: "Change nothing: the server refuses what would",
    },
  },
  async run(ctx, { args, flags }) {
    const { exec } = await import("./exec.ts");
    return await exec(ctx, {
      sql: args.sql,
      format: flags.format,
      readOnly: flags["read-only"],
    });
  },
});
