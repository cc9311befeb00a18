/** Names of plugins and commands: what stood there first is never shadowed. */
import type { Command, Plugin } from "./plugin.ts";

/** The first words that belong to the program itself. */
const RESERVED: ReadonlySet<string> = new Set(["help", "version"]);

/** What no plugin can call itself or its commands any more, with whose it is. */
export interface TakenNames {
  readonly plugins: Map<string, string>;
  readonly commands: Map<string, string>;
  /** Commands that take what follows their names for arguments. */
  readonly greedy: Set<string>;
}

/** The names that the built-in plugins have. */
export function takenNames(builtIns: readonly Plugin[]): TakenNames {
  const taken: TakenNames = { plugins: new Map(), commands: new Map(), greedy: new Set() };
  for (const plugin of builtIns) {
    taken.plugins.set(plugin.name, "a built-in plugin");
    const commands = Object.entries(plugin.commands ?? {});
    take(commands, { taken, owner: "the program itself" });
    takeWhatFollows(commands, taken);
  }
  return taken;
}

function take(
  commands: readonly (readonly [string, Command])[],
  { taken, owner }: { readonly taken: TakenNames; readonly owner: string },
): void {
  for (const [path, command] of commands) {
    for (const name of namesOf(path, command)) taken.commands.set(name, owner);
  }
}

/** Notes which commands take what follows them, once all of their plugin's own are known. */
function takeWhatFollows(
  commands: readonly (readonly [string, Command])[],
  { greedy }: TakenNames,
): void {
  for (const [path, command] of commands) {
    if (Object.keys(command.args ?? {}).length === 0) continue;
    for (const name of namesOf(path, command)) greedy.add(name);
  }
}

function namesOf(path: string, command: Command): string[] {
  return [path, ...command.aliases ?? []];
}

/** Leaves out the commands whose names are taken, be it by another one of the same plugin. */
export function withoutTaken(
  plugin: Plugin,
  taken: TakenNames,
): { usable: Plugin; clashes: Record<string, string> } {
  const clashes: Record<string, string> = {};
  const commands = Object.entries(plugin.commands ?? {}).filter(([path, command]) => {
    const names = namesOf(path, command);
    const owner = names.map((name) => ownerOf(name, taken)).find((each) => each !== undefined) ??
      (new Set(names).size < names.length ? "itself" : undefined);
    if (owner !== undefined) clashes[path] = owner;
    else take([[path, command]], { taken, owner: `plugin ${plugin.name}` });
    return owner === undefined;
  });
  takeWhatFollows(commands, taken);
  return { usable: { ...plugin, commands: Object.fromEntries(commands) }, clashes };
}

function ownerOf(name: string, { commands, greedy }: TakenNames): string | undefined {
  const words = name.split(" ");
  if (RESERVED.has(words[0] ?? "")) return "the program itself";
  const before = words.slice(0, -1).map((_, index) => words.slice(0, index + 1).join(" "));
  const eater = before.find((prefix) => greedy.has(prefix));
  return commands.get(name) ?? (eater === undefined ? undefined : commands.get(eater));
}

/** Why some of a plugin's commands are not reached by their names, and how they are. */
export function clashReason(plugin: string, clashes: Readonly<Record<string, string>>): string {
  const [[path, owner] = ["", ""]] = Object.entries(clashes);
  const more = Object.keys(clashes).length - 1;
  return `the name "${path}" is taken by ${owner}${
    more === 0 ? "" : `, and ${more} more are taken`
  }` +
    `; \`observatory plugin run ${plugin} ${path}\` reaches it`;
}
