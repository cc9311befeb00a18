/** The contract as text, for those who write plugins, and what their tests are written with. */
import text from "./plugin.ts" with { type: "text" };
import testing from "./plugin_testing.ts" with { type: "text" };
import database from "./plugin_testing_database.ts" with { type: "text" };
import files from "./plugin_testing_files.ts" with { type: "text" };

/** The text of `core/plugin.ts`. */
export const CONTRACT: string = text;

/** The texts of what tests are written with, by the names that they import each other by. */
export const TESTING: Readonly<Record<string, string>> = {
  "plugin_testing.ts": testing,
  "plugin_testing_database.ts": database,
  "plugin_testing_files.ts": files,
};
