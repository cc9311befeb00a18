/** SQL by hand: files, and psql itself. */
import { definePlugin } from "../../core/plugin.ts";
import { exec } from "./exec_command.ts";
import { script } from "./script_command.ts";
import { shell } from "./shell_command.ts";
import { sql } from "./sql_command.ts";

export default definePlugin({
  name: "query",
  api: 1,
  summary: "Run SQL by hand",
  commands: { "exec": exec, "sql": sql, "shell": shell, "script": script },
  completers: {
    "script": async (...asked) => await (await import("./complete.ts")).scripts(...asked),
    "data-file": async (...asked) => await (await import("./complete.ts")).dataFiles(...asked),
  },
});
