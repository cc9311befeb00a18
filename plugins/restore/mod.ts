/** What backups are for: restored, and verified by being restored. */
import { definePlugin } from "../../core/plugin.ts";
import { restore } from "./command.ts";
import { verify } from "./verify_command.ts";

export default definePlugin({
  name: "restore",
  api: 1,
  summary: "Restores that are planned, proven and reversible",
  commands: { "restore": restore, "backup verify": verify },
});
