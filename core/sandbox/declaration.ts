/** What a plugin declares, as data: the plugin without its functions. */

import type { Argument, Command, Completion, Flag, Permissions, Plugin } from "../plugin.ts";
import { blame } from "./blame.ts";
import { valuesProblem } from "./declared_values.ts";
import {
  boolean,
  type Check,
  either,
  listOf,
  number,
  object,
  oneOf,
  optional,
  ProtocolError,
  recordOf,
  SHORT,
  text,
} from "./shapes.ts";

/** The version of the contract that this program has. */
const API = 1;

/** A command without its functions. */
export interface CommandDeclaration extends Omit<Command, "run" | "plan"> {
  /** Whether it tells what it is about to do. */
  readonly plans: boolean;
}

/** A plugin without its functions: JSON, so that it can be remembered. */
export interface PluginDeclaration extends Pick<Plugin, "name" | "api" | "summary"> {
  readonly commands: Readonly<Record<string, CommandDeclaration>>;
  /** The names of its hooks, such as `after:backup`. */
  readonly hooks: readonly string[];
  readonly permissions: Permissions;
}

const NAME = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;
const PATH = /^[a-z][a-z0-9]*(-[a-z0-9]+)*( [a-z][a-z0-9]*(-[a-z0-9]+)*)*$/;
const HOOK = /^(before|after|failed|always):(\*|[a-z][a-z0-9 -]*)$/;
/** A host's name or address, with an optional port; no pattern of hosts. */
const NET = /^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?$/;
const VARIABLE = /^[A-Za-z_][A-Za-z0-9_]*$/;

function matching(pattern: RegExp, wanted: string): Check<string> {
  return (value) => {
    const given = text()(value);
    if (!pattern.test(given)) throw new ProtocolError(`${wanted} was expected`);
    return given;
  };
}

function named<T>(names: Check<string>, check: Check<T>): Check<Record<string, T>> {
  const values = recordOf(check);
  return (value) => {
    const record = values(value);
    Object.keys(record).forEach(names);
    return record;
  };
}

const name = matching(NAME, "a name of lower-case letters, digits and dashes");
const path = matching(PATH, "a path of words of lower-case letters, digits and dashes");
const prose = text(1 << 18);
const choices = listOf(text(), 10_000);
const paths = listOf(text(), 1000);

const completes = oneOf(
  "backup",
  "dump",
  "migration",
  "script",
  "seed",
  "environment",
  "data-file",
  "settings-file",
  "file",
  "directory",
) satisfies Check<Completion>;

const flag = object({ type: oneOf("string", "number", "boolean"), help: prose }, {
  default: either(either(text(), boolean), number),
  short: matching(/^[A-Za-z]$/, "one letter"),
  env: matching(VARIABLE, "the name of a variable"),
  choices,
  repeatable: boolean,
  required: boolean,
  secret: boolean,
  sql: boolean,
  placeholder: text(),
  path: oneOf("read", "write"),
  url: boolean,
  completes,
}) satisfies Check<Flag>;

const argument = object({ help: prose }, {
  type: oneOf("string", "number"),
  required: boolean,
  repeatable: boolean,
  choices,
  verbatim: boolean,
  sql: boolean,
  path: oneOf("read", "write"),
  named: boolean,
  completes,
}) satisfies Check<Argument>;

const commandFields = {
  summary: prose,
  examples: listOf(object({ line: prose, note: prose }), 1000),
  effect: oneOf("read", "write", "destroy"),
};
const commandOptions = {
  description: prose,
  aliases: listOf(path, 100),
  args: named(name, argument),
  flags: named(name, flag),
  database: oneOf("none", "server", "database"),
  dryRun: boolean,
  program: text(),
  needs: oneOf("read", "given"),
};

const permissions = object({}, {
  net: listOf(matching(NET, "a host's name with an optional port"), 1000),
  read: paths,
  write: paths,
  run: paths,
}) satisfies Check<Permissions>;

/** As the guest tells it: of functions only that they are there. */
const told = object({ name, api: number, summary: prose }, {
  commands: named(
    path,
    object({ ...commandFields, run: oneOf("function") }, {
      ...commandOptions,
      plan: oneOf("function", "undefined"),
    }),
  ),
  hooks: named(matching(HOOK, "a moment and a command, such as after:backup,"), oneOf("function")),
  permissions: optional(permissions),
});

const remembered = object({
  name,
  api: number,
  summary: prose,
  commands: named(path, object({ ...commandFields, plans: boolean }, commandOptions)),
  hooks: listOf(matching(HOOK, "the name of a hook")),
  permissions,
});

/**
 * Reads what the guest tells of the plugin.
 *
 * @param called what the plugin is called until its name is known
 * @throws OperationError `plugin_invalid` or `plugin_incompatible`
 */
export function readDeclaration(json: string, called: string): PluginDeclaration {
  const value: unknown = JSON.parse(json);
  if (value === null) {
    throw blame({ name: called }, "plugin_invalid", {
      message: "has no default export",
      hint: "Write: export default definePlugin({ name, api: 1, summary, … })",
    });
  }
  requireApi(value, called);
  const { commands = {}, hooks = {}, permissions = {}, ...rest } = checked(value, told, called);
  const declared = Object.entries(commands).map(([path, { run: _, plan, ...command }]) =>
    [path, { ...command, plans: plan === "function" }] as const
  );
  for (const [path, command] of declared) {
    const problem = valuesProblem(command);
    if (problem === undefined) continue;
    throw blame({ name: rest.name }, "plugin_invalid", {
      message: `is not valid: command "${path}": ${problem}`,
    });
  }
  return {
    ...rest,
    api: API,
    permissions,
    commands: Object.fromEntries(declared),
    hooks: Object.keys(hooks),
  };
}

/** What was remembered of a declaration; undefined when it is none. */
export function rememberedDeclaration(value: unknown): PluginDeclaration | undefined {
  try {
    const declaration = remembered(value);
    return declaration.api === API ? { ...declaration, api: API } : undefined;
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}

/** The variables of the environment that flags of the plugin name: it may ask for them. */
export function variablesOf({ commands }: PluginDeclaration): string[] {
  const named = Object.values(commands)
    .flatMap(({ flags = {} }) => Object.values(flags).flatMap(({ env }) => env ?? []));
  return [...new Set(named)].sort();
}

function requireApi(value: unknown, called: string): void {
  const api = typeof value === "object" && value !== null && "api" in value ? value.api : undefined;
  if (api === API || typeof api !== "number") return;
  throw blame({ name: called }, "plugin_incompatible", {
    message: `is written for version ${api} of the plugin contract; this program has ${API}`,
    hint: api > API
      ? "Use a newer observatory"
      : "Write it for the version that `observatory plugin types` writes out",
  });
}

function checked<T>(value: unknown, check: Check<T>, called: string): T {
  try {
    return check(value);
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw blame({ name: called }, "plugin_invalid", {
      message: `is not valid: ${error.message.slice(0, SHORT)}`,
    });
  }
}
