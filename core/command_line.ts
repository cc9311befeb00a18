/**
 * What is loaded for every line but one that asks for the version alone: in one file, since each
 * one more takes longer to load than what stands in it.
 */
export { flagVariables, readCommandLine, readPlainWords } from "./input.ts";
export { builtIns } from "../plugins/mod.ts";
