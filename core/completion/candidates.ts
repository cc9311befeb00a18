/** What is offered at a position of a line. */
import type {
  Argument,
  Candidate,
  Completer,
  Completion,
  CompletionContext,
  Flag,
  Flags,
  Plugin,
} from "../plugin.ts";
import type { CommandTree } from "../command_tree.ts";
import { TOPICS } from "../help.ts";
import type { Position, Value } from "./position.ts";
import { settingsFiles } from "./settings_files.ts";

/** What a shell is told. */
export interface Answer {
  readonly candidates: readonly Candidate[];
  /** What the shell offers of its own beside them. */
  readonly paths: "files" | "directories" | "none";
  /** What stands before each candidate in the same word: `--format=`. */
  readonly prefix: string;
  /** What is to be typed, where nothing can be offered. */
  readonly hint: string;
}

/** What the candidates are found in. */
export interface Sources {
  readonly tree: CommandTree;
  readonly builtIns: readonly Plugin[];
  /** The plugins of users by name. */
  readonly pluginNames: readonly (readonly [string, Plugin])[];
  readonly context: CompletionContext;
  /** Told what could not be read; throws what is a bug. */
  readonly passedOver: (error: unknown) => void;
}

/** Finds what may stand at the position. */
export async function candidatesAt(position: Position, sources: Sources): Promise<Answer> {
  const { names, tree, explains, plugin, flags, value, given } = position;
  const candidates: Candidate[] = [];
  if (names !== undefined) candidates.push(...nextWords(names, tree ?? sources.tree));
  if (names?.length === 0 && tree === undefined && explains !== true) candidates.push(...ownWords);
  if (names?.length === 0 && explains === true) candidates.push(...topics());
  if (plugin === true) candidates.push(...pluginsOf(sources.pluginNames));
  if (flags !== undefined) candidates.push(...flagWords(flags));
  if (value !== undefined) candidates.push(...await valuesOf(value, { given, sources }));
  return {
    candidates,
    paths: value === undefined ? "none" : pathsFor(value.declared),
    prefix: value?.prefix ?? "",
    hint: value === undefined ? "" : `${calledAs(value)}: ${value.declared.help}`,
  };
}

/** What belongs to the program itself, and to no plugin. */
const ownWords: readonly Candidate[] = [
  { value: "help", description: "Explain a command or a topic" },
  { value: "version", description: "Show the version" },
];

function topics(): Candidate[] {
  return Object.entries(TOPICS).map(([value, description]) => ({ value, description }));
}

function pluginsOf(plugins: Sources["pluginNames"]): Candidate[] {
  return plugins.map(([value, { summary }]) => ({ value, description: summary }));
}

/** The words that follow these in the names of commands. */
function nextWords(names: readonly string[], { byName }: CommandTree): Candidate[] {
  const before = names.map((name) => `${name} `).join("");
  const found = new Map<string, string>();
  for (const [name, { command, plugin }] of byName) {
    if (!name.startsWith(before)) continue;
    const [word = "", ...more] = name.slice(before.length).split(" ");
    // A word that is no command by itself stands for a family of them.
    if (more.length === 0) found.set(word, command.summary);
    else if (!found.has(word)) found.set(word, plugin.summary);
  }
  return [...found].map(([value, description]) => ({ value, description }));
}

function flagWords(flags: Flags): Candidate[] {
  return Object.entries(flags).flatMap(([name, { short, help }]) => [
    { value: `--${name}`, description: help },
    ...(short === undefined ? [] : [{ value: `-${short}`, description: help }]),
  ]);
}

async function valuesOf(
  { declared }: Value,
  { given, sources }: { readonly given: Position["given"]; readonly sources: Sources },
): Promise<readonly Candidate[]> {
  if ("secret" in declared && declared.secret === true) return [];
  if (declared.choices !== undefined) return declared.choices.map((value) => ({ value }));
  if (declared.completes === undefined) return [];
  const complete = completerOf(declared.completes, sources.builtIns);
  try {
    return await complete?.(sources.context, given) ?? [];
  } catch (error) {
    sources.passedOver(error);
    return [];
  }
}

function completerOf(kind: Completion, builtIns: readonly Plugin[]): Completer | undefined {
  if (kind === "settings-file") return settingsFiles;
  return builtIns.map(({ completers }) => completers?.[kind]).find((each) => each !== undefined);
}

function pathsFor({ path, completes }: Flag | Argument): Answer["paths"] {
  if (completes === "directory") return "directories";
  return path !== undefined || completes === "file" || completes === "settings-file"
    ? "files"
    : "none";
}

function calledAs({ name, declared }: Value): string {
  return "placeholder" in declared && declared.placeholder !== undefined
    ? declared.placeholder
    : name.toUpperCase();
}
