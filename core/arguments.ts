/** From words on the command line to typed values; every problem is found, not only the first. */
import { parseArgs } from "node:util";
import type { Argument, Arguments, Flag, Flags } from "./plugin.ts";
import { shown } from "./shown.ts";
import { suggest } from "./suggest.ts";

/** The values of a command line, or what is wrong with it. */
export interface ParsedArguments {
  readonly flags: Readonly<Record<string, FlagInput>>;
  readonly args: Readonly<Record<string, FlagInput>>;
  /** One sentence per problem, without a final period. */
  readonly problems: readonly string[];
}

type Scalar = string | number | boolean;
type FlagInput = Scalar | Scalar[] | undefined;

/** What a command accepts. */
export interface Accepted {
  readonly flags: Flags;
  readonly args: Arguments;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether missing arguments are left out of the problems, as under `--help`. */
  readonly lenient?: boolean;
}

// Stands for an argument that begins with a dash and is none of ours to read.
const VERBATIM = "\u0000";

/** Parses what follows the command's name. */
export function parseArguments(words: readonly string[], accepted: Accepted): ParsedArguments {
  const problems: string[] = [];
  const { given, positionals } = tokenize(words, accepted, problems);
  const flags: Record<string, FlagInput> = {};
  for (const [name, flag] of Object.entries(accepted.flags)) {
    const before = problems.length;
    flags[name] = flagInput(name, flag, { texts: given.get(name), env: accepted.env, problems });
    const missing = flags[name] === undefined && problems.length === before;
    if (flag.required && missing && !accepted.lenient) {
      problems.push(`The flag --${name} is missing`);
    }
  }
  return { flags, args: assignArguments(positionals, accepted, problems), problems };
}

type Given = Map<string, (string | boolean)[]>;

interface Positional {
  readonly text: string;
  /** Whether it follows a flag that nobody knows, whose value it may have been meant to be. */
  readonly afterUnknown: boolean;
}

function tokenize(
  words: readonly string[],
  accepted: Accepted,
  problems: string[],
): { given: Given; positionals: Positional[] } {
  const options: Record<string, { type: "string" | "boolean"; short?: string }> = {};
  for (const [name, flag] of Object.entries(accepted.flags)) {
    options[name] = {
      type: flag.type === "boolean" ? "boolean" : "string",
      ...(flag.short === undefined ? {} : { short: flag.short }),
    };
    if (flag.type === "boolean") options[`no-${name}`] ??= { type: "boolean" };
  }
  const verbatimAt = verbatimIndex(words, accepted);
  const { tokens } = parseArgs({
    args: words.map((word, index) => index === verbatimAt ? VERBATIM : word),
    options,
    strict: false,
    tokens: true,
    allowPositionals: true,
  });
  const given: Given = new Map();
  const positionals: Positional[] = [];
  let unknownAt: number | undefined;
  const add = (name: string, value: string | boolean) => {
    given.set(name, [...given.get(name) ?? [], value]);
  };
  for (const token of tokens) {
    if (token.kind === "positional") {
      positionals.push({
        text: token.value === VERBATIM ? words[verbatimAt] ?? "" : token.value,
        afterUnknown: unknownAt !== undefined && unknownAt === token.index - 1,
      });
    } else if (token.kind === "option") {
      const { name, rawName, value } = token;
      const negated = !Object.hasOwn(accepted.flags, name) && Object.hasOwn(options, name);
      const flag = flagOf(negated ? name.slice(3) : name, accepted.flags);
      if (flag === undefined) {
        problems.push(unknownFlag(rawName, accepted.flags));
        if (value === undefined) unknownAt = token.index;
      } else if (flag.type === "boolean") {
        if (value !== undefined) problems.push(`The flag ${rawName} takes no value`);
        else add(negated ? name.slice(3) : name, !negated);
      } else if (value === undefined || (!token.inlineValue && isFlag(value, options))) {
        problems.push(`The flag ${rawName} needs a value`);
      } else {
        add(name, value);
      }
    }
  }
  return { given, positionals };
}

/** Declared flags only: every object has a `constructor` too. */
function flagOf(name: string, flags: Flags): Flag | undefined {
  return Object.hasOwn(flags, name) ? flags[name] : undefined;
}

