/** Where a line that is being typed has come to: what the word at its end may be. */
import type { Argument, Flag, Flags } from "../plugin.ts";
import { type CommandEntry, type CommandTree, LEADING_FLAGS } from "../command_tree.ts";
import { acceptedFlags } from "../global_flags.ts";

/** What may stand at the end of a line. */
export interface Position {
  /** The words of a command's name that stand there already: what may follow them. */
  readonly names?: readonly string[];
  /** The commands that are meant; by default all. */
  readonly tree?: CommandTree;
  /** Whether it is a command that is asked about, or a topic of the help. */
  readonly explains?: boolean;
  /** Whether the name of a plugin is wanted, for `plugin run`. */
  readonly plugin?: boolean;
  /** The flags that may follow, those left out that are given and cannot be repeated. */
  readonly flags?: Flags;
  /** A value, of a flag or an argument. */
  readonly value?: Value;
  /** The flags that stand on the line so far, with their texts. */
  readonly given: Readonly<Record<string, readonly string[]>>;
}

/** A value that is being typed. */
export interface Value {
  /** The name of the flag or argument. */
  readonly name: string;
  readonly declared: Flag | Argument;
  /** What stands before it in the same word: `--format=`. */
  readonly prefix: string;
}

/** What a line is read with. */
export interface Known {
  readonly tree: CommandTree;
  /** The commands of one plugin, as `plugin run` finds them; undefined for none of that name. */
  ofPlugin(name: string): CommandTree | undefined;
}

/**
 * Finds out what may stand at the end of a line.
 *
 * @param words what stands between the program's name and the word at the end
 * @param current that word, as far as it is typed
 */
export function positionOf(words: readonly string[], current: string, known: Known): Position {
  const leading = scan(words, LEADING_FLAGS, { whole: false });
  const rest = words.slice(leading.used);
  if (rest.length === 0) return atStart(leading, current);
  if (rest[0] === "help") return explained(rest.slice(1), current);
  return behindName(rest, { current, known, before: leading.given });
}

/** Nothing but flags stands there so far. */
function atStart(line: Scan, current: string): Position {
  return wantedFlag(line, { current, flags: LEADING_FLAGS }) ??
    { names: [], given: textsOf(line.given) };
}

function explained(words: readonly string[], current: string): Position {
  const line = scan(words, LEADING_FLAGS, { whole: true });
  return wantedFlag(line, { current, flags: LEADING_FLAGS }) ??
    { names: line.plain, explains: true, given: {} };
}

interface Behind {
  readonly current: string;
  readonly known: Known;
  /** The flags before the name. */
  readonly before: Texts;
}

function behindName(rest: readonly string[], { current, known, before }: Behind): Position {
  const flagged = rest.findIndex((word) => word.startsWith("-") && word !== "-");
  const names = flagged === -1 ? rest : rest.slice(0, flagged);
  // No name goes on behind a flag.
  const mayGoOn = flagged === -1;
  const found = longestName(known.tree, names);
  if (found === undefined) {
    if (current.startsWith("-")) return { flags: LEADING_FLAGS, given: textsOf(before) };
    return mayGoOn ? { names, tree: known.tree, given: textsOf(before) } : { given: {} };
  }
  const { entry, length } = found;
  const words = rest.slice(length);
  if (entry.path === "plugin run") return ofPlugin(words, { current, known, before });
  const { own, connection, global } = acceptedFlags(entry.command);
  const flags = { ...global, ...connection, ...own };
  const line = scan(words, flags, { whole: true, given: before });
  const flag = wantedFlag(line, { current, flags });
  if (flag !== undefined) return flag;
  const value = argumentAt(entry, line.plain.length);
  return {
    ...(mayGoOn ? { names, tree: known.tree } : {}),
    ...(value === undefined ? {} : { value }),
    given: textsOf(line.given),
  };
}

/** `plugin run PLUGIN COMMAND …`: as if the plugin's commands were all there are. */
function ofPlugin(words: readonly string[], { current, known, before }: Behind): Position {
  const line = scan(words, LEADING_FLAGS, { whole: false, given: before });
  const [name, ...rest] = words.slice(line.used);
  if (name === undefined) {
    return wantedFlag(line, { current, flags: LEADING_FLAGS }) ?? { plugin: true, given: {} };
  }
  const tree = known.ofPlugin(name);
  if (tree === undefined) return { given: {} };
  if (rest.length === 0) return { names: [], tree, given: textsOf(line.given) };
  return behindName(rest, { current, known: { ...known, tree }, before: line.given });
}

