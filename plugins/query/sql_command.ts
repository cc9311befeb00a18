/** The declaration of `sql`. */
import { command } from "../../core/plugin.ts";
import { READ_ONLY_FLAG } from "./read_only_flag.ts";

/** Runs SQL files with psql. */
export const sql = command({
  summary: "Run SQL files with psql",
  description:
    "The files run one after the other in one psql, which stops at the first error; psql's own " +
    "commands, such as \\i and \\copy, work in them. A name without a slash is looked for in " +
    "DATA_DIR where the working directory has none. psql's start-up file is not read. What psql " +
    "prints goes to stdout as it is; with --json its first MiB is the member `output`, and " +
    "`truncated` tells whether that is all.\n\n" +
    "Without --single-transaction each statement is kept once it is done. --read-only guards " +
    "against accidents: transactions are read-only by default, and a file with words that can " +
    "change that is refused; standard input and files that files include are not looked into.",
  examples: [
    { line: "observatory sql ./data/custom-query.sql", note: "run a file" },
    { line: "observatory sql custom-query.sql", note: "run ./custom-query.sql or DATA_DIR's" },
    { line: "observatory sql -1 schema.sql data.sql", note: "both files, or nothing of them" },
    { line: "observatory sql -v day=2024-01-31 fix.sql", note: "give :'day' a value" },
    { line: "observatory sql -", note: "run what standard input gives" },
  ],
  effect: "write",
  needs: "given",
  program: "psql",
  args: {
    "file": {
      help: "Paths or names; - is standard input",
      required: true,
      repeatable: true,
      path: "read",
      completes: "data-file",
    },
  },
  flags: {
    "single-transaction": {
      type: "boolean",
      short: "1",
      help: "Keep everything or, after an error, nothing",
    },
    "var": {
      type: "string",
      short: "v",
      repeatable: true,
      placeholder: "NAME=VALUE",
      help: "Set a variable of psql; every user of the machine can see it in `ps`",
    },
    ...READ_ONLY_FLAG,
  },
  async run(ctx, { args, flags }) {
    const { runFiles } = await import("./sql.ts");
    return await runFiles(ctx, {
      files: args.file,
      singleTransaction: flags["single-transaction"],
      variables: flags.var,
      readOnly: flags["read-only"],
    });
  },
});
