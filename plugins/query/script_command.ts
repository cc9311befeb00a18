/** The declaration of `script`. */
import { command } from "../../core/plugin.ts";

/** Lists the scripts of the user, or runs one. */
export const script = command({
  summary: "Run a script of SCRIPTS_DIR, or list them",
  description:
    "The executable files of SCRIPTS_DIR are commands: named by their file's name, with or without " +
    "its ending where that is clear. A script gets DATABASE_URL and libpq's variables, the " +
    "password in PGPASSWORD, and this program's own streams. Its arguments follow its name; those " +
    "that begin with a dash follow `--`.",
  examples: [
    { line: "observatory script", note: "list the scripts" },
    { line: "observatory script nightly-report", note: "run scripts/nightly-report.sh" },
    { line: "observatory script prune 30 -- --verbose", note: "run one with arguments" },
  ],
  effect: "write",
  needs: "given",
  program: "script",
  args: {
    "name": { help: "The script's name; without one they are listed", completes: "script" },
    "args": { help: "Its arguments", repeatable: true, completes: "file" },
  },
  async run(context, { args }) {
    const { listScripts, runNamedScript } = await import("./scripts.ts");
    return args.name === undefined
      ? await listScripts(context)
      : await runNamedScript(context, { name: args.name, args: args.args });
  },
});