function longestName(
  tree: CommandTree,
  names: readonly string[],
): { entry: CommandEntry; length: number } | undefined {
  for (let length = names.length; length > 0; length--) {
    const entry = tree.byName.get(names.slice(0, length).join(" "));
    if (entry !== undefined) return { entry, length };
  }
  return undefined;
}

function argumentAt({ command }: CommandEntry, index: number): Value | undefined {
  const args = Object.entries(command.args ?? {});
  const last = args.at(-1);
  const at = args[index] ?? (last?.[1].repeatable === true ? last : undefined);
  return at && { name: at[0], declared: at[1], prefix: "" };
}

type Texts = ReadonlyMap<string, readonly string[]>;

interface Scan {
  /** The flags that are given, with the texts of their values. */
  readonly given: Texts;
  /** The words that are neither a flag nor its value. */
  readonly plain: readonly string[];
  /** The flag whose value comes next. */
  readonly open: string | undefined;
  /** Whether every word is plain from here on. */
  readonly ended: boolean;
  /** How many words were read. */
  readonly used: number;
}

/** Reads flags with their values; up to the first other word, or the whole line. */
function scan(
  words: readonly string[],
  flags: Flags,
  { whole, given: before = new Map() }: { readonly whole: boolean; readonly given?: Texts },
): Scan {
  const given = new Map(before);
  const plain: string[] = [];
  let open: string | undefined;
  let ended = false;
  let used = 0;
  const add = (name: string, text: string) => given.set(name, [...given.get(name) ?? [], text]);
  for (; used < words.length; used++) {
    const word = words[used] ?? "";
    if (ended || !word.startsWith("-") || word === "-") {
      if (!whole) break;
      plain.push(word);
      continue;
    }
    if (word === "--") {
      if (whole) ended = true;
      continue;
    }
    for (const { name, text } of readFlag(word, flags)) {
      if (text !== undefined) add(name, text);
      else if (flags[name]?.type === "boolean") add(name, "");
      else if (used + 1 < words.length) add(name, words[++used] ?? "");
      else open = name;
    }
  }
  return { given, plain, open, ended, used };
}

/** The flags in one word: `--name`, `--name=text`, or letters, of which the last one may have a text. */
function readFlag(word: string, flags: Flags): { name: string; text: string | undefined }[] {
  if (word.startsWith("--")) {
    const [name = ""] = word.slice(2).split("=", 1);
    if (!Object.hasOwn(flags, name)) return [];
    return [{ name, text: word.includes("=") ? word.slice(name.length + 3) : undefined }];
  }
  const found: { name: string; text: string | undefined }[] = [];
  for (let index = 1; index < word.length; index++) {
    const named = Object.entries(flags).find(([, { short }]) => short === word[index]);
    if (named === undefined) break;
    const [name, { type }] = named;
    const text = type === "boolean" ? "" : word.slice(index + 1) || undefined;
    found.push({ name, text });
    if (type !== "boolean") break;
  }
  return found;
}

/** What is wanted where a flag or its value is. */
function wantedFlag(
  { given, open, ended }: Scan,
  { current, flags }: { readonly current: string; readonly flags: Flags },
): Position | undefined {
  const texts = textsOf(given);
  const valueOf = (name: string, prefix: string): Position => {
    const declared = flags[name];
    return declared === undefined || declared.type === "boolean"
      ? { given: texts }
      : { value: { name, declared, prefix }, given: texts };
  };
  if (open !== undefined) return valueOf(open, "");
  if (ended || !current.startsWith("-")) return undefined;
  const [, name] = /^--([^=]+)=/.exec(current) ?? [];
  if (name !== undefined) {
    return Object.hasOwn(flags, name) ? valueOf(name, `--${name}=`) : { given: texts };
  }
  const left = Object.entries(flags).filter(([name, { repeatable }]) =>
    repeatable === true || !given.has(name)
  );
  return { flags: Object.fromEntries(left), given: texts };
}

function textsOf(given: Texts): Readonly<Record<string, readonly string[]>> {
  return Object.fromEntries(given);
}
