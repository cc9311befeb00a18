/** Backups: made, listed and looked after. */
import { definePlugin } from "../../core/plugin.ts";
import { catalogueCommands } from "./catalogue_commands.ts";
import { backup } from "./command.ts";

export default definePlugin({
  name: "backup",
  api: 1,
  summary: "Backups that are whole or do not exist",
  commands: { "backup": backup, ...catalogueCommands },
  completers: {
    backup: async (...asked) => await (await import("./complete.ts")).backups(...asked),
    dump: async (...asked) => await (await import("./complete.ts")).dumps(...asked),
  },
});
