/** Checks of the live installation. */
import { command, definePlugin } from "../../core/plugin.ts";
import { CHECK_NAMES } from "./names.ts";

const verify = command({
  summary: "Verify the connection, the server and everything that operations need",
  description:
    "Each check is ok, a warning, failed or, where it cannot be made, skipped; what is wrong is " +
    "told with its remedy. Nothing is changed; in the bucket of S3_BACKUP_BUCKET objects of its own " +
    "are written and removed again. The exit code is 3 when a check has failed, with " +
    "--strict also after warnings, and 5 when the server cannot be reached or rejects the login.\n\n" +
    `The checks: ${CHECK_NAMES.join(", ")}.`,
  examples: [
    { line: "observatory verify", note: "check everything" },
    { line: "observatory verify --json", note: "the same for programs" },
    { line: "observatory verify --strict --skip rights", note: "in CI: warnings count too" },
    { line: "observatory verify --only connection --wait 0", note: "one check, without waiting" },
  ],
  effect: "read",
  database: "server",
  flags: {
    "only": {
      type: "string",
      choices: CHECK_NAMES,
      repeatable: true,
      placeholder: "NAME",
      help: "Make this check alone",
    },
    "skip": {
      type: "string",
      choices: CHECK_NAMES,
      repeatable: true,
      placeholder: "NAME",
      help: "Leave this check out",
    },
    "strict": { type: "boolean", help: "End with 3 after warnings too" },
  },
  async run(context, { flags }) {
    const { verify } = await import("./verify.ts");
    return await verify(context, flags);
  },
});

export default definePlugin({
  name: "verify",
  api: 1,
  summary: "Checks of the live installation",
  commands: { "verify": verify },
});
