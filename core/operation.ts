/** What is loaded to run a command: in one file, as `command_line.ts` is. */
export { readConfiguration } from "./read_configuration.ts";
export { perform } from "./perform.ts";
export { createAudit } from "./audit/audit.ts";
