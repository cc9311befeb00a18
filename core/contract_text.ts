/** The contract as text, for those who write plugins. */
import text from "./plugin.ts" with { type: "text" };

/** The text of `core/plugin.ts`. */
export const CONTRACT: string = text;
