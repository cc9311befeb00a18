/** What a plugin's flags and arguments cannot be, although each has the form of one. */

import type { Argument, Flag } from "../plugin.ts";
import { CONNECTION_FLAGS, GLOBAL_FLAGS } from "../global_flags.ts";
import type { CommandDeclaration } from "./declaration.ts";

/**
 * The flags that the host reads itself, whatever the command is: their values, such as a URL with a
 * password, are none of a plugin's business.
 */
const TAKEN: ReadonlySet<string> = new Set([
  ...Object.keys(GLOBAL_FLAGS),
  ...Object.keys(CONNECTION_FLAGS),
  "dry-run",
]);
const TAKEN_BY_DESTROYING: ReadonlySet<string> = new Set(["force", "confirm"]);
const TAKEN_LETTERS: ReadonlySet<string> = new Set(
  Object.values(GLOBAL_FLAGS).flatMap((flag) => "short" in flag ? flag.short : []),
);

/** What is wrong with the flags and arguments of a command; undefined when nothing is. */
export function valuesProblem(command: CommandDeclaration): string | undefined {
  return flagsProblem(command) ?? argumentsProblem(Object.entries(command.args ?? {}));
}

function flagsProblem({ flags = {}, effect }: CommandDeclaration): string | undefined {
  const letters = new Map<string, string>();
  for (const [name, flag] of Object.entries(flags)) {
    const taken = TAKEN.has(name) || effect === "destroy" && TAKEN_BY_DESTROYING.has(name);
    const problem = taken ? "the name is taken by a flag of the program itself" : flagProblem(flag);
    if (problem !== undefined) return `flag "${name}": ${problem}`;
    const { short } = flag;
    if (short === undefined) continue;
    const other = TAKEN_LETTERS.has(short) ? "the program itself" : letters.get(short);
    if (other !== undefined) return `flag "${name}": the letter ${short} is taken by ${other}`;
    letters.set(short, `flag "${name}"`);
  }
  return undefined;
}

function flagProblem({ type, default: value, choices, repeatable }: Flag): string | undefined {
  if (choices !== undefined && type !== "string") return "choices are for texts";
  if (repeatable === true && type === "boolean") return "true or false cannot be repeated";
  if (value === undefined) return undefined;
  const given: string = typeof value;
  if (given !== type) return `the default ${JSON.stringify(value)} is no ${type}`;
  if (choices !== undefined && !choices.some((choice) => choice === value)) {
    return `the default ${JSON.stringify(value)} is none of the choices`;
  }
  return undefined;
}

/** The order on the command line is all that tells them apart. */
function argumentsProblem(args: readonly (readonly [string, Argument])[]): string | undefined {
  for (const [index, [name, { required }]] of args.entries()) {
    const before = args[index - 1];
    if (before === undefined) continue;
    const [other, { required: needed, repeatable }] = before;
    if (repeatable === true) return `argument "${name}": nothing is left behind "${other}"`;
    if (required === true && needed !== true) {
      return `argument "${name}": it is required, and "${other}" before it is not`;
    }
  }
  return undefined;
}