/** Whether a word is one of the flags itself, and so not the value of the one before it. */
function isFlag(word: string, options: Readonly<Record<string, { short?: string }>>): boolean {
  if (word.startsWith("--")) return Object.hasOwn(options, word.slice(2).split("=", 1)[0] ?? "");
  return Object.values(options).some(({ short }) => short !== undefined && word === `-${short}`);
}

/** Where the verbatim first argument stands when it looks like a flag but is none of ours; or -1. */
function verbatimIndex(words: readonly string[], accepted: Accepted): number {
  if (Object.values(accepted.args)[0]?.verbatim !== true) return -1;
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? "";
    const [name = ""] = word.replace(/^--?/, "").split("=", 1);
    const flag = flagOf(name, accepted.flags) ??
      Object.values(accepted.flags).find((flag) => word === `-${flag.short}`);
    if (flag === undefined || !word.startsWith("-") || word === "--") {
      return word === "--" ? -1 : index;
    }
    if (flag.type !== "boolean" && !word.includes("=")) index++;
  }
  return -1;
}

function unknownFlag(raw: string, flags: Flags): string {
  const near = suggest(raw.replace(/^-+/, ""), Object.keys(flags));
  return `Unknown flag ${raw}${near === undefined ? "" : `; did you mean --${near}?`}`;
}

function flagInput(
  name: string,
  flag: Flag,
  from: {
    texts: (string | boolean)[] | undefined;
    env: Readonly<Record<string, string | undefined>>;
    problems: string[];
  },
): FlagInput {
  const { texts, problems } = from;
  if (texts !== undefined) {
    if (!flag.repeatable && texts.length > 1 && flag.type !== "boolean") {
      problems.push(`The flag --${name} is given ${texts.length} times`);
    }
    const values = texts.map((text) => convert(text, flag, { label: `--${name}`, problems }));
    return flag.repeatable ? values.filter((value) => value !== undefined) : values.at(-1);
  }
  const text = flag.env === undefined ? undefined : from.env[flag.env];
  if (text !== undefined && text !== "") {
    const value = convert(text, flag, { label: `the variable ${flag.env}`, problems });
    return flag.repeatable ? (value === undefined ? [] : [value]) : value;
  }
  if (flag.repeatable) return flag.default === undefined ? [] : [flag.default];
  return flag.default ?? (flag.type === "boolean" ? false : undefined);
}

function convert(
  text: string | boolean,
  declared: Flag | Argument,
  report: { label: string; problems: string[] },
): Scalar | undefined {
  if (typeof text === "boolean") return text;
  const secret = "secret" in declared && declared.secret === true;
  const value = `The value${secret ? "" : ` ${shown(text)}`} of ${report.label}`;
  if (declared.type === "number") {
    const number = Number(text);
    if (text.trim() !== "" && Number.isFinite(number)) return number;
    report.problems.push(`${value} is not a number`);
    return undefined;
  }
  if (declared.type === "boolean") {
    if (/^(1|true|yes|on)$/i.test(text)) return true;
    if (/^(0|false|no|off)$/i.test(text)) return false;
    report.problems.push(`${value} is neither true nor false`);
    return undefined;
  }
  if (declared.choices !== undefined && !declared.choices.includes(text)) {
    const near = secret ? undefined : suggest(text, declared.choices);
    report.problems.push(
      `${value} is not one of ${declared.choices.join(", ")}` +
        (near === undefined ? "" : `; did you mean "${near}"?`),
    );
    return undefined;
  }
  return text;
}

function assignArguments(
  positionals: readonly Positional[],
  accepted: Accepted,
  problems: string[],
): Record<string, FlagInput> {
  const args: Record<string, FlagInput> = {};
  let next = 0;
  for (const [name, argument] of Object.entries(accepted.args)) {
    const report = { label: name.toUpperCase(), problems };
    const texts = argument.repeatable ? positionals.slice(next) : positionals.slice(next, next + 1);
    next += texts.length;
    const values = texts.map(({ text }) => convert(text, argument, report));
    args[name] = argument.repeatable ? values.filter((value) => value !== undefined) : values[0];
    if (argument.required && texts.length === 0 && !accepted.lenient) {
      problems.push(`The argument ${name.toUpperCase()} is missing`);
    }
  }
  for (const { text, afterUnknown } of positionals.slice(next)) {
    if (!afterUnknown) problems.push(`Unexpected argument ${shown(text)}`);
  }
  return args;
}
